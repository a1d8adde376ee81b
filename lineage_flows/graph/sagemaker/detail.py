"""What is kept in SageMaker at which detail: every step, or the runs with what they took in and gave out.

Knows the model. A step that is left out stands in the run record; what it read from and wrote to the outside is the flow run's.
"""

from __future__ import annotations

from typing import Final, Literal

from lineage_flows.graph.identity import value_name
from lineage_flows.graph.model import Action, Artifact, Entity

__all__ = ["Detail", "is_kept", "run_of"]

Detail = Literal["steps", "runs"]

_OF_RUNS: Final = frozenset({"SourceTree", "Environment", "Image", "RunRecord"})
_RESULTS: Final = frozenset({"Model", "Metrics"})
_OF_STEPS: Final = frozenset({"SourceCode"})


def is_kept(entity: Entity, detail: Detail) -> bool:
    """Whether an entity is kept. With ``runs``: flow runs, flows, data outside of them, models, metrics, code and record."""
    if detail == "steps":
        return True
    if isinstance(entity, Action):
        return run_of(entity) is None
    if not isinstance(entity, Artifact) or entity.type in _OF_RUNS:
        return True
    if entity.type in _OF_STEPS:
        return False
    return value_name(entity.source_uri) is None or entity.type in _RESULTS


def run_of(entity: Entity) -> str | None:
    """The id of the flow run that a step is part of; None of what is no step."""
    return entity.properties.get("flowRunId") if isinstance(entity, Action) else None
