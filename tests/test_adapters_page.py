"""The page of adapters names every adapter of the code, and only tests and audit events that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lineage_flows.capture import adapters, audit, io_table

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "adapters.md").read_text()


def rows() -> list[list[str]]:
    """The cells of the table's rows."""
    table = PAGE.partition("## The table")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| **")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named() -> set[str]:
    return {name for row in rows() for name in re.findall(r"\*\*([^*]+)\*\*", row[0])}


def test_every_adapter_of_the_code_is_in_the_table() -> None:
    modules = [adapter.module for adapter in (*adapters.ADAPTERS, *io_table.ADAPTERS)]
    assert {module.partition(".")[0] for module in modules} - named() == set()


def test_every_library_is_in_one_row() -> None:
    listed = [name for row in rows() for name in re.findall(r"\*\*([^*]+)\*\*", row[0])]
    assert sorted(listed) == sorted(set(listed))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_row_is_whole_and_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 5
    tests = re.findall(r"`(tests/[^`]+\.py)`", row[4])
    assert tests
    assert [name for name in tests if not (ROOT / name).exists()] == []


def test_every_audit_event_is_named() -> None:
    told = PAGE.partition("The audit events are ")[2].partition(".\n\n")[0]
    assert set(re.findall(r"`([^`]+)`", told)) == set(audit.HANDLERS)


def test_every_reader_and_writer_of_pandas_that_is_wrapped_has_a_format_in_the_table() -> None:
    (pandas,) = (row[1].lower() for row in rows() if "**pandas**" in row[0])
    formats = {
        re.sub(r".*(?:read|to)_", "", adapter.name)
        for adapter in io_table.ADAPTERS
        if adapter.module.startswith("pandas.") and "_" in adapter.name.rpartition(".")[2].strip("_")
    }
    words = {"fwf": "fixed width", "table": "tables", "hdf": "read_hdf"}
    untested = {"sas", "spss"}
    assert [name for name in sorted(formats - untested) if words.get(name, name) not in pandas] == []
