"""Lineage for Prefect flows: capture every run, ask where a number came from, and make it again.

Importing this package in a flow's module is enough to have the flow captured; asking is ``lineage_flows.lineage()``. What capture
cannot see, the flow says with ``record_input`` and ``record_output``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineage_flows.errors import LineageError
from lineage_flows.recording import record_input, record_output
from lineage_flows.runtime import prepare as _prepare

if TYPE_CHECKING:
    from lineage_flows.api import Lineage, RunGaps
    from lineage_flows.settings import Settings

__all__ = ["LineageError", "__version__", "gaps", "lineage", "record_input", "record_output"]

__version__ = "0.1.0"

_prepare()


def lineage(settings: Settings | None = None) -> Lineage:
    """Open what was recorded, to ask questions of it.

    Args:
        settings: where to look; read from ``LINEAGE_FLOWS_*`` and pyproject.toml when None.

    Raises:
        LineageError: the settings are wrong, or the graph cannot be opened.
    """
    from lineage_flows.api import lineage as open_lineage

    return open_lineage(settings)


def gaps(run: str, settings: Settings | None = None) -> tuple[RunGaps, ...]:
    """The completeness ledger of a run: what was observed of each step against what its lineage covers, and every gap by name.

    Args:
        run: a run id or the start of one, or a run name; of a step's id, that step's ledger alone.
        settings: see ``lineage``.

    Raises:
        LineageError: the reference means nothing or more than one thing, or the run has no record that can be read.
    """
    with lineage(settings) as found:
        return found.gaps(run)
