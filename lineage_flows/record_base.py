"""What the records are made of, and what is known of data that is no local file.

Knows pydantic only; see ``records`` for the records themselves.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["BlobRef", "Frozen", "ObjectFacts"]


class Frozen(BaseModel):
    """Base of all records: immutable, and strict about unknown fields so that a misspelt one is found at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BlobRef(Frozen):
    """Stored bytes: their name by content, how many, and in what format a value lies in them."""

    digest: str
    size: int
    format: str


class ObjectFacts(Frozen):
    """What a store, a server or a database said of data that is no local file.

    ``version`` and ``etag`` are the store's own names of this content (S3's VersionId; the ETag without its quotes). ``status`` is
    the answer's of HTTP. ``rows`` were read or changed. ``statements`` are SQL, with every literal replaced by ``?``; ``tables``
    are those of a database's file that they name, ``results`` the fingerprints of the results that were fetched to their end.
    """

    version: str | None = None
    etag: str | None = None
    status: int | None = None
    rows: int | None = None
    statements: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
