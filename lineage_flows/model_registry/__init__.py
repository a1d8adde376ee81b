"""The model registry: a model that a run made, as a version of a SageMaker model package group, tied to its lineage.

``register.register`` is what there is to call; the modules beside it know one thing each. Nothing is imported here: the command
line needs some of the names at every start.
"""
