"""SageMaker's own service model, as botocore ships it: which operations there are, and what they take in and give out.

Reading it here, and not a copy of it, is what keeps the endpoint's shapes from drifting.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from lineage_flows.errors import KeeperUnavailableError

__all__ = ["input_shape", "operation_names", "output_shape"]

Shape = Any
"""A shape of ``botocore.model``, which has no types."""


def operation_names() -> frozenset[str]:
    """All operations of SageMaker, those that the endpoint does not have among them."""
    return frozenset(_model().operation_names)


def input_shape(operation: str) -> Shape:
    """What an operation takes in; None when it takes nothing."""
    return _model().operation_model(operation).input_shape


def output_shape(operation: str) -> Shape:
    """What an operation gives out; None when it gives nothing."""
    return _model().operation_model(operation).output_shape


@lru_cache(maxsize=1)
def _model() -> Any:  # noqa: ANN401 - botocore has no types
    try:
        from botocore.loaders import Loader
        from botocore.model import ServiceModel
    except ImportError as error:
        raise KeeperUnavailableError(
            "the endpoint cannot start",
            why="botocore, whose description of SageMaker it answers by, is not installed",
            fix="install lineage-flows[aws]",
        ) from error
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
