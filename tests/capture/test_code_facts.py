"""What code says of the clock and of libraries without being run."""

from __future__ import annotations

import datetime as dt
import functools
import sys
import time
import time as clock
from datetime import date
from datetime import datetime as moment
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import requests

from lineage_flows.capture.code_facts import MOST_FUNCTIONS, code_facts


class Report:
    def __init__(self) -> None:
        self.made = moment.now()

    @property
    def day(self) -> date:
        return date.today()

    @staticmethod
    def stamp() -> float:
        return time.time()


class Trap:
    """Whatever is asked of it raises: nothing of a step's values may be run."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)

    def __hash__(self) -> int:
        raise AssertionError("hash")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("eq")

    @property
    def __class__(self) -> Any:
        raise AssertionError("class")


trap = Trap()
report = Report()


def helper() -> object:
    return inner()


def inner() -> object:
    return [dt.datetime.utcnow() for _ in range(2)]


def decorated(fn: Any) -> Any:
    @functools.wraps(fn)
    def call(*args: Any) -> Any:
        return fn(*args)

    return call


@decorated
def wrapped() -> object:
    return moment.today()


def recursive(depth: int) -> object:
    return recursive(depth - 1) if depth else perf_counter()


def late() -> object:
    import time as later
    from datetime import datetime as at

    return later.time_ns(), at.now


def reads_nothing() -> object:
    now = today = 1
    return now, today, time.sleep, moment.fromisoformat, dt.timedelta, pd.Timestamp("2024-01-01"), trap


def test_code_that_reads_no_clock_has_none() -> None:
    assert code_facts(reads_nothing).clocks == ()


@pytest.mark.parametrize(
    ("function", "clocks"),
    [
        (lambda: dt.datetime.now(), ["datetime.now"]),
        (lambda: moment.now(dt.UTC), ["datetime.now"]),
        (lambda: date.today(), ["date.today"]),
        (lambda: pd.Timestamp.now(), ["Timestamp.now"]),
        (lambda: pd.Timestamp.today().date(), ["Timestamp.today"]),
        (lambda: time.time(), ["time.time"]),
        (lambda: clock.monotonic_ns(), ["time.monotonic_ns"]),
        (lambda: perf_counter(), ["time.perf_counter"]),
        (lambda: (time.time(), date.today()), ["time.time", "date.today"]),
        (helper, ["datetime.utcnow"]),
        (wrapped, ["datetime.today"]),
        (recursive, ["time.perf_counter"]),
        (late, ["time.time_ns", "datetime.now"]),
        (Report, ["datetime.now", "date.today", "time.time"]),
        (Report.stamp, ["time.time"]),
        (report.__init__, ["datetime.now"]),
        (functools.partial(helper), ["datetime.utcnow"]),
        (lambda: report.day, ["datetime.now", "date.today", "time.time"]),
        (lambda: [number + time.time() for number in range(2)], ["time.time"]),
    ],
)
def test_what_reads_the_clock_is_named(function: Any, clocks: list[str]) -> None:
    found = code_facts(function).clocks
    assert [item.partition(", line ")[0] for item in found] == clocks


def test_the_place_is_named() -> None:
    line = inner.__code__.co_firstlineno + 1
    assert code_facts(helper).clocks == (f"datetime.utcnow, line {line} of inner.<locals>.<listcomp>",)


def test_a_closure_is_followed() -> None:
    def make() -> Any:
        read = moment.now

        def step() -> object:
            return helper_of_step(read)

        def helper_of_step(read: Any) -> object:
            return read(), time.time()

        return step

    assert {item.partition(",")[0] for item in code_facts(make()).clocks} >= {"time.time"}


def test_functions_of_another_module_of_the_users_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helpers_of_mine.py").write_text(
        "import time\ndef stamp(): return time.time()\ndef other(): return time.time_ns()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import helpers_of_mine  # type: ignore[import-not-found]

    namespace: dict[str, Any] = {"helpers_of_mine": helpers_of_mine, "__name__": "users"}
    exec(compile("def step(): return helpers_of_mine.stamp()", str(tmp_path / "users.py"), "exec"), namespace)
    assert code_facts(namespace["step"]).clocks == ("time.time, line 2 of stamp",)


def test_packages_that_code_names() -> None:
    def step() -> object:
        return requests.get("x"), pd.DataFrame, helper

    assert {"requests", "pandas"} <= code_facts(step).packages
    assert "tests" not in code_facts(step).packages


@pytest.mark.parametrize("function", [len, int, print, object(), Trap, functools.partial(len), lambda: trap.x])
def test_what_has_no_code_or_foreign_objects_says_nothing(function: Any) -> None:
    assert code_facts(function).clocks == ()


def test_code_without_end_is_looked_at_as_far_as_that() -> None:
    module = ModuleType("users_endless")
    source = "".join(f"def f{n}(): return f{n + 1}()\n" for n in range(2 * MOST_FUNCTIONS))
    exec(
        compile(source + "import time\n" + f"def f{2 * MOST_FUNCTIONS}(): return time.time()", "users.py", "exec"),
        vars(module),
    )
    assert code_facts(module.f0).clocks == ()
    near = vars(module)[f"f{2 * MOST_FUNCTIONS - 10}"]
    assert len(code_facts(near).clocks) == 1
    assert sys.getrecursionlimit() > 0
