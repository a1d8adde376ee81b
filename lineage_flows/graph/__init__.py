"""The lineage graph: artifacts, actions, contexts and associations; how events become one, where it is kept, what it is asked.

Nothing is imported here, so that a process that only delivers does not pay for queries.
"""
