from __future__ import annotations

import tomllib
from pathlib import Path


def test_the_setting_is_written_once(call, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pyproject.toml"
    assert call("init", "--json").document == {"path": str(path), "outcome": "created"}
    text = path.read_text()
    assert tomllib.loads(text)["tool"]["prefect"]["plugins"] == {"enabled": True}
    assert call("init", "--json").document["outcome"] == "unchanged"
    assert path.read_text() == text
    assert str(path) in call("init").out


def test_a_broken_file_is_one_clear_line(call, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool")
    said = call("init")
    assert said.code == 2
    assert "no valid TOML" in said.err
    assert said.err.count("\n") == 1
    assert (tmp_path / "pyproject.toml").read_text() == "[tool"
