"""What duckdb finds in the variables of the code that calls it is what it finds without capture: values, errors, lifetimes."""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lineage_flows.capture import adapters, audit, seams
from lineage_flows.capture import files as file_log
from lineage_flows.capture.adapters.callers import Callers
from lineage_flows.capture.adapters.duckdb_files import DuckdbAdapter
from lineage_flows.capture.files import FileLog, Touched
from tests.support.dict_store import DictStore

EVERYWHERE = pd.DataFrame({"a": [7]})


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    adapters.uninstall()
    audit.pause()


def touched(work: Callable[[], object]) -> Touched:
    file_log.configure()
    audit.install()
    adapters.install()
    log = FileLog(DictStore(), size_cap=1 << 22)
    with file_log.activate(log):
        work()
    found = log.close()
    adapters.uninstall()
    return found


Query = Callable[[str], Any]
"""Runs a statement through one of duckdb's functions, which is called by the code under test itself."""


def local() -> object:
    mine = pd.DataFrame({"a": [1, 2]})
    assert len(mine)
    return duckdb.sql("select sum(a) from mine").fetchall()


def everywhere() -> object:
    return duckdb.query("select a + 1 from EVERYWHERE").fetchall()


def closure() -> object:
    mine = pd.DataFrame({"a": [3]})

    def inner() -> object:
        assert len(mine)
        return duckdb.sql("select a from mine").fetchall()

    return inner()


def nested_without_closure() -> object:
    mine = pd.DataFrame({"a": [3]})

    def inner() -> object:
        return duckdb.sql("select a from mine").fetchall()

    assert len(mine)
    return inner()


def comprehension() -> object:
    return [duckdb.sql("select a from frame").fetchall() for frame in [EVERYWHERE, pd.DataFrame({"a": [8]})]]


def comprehension_around() -> object:
    around = pd.DataFrame({"a": [5]})
    assert len(around)
    return [duckdb.sql("select a from around").fetchall() for _ in range(2)]


def of_lambda() -> object:
    ask = lambda frame: duckdb.execute("select a from frame").fetchall()  # noqa: E731 - that it is one is what counts
    return ask(pd.DataFrame({"a": [6]}))


def generator() -> object:
    def rows() -> Iterator[object]:
        mine = pd.DataFrame({"a": [1]})
        yield duckdb.sql("select a from mine").fetchall()
        mine = pd.DataFrame({"a": [2]})
        assert len(mine)
        yield duckdb.sql("select a from mine").fetchall()

    return list(rows())


def coroutine() -> object:
    async def work() -> object:
        mine = pd.DataFrame({"a": [4]})
        await asyncio.sleep(0)
        assert len(mine)
        return duckdb.sql("select a from mine").fetchall()

    return asyncio.run(work())


def class_body() -> object:
    class Holder:
        mine = pd.DataFrame({"a": [9]})
        found = duckdb.sql("select a from mine").fetchall()

    return Holder.found


def executed() -> object:
    names: dict[str, Any] = {"duckdb": duckdb, "mine": pd.DataFrame({"a": [11]})}
    exec("found = duckdb.sql('select a from mine').fetchall()", names)
    return names["found"]


def thread() -> object:
    def work() -> object:
        mine = pd.DataFrame({"a": [12]})
        assert len(mine)
        return duckdb.connect().sql("select a from mine").fetchall()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def parameter(mine: object = EVERYWHERE) -> object:
    return duckdb.sql("select a from mine").fetchall()


def relations() -> object:
    first = duckdb.sql("select range as a from range(5)")
    second = duckdb.sql("select a * 2 as b from first where a > 1")
    third = second.filter("b > 4").query("seen", "select sum(b) from seen")
    return first.aggregate("count(*)").fetchall(), second.fetchall(), third.fetchall()


def relation_afterwards() -> object:
    def plan() -> Any:
        mine = pd.DataFrame({"a": [1, 2, 3]})
        return duckdb.sql("select a from mine"), len(mine)

    relation, _ = plan()
    gc.collect()
    return relation.order("a desc").fetchall(), duckdb.sql("select max(a) from relation").fetchall()


def connections() -> object:
    connection = duckdb.connect()
    mine = pd.DataFrame({"a": [1]})
    found: list[object] = [
        connection.sql("select a from mine").fetchall(),
        connection.execute("select a from mine where a = ?", [1]).fetchall(),
        connection.query("select a from mine").fetchall(),
        connection.from_query("select a from mine").fetchall(),
        connection.cursor().execute("select a from mine").fetchall(),
        duckdb.execute("select a from mine", connection=connection).fetchall(),
        duckdb.sql("select a from mine", connection=connection).fetchall(),
    ]
    connection.execute("create table kept as select a from mine")
    connection.executemany("insert into kept select a + ? from mine", [[1], [2]])
    del mine
    return found, connection.sql("from kept order by 1").fetchall()


def kinds() -> object:
    arrow = pa.table({"a": [1]})
    plain = pl.DataFrame({"a": [2]})
    lazy = plain.lazy()
    numbers = {"a": np.array([3])}
    assert arrow is not None
    assert lazy is not None
    assert numbers is not None
    return [
        duckdb.sql("select a from arrow").fetchall(),
        duckdb.sql("select a from plain").fetchall(),
        duckdb.sql("select a from lazy").fetchall(),
        duckdb.sql("select a from numbers").fetchall(),
    ]


