"""What SageMaker keeps beside lineage entities: experiments, trials, trial components, and documents of jobs and model packages.

Knows the endpoint's own tables; must not know what an operation takes in or gives out. An experiment and a trial component can be
the ends of associations; a walk of the embedded graph passes them over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lineage_flows.endpoint.changes import Change
from lineage_flows.endpoint.snapshot import Snapshot

__all__ = ["Other", "components_of", "get", "join", "keep", "listed", "of_arns", "part", "remove", "trials_of"]

_SELECT = "SELECT o.arn, o.kind, o.type, o.name, o.body, o.created, o.modified"


@dataclass(frozen=True, slots=True)
class Other:
    """One of them.

    Attributes:
        arn: its ARN.
        kind: ``Experiment``, ``Trial``, ``TrialComponent``; ``TrainingJob``, ``ModelPackage``, ``ModelPackageGroup``.
        type: as the end of an association is typed (``SageMakerTrainingJob``).
        name: as it was given.
        body: its members; moments are RFC 3339 texts.
        created: RFC 3339 in UTC with microseconds.
        modified: in the same form.
    """

    arn: str
    kind: str
    type: str
    name: str
    body: Mapping[str, Any]
    created: str
    modified: str


def get(snapshot: Snapshot, arn: str) -> Other | None:
    """The one of an ARN."""
    found = _read(snapshot.connection, "WHERE o.arn = ?", [arn])
    return found[0] if found else None


def listed(
    snapshot: Snapshot,
    kind: str,
    conditions: Sequence[tuple[str, Sequence[object]]] = (),
    order: str = "o.created DESC, o.arn",
    limit: int = -1,
) -> list[Other]:
    """Those of a kind that meet every condition (SQL over ``o``, with its values), in an order; -1 for all there are."""
    where = " AND ".join(["o.kind = ?", *(text for text, _ in conditions)])
    values = [value for _, given in conditions for value in given]
    return _read(snapshot.connection, f"WHERE {where} ORDER BY {order} LIMIT ?", [kind, *values, limit])


def of_arns(snapshot: Snapshot, arns: Iterable[str]) -> list[Other]:
    """Those of some ARNs, whatever their kind, by ARN; ARNs of nothing are passed over."""
    # The outer loop is that over the ARNs: no more is read than what they name.
    wanted = "FROM json_each(?) j CROSS JOIN endpoint_other o ON o.arn = j.value"
    return _read(snapshot.connection, "ORDER BY o.arn", [orjson.dumps(sorted(set(arns))).decode()], wanted)


def keep(change: Change, other: Other) -> None:
    """Write one, over that of the same ARN."""
    change.connection.execute(
        "INSERT OR REPLACE INTO endpoint_other (arn, kind, type, name, body, created, modified) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            other.arn,
            other.kind,
            other.type,
            other.name,
            orjson.dumps(dict(other.body)).decode(),
            other.created,
            other.modified,
        ],
    )


def remove(change: Change, arn: str) -> None:
    """Delete one, and its tags. Its associations and memberships have to be gone."""
    change.connection.execute("DELETE FROM endpoint_other WHERE arn = ?", [arn])
    change.forget(arn)


def join(change: Change, trial: str, component: str) -> None:
    """Make a component (by ARN) part of a trial (by ARN); nothing happens when it is already."""
    change.connection.execute("INSERT OR IGNORE INTO endpoint_member VALUES (?, ?)", [trial, component])


def part(change: Change, trial: str, component: str) -> bool:
    """Take a component out of a trial; False when it was not part of it."""
    query = "DELETE FROM endpoint_member WHERE trial = ? AND component = ?"
    return change.connection.execute(query, [trial, component]).rowcount > 0


def components_of(snapshot: Snapshot, trials: Iterable[str]) -> dict[str, list[str]]:
    """ARNs of the components of each trial; trials without any are left out."""
    return _members(snapshot, "trial", "component", trials)


def trials_of(snapshot: Snapshot, components: Iterable[str]) -> dict[str, list[str]]:
    """ARNs of the trials that each component is part of; components without any are left out."""
    return _members(snapshot, "component", "trial", components)


def _members(snapshot: Snapshot, by: str, wanted: str, arns: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    rows = snapshot.connection.execute(
        f"SELECT {by}, {wanted} FROM endpoint_member WHERE {by} IN (SELECT value FROM json_each(?)) "  # noqa: S608 - columns are ours
        f"ORDER BY {by}, {wanted}",
        [orjson.dumps(list(arns)).decode()],
    )
    for one, other in rows:
        found.setdefault(one, []).append(other)
    return found


def _read(
    connection: sqlite3.Connection, rest: str, values: Sequence[object], among: str = "FROM endpoint_other o"
) -> list[Other]:
    found = connection.execute(f"{_SELECT} {among} {rest}", values)
    return [
        Other(arn, kind, type_, name, orjson.loads(body), created, modified)
        for arn, kind, type_, name, body, created, modified in found
    ]
