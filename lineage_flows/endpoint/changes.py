"""Writes over one transaction: what the operations make, change and delete.

Knows the graph's tables, its law of claims, and the endpoint's own tables; must not know what an operation takes in or gives out.
Entities are written by the graph's own writer, so that a graph does not show which of its entities came over the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import orjson

from lineage_flows.endpoint.errors import validation
from lineage_flows.endpoint.snapshot import Snapshot
from lineage_flows.endpoint.stamps import action_handle, artifact_handle, next_stamp, run_of
from lineage_flows.errors import EventError
from lineage_flows.graph import deletions
from lineage_flows.graph.identity import action_arn, artifact_arn, context_arn
from lineage_flows.graph.keeper import PROPERTY, Claim, Facts, Layers, run_handle
from lineage_flows.graph.model import LineageType
from lineage_flows.graph.writer import write

__all__ = ["Change", "arn_of"]


def arn_of(lineage: LineageType, name: str | None, source_uri: str, sources: tuple[tuple[str, str], ...]) -> str:
    """The ARN of an entity, from what identifies it: an artifact's URI and source types, the name of others."""
    if lineage == "Artifact":
        return artifact_arn(source_uri, sources)
    return action_arn(name or "") if lineage == "Action" else context_arn(name or "")


class Change(Snapshot):
    """The graph in a transaction that writes; what it reads is what it has written."""

    def create(
        self,
        lineage: LineageType,
        *,
        name: str | None,
        source_uri: str,
        sources: tuple[tuple[str, str], ...],
        facts: Facts,
        now: str,
    ) -> str:
        """Make an entity that is not there yet.

        Args:
            lineage: its kind.
            name: of an action or context; None for an artifact, whose name is one of the facts.
            source_uri: where it is.
            sources: an artifact's source types, sorted; for others at most one pair of source type and source id.
            facts: as a claim has them.
            now: the moment.

        Returns:
            Its ARN.
        """
        arn = arn_of(lineage, name, source_uri, sources)
        handle = artifact_handle(source_uri) if lineage == "Artifact" else None
        if lineage == "Action":
            handle = action_handle(name or "", run_is_taken=self._run_is_taken(name or ""))
        claimed = None if lineage == "Artifact" else name
        deletions.forget(self.connection, deletions.key_of(lineage, arn, handle))
        self._write(Claim(lineage, arn, claimed, source_uri, sources, handle, next_stamp([]), now, facts))
        self.note(arn, lineage, now, made=True)
        return arn

    def update(self, arn: str, changes: Facts, properties: Mapping[str, str] | None, now: str) -> None:
        """Change facts of an entity that is there.

        Args:
            arn: its ARN.
            changes: facts by key; None takes one away.
            properties: all that it has from now on; None leaves them as they are.
            now: the moment.
        """
        row = self.connection.execute(
            "SELECT lineage, name, source_uri, sources, handle, layers FROM entity WHERE arn = ?", [arn]
        ).fetchone()
        lineage, name, source_uri, sources, handle, text = row
        layers = cast("Layers", [(stamp, facts) for stamp, facts in orjson.loads(text)])
        facts = dict(changes)
        if properties is not None:
            held = {key for _, said in layers for key in said if key.startswith(PROPERTY)}
            facts |= dict.fromkeys(held)
            facts |= {f"{PROPERTY}{key}": value for key, value in properties.items()}
        pairs = tuple((kind, value) for kind, value in orjson.loads(sources))
        claimed = None if lineage == "Artifact" else name
        self._write(Claim(lineage, arn, claimed, source_uri, pairs, handle, next_stamp(layers), now, facts))
        self.note(arn, lineage, now)

    def delete(self, arn: str) -> None:
        """Delete an artifact, action or context that has no associations, and its tags; see ``graph.deletions``."""
        deletions.bury(self.connection, arn)
        # Edges whose other end nobody knows yet would fall to whatever gets this row's number next.
        number = "(SELECT id FROM entity WHERE arn = ?)"
        self.connection.execute(
            f"DELETE FROM association WHERE source = {number} OR destination = {number}",  # noqa: S608 - a constant
            [arn, arn],
        )
        row = self.connection.execute("DELETE FROM entity WHERE arn = ? RETURNING lineage, handle", [arn]).fetchone()
        if row is not None and row[0] == "Action":
            self._bequeath(str(row[1]))
        self.forget(arn)

    def link(self, source: str, destination: str, kind: str, now: str) -> None:
        """Make an association between two ends that are there."""
        ids = dict(
            self.connection.execute("SELECT arn, id FROM entity WHERE arn IN (?, ?)", [source, destination]).fetchall()
        )
        if len(ids) == len({source, destination}):
            self.connection.execute(
                "INSERT INTO association VALUES (?, ?, ?, '[]', ?)", [ids[source], ids[destination], kind, now]
            )
        else:
            self.connection.execute("INSERT INTO endpoint_link VALUES (?, ?, ?, ?)", [source, destination, kind, now])
        self.note(f"{source} {destination}", "Association", now, made=True)

    def unlink(self, source: str, destination: str) -> None:
        """Delete what associations there are from one end to another; see ``graph.deletions``."""
        made = self.connection.execute(
            "SELECT 1 FROM endpoint_note WHERE key = ? AND made", [f"{source} {destination}"]
        ).fetchone()
        if made is None:  # what only a person said, no event repeats; one that says it yet says something new
            deletions.part(self.connection, source, destination)
        self.connection.execute(
            "DELETE FROM association WHERE source = (SELECT id FROM entity WHERE arn = ?) "
            "AND destination = (SELECT id FROM entity WHERE arn = ?)",
            [source, destination],
        )
        self.connection.execute("DELETE FROM endpoint_link WHERE source = ? AND destination = ?", [source, destination])
        self.forget(f"{source} {destination}")

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Put tags on a resource, over those of the same keys."""
        self.connection.executemany(
            "INSERT OR REPLACE INTO endpoint_tag VALUES (?, ?, ?)", [(arn, key, value) for key, value in tags.items()]
        )

    def untag(self, arn: str, keys: list[str]) -> None:
        """Take tags off a resource; those that it does not have are passed over."""
        self.connection.executemany("DELETE FROM endpoint_tag WHERE arn = ? AND key = ?", [(arn, key) for key in keys])

    def note(self, key: str, kind: str, now: str, *, made: bool = False) -> None:
        """Remember that something was written over the API."""
        self.connection.execute(
            """INSERT INTO endpoint_note VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET made = max(made, excluded.made), modified = max(modified, excluded.modified)""",
            [key, kind, made, now],
        )

    def forget(self, key: str) -> None:
        """Forget what was remembered of something that is no longer there, and its tags."""
        self.connection.execute("DELETE FROM endpoint_note WHERE key = ?", [key])
        self.connection.execute("DELETE FROM endpoint_tag WHERE arn = ?", [key])

    def _bequeath(self, handle: str) -> None:
        """Let another action that is called after the same run, if there is one, stand for it from now on."""
        run = handle.removeprefix(run_handle(""))
        if run == handle:
            return
        # GLOB knows nothing of letter case, and a run id has none of its wildcards.
        changed = self.connection.execute(
            """UPDATE entity SET handle = ?
            WHERE id = (SELECT min(id) FROM entity WHERE lineage = 'Action' AND handle GLOB ?)""",
            [handle, f"api:*-{run}"],
        )
        if changed.rowcount:
            deletions.forget(self.connection, handle)  # what events say of the run is said of that one from now on

    def _run_is_taken(self, name: str) -> bool:
        run = run_of(name)
        if run is None:
            return False
        query = "SELECT 1 FROM entity WHERE handle = ? AND lineage = 'Action' AND arn IS NOT NULL"
        return self.connection.execute(query, [run_handle(run)]).fetchone() is not None

    def _write(self, claim: Claim) -> None:
        try:
            write(self.connection, [claim], [], joining=False)  # SageMaker associates nothing by itself
        except EventError as error:
            raise validation(f"{error.what}: {error.why}") from error
