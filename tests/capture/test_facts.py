"""What Prefect's objects and Python's functions say of themselves."""

from __future__ import annotations

import functools
import os
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from lineage_flows.capture import facts


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_times_are_utc_with_microseconds():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", facts.now())
    local = datetime(2026, 3, 1, 17, 30, tzinfo=timezone(timedelta(hours=1)))
    assert facts.rfc3339(local) == "2026-03-01T16:30:00.000000Z"
    assert facts.rfc3339(None) is None
    assert facts.rfc3339(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("tags", "kind"),
    [((), "processing"), (("x", "training"), "training"), (("postprocessing", "preprocessing"), "preprocessing")],
)
def test_the_kind_of_a_step(tags, kind):
    assert facts.step_kind(tags) == kind


def test_an_error_keeps_type_message_and_stack():
    try:
        raise KeyError("price")
    except KeyError as error:
        ref = facts.error_of(error)
    assert (ref.type, ref.message) == ("KeyError", "'price'")
    assert "raise KeyError" in ref.stack


def test_an_error_that_cannot_speak_is_still_recorded():
    ref = facts.error_of(MuteError())
    assert ref.type.endswith("MuteError")
    assert ref.message == "(its message raised RuntimeError)"


def test_a_long_stack_keeps_its_innermost_frames():
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("x" * 100_000)

    try:
        deep(50)
    except ValueError as error:
        ref = facts.error_of(error)
    assert len(ref.stack) <= 32_768
    assert len(ref.message) <= 32_768


def test_the_entry_point_names_file_name_and_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    entry = facts.entry_point(test_the_kind_of_a_step)
    assert entry.path == os.path.abspath(__file__)
    assert entry.qualname == "test_the_kind_of_a_step"
    assert entry.working_directory == str(tmp_path)
    assert not any("site-packages" in root for root in entry.import_roots)


def test_a_wrapped_function_is_the_one_the_user_wrote():
    @functools.wraps(test_the_kind_of_a_step)
    def wrapper() -> None: ...

    assert facts.entry_point(wrapper).qualname == "test_the_kind_of_a_step"


def test_a_function_typed_in_has_no_file():
    scope: dict[str, object] = {"__name__": "__main__"}
    exec(compile("def typed(): ...", "<stdin>", "exec"), scope)
    assert facts.entry_point(scope["typed"]).path is None  # type: ignore[arg-type]


def test_a_deleted_working_directory_is_survived(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert facts.entry_point(test_the_kind_of_a_step).working_directory == "/"
    finally:
        os.chdir(Path(__file__).parent)


def test_results_are_seen_behind_states():
    from prefect.states import Completed

    state = Completed(data=5)
    assert facts.unwrap_result(state) == 5
    assert facts.unwrap_result([state, 1]) == [5, 1]
    assert facts.unwrap_result({"a": state}) == {"a": 5}
    assert facts.unwrap_result("text") == "text"
