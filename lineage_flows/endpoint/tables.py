"""The endpoint's own tables, in the graph's file, beside those of the graph: what SageMaker keeps and a graph has no place for.

Knows SQLite. They are made when the endpoint opens a graph for writing; readers that do not know them pass them over.
"""

from __future__ import annotations

import secrets
import sqlite3

from lineage_flows.endpoint.moments import utc_now

__all__ = ["EDGES", "ENDS", "ensure"]

_TABLES = """
CREATE TABLE IF NOT EXISTS endpoint_note (      -- of what was written over the API
    key TEXT PRIMARY KEY,                       -- ARN of an entity, or both of an association with a space between
    kind TEXT NOT NULL,                         -- Artifact, Action, Context, Association
    made INTEGER NOT NULL,                      -- whether the API made it, and not only changed it
    modified TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS endpoint_note_kind ON endpoint_note (kind) WHERE made;
CREATE TABLE IF NOT EXISTS endpoint_tag (
    arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS endpoint_other (     -- experiments, trials, trial components: no entities of a lineage graph
    arn TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    type TEXT NOT NULL,                         -- as the ends of associations are typed
    name TEXT NOT NULL,
    body TEXT NOT NULL,                         -- JSON
    created TEXT NOT NULL,
    modified TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS endpoint_other_kind ON endpoint_other (kind, name);
CREATE TABLE IF NOT EXISTS endpoint_link (      -- associations of which an end is one of endpoint_other
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    type TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (source, destination, type)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS endpoint_link_back ON endpoint_link (destination);
CREATE TABLE IF NOT EXISTS endpoint_member (    -- which trial components belong to which trials
    trial TEXT NOT NULL,
    component TEXT NOT NULL,
    PRIMARY KEY (trial, component)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS endpoint_member_back ON endpoint_member (component);
CREATE INDEX IF NOT EXISTS endpoint_newest ON entity (lineage, created, arn);
CREATE INDEX IF NOT EXISTS endpoint_edge_newest ON association (created);
CREATE TABLE IF NOT EXISTS endpoint_about (     -- one row
    secret BLOB NOT NULL,                       -- by which paging tokens are signed
    made TEXT NOT NULL                          -- when the tables were, which is when the account began
)
"""

ENDS = """SELECT arn, lineage AS kind, type, name, created FROM entity WHERE arn IS NOT NULL
UNION ALL SELECT arn, kind, type, name, created FROM endpoint_other"""
"""Everything that an association can begin or end at: ``arn``, ``kind``, ``type``, ``name``, ``created``."""

EDGES = """SELECT s.arn AS source, d.arn AS destination, a.type AS type, a.created AS created
FROM association a JOIN entity s ON s.id = a.source JOIN entity d ON d.id = a.destination
WHERE s.arn IS NOT NULL AND d.arn IS NOT NULL
UNION ALL SELECT source, destination, type, created FROM endpoint_link"""
"""All associations between what is known, by ARN: ``source``, ``destination``, ``type``, ``created``."""


_ABOUT = "SELECT secret, made FROM endpoint_about"


def ensure(connection: sqlite3.Connection) -> tuple[bytes, str]:
    """Make the tables where they are missing, all or none.

    Returns:
        The key by which paging tokens are signed (of the file, so that every endpoint over it knows the tokens of the others),
        and when the tables were made.
    """
    try:
        row = connection.execute(_ABOUT).fetchone()
    except sqlite3.OperationalError:
        row = None
    if row is None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            row = connection.execute(_ABOUT).fetchone()
            if row is None:
                row = (secrets.token_bytes(32), utc_now())
                connection.execute("INSERT INTO endpoint_about VALUES (?, ?)", row)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return bytes(row[0]), str(row[1])
