"""Documents as the endpoint keeps them, told as answers are: moments become seconds since 1970.

Knows botocore's shapes; must not know what an operation means.
"""

from __future__ import annotations

from typing import Any

from lineage_flows.endpoint.moments import epoch_seconds
from lineage_flows.endpoint.shapes import Shape

__all__ = ["told"]


def told(shape: Shape, value: Any) -> Any:  # noqa: ANN401 - any part of a document
    """A value of a shape as JSON has it. Members that have no value, or that the shape does not know, are left out."""
    if shape.type_name == "structure":
        return {
            name: told(shape.members[name], item)
            for name, item in value.items()
            if item is not None and name in shape.members
        }
    if shape.type_name == "list":
        return [told(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: told(shape.value, item) for key, item in value.items()}
    if shape.type_name == "timestamp":
        return epoch_seconds(value)
    return value
