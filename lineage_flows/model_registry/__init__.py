"""The model registry: a model that a run made, as a version of a SageMaker model package group, tied to its lineage.

``register`` is what there is to call; the modules beside it know one thing each. boto3 is loaded when something is registered.
"""

from __future__ import annotations

from lineage_flows.model_registry.register import register
from lineage_flows.model_registry.registered import RegisteredModel

__all__ = ["RegisteredModel", "register"]
