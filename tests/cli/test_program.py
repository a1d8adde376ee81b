from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from lineage_flows.cli import program
from tests.support.records import FLOW_ID

VERBS = [
    "runs",
    "show",
    "upstream",
    "downstream",
    "path",
    "search",
    "diff",
    "replay",
    "deliver",
    "doctor",
    "policy",
    "init",
    "version",
]
HEAVY = ["prefect", "pandas", "pyarrow", "openlineage", "boto3"]


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "lineage-flows"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def test_help_names_every_verb(call) -> None:
    said = call("--help")
    assert said.code == 0
    for verb in VERBS:
        assert f" {verb} " in said.out
    assert call().out == said.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(call, verb: str) -> None:
    said = call(verb, "--help")
    assert said.code == 0
    assert "--json" in said.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["runs"],
        ["show", FLOW_ID],
        ["upstream", FLOW_ID],
        ["diff", FLOW_ID, "calm-heron"],
        ["search", "fit"],
        ["version"],
    ],
)
def test_asking_loads_nothing_heavy(filled: Path, arguments: list[str]) -> None:
    script = dedent(
        f"""
        import sys
        from lineage_flows.cli import main
        assert main({arguments!r}) == 0
        print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["runs", "--limit", "0"], "Invalid value for '--limit'"),
        (["show"], "Missing argument 'run'. See `lineage-flows show --help`"),
        (["--home"], "requires an argument"),
        (["show", "nobody"], "nothing in the graph is called 'nobody'"),
        (["show", "01935c"], "'01935c' fits 3 entities"),
        (["upstream", "file:///nowhere"], "nothing in the graph is called"),
        (["diff", FLOW_ID, "nobody"], "'nobody'"),
        (["replay", FLOW_ID, "--code", "/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(call, filled: Path, arguments: list[str], needle: str) -> None:
    said = call(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("lineage-flows: ")
    assert said.err.count("\n") == 1
    assert needle in said.err
    assert ". " in said.err, "what to do is said"


@pytest.mark.parametrize("arguments", [["nonsense"], ["show", "nobody"], ["show", "01935c"], ["runs", "--limit", "x"]])
def test_an_error_is_a_document_too(call, filled: Path, arguments: list[str]) -> None:
    said = call(*arguments, "--json")
    assert said.code == 2
    assert set(said.document) == {"error"}
    assert {"type", "message", "what", "why", "fix"} <= set(said.document["error"])
    assert said.err == f"lineage-flows: {said.document['error']['message']}\n"


def test_a_wrong_setting_names_itself(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_FLOWS_LEVEL", "loud")
    said = call("runs", "--json")
    assert said.code == 2
    assert said.document["error"]["type"] == "SettingsError"
    assert "LINEAGE_FLOWS_LEVEL" in said.err
    assert "'loud'" in said.err


def test_an_error_nobody_foresaw_is_one_line_unless_asked(call, monkeypatch: pytest.MonkeyPatch, filled: Path) -> None:
    def explode(*_: object, **__: object) -> object:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("lineage_flows.api.Lineage.runs", explode)
    said = call("runs")
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "ZeroDivisionError: a bug" in said.err
    monkeypatch.setenv("LINEAGE_FLOWS_DEBUG", "1")
    assert "Traceback" in call("runs").err


def test_ctrl_c_is_130_and_one_line(call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("lineage_flows.api.Lineage.runs", interrupt)
    said = call("runs")
    assert (said.code, said.out, said.err) == (130, "", "lineage-flows: stopped\n")
    assert call("runs", "--json").document == {
        "error": {"type": "LineageError", "message": "stopped", "what": "stopped", "why": "", "fix": ""}
    }


def test_sigint_of_a_real_process_ends_it_quietly(tmp_path: Path) -> None:
    script = dedent(
        """
        import os, signal, sys
        from lineage_flows.api import Lineage
        from lineage_flows.cli import main
        Lineage.runs = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)
        sys.exit(main(["runs"]))
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "lineage-flows: stopped\n")
    assert done.returncode == 128 + signal.SIGINT


def test_a_closed_pipe_is_no_failure(filled: Path) -> None:
    command = f"{Path(sys.executable).parent / 'lineage-flows'} upstream {FLOW_ID} --json"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -c 1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


def test_the_home_can_be_given(filled: Path, tmp_path: Path) -> None:
    done = start("--home", str(filled), "runs", "--json", LINEAGE_FLOWS_HOME=str(tmp_path / "empty"))
    assert len(json.loads(done.stdout)) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_home_can_still_be_asked(filled: Path, call) -> None:
    filled.chmod(0o555)
    try:
        assert call("runs").code == 0
    finally:
        filled.chmod(0o755)


def test_a_home_that_is_a_file_is_one_clear_line(call, home: Path) -> None:
    home.write_text("")
    for verb in (["runs"], ["show", "x"], ["deliver"]):
        said = call(*verb)
        assert said.err.count("\n") <= 1
        assert "Traceback" not in said.err


def test_a_damaged_graph_is_one_clear_line(call, home: Path) -> None:
    home.mkdir()
    (home / "graph.db").write_bytes(b"not a database" * 1000)
    said = call("runs", "--json")
    assert said.code == 2
    assert said.document["error"]["type"] in {"KeeperUnavailableError", "GraphError"}


def test_the_verbs_of_the_program_are_those_of_the_manual() -> None:
    manual = (Path(program.__file__).parents[2] / "docs" / "cli.md").read_text()
    for verb in VERBS:
        assert f"## {verb}" in manual
