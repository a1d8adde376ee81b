"""What of SQL is understood when columns are looked for: clauses, and words that stand where a column may and are none.

Knows names only. What is not listed here makes what depends on it uncertain.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "AGGREGATES",
    "ALIASES_REACH_ASIDE",
    "FUNCTION_WORDS",
    "LIKE_ORACLE",
    "NOT_COLUMNS",
    "NOT_COLUMNS_OF_ORACLE",
    "OF_BRACKETS",
    "OF_SELECT",
    "OF_SETS",
    "OF_TABLES",
    "TAKE_NO_WORDS",
    "arg",
    "is_understood",
]

OF_SELECT: Final = frozenset(
    """with expressions hint distinct into from joins where group having qualify windows order limit offset locks sample
    operation_modifiers options""".split()  # noqa: SIM905
)
OF_SETS: Final = frozenset({"with", "this", "expression", "distinct", "order", "limit", "offset"})
OF_BRACKETS: Final = frozenset({"with", "this", "alias", "order", "limit", "offset"})
OF_TABLES: Final = frozenset(
    """this db catalog alias hints version system_time only sample indexed joins partition""".split()  # noqa: SIM905
)
"""Parts, by sqlglot's names, of a SELECT, of a UNION, of what stands in brackets, and of a table in a FROM."""

ALIASES_REACH_ASIDE: Final = frozenset({"snowflake", "redshift", "duckdb"})
"""Languages in which one column of a SELECT may name another by its alias."""

TAKE_NO_WORDS: Final = frozenset({"sqlite", "postgres"})
"""Languages whose functions take no bare words, but where sqlglot knows it."""

FUNCTION_WORDS: Final = frozenset(
    """year quarter month week day hour minute second millisecond microsecond nanosecond dayofyear dayofweek weekday isoweek
    isoyear decade century millennium epoch timezone yy yyyy qq q mm m dy y dd d wk ww dw w hh h mi n ss s ms mcs us ns date time
    datetime timestamp monday tuesday wednesday thursday friday saturday sunday int integer varchar char float decimal numeric
    bit both leading trailing separator unit""".split()  # noqa: SIM905
)
"""Words that functions take in some languages where a column might stand."""

NOT_COLUMNS: Final = frozenset(
    """user rowid oid _rowid_ default sysdatetime current_user session_user system_user current_role current_catalog current_schema
    current_database current_date current_time current_timestamp current_path localtime localtimestamp utc_date utc_time
    utc_timestamp ctid xmin xmax cmin cmax tableoid true false null on off unknown _partitiontime _partitiondate _table_suffix
    $action $rowguid $identity metadata$action metadata$isupdate metadata$row_id""".split()  # noqa: SIM905
)
"""Names that mean a value of the session or of the row in some language."""

NOT_COLUMNS_OF_ORACLE: Final = frozenset(
    """uid level rownum sysdate systimestamp sessiontimezone dbtimezone nextval currval prior connect_by_root connect_by_isleaf
    connect_by_iscycle ora_rowscn object_value""".split()  # noqa: SIM905
)
LIKE_ORACLE: Final = frozenset({"oracle", "snowflake", "redshift"})
"""The same, in Oracle's language and those that took them from it."""

AGGREGATES: Final = frozenset({"total", "json_group_array", "json_group_object", "string_agg", "bool_and", "bool_or"})
"""Functions that sqlglot does not know to be made of many rows."""


def arg(node: Any, name: str) -> Any:  # noqa: ANN401 - sqlglot's
    """Part of a statement, whose name ends with a ``_`` in newer versions of sqlglot where it is a word of Python's."""
    found = node.args.get(f"{name}_")
    return node.args.get(name) if found is None else found


def is_understood(node: Any, parts: frozenset[str]) -> bool:  # noqa: ANN401 - as above
    """Whether a part of a statement has none but these."""
    return all(not value or name.rstrip("_") in parts for name, value in node.args.items())
