"""Tables of the keeper's cache beside those of its embedded graph, and the triggers that note what a batch changed.

Knows SQLite; must not know what is done with what is due.
"""

from __future__ import annotations

import sqlite3
from typing import Final

__all__ = ["END", "create"]

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS place (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS there (          -- what stands in SageMaker, by its row in entity
    id INTEGER PRIMARY KEY,
    arn TEXT NOT NULL,
    digest TEXT NOT NULL,                   -- of the state that was written; empty while it is not known
    fixed TEXT NOT NULL,                    -- what it was created with, and no Update changes
    others TEXT NOT NULL,                   -- properties that somebody else gave it
    held TEXT NOT NULL                      -- names of the properties it has there
);
CREATE TABLE IF NOT EXISTS there_edge (
    source INTEGER NOT NULL, destination INTEGER NOT NULL, type TEXT NOT NULL,
    PRIMARY KEY (source, destination)       -- one association between two things: see the facts on DeleteAssociation
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS there_edge_back ON there_edge (destination);
CREATE TABLE IF NOT EXISTS due (            -- entities that may differ from what stands there
    id INTEGER PRIMARY KEY,
    mark INTEGER NOT NULL DEFAULT 0,        -- goes up when it changes again meanwhile
    attempts INTEGER NOT NULL DEFAULT 0,
    parked TEXT                             -- why it is not tried any more until somebody asks for it
);
CREATE TABLE IF NOT EXISTS due_edge (
    source INTEGER NOT NULL, destination INTEGER NOT NULL, type TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    parked TEXT,
    after REAL NOT NULL DEFAULT 0,          -- not before this time (Unix): an end is not known yet
    PRIMARY KEY (source, destination)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS due_edge_back ON due_edge (destination);
CREATE TRIGGER IF NOT EXISTS entity_is_due AFTER INSERT ON entity WHEN NEW.arn IS NOT NULL
BEGIN INSERT INTO due (id) VALUES (NEW.id); END;
CREATE TRIGGER IF NOT EXISTS entity_is_due_again AFTER UPDATE ON entity
WHEN NEW.arn IS NOT NULL AND (OLD.arn IS NULL OR NEW.layers <> OLD.layers)
BEGIN
    INSERT INTO due (id) VALUES (NEW.id) ON CONFLICT (id) DO UPDATE SET mark = mark + 1, attempts = 0, parked = NULL;
    UPDATE due_edge SET after = 0 WHERE source = NEW.id OR destination = NEW.id;
END;
CREATE TRIGGER IF NOT EXISTS edge_is_due AFTER INSERT ON association
WHEN NOT EXISTS (SELECT 1 FROM there_edge t WHERE t.source = NEW.source AND t.destination = NEW.destination)
AND NOT EXISTS (SELECT 1 FROM due_edge t WHERE t.source = NEW.source AND t.destination = NEW.destination)
BEGIN INSERT INTO due_edge (source, destination, type) VALUES (NEW.source, NEW.destination, NEW.type); END;
CREATE TABLE IF NOT EXISTS restored (       -- of due_edge those that stood before, and went with an end that was deleted there
    source INTEGER NOT NULL, destination INTEGER NOT NULL,
    cause INTEGER NOT NULL,                 -- that end, which is made anew
    PRIMARY KEY (source, destination)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS restored_back ON restored (destination);
CREATE TABLE IF NOT EXISTS discarded (      -- what a person gave up, in words
    what TEXT NOT NULL, reason TEXT NOT NULL, time TEXT NOT NULL, who TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS unwanted (       -- entities that were given up: nothing that is associated with them makes them
    id INTEGER PRIMARY KEY
);
CREATE TRIGGER IF NOT EXISTS entity_is_wanted_again AFTER UPDATE ON entity WHEN NEW.layers <> OLD.layers
BEGIN DELETE FROM unwanted WHERE id = NEW.id; END;
CREATE TRIGGER IF NOT EXISTS edge_is_wanted_again AFTER DELETE ON unwanted
BEGIN
    INSERT OR IGNORE INTO due_edge (source, destination, type) SELECT a.source, a.destination, a.type FROM association a
    WHERE (a.source = OLD.id OR a.destination = OLD.id)
    AND NOT EXISTS (SELECT 1 FROM there_edge t WHERE t.source = a.source AND t.destination = a.destination);
END;
"""
_LAST: Final = "edge_is_wanted_again"
"""What ``_TABLES`` makes last: where it is, all is."""

END: Final = """
SELECT e.id, e.arn, e.lineage, e.name, e.source_uri, e.sources, e.created, e.modified, e.layers, e.handle,
    t.arn, t.digest, t.fixed, t.others, t.held, d.mark, d.parked, EXISTS (SELECT 1 FROM unwanted u WHERE u.id = e.id)
FROM entity e LEFT JOIN there t ON t.id = e.id LEFT JOIN due d ON d.id = e.id"""
"""A row of the graph with what is known of it; see ``cache.End``."""


def create(connection: sqlite3.Connection) -> None:
    """Make what is not there yet, all of it or nothing."""
    made = "SELECT count(*) FROM sqlite_schema WHERE name = ?"
    if connection.execute(made, (_LAST,)).fetchone() == (0,):
        # A script that begins its own transaction: before a script, SQLite's module commits what was begun.
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
