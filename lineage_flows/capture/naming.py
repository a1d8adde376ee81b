"""What OpenLineage calls the data behind a URI: its namespace and name, by the specification's naming table, without secrets.

Knows URIs; must not know who reads what lies behind them. https://openlineage.io/docs/spec/naming
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import SplitResult, unquote, urlsplit

from lineage_flows.capture.adapters.urls import shown_query, target_of
from lineage_flows.capture.objects import Target
from lineage_flows.capture.paths import from_uri
from lineage_flows.errors import RecordingError
from lineage_flows.redaction import bare_url

__all__ = ["local_path_of", "target_of_uri"]

_SCHEME = re.compile(r"(?:jdbc:)?([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "postgresql": "postgres", "abfs": "abfss", "wasb": "wasbs"}
_OBJECTS = frozenset({"s3", "gs", "r2", "oss", "cos", "abfss", "wasbs"})
"""Stores in which a name may hold any character: nothing in it is a query."""
_CONTAINERS = frozenset({"abfss", "wasbs"})
"""Azure's: what stands before the ``@`` is the container, and no user."""
_DATABASES = frozenset(
    {"postgres", "mysql", "mssql", "redshift", "snowflake", "oracle", "trino", "db2", "clickhouse", "teradata", "hive"}
)
"""The parts of a table's name are joined by dots."""
_PORTS = {"postgres": 5432, "mysql": 3306, "mssql": 1433, "redshift": 5439}


def local_path_of(text: str) -> str | None:
    """The path on this machine that a path or ``file:`` URI means; None for any other URI.

    Raises:
        RecordingError: a ``file:`` URI of another machine.
    """
    found = _SCHEME.fullmatch(text)
    if found is None:
        return text
    if found[1].lower() != "file" or text[:5].lower() == "jdbc:":
        return None
    try:
        return from_uri(text)
    except ValueError as error:
        raise RecordingError(
            "a file URI cannot be recorded", why=str(error), fix="name a file of this machine"
        ) from None


def target_of_uri(text: str) -> Target:
    """The dataset that a URI means, by OpenLineage's names; without user, password and secret parameters.

    Raises:
        RecordingError: it is none.
    """
    found = _SCHEME.fullmatch(text)
    if found is None:
        raise RecordingError("a URI cannot be recorded", why="it has no scheme", fix="correct it")
    try:
        return replace(_target(found[1].lower(), found[2], text), written=bare_url(text))
    except ValueError as error:
        raise RecordingError("a URI cannot be recorded", why=str(error), fix="correct it") from None


def _target(scheme: str, rest: str, text: str) -> Target:
    scheme = scheme.partition("+")[0]  # postgresql+psycopg
    scheme = _ALIASES.get(scheme, scheme)
    if scheme in {"http", "https"}:
        return target_of(text)
    if scheme in _OBJECTS:
        return _object(scheme, rest)
    parts = urlsplit(f"{scheme}://{rest}")
    return _table(parts) if scheme in _DATABASES else _any(parts)


def _object(scheme: str, rest: str) -> Target:
    place, _, key = rest.partition("/")
    user, at, host = place.rpartition("@")
    holder = f"{user}@{host}" if at and scheme in _CONTAINERS and ":" not in user else host
    if not holder:
        raise ValueError("it names no bucket")
    namespace = f"{scheme}://{holder}"
    return Target(namespace, key or "/", f"{namespace}/{key}")


def _table(parts: SplitResult) -> Target:
    """The URI is made of namespace and name, so that another producer's table of these is the same."""
    host = (parts.hostname or "").lower()
    name = ".".join(unquote(part) for part in parts.path.split("/") if part)
    port = parts.port or (_PORTS.get(parts.scheme) if name else None)
    namespace = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    query = shown_query(parts.query)
    uri = f"{namespace}/{name}" if name else namespace
    return Target(namespace, name or "/", f"{uri}?{query}" if query else uri)


def _any(parts: SplitResult) -> Target:
    host = parts.netloc.rpartition("@")[2]
    namespace = f"{parts.scheme}://{host}"
    query = shown_query(parts.query)
    path = parts.path.lstrip("/") + (f"?{query}" if query else "")
    return Target(namespace, path or "/", f"{namespace}/{path}" if path else namespace)
