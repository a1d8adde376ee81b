"""Places a walk comes to and the hops between them.

Knows the model. Data only.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from lineage_flows.graph.model import Association, AssociationType, Use

__all__ = ["Hop", "Place", "hop", "inferred"]


class Place(NamedTuple):
    """Where a walk is: at an artifact, or inside an action on the way to or from some of what it took in or gave out.

    Attributes:
        arn: the artifact or action.
        way: of an action, which of its inputs (upwards) or outputs (downwards) it leads on to. ``all``: it is simple.
            ``body``: what its body may have used before, or for something after, the moment ``detail`` (empty: any).
            ``result``: what its result was made from, or its result, where the fingerprint ``detail`` (empty: none) decides.
            ``parameter``: of the name ``detail``. ``own``: its recorded inputs alone. ``code``: whatever ran on it.
            Of an artifact that several made, ``by``: as made by those in ``detail``; of objects in S3 that it is joined to
            (``joins``) each with a bar and the moment up to which they count.
    """

    arn: str
    way: Literal["", "all", "body", "result", "parameter", "own", "code", "by"] = ""
    detail: str = ""


class Hop(NamedTuple):
    """An edge that a walk follows, and the place at its far end. ``through`` names the run by which an edge is inferred."""

    source: str
    destination: str
    type: AssociationType
    place: Place
    uses: tuple[Use, ...] = ()
    through: str | None = None


def hop(edge: Association, place: Place) -> Hop:
    """A hop along an association."""
    return Hop(edge.source_arn, edge.destination_arn, edge.association_type, place, edge.uses)


def inferred(source: str, destination: str, kind: AssociationType, place: Place, through: str) -> Hop:
    """A hop along an edge that is no association of the graph."""
    return Hop(source, destination, kind, place, through=through)
