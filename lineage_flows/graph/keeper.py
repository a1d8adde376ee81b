"""The protocol of what keeps a graph, and the law by which claims about one thing become its state.

Knows the model; must not know any database, or what an event is. The law makes the graph a function of the *set* of claims it
was given: whatever their order and however often they are repeated, the same graph results. A courier that delivers at least
once, and processes that deliver at the same time, need nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from lineage_flows.graph.model import Action, Artifact, Association, AssociationType, Context, Entity, LineageType, Use

__all__ = [
    "GIVEN",
    "META",
    "PROPERTY",
    "Claim",
    "Direction",
    "Facts",
    "Keeper",
    "Layers",
    "Link",
    "Remote",
    "flatten",
    "merge",
    "run_handle",
]

Direction = Literal["up", "down"]
"""``up``: from destination to source, towards where things come from. ``down``: from source to destination."""

Facts = Mapping[str, str | None]
"""What a claim says: ``type``, ``status``, ``description``; of an artifact its ``name``; properties and metadata, whose keys
begin with ``PROPERTY`` and ``META``.

None says that there is no such thing (any more): a run that failed once and then completed has no error.
"""

PROPERTY = "p."
META = "m."

GIVEN = "!"
"""In the stamp of a claim that no event made, but somebody over an API: what follows it counts such claims, and what comes before
it is the greatest stamp there was. So it ranks above all events that were seen, and below all that rank above those."""

Layers = list[tuple[str, dict[str, str | None]]]
"""The state of an entity: facts under the stamp of the claim they were taken from, stamps ascending, each key once."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one event says of one entity.

    Attributes:
        lineage: which kind of entity.
        arn: its ARN. Of an action already known by its handle, the known ARN counts.
        name: its name; None for an artifact, whose name is a fact like others and no part of its identity.
        source_uri: where it is.
        sources: for an artifact its source types, sorted; for others at most one pair of source type and source id.
        handle: another name it can be linked by: ``run:ID`` of an action (its identity), ``task-run/ID/result`` of a value.
        stamp: rank among claims about this entity; of two claims to one fact the greater stamp wins, then the greater text.
        time: of the event, RFC 3339 in UTC with microseconds.
        facts: what is claimed.
    """

    lineage: LineageType
    arn: str
    name: str | None
    source_uri: str
    sources: tuple[tuple[str, str], ...]
    handle: str | None
    stamp: str
    time: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Link:
    """What one event says of one association.

    An end is an ARN that is claimed in the same batch or known, or ``run:ID``: an action that need not be known yet; the
    association shows as soon as it is. Both ends of ``SameAs`` are handles of values: it joins those of equal source types.
    """

    source: str
    destination: str
    type: AssociationType
    time: str
    uses: tuple[Use, ...] = field(default=())


def run_handle(run_id: str) -> str:
    """The handle of a run's action."""
    return f"run:{run_id}"


def merge(layers: Layers, stamp: str, facts: Facts) -> Layers:
    """The state of an entity after one more claim; the very same object when nothing changes.

    Commutative, associative, idempotent.
    """
    if not facts:
        return layers
    if not layers:
        return [(stamp, dict(facts))]
    newest, held = layers[-1]
    if stamp == newest and facts.items() <= held.items():
        return layers
    if stamp > newest:
        rest = [(layer, {key: value for key, value in values.items() if key not in facts}) for layer, values in layers]
        return [*((layer, values) for layer, values in rest if values), (stamp, dict(facts))]
    known = {key: (layer, value) for layer, values in layers for key, value in values.items()}
    merged: dict[str, dict[str, str | None]] = {}
    for key, value in facts.items():
        if key not in known or _rank(stamp, value) > _rank(*known[key]):
            known[key] = (stamp, value)
    for key, (layer, value) in known.items():
        merged.setdefault(layer, {})[key] = value
    return sorted(merged.items())


def flatten(layers: Layers) -> dict[str, str]:
    """The facts of a state in alphabetical order, without stamps and without what is claimed not to be."""
    facts: dict[str, str | None] = {}
    for _, values in layers:
        facts |= values
    return {key: value for key in sorted(facts) if (value := facts[key]) is not None}


def _rank(stamp: str, value: str | None) -> tuple[str, bool, str]:
    return stamp, value is not None, value or ""


class Keeper(Protocol):
    """Where a graph lives.

    Every list is in a fixed order: entities newest first, then by ARN; associations by source, destination and type.
    Everything raises GraphError when the graph cannot be read or written, and HomeError when its folder is full or unwritable.
    """

    url: str

    def upsert(self, claims: Iterable[Claim], links: Iterable[Link] = ()) -> None:
        """Write claims and links, all or none of them; on disk when this returns.

        Raises:
            EventError: a claim breaks a limit of the model; nothing was written, and a repetition fails the same way.
        """
        ...

    def get(self, arns: Iterable[str]) -> dict[str, Entity]:
        """Entities by ARN; those that are not known are left out."""
        ...

    def list_artifacts(
        self,
        *,
        source_uri: str | None = None,
        artifact_types: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Artifact]:
        """Artifacts that meet every condition given."""
        ...

    def list_actions(
        self,
        *,
        run_id: str | None = None,
        action_types: Sequence[str] = (),
        flow: str | None = None,
        run_name: str | None = None,
        commit: str | None = None,
        name: str | None = None,
        roots_only: bool = False,
        limit: int | None = None,
    ) -> list[Action]:
        """Actions that meet every condition given.

        Args:
            run_id: the run id or the start of it.
            action_types: one of these.
            flow: the flow's own name.
            run_name: the run's own name.
            commit: the commit or the start of it.
            name: the action's name.
            roots_only: leave out runs that another run started (subflows).
            limit: at most so many.
        """
        ...

    def list_contexts(self, *, name: str | None = None, limit: int | None = None) -> list[Context]:
        """Contexts that meet every condition given."""
        ...

    def associations(
        self,
        *,
        sources: Iterable[str] | None = None,
        destinations: Iterable[str] | None = None,
        types: Sequence[AssociationType] = (),
    ) -> list[Association]:
        """Associations between known entities that start at one of ``sources`` and end at one of ``destinations``."""
        ...

    def closure(self, arns: Iterable[str], direction: Direction, types: Sequence[AssociationType]) -> list[Association]:
        """Every association of these types that can be reached from ``arns`` along others of them, in one go."""
        ...

    def search(self, text: str, *, limit: int | None = None) -> list[Entity]:
        """Entities whose name, URI, type or facts hold every word of ``text``, letter case aside."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """A block in which all reads see the graph as it was at its start, whatever is written meanwhile."""
        ...

    def close(self) -> None:
        """Give everything back; a closed keeper is not used again."""
        ...


@runtime_checkable
class Remote(Protocol):
    """A keeper whose graph is elsewhere, so that what was merged here may still have to be brought there."""

    def deliver(self) -> None:
        """Try again all that waits, and all that was put aside.

        Raises:
            GraphError: some of it could not be done now.
        """
        ...

    def silent_for(self) -> float:
        """Seconds for which nothing has answered what is asked there; 0 when nothing is asked. Never waits."""
        ...
