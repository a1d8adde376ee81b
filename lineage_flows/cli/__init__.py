"""The command line: one verb a function over the public API, for people and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; see ``lineage_flows.cli.program.main``."""
    from lineage_flows.cli.program import main as run

    return run(arguments)
