"""Which of several writers of one content a reader read from.

Knows the model and a view of the graph. A version of a file is one artifact, whoever wrote it: a job that writes ``ok`` to the
same file every day makes the same version every day. Were all writers upstream of every reader, today's run would descend from
the data of every other day. What a reader saw came from the last write before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lineage_flows.graph.joins import is_joined, may_be_joined
from lineage_flows.graph.model import Action, Artifact, Association
from lineage_flows.graph.view import View

__all__ = ["Origins", "chosen"]


def chosen(detail: str) -> dict[str, str]:
    """What the detail of a place ``by`` names: actions, and artifacts it is joined to with the moment up to which they count."""
    parts = (text.partition("|") for text in detail.split())
    return {arn: moment for arn, _, moment in parts}


class Origins:
    """Chooses among the makers of an artifact."""

    def __init__(self, view: View) -> None:
        self._view = view

    def makers(self, artifact: str) -> list[Association]:
        """The edges from every action that produced an artifact."""
        return [edge for edge in self._view.into(artifact) if edge.association_type == "Produced"]

    def joins(self, artifact: str) -> list[Association]:
        """The edges from objects that lie in an artifact, or are the same under its URI; see ``joins``."""
        entity = self._view.entity(artifact)
        if not isinstance(entity, Artifact) or not may_be_joined(entity.source_uri):
            return []
        edges = (*self._view.into(artifact), *self._view.twins(artifact, "up"))
        return [edge for edge in edges if self.is_join(edge)]

    def is_join(self, edge: Association) -> bool:
        """Whether an edge joins what a job names to a version of an object, or the other way round."""
        if edge.association_type not in {"ContributedTo", "SameAs"}:
            return False
        ends = self._view.entity(edge.source_arn), self._view.entity(edge.destination_arn)
        return all(isinstance(end, Artifact) for end in ends) and is_joined(ends[0].source_uri, ends[1].source_uri)

    def knows_better(self, artifact: Artifact) -> bool:
        """Whether somebody is known to have written this very version, so that it came from no folder or job."""
        return bool(artifact.source_types) and bool(self.makers(artifact.arn))

    def of(self, taken: Association) -> list[str]:
        """What an artifact came from when a reader took it in, as ``chosen`` reads it: actions, and what it is joined to.

        Args:
            taken: the edge from the artifact to the reader.
        """
        found = self._actions(taken)
        joins = self.joins(taken.source_arn)
        entity = self._view.entity(taken.source_arn)
        if not joins or (isinstance(entity, Artifact) and self.knows_better(entity)):
            return found
        return found + self._latest(joins, self._there_by(taken), self._run(taken.destination_arn))

    def reaches(self, meant: Mapping[str, str], taken: Association) -> bool:
        """Whether what a reader took in is what is meant on the way down.

        Args:
            meant: what made it, as ``chosen`` reads it; of an object that it is joined to with that object's makers, bars between.
            taken: the edge to the reader.
        """
        came = chosen(" ".join(self.of(taken)))
        for arn, makers in meant.items():
            if arn in came and (
                not makers or not chosen(" ".join(self.at(arn, came[arn]))).keys().isdisjoint(makers.split("|"))
            ):
                return True
        return False

    def at(self, artifact: str, moment: str) -> list[str]:
        """What an artifact came from as it was at a moment, in the same form."""
        entity = self._view.entity(artifact)
        times = {edge.source_arn: self._when(edge) for edge in self.makers(artifact)}
        begun = {arn: time for arn, time in times.items() if not moment or time <= moment}
        if isinstance(entity, Artifact) and entity.source_types:
            last = max(begun.values(), default="")
            begun = {arn: time for arn, time in begun.items() if not moment or time in {last, ""}}
            if times:
                return list(begun)
        return [*begun, *self._latest(self.joins(artifact), moment, "")]

    def _latest(self, joins: Iterable[Association], before: str, run: str) -> list[str]:
        """Of the versions of each object the last one up to a moment; of one moment's one of the reader's own run before others."""
        found: dict[str, list[tuple[bool, str, str]]] = {}
        for edge in joins:
            arn = edge.source_arn
            makers = self.makers(arn)
            runs = {made.source_arn: self._run(made.source_arn) for made in makers}
            # As with files: what a replay wrote again was not what others read.
            meant = [
                made for made in makers if runs[made.source_arn] == run or not self._is_replay(runs[made.source_arn])
            ]
            times = [self._when(made) for made in meant]
            there = [time for time in times if not before or time <= before]
            if makers and not there:
                continue  # it was written later
            own = bool(run) and run in runs.values()
            found.setdefault(self._view.entity(arn).source_uri, []).append((own, max(there, default=""), arn))
        return [f"{arn}|{before}" for versions in found.values() for arn in _last(versions)]

    def _when(self, made: Association) -> str:
        """When an artifact was last written; when its writer began, where that is not known."""
        return made.moment or self._started(made.source_arn)

    def _actions(self, taken: Association) -> list[str]:
        """The actions that an artifact came from when a reader took it in; none when all that are known wrote it later.

        Writers in the reader's own run come first; then, replays aside (they write elsewhere, and only what was there before), the
        last one that began before the reader read it, or ended. An artifact without a version (a table that is added to) comes
        from all that began before.

        Args:
            taken: the edge from the artifact to the reader.
        """
        artifact, reader = taken.source_arn, taken.destination_arn
        makers = self._possible(taken)
        if len(makers) < 2:
            return makers
        others = [arn for arn in makers if arn != reader]
        run, before = self._run(reader), self._seen_at(taken)
        inside = self._begun([arn for arn in others if self._run(arn) == run], taken.moment or self._ended(reader))
        if inside:
            return inside
        real = [arn for arn in others if not self._is_replay(self._run(arn))] or others
        begun = self._begun(real, before) or real
        entity = self._view.entity(artifact)
        if isinstance(entity, Artifact) and not entity.source_types:
            return begun
        last = max(self._started(arn) for arn in begun)
        return [arn for arn in begun if self._started(arn) in {last, ""}]

    def _possible(self, taken: Association) -> list[str]:
        """The makers of an artifact, without those of the reader's own run that only began after it had been read.

        Nor does what a run read come from what it wrote itself: capture does not count that as read.
        """
        makers = [edge.source_arn for edge in self.makers(taken.source_arn)]
        if not taken.moment or not makers:
            return makers
        run = self._run(taken.destination_arn)
        others = (arn for arn in makers if arn != taken.destination_arn)
        return [arn for arn in others if self._run(arn) != run or self._begun([arn], taken.moment)]

    def _begun(self, makers: list[str], before: str) -> list[str]:
        """Those that had begun at a moment; of an unknown moment, or one whose begin is not known, nothing is ruled out."""
        return [arn for arn in makers if not before or self._started(arn) <= before]

    def _seen_at(self, taken: Association) -> str:
        """When a reader can have read at the latest. A replay reads what its original read."""
        run = self._run(taken.destination_arn)
        original = self._view.repeated_by(run) if self._is_replay(run) else None
        return self._ended(original) if original is not None else taken.moment or self._ended(taken.destination_arn)

    def _there_by(self, taken: Association) -> str:
        """When what a reader read was there at the latest: what S3 has numbered was written once, before anybody read it."""
        seen = self._seen_at(taken)
        entity = self._view.entity(taken.source_arn)
        if not isinstance(entity, Artifact) or all(item.type != "S3Version" for item in entity.source_types):
            return seen
        edges = self._view.out_of(taken.source_arn)
        readers = (edge for edge in edges if isinstance(self._view.entity(edge.destination_arn), Action))
        return min((moment for edge in readers if (moment := self._seen_at(edge))), default=seen)

    def _run(self, action: str) -> str:
        """The action at the top of what an action is in."""
        passed = {action}
        while True:
            outer = [
                arn
                for arn in self._view.containers(action)
                if arn not in passed and isinstance(self._view.entity(arn), Action)
            ]
            if not outer:
                return action
            action = outer[-1]
            passed.add(action)

    def _is_replay(self, run: str) -> bool:
        return self._view.entity(run).type == "Replay"

    def _started(self, arn: str) -> str:
        return self._property(arn, "started")

    def _ended(self, arn: str) -> str:
        return self._property(arn, "ended")

    def _property(self, arn: str, key: str) -> str:
        entity = self._view.entity(arn)
        return entity.properties.get(key, "") if isinstance(entity, Action) else ""


def _last(versions: Sequence[tuple[bool, str, str]]) -> list[str]:
    """The ARNs of the last versions of one object, and of those of which no time is known."""
    last, own = max((time, own) for own, time, _ in versions)
    return [arn for is_own, time, arn in versions if (is_own, time) == (own, last) or (not time and not own)]
