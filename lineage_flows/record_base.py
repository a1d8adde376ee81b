"""What the records are made of, and what is known of data that is no local file.

Knows pydantic only; see ``records`` for the records themselves.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = [
    "REGISTRATION",
    "BlobRef",
    "ColumnBasis",
    "ColumnEdge",
    "ColumnHow",
    "ColumnSource",
    "DatasetKind",
    "Frozen",
    "ObjectFacts",
]

ColumnHow = Literal[
    "identity", "transformation", "aggregation", "filter", "join", "group_by", "sort", "window", "conditional"
]
"""What a column took from another: its values (the first three), or only which rows there are and how they are laid out."""

ColumnBasis = Literal["memory", "content", "statement", "operation"]
"""How that is known: the columns lie in the same memory; they are equal in a value made from the other; a query says so; the
library was seen to do it with that column, which was still what had gone in."""


DatasetKind = Literal["DataSet", "Model", "Job", "Endpoint"]
"""What data outside a flow is. A job that runs elsewhere, and an endpoint, stand for what they make and serve."""


REGISTRATION = "lineage_flows.register_model"
"""By what a dataset is seen that a registration in the model registry tells of; a repetition of the run does not make it again."""


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


class ColumnSource(Frozen):
    """A column of what went in.

    ``namespace`` and ``name`` are the dataset's, as in its ``DatasetRef``. Of a value that went into a call the namespace is
    ``inmemory://`` and the name the parameter's, with the path of the component where it is a container (``frames/0``).
    """

    namespace: str
    name: str
    column: str


class ColumnEdge(Frozen):
    """What one column of what came out was made from.

    ``output`` is the column; empty for all of them, which is how filters, joins and groupings are said. In a container it is
    the component's path and the column (``/train/close``).
    """

    output: str
    inputs: tuple[ColumnSource, ...]
    how: ColumnHow
    known_by: ColumnBasis = "statement"
