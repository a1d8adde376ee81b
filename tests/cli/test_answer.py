from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.cli import answer
from lineage_flows.errors import AmbiguousReferenceError, LineageError, SettingsError
from lineage_flows.records import ValueRef

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=4),
    max_leaves=12,
)


def refuse(constant: str) -> object:
    raise AssertionError(f"{constant} is not JSON")


@given(json_like)
def test_any_document_is_strict_json_in_ascii(document: object) -> None:
    text = answer.to_json(document)
    text.encode("ascii")
    json.loads(text, parse_constant=refuse)


def test_models_are_documents_too_and_what_json_cannot_say_is_null() -> None:
    value = ValueRef(fingerprint=None, type="dict", preview={"sharpe": float("nan"), "n": 2**80}, shape=(1, 2))
    document = json.loads(answer.to_json([value]), parse_constant=refuse)
    assert document[0]["preview"] == {"sharpe": None, "n": 2**80}
    assert document[0]["shape"] == [1, 2]


def test_an_error_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    answer.print_error(LineageError("run a\nb", why="\x1b[31mred\x1b[0m", fix="do that"))
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert line.startswith("lineage-flows: run a b: ")
    assert line.endswith(". Do that\n")


@pytest.mark.parametrize(
    ("error", "more"),
    [
        (LineageError("a", why="b", fix="c"), {"what": "a", "why": "b", "fix": "c"}),
        (AmbiguousReferenceError("0193", ("x", "y")), {"matches": ["x", "y"]}),
        (SettingsError("level", "loud", "off or all"), {"setting": "level"}),
    ],
)
def test_an_error_is_a_document(error: LineageError, more: dict[str, object]) -> None:
    described = answer.describe_error(error)
    assert described["type"] == type(error).__name__
    assert described["message"] == str(error)
    assert described.items() >= more.items()


def run_script(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", dedent(body)], capture_output=True, text=True, timeout=60, check=False)


def test_only_the_document_reaches_stdout_whoever_else_prints() -> None:
    done = run_script(
        """
        import os, subprocess, sys
        from lineage_flows.cli.answer import Answer, print_answer, quiet_stdout
        with quiet_stdout() as stdout:
            print("a library")
            os.write(1, b"a C library\\n")
            subprocess.run([sys.executable, "-c", "print('a child')"])
            print_answer(Answer({"n": 1}, lambda: [], as_json=True), stdout)
        print("after")
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{\n  "n": 1\n}\nafter\n'
    for noise in ("a library", "a C library", "a child"):
        assert noise in done.stderr


@pytest.mark.parametrize("as_json", [True, False])
def test_a_reader_that_has_had_enough_is_no_failure(as_json: bool) -> None:
    script = dedent(
        f"""
        import sys
        from lineage_flows.cli.answer import Answer, print_answer
        answer = Answer([{{"n": n}} for n in range(100_000)], lambda: (f"line {{n}}" for n in range(100_000)), {as_json})
        print_answer(answer, sys.stdout)
        sys.exit(7)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr is not None
        assert program.stderr.read() == ""
        assert program.wait(timeout=60) == 7


def test_without_a_terminal_a_table_has_a_hundred_columns_and_obeys_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lineage_flows.cli.tables import grid

    monkeypatch.delenv("COLUMNS", raising=False)
    table = grid(("name", "what"), [("[red]x[/red] :smile: \x1b[31m", "y " * 200)])
    answer.print_answer(answer.Answer(None, lambda: [table], as_json=False), sys.stdout)
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert "[red]x[/red] :smile: " in shown
    assert "\x1b" not in shown
