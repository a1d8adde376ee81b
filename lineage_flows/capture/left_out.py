"""What the rules of the settings leave out of one run, counted: datasets by their URIs, parameters by name, the result.

Knows the decision and the records; must not know who reads or writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lineage_flows.policy import Decision, leaves_out_dataset, leaves_out_parameter, names_parameter

if TYPE_CHECKING:
    from lineage_flows.record_about import PolicyRef
    from lineage_flows.records import DatasetRef

__all__ = ["LeftOut"]


class LeftOut:
    """What is left out of a run. Safe for threads.

    Args:
        decision: what holds for the run.
    """

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self._reads: set[str] = set()
        self._writes: set[str] = set()
        self._parameters: dict[str, None] = {}
        self.output = False

    def covers(self, uri: str, direction: str = "read", written: str = "") -> bool:
        """Whether a dataset is left out, by its URI or by how the flow wrote it; it is counted then."""
        if not self.decision.exclude_datasets or not leaves_out_dataset(self.decision, uri, written):
            return False
        (self._reads if direction == "read" else self._writes).add(uri)
        return True

    def covers_parameter(self, name: str) -> bool:
        """Whether a parameter is left out; it is noted then."""
        if not self.decision.exclude_parameters or not leaves_out_parameter(self.decision, name):
            return False
        self._parameters[name] = None
        return True

    def looks_at(self, name: str) -> bool:
        """Whether a parameter is looked at although its name speaks of a secret."""
        return names_parameter(self.decision, name)

    def kept(self, datasets: Iterable[DatasetRef]) -> list[DatasetRef]:
        """The datasets that are not left out."""
        return [item for item in datasets if not self.covers(item.uri, item.direction, _written(item))]

    @property
    def unrestorable(self) -> tuple[str, ...]:
        """What a replay cannot serve again because it was left out."""
        count = len(self._reads)
        return (f"{count} dataset{'s' if count != 1 else ''} left out by policy",) if count else ()

    def ref(self) -> PolicyRef | None:
        """What the record says of it; None when no rule decided anything."""
        from lineage_flows.record_about import PolicyRef

        decision = self.decision
        if not decision.why:
            return None
        return PolicyRef(
            rules=tuple(sorted({rule.origin for rule in decision.why.values()})),
            datasets=len(self._reads | self._writes),
            parameters=tuple(self._parameters),
            output=self.output,
            source_code=decision.source_code,
        )


def _written(item: DatasetRef) -> str:
    """An asset's key, which its URI only means."""
    key = item.properties.get("asset_key")
    return key if isinstance(key, str) else ""
