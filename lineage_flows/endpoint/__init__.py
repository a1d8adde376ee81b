"""SageMaker's wire API for ML Lineage over the embedded graph, so that boto3 and the SageMaker SDK work without an account.

Knows the graph; must not know capture, delivery or replay. Nothing is imported here: ``server.serve`` is the way in.
"""
