"""Environment variables that the user's code reads: named, never told, and covered where the environment holds them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from lineage_flows.capture import before_runs, variables
from lineage_flows.capture.files import FileLog
from tests.support.ledgers import gaps, ledger, tally, texts, watching

NOT_LISTED = "not on the recorded list (setting `variables`): value not kept, a replay reads its own"


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATA_DIR", "/secret/place")
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NOT_THERE", raising=False)
    with watching():
        yield


@pytest.mark.parametrize(
    "read",
    [
        lambda: os.environ["DATA_DIR"],
        lambda: os.environ.get("DATA_DIR"),
        lambda: os.environ.get("DATA_DIR", "else"),
        lambda: os.getenv("DATA_DIR"),
        lambda: os.getenvb(b"DATA_DIR"),
        lambda: os.environb[b"DATA_DIR"],
        lambda: "DATA_DIR" in os.environ,
    ],
)
def test_a_variable_is_named_and_its_value_is_not(read: Callable[[], object]) -> None:
    found = ledger(read)
    (gap,) = gaps(found)
    assert (gap.kind, gap.what, gap.consequence, gap.count) == ("variable", "reads DATA_DIR", NOT_LISTED, 1)
    assert tally(found, "variable") == (1, 0)
    assert "secret/place" not in found.model_dump_json()


def test_one_on_the_recorded_list_is_covered() -> None:
    found = ledger(lambda: (os.environ["TZ"], os.environ.get("OMP_NUM_THREADS")))
    assert gaps(found) == []
    assert tally(found, "variable") == (2, 2)


def test_a_secret_one_is_named_and_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    variables.configure(("*",))
    found = ledger(lambda: os.environ["DB_PASSWORD"])
    assert [(gap.what, gap.consequence) for gap in gaps(found)] == [
        ("reads DB_PASSWORD", "its name says it holds a secret: value never kept")
    ]
    assert "hunter2" not in found.model_dump_json()


def test_one_that_is_not_set_is_asked_for_in_vain() -> None:
    def step() -> None:
        with pytest.raises(KeyError, match="NOT_THERE"):
            os.environ["NOT_THERE"]
        assert os.environ.get("NOT_THERE", "else") == "else"

    (gap,) = gaps(ledger(step))
    assert (gap.what, gap.count) == ("asks for NOT_THERE, which is not set", 2)


@pytest.mark.parametrize(
    "read",
    [
        lambda: dict(os.environ),
        lambda: {**os.environ, "X": "1"},
        lambda: os.environ.copy(),
        lambda: sorted(os.environ),
        lambda: list(os.environ.items()),
    ],
)
def test_reading_all_of_them_is_one_gap(read: Callable[[], object]) -> None:
    found = ledger(lambda: (read(), os.environ["DATA_DIR"]))
    assert texts(found) == ["reads all environment variables"]


def test_what_a_library_reads_for_itself_is_not_the_steps() -> None:
    assert gaps(ledger(lambda: (shutil.which("true"), os.path.expanduser("~")))) == []


def test_what_the_run_sets_itself_is_no_gap() -> None:
    def step() -> None:
        os.environ["MADE_HERE"] = "1"
        try:
            assert os.environ["MADE_HERE"] == "1"
        finally:
            del os.environ["MADE_HERE"]

    assert gaps(ledger(step)) == []


def test_what_a_module_reads_as_it_is_imported_is_the_flows() -> None:
    exec(compile("import os\nDATA = os.environ['DATA_DIR']", "users_module.py", "exec"), {"__name__": "users_module"})
    log = FileLog(None, size_cap=1)
    before_runs.adopt(log)
    assert log.ledger.variables == {("DATA_DIR", True): 1}


def test_a_name_that_is_not_utf8_is_told_as_text() -> None:
    found = ledger(lambda: os.environb.get(b"NAME_\xff"))
    assert texts(found) == [r"asks for NAME_\xff, which is not set"]
    found.model_dump_json()


def test_hundreds_of_names_are_counted() -> None:
    found = ledger(lambda: [os.environ.get(f"NAME_{number}") for number in range(500)])
    assert tally(found, "variable") == (500, 0)
    assert len(gaps(found)) == 200
    assert found.left_out == 300


def test_a_name_that_is_no_text_raises_as_ever() -> None:
    def step() -> None:
        with pytest.raises(TypeError, match="str expected"):
            os.environ[5]  # type: ignore[index]

    ledger(step)


def test_a_program_that_is_started_gets_the_environment_as_ever() -> None:
    answers: list[bytes] = []
    command = [sys.executable, "-c", "import os; print(os.environ['DATA_DIR'])"]
    found = ledger(lambda: answers.append(subprocess.run(command, capture_output=True, check=True).stdout))
    assert answers == [b"/secret/place\n"]
    assert texts(found, "variable") == []


def test_pythons_own_methods_come_back() -> None:
    variables.uninstall()
    assert "lineage_flows" not in type(os.environ).__getitem__.__code__.co_filename
    assert gaps(ledger(lambda: os.environ["DATA_DIR"])) == []
