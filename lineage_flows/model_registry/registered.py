"""What a registration gives back, and what is asked of it.

Knows names only; must not know AWS, nor the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lineage_flows.records import Frozen

__all__ = ["Approval", "RegisteredModel", "Wanted"]

Approval = Literal["PendingManualApproval", "Approved", "Rejected"]


class RegisteredModel(Frozen):
    """A version of a model in SageMaker's model registry.

    Attributes:
        arn: of the model package; every question of lineage takes it as a reference.
        group: the model package group.
        version: its number in the group.
        created: whether this registration made it; False when the same model was registered in the group before.
        approval: its approval status now; empty when the registry says none.
        content: what tells this model from another: its fingerprint, or the name of its version in S3.
        source_uri: the model in the lineage graph; None when the step that registers it makes it, so that it has no name yet.
        model_data: where its data lies in S3; None when the package names none.
        run_id: the flow run that made the model, of subflows the one at the top; None when that is not known.
        step_id: the task run that made it; None when the flow's own code did, or that is not known.
        registered_by: the run that said this registration in the graph: a task or flow run, or a run of its own outside of any.
    """

    arn: str
    group: str
    version: int
    created: bool
    approval: str
    content: str
    source_uri: str | None = None
    model_data: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    registered_by: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a model is to be registered; see ``lineage_flows.register_model``."""

    group: str
    description: str | None = None
    approval: Approval = "PendingManualApproval"
    image: str | None = None
    artifact_uri: str | None = None
    content_types: Sequence[str] = ()
    response_types: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    any_kind: bool = False
    again: bool = False
