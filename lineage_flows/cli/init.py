"""The verb ``init``: turns capture on for the flows of a folder."""

from __future__ import annotations

from pathlib import Path

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.pyproject import enable_plugins

__all__ = ["init"]

_SAID = {
    "created": "made {path}: flows that start in this folder are captured from now on",
    "changed": "changed {path}: flows that start in this folder are captured from now on",
    "unchanged": "{path} has it already: nothing to do",
}


def init(as_json: AsJson = False) -> Answer:
    """Have the flows of this folder captured: write the setting into ./pyproject.toml."""
    path = Path.cwd() / "pyproject.toml"
    outcome = enable_plugins(path)
    return Answer(
        {"path": str(path), "outcome": outcome},
        lambda: [_SAID[outcome].format(path=path), "check it with `lineage-flows doctor`"],
        as_json,
    )
