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
    from lineage_flows.api import Lineage
    from lineage_flows.settings import Settings

__all__ = ["LineageError", "__version__", "lineage", "record_input", "record_output"]

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
