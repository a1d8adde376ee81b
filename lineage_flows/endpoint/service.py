"""From an operation's name and a body to an answer: the table of operations.

Knows every module of operations; must not know HTTP. A new module of operations is one more line in ``OPERATIONS``.
"""

from __future__ import annotations

from typing import Any

import orjson

from lineage_flows.endpoint import (
    associations,
    documents,
    entities,
    experiment_lists,
    experiments,
    groups,
    lists,
    queries,
    tags,
    trial_components,
)
from lineage_flows.endpoint.backend import Backend, Handler
from lineage_flows.endpoint.errors import ServiceError, internal, serialization, unknown_operation
from lineage_flows.endpoint.shapes import input_shape, operation_names
from lineage_flows.endpoint.validation import read_request
from lineage_flows.errors import LineageError

__all__ = ["OPERATIONS", "Service"]

TARGET_PREFIX = "SageMaker."

OPERATIONS: dict[str, Handler] = {
    **entities.OPERATIONS,
    **lists.OPERATIONS,
    **associations.OPERATIONS,
    **tags.OPERATIONS,
    **groups.OPERATIONS,
    **experiments.OPERATIONS,
    **trial_components.OPERATIONS,
    **experiment_lists.OPERATIONS,
    **queries.OPERATIONS,
    **documents.OPERATIONS,
}
"""Every operation that the endpoint has, by its name in SageMaker's service model."""


class Service:
    """Answers requests. Safe for threads."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def operation(self, target: str) -> str:
        """The operation that the header ``X-Amz-Target`` names.

        Raises:
            ServiceError: there is none here.
        """
        name = target.removeprefix(TARGET_PREFIX)
        if target.startswith(TARGET_PREFIX) and name in OPERATIONS:
            return name
        if target != name and name in operation_names():
            raise unknown_operation(f"{name} is an operation of SageMaker that this endpoint does not have.")
        raise unknown_operation(
            f"{target[:200]!r} is no operation of SageMaker." if target else "No operation is named."
        )

    def call(self, operation: str, body: bytes) -> dict[str, Any]:
        """Carry out an operation.

        Args:
            operation: its name.
            body: JSON; an empty one is an empty object.

        Returns:
            The answer's members that have a value.

        Raises:
            ServiceError: it cannot be done; nothing was changed.
        """
        try:
            document = orjson.loads(body) if body.strip() else {}
        except orjson.JSONDecodeError as error:
            raise serialization(f"The body is no JSON: {error}") from error
        request = read_request(input_shape(operation), document)
        try:
            answer = OPERATIONS[operation](self.backend, request)
        except ServiceError:
            raise
        except LineageError as error:  # the graph cannot be read or written now; trying again may help
            raise internal(str(error), 503) from error
        return {name: value for name, value in answer.items() if value is not None}
