"""The comparison of two runs of a suite: what must not slip through, and what it may not be blamed for."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.delivery import Spool
from lineage_flows.records import EntryPoint, FlowRecord, FunctionRef
from tests.prefect_suite.compare import compare, flaky, read_report
from tests.prefect_suite.run import SuiteError, run_once, said_on_runs
from tests.support.events import event

OUTCOMES = st.dictionaries(st.text(max_size=3), st.sampled_from(["passed", "failed", "skipped"]), max_size=8)
# The options that Prefect's suite has and pytest has not.
OPTIONS = """
def pytest_addoption(parser):
    parser.addoption("--disable-docker-image-builds", action="store_true")
    parser.addoption("--exclude-services", action="store_true")
"""


def report(folder: Path, cases: str) -> Path:
    path = folder / "junit.xml"
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return path


def case(name: str, inside: str = "") -> str:
    return f'<testcase classname="tests.test_a.TestA" name="{name}">{inside}</testcase>'


def test_a_report_says_what_became_of_each_test(tmp_path):
    path = report(
        tmp_path,
        case("good")
        + case("bad", '<failure message="no">trace</failure>')
        + case("setup", '<error message="no"/>')
        + case("out", '<skipped message="why"/>')
        + case("loud", "<system-out>text</system-out>"),
    )
    assert read_report(path) == {
        "tests.test_a.TestA::good": "passed",
        "tests.test_a.TestA::bad": "failed",
        "tests.test_a.TestA::setup": "failed",
        "tests.test_a.TestA::out": "skipped",
        "tests.test_a.TestA::loud": "passed",
    }


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_test_that_fails_in_its_tear_down_has_failed(tmp_path, order):
    twice = (case("a"), case("a", '<error message="left a file"/>'))
    assert read_report(report(tmp_path, "".join(twice[at] for at in order))) == {"tests.test_a.TestA::a": "failed"}


def test_a_report_that_was_cut_off_is_not_believed(tmp_path):
    path = report(tmp_path, case("a"))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ET.ParseError):
        read_report(path)


@pytest.mark.parametrize("after", ["failed", "skipped", "not run"])
def test_what_passes_without_the_plugin_only_is_broken(after):
    on = {} if after == "not run" else {"a": after}
    found = compare({"a": "passed", "b": "passed"}, {**on, "b": "passed"})
    assert found.broken == {"a": after}
    assert not found.same


def test_what_fails_both_times_is_the_same():
    found = compare({"a": "failed", "b": "skipped", "c": "passed"}, {"a": "failed", "b": "skipped", "c": "passed"})
    assert found.same
    assert (found.off["passed"], found.on["failed"], found.on["skipped"]) == (1, 1, 1)


def test_what_passes_with_the_plugin_only_is_told_but_not_broken():
    found = compare({"a": "failed", "b": "failed"}, {"a": "passed", "b": "skipped"})
    assert (found.broken, found.mended, found.other) == ({}, {"a": "failed"}, {"b": ("failed", "skipped")})
    assert not found.same


@given(OUTCOMES, OUTCOMES)
def test_every_difference_is_told_once_and_turning_round_mirrors_it(off, on):
    one, other = compare(off, on), compare(on, off)
    told = [*one.broken, *one.mended, *one.other]
    assert sorted(told) == sorted(name for name in {*off, *on} if off.get(name) != on.get(name))
    assert one.broken == other.mended
    assert one.same == (off == on)


def test_flaky_is_what_does_not_always_pass_under_the_same_conditions():
    runs = [{"a": "passed", "b": "failed", "c": "passed"}, {"a": "failed", "b": "skipped", "c": "passed"}]
    assert flaky(runs) == {"a"}
    assert flaky([]) == set()


def a_flow(number: int, errors: tuple[str, ...]) -> FlowRecord:
    one = event(0, run=number)
    return FlowRecord(
        run_id=one.run_id,
        root_run_id=one.root_run_id,
        flow_name="f",
        run_name="r",
        function=FunctionRef(name="f", module="m"),
        entry=EntryPoint(path="f.py", qualname="f", module="m", working_directory="/flows"),
        capture_errors=errors,
    )


def test_what_the_captured_runs_say_is_counted(tmp_path):
    spool = Spool(tmp_path / "spool.db")
    for number, errors in enumerate([("could not read x",), ("could not read x", "y"), ()]):
        spool.accept(event(0, run=number), a_flow(number, errors))
    spool.close()
    events, said = said_on_runs(tmp_path / "spool.db")
    assert events == 3
    assert said == {"could not read x": 2, "y": 1}


def suite(folder: Path, test: str) -> dict[str, Path | str]:
    (folder / "conftest.py").write_text(OPTIONS)
    (folder / "test_it.py").write_text(test)
    return {"python": Path(sys.executable), "source": folder, "module": "test_it.py", "place": folder / "place"}


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTEST_"))}


def test_a_module_is_run_in_a_process_of_its_own(tmp_path):
    outcome = run_once(
        **suite(tmp_path, "def test_a(): pass\ndef test_b(): assert 0\n"), environment=environment(), plugin=False
    )
    assert outcome.outcomes == {"test_it::test_a": "passed", "test_it::test_b": "failed"}
    assert (outcome.events, outcome.said) == (0, {})


def test_a_run_without_capture_that_was_to_have_it_says_nothing(tmp_path):
    with pytest.raises(SuiteError, match="capture off"):
        run_once(**suite(tmp_path, "def test_a(): pass\n"), environment=environment(), plugin=True)


@pytest.mark.parametrize("test", ["", "import nowhere_at_all\n", "def test_a(): assert 0\n"])
def test_a_suite_that_does_not_work_is_no_equality(tmp_path, test):
    with pytest.raises(SuiteError):
        run_once(**suite(tmp_path, test), environment=environment(), plugin=False)
