"""Prefect's ``prefect.plugins`` entry point: turns capture on in every process that imports Prefect with plugins enabled.

Knows the runtime's one function; must not know the rest.
"""

from __future__ import annotations

from typing import Any

from prefect.plugins import register_hook

from lineage_flows.runtime import prepare

__all__ = ["PREFECT_PLUGIN_API_REQUIRES", "setup_environment"]

PREFECT_PLUGIN_API_REQUIRES = ">=0.1,<1"


@register_hook
def setup_environment(*, ctx: Any) -> None:  # noqa: ANN401 - Prefect's own hook specification
    """Called by Prefect at the end of ``import prefect``."""
    prepare()
