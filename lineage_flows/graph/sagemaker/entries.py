"""What the cache says of things: how they stand in SageMaker, and what is due.

Knows the model; must not know how any of it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from lineage_flows.graph.model import AssociationType, Entity
from lineage_flows.graph.sagemaker.wire import Fixed

__all__ = ["DueEdge", "DueEntity", "End", "ParkedCall", "There"]


@dataclass(frozen=True, slots=True)
class There:
    """What is known of an entity that stands in SageMaker.

    Attributes:
        arn: AWS's.
        digest: of the state that was written (``wire.digest``); empty while it is not known.
        fixed: what it was created with.
        others: properties that somebody else gave it.
        held: names of the properties it has there.
    """

    arn: str
    digest: str
    fixed: Fixed
    others: dict[str, str]
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class End:
    """A row of the cache's graph.

    Attributes:
        id: the row.
        entity: None while an action is known only from links to it.
        handle: ``run:ID`` of an action.
        there: what of it stands.
        due: whether it may differ from what stands.
        parked: why it is not tried.
        unwanted: whether a person gave it up; what does not stand is not made for what is associated with it.
    """

    id: int
    entity: Entity | None
    handle: str | None
    there: There | None
    due: bool
    parked: str | None
    unwanted: bool = False


@dataclass(frozen=True, slots=True)
class DueEntity:
    """An entity to look at. ``mark`` tells whether it changed again meanwhile."""

    id: int
    entity: Entity
    there: There | None
    mark: int
    attempts: int


@dataclass(frozen=True, slots=True)
class DueEdge:
    """An association to look at, between two rows.

    ``cause`` is of one that stood already and went with an end that was deleted in SageMaker: the row that is made anew. None of
    one that something new speaks of.
    """

    source: int
    destination: int
    type: AssociationType
    attempts: int
    cause: int | None = None


@dataclass(frozen=True, slots=True)
class ParkedCall:
    """What SageMaker would not take, in words, and why; by ``id`` a person names it."""

    what: str
    reason: str
    id: str
