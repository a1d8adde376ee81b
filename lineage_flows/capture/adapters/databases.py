"""Names databases and their tables as OpenLineage does.

Knows how SQLAlchemy writes URLs and OpenLineage's naming table (https://openlineage.io/docs/spec/naming); credentials take no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lineage_flows.capture.adapters.statements import Table
from lineage_flows.capture.objects import Target

__all__ = ["Database", "database_of"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How OpenLineage names the databases of a dialect; ``parts`` of a table's name, from the table outwards."""

    scheme: str
    port: int | None
    parts: int
    language: str | None


_KINDS = {
    "postgresql": _Kind("postgres", 5432, 3, "postgres"),
    "mysql": _Kind("mysql", 3306, 2, "mysql"),
    "mariadb": _Kind("mysql", 3306, 2, "mysql"),
    "mssql": _Kind("mssql", 1433, 3, "tsql"),
    "oracle": _Kind("oracle", 1521, 3, "oracle"),
    "redshift": _Kind("redshift", 5439, 3, "redshift"),
    "trino": _Kind("trino", 8080, 3, "trino"),
    "cockroachdb": _Kind("postgres", 26257, 3, "postgres"),
    "clickhouse": _Kind("clickhouse", 8123, 2, "clickhouse"),
    "clickhousedb": _Kind("clickhouse", 8123, 2, "clickhouse"),
    "snowflake": _Kind("snowflake", None, 3, "snowflake"),
    "bigquery": _Kind("bigquery", None, 3, "bigquery"),
}
"""SQLAlchemy's name of a dialect -> how it is named. Others are named by host and port under their own name."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database that an engine is connected to; ``around`` is what lies around a table, from the outside inwards.

    ``place`` is host, port and database, for comparing; empty when the URL does not tell where it lies.
    """

    dialect: str
    namespace: str
    around: tuple[str, ...]
    parts: int
    language: str | None
    place: str

    @property
    def label(self) -> str:
        """What it is called among what cannot be restored."""
        return "/".join([self.namespace, *self.around[:1]])

    def itself(self) -> Target:
        """The whole database, when its tables are not known."""
        return Target(self.namespace, (self.around or (self.dialect,))[0] or self.dialect, self.label)

    def table(self, table: Table, *, schema_is_known: bool = True) -> Target:
        """One of its tables; what the statement does not say of its name is the connection's."""
        missing = max(self.parts - len(table), 0)
        around: Sequence[str] = self.around[:missing]
        if not schema_is_known and len(table) == 1:
            around = around[:-1]
        name = ".".join(part for part in (*around, *table) if part)
        return Target(self.namespace, name, f"{self.namespace}/{name}")


def database_of(url: Any, dialect: Any) -> Database:  # noqa: ANN401 - SQLAlchemy's
    """The database that a URL names: for PostgreSQL ``postgres://host:port``, and ``database.schema.table`` for its tables."""
    name = dialect.name
    kind = _KINDS.get(name, _Kind(name, None, 3, None))
    database = url.database or ""
    schema = getattr(dialect, "default_schema_name", None) or ""
    if name in {"snowflake", "trino"}:
        database, _, given = database.partition("/")
        schema = given or schema
    elif name == "oracle":
        database = database or str(url.query.get("service_name", ""))
    elif name == "bigquery":
        return Database(name, "bigquery", (url.host or "", database), kind.parts, kind.language, f"bigquery/{url.host}")
    if url.host is None and not url.query.get("host") and not database:
        return Database(
            name, kind.scheme, (), kind.parts, kind.language, ""
        )  # a function connects: the URL tells nothing
    host, port = (url.host or "localhost").lower(), url.port or kind.port
    shown = f"[{host}]" if ":" in host else host
    namespace = f"{kind.scheme}://{shown}:{port}" if port else f"{kind.scheme}://{shown}"
    around = (database, schema) if kind.parts == 3 else (database,)
    return Database(name, namespace, around, kind.parts, kind.language, f"{host}:{port}/{database}")
