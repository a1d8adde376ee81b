"""Amazon Neptune: the graph as files of its bulk loader, the loader itself, and the questions to ask once it is loaded.

Nothing is imported here, so that who only writes files does not pay for boto3.
"""
