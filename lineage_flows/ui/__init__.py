"""What a person sees of a run: the page in Prefect's UI, and the words the terminal shares with it."""

from __future__ import annotations

from lineage_flows.ui.markdown import render_run
from lineage_flows.ui.publish import publish

__all__ = ["publish", "render_run"]