def deleted() -> object:
    mine = pd.DataFrame({"a": [1]})
    duckdb.sql("select a from mine").fetchall()
    del mine
    return duckdb.sql("select a from mine").fetchall()


def rebound() -> object:
    mine = pd.DataFrame({"a": [1]})
    first = duckdb.sql("select a from mine").fetchall()
    mine = pd.DataFrame({"a": [2]})
    assert len(mine)
    return first, duckdb.sql("select a from mine").fetchall()


def all_frames() -> object:
    connection = duckdb.connect()
    connection.execute("set python_scan_all_frames = true")
    beyond = pd.DataFrame({"a": [21]})
    assert len(beyond)

    def inner() -> object:
        return connection.sql("select a from beyond").fetchall()

    return inner(), [connection.execute("select a from beyond").fetchall() for _ in range(1)]


def no_scans() -> object:
    connection = duckdb.connect()
    connection.execute("set python_enable_replacements = false")
    mine = pd.DataFrame({"a": [1]})
    assert len(mine)
    return connection.sql("select a from mine").fetchall()


def not_a_frame() -> object:
    mine = object()
    assert mine is not None
    return duckdb.sql("select a from mine").fetchall()


def of_an_attribute() -> object:
    query: Query = SimpleNamespace(run=duckdb.sql).run
    mine = pd.DataFrame({"a": [14]})
    assert len(mine)
    return query("select a from mine").fetchall()


PLACES = [
    local, everywhere, closure, nested_without_closure, comprehension, comprehension_around, of_lambda, generator, coroutine,
    class_body, executed, thread, parameter, relations, relation_afterwards, connections, kinds, deleted, rebound,
    all_frames, no_scans, not_a_frame, of_an_attribute,
]  # fmt: skip


def outcome(work: Callable[[], object]) -> tuple[str, object]:
    try:
        return "gave", work()
    except duckdb.Error as error:
        return type(error).__name__, str(error).partition("\n")[0]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place.__name__))
def test_the_same_is_found_with_capture_as_without(place: Callable[[], object]) -> None:
    plain = outcome(place)
    seen: list[object] = []
    found = touched(lambda: seen.append(outcome(place)))
    assert seen == [plain]
    assert (found.datasets, found.errors) == ((), ())
    assert outcome(place) == plain, "nothing is left behind"
    fails = {"nested_without_closure", "comprehension_around", "deleted", "no_scans", "not_a_frame"}
    assert (plain[0] == "gave") == (place.__name__ not in fails)


def test_no_variable_lives_longer_than_without(tmp_path: Path) -> None:
    def alive(use: Callable[[], object]) -> list[bool]:
        frames: list[weakref.ref[pd.DataFrame]] = []

        def work() -> None:
            mine = pd.DataFrame({"a": [1]})
            frames.append(weakref.ref(mine))
            assert use_it(mine) is not None
            again = pd.DataFrame({"a": [2]})
            frames.append(weakref.ref(again))
            duckdb.sql("select a from again").fetchall()
            connection = duckdb.connect()
            connection.execute("select a from again").fetchall()

        def use_it(frame: pd.DataFrame) -> object:
            return duckdb.sql("select a from frame").fetchall()

        work()
        found = [frame() is not None for frame in frames]  # without the collector: by counting alone
        use()
        return found

    plain = alive(lambda: None)
    seen: list[object] = []
    touched(lambda: seen.append(alive(lambda: None)))
    assert seen == [plain]


def test_an_error_points_at_the_line_of_the_user_and_keeps_its_type() -> None:
    def work() -> None:
        with pytest.raises(duckdb.ParserException) as caught:
            duckdb.sql("selec 1")
        names = [entry.name for entry in caught.traceback]
        assert names[0] == "work"
        assert all("lineage_flows/capture" not in str(entry.path) for entry in caught.traceback)

    touched(work)


def test_a_version_that_looks_in_another_way_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Callers, "_tried", lambda self: False)
    original, current = duckdb.sql, inspect.currentframe
    adapter = DuckdbAdapter()
    with pytest.raises(seams.SeamMissingError, match="in a way that is not known"):
        adapter.install(duckdb)
    assert duckdb.sql is original
    assert inspect.currentframe is current


def test_a_version_that_asks_the_interpreter_is_led_past_our_frame() -> None:
    """Releases before 2.0 take the frame that ``inspect.currentframe`` gives."""
    callers = Callers(duckdb)
    before = inspect.currentframe
    asked = callers.wrap(lambda: inspect.currentframe(), lambda _args, _kwargs: None)
    callers._lead()
    try:
        direct = callers.wrap(inspect.currentframe, lambda _args, _kwargs: None)
        assert direct() is inspect.currentframe()
        inner = asked()
        assert inner is not None
        assert inner.f_code.co_name == "<lambda>", "another's frame is not passed over"
    finally:
        callers.undo()
    assert inspect.currentframe is before
