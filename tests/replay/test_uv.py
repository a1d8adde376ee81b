from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.replay.uv import UvError, _words, find_python, find_uv, run_uv

SAID = """\
warning: Failed to inspect Python interpreter from search path
  cause: it failed

         [stderr]
         no such thing
  × No solution found when resolving dependencies:
  ╰─▶ Because absent was not found in the package registry
      and you require absent, we can conclude that your requirements
      are unsatisfiable.
"""


def test_its_words_are_one_line_without_frames_and_warnings() -> None:
    assert _words(SAID) == (
        "No solution found when resolving dependencies: Because absent was not found in the package registry and you require "
        "absent, we can conclude that your requirements are unsatisfiable"
    )
    assert _words("") == "it said nothing"


def test_no_secret_of_an_index_is_repeated() -> None:
    assert "hunter2" not in _words("error: Failed to fetch `https://me:hunter2@files.example.org/simple/x/`")


@given(st.text())
def test_any_words_are_one_short_line(text: str) -> None:
    said = _words(text)
    assert said
    assert "\n" not in said
    assert len(said) <= 900


def test_it_is_found_and_finds_this_python() -> None:
    uv = find_uv()
    assert uv is not None
    assert run_uv(uv, ["--version"]).startswith("uv ")
    minor = ".".join(platform.python_version_tuple()[:2])
    found = find_python(uv, minor)
    assert found is None or os.access(found, os.X_OK)
    assert find_python(uv, "3.99.1") is None


def test_what_it_cannot_do_is_an_error_with_its_words(tmp_path: Path) -> None:
    uv = find_uv() or "uv"
    with pytest.raises(UvError, match=r"uv pip install failed: .*no-such-option"):
        run_uv(uv, ["pip", "install", "--no-such-option"])
    with pytest.raises(UvError, match="No such file"):
        run_uv(str(tmp_path / "absent"), ["pip", "install"])
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with pytest.raises(UvError, match=r"longer than 0\.2 seconds"):
        run_uv(str(slow), ["venv"], timeout=0.2)


def test_an_active_environment_is_not_taken_for_the_one_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    told.write_text('#!/bin/sh\necho "$VIRTUAL_ENV|$PYTHONPATH|$UV_PYTHON_DOWNLOADS|$UV_OFFLINE"\n')
    told.chmod(0o755)
    for name, value in {"VIRTUAL_ENV": "/other", "PYTHONPATH": "/other", "UV_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run_uv(str(told), []) == "||never|1\n"
    assert run_uv(str(told), [], downloads=True) == "||automatic|1\n"
