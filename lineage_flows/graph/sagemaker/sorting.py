"""Which of the associations that are due can be written, and what the others wait for.

Knows the cache; calls nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lineage_flows.graph.sagemaker.cache import Cache
from lineage_flows.graph.sagemaker.detail import Detail, is_kept, run_of
from lineage_flows.graph.sagemaker.entries import DueEdge, End

__all__ = ["Awaited", "Ready", "Sorted", "sort_edges"]


@dataclass(frozen=True, slots=True)
class Ready:
    """An association both of whose ends stand."""

    edge: DueEdge
    source: End
    destination: End

    @property
    def key(self) -> tuple[int, int]:
        """Its rows, as it is due."""
        return self.edge.source, self.edge.destination

    @property
    def pair(self) -> tuple[int, int]:
        """The rows that it joins in SageMaker."""
        return self.source.id, self.destination.id

    @property
    def arns(self) -> tuple[str, str]:
        """What it joins."""
        return self.source.there.arn if self.source.there else "", (
            self.destination.there.arn if self.destination.there else ""
        )

    @property
    def caused_by(self) -> int | None:
        """Of one that is restored: the row that is made anew; None of one that something new speaks of."""
        if self.edge.cause is None:
            return None
        return self.source.id if self.edge.cause == self.edge.source else self.destination.id

    def is_lost_with(self, vanished: Sequence[int]) -> bool:
        """Whether it was only to be restored, and its other end, which nothing new needs, is gone as well."""
        return self.edge.cause is not None and any(number != self.caused_by for number in vanished)


@dataclass(frozen=True, slots=True)
class Awaited:
    """An association one end of which is a run that is not known here."""

    edge: DueEdge
    end: End
    other: End


@dataclass(slots=True)
class Sorted:
    """Associations that are due.

    Attributes:
        ready: those that can be written.
        unknown: those that wait for a run that is not known here, by its row.
        held: an end was put aside.
        unmade: an end could not be made in this push.
        left_out: what is not kept, and what an end was given up of.
        lost: what was to be restored, and went with both its ends.
        wanted: ends that are to be made first, by their rows.
    """

    ready: list[Ready] = field(default_factory=list)
    unknown: dict[int, list[Awaited]] = field(default_factory=dict)
    held: list[DueEdge] = field(default_factory=list)
    unmade: list[DueEdge] = field(default_factory=list)
    left_out: list[DueEdge] = field(default_factory=list)
    lost: list[DueEdge] = field(default_factory=list)
    wanted: set[int] = field(default_factory=set)


def sort_edges(cache: Cache, edges: Sequence[DueEdge], detail: Detail) -> Sorted:
    """Sort associations by what can be done about them at a detail."""
    ends = cache.ends(number for edge in edges for number in (edge.source, edge.destination))
    flows = cache.runs(
        f"run:{run}" for end in ends.values() if end.entity is not None and (run := run_of(end.entity)) is not None
    )
    found = Sorted()
    for edge in edges:
        source, destination = (_placed(ends[number], flows, detail) for number in (edge.source, edge.destination))
        if source is None or destination is None or source.id == destination.id:
            found.left_out.append(edge)
        elif source.there is not None and destination.there is not None:
            found.ready.append(Ready(edge, source, destination))
        else:
            _sort_waiting(found, edge, source, destination)
    return found


def _sort_waiting(found: Sorted, edge: DueEdge, source: End, destination: End) -> None:
    missing = [end for end in (source, destination) if end.there is None]
    if any(end.unwanted and not end.due for end in missing):
        found.left_out.append(edge)
        return
    if edge.cause is not None and _is_unwanted(destination if edge.cause == edge.source else source):
        found.lost.append(edge)
        return
    for end in missing:
        if end.entity is None:
            found.unknown.setdefault(end.id, []).append(Awaited(edge, end, destination if end is source else source))
        elif not end.due:
            found.wanted.add(end.id)
    if any(end.parked is not None for end in missing):
        found.held.append(edge)
    elif all(end.entity is not None and end.due for end in missing):
        found.unmade.append(edge)


def _is_unwanted(end: End) -> bool:
    """Whether an end neither stands nor is to be made."""
    return end.there is None and end.entity is not None and not end.due


def _placed(end: End, flows: Mapping[str, End], detail: Detail) -> End | None:
    """What stands for a thing in SageMaker: itself; of a step that is not kept its flow run; None when nothing does."""
    if end.there is not None or end.entity is None or is_kept(end.entity, detail):
        return end
    run = run_of(end.entity)
    return None if run is None else flows.get(f"run:{run}")
