"""Settings and graph as a verb asks for them.

Knows the public API; must not know the verbs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lineage_flows.settings import Settings, load_settings

if TYPE_CHECKING:
    import typer

    from lineage_flows.api import Lineage

__all__ = ["chosen_settings", "opened", "undelivered"]


def chosen_settings(context: typer.Context) -> Settings:
    """The settings of this call: environment and pyproject.toml, and ``--home`` over both.

    Raises:
        SettingsError: a setting is wrong.
    """
    home = context.obj
    return load_settings(home=home) if isinstance(home, Path) else load_settings()


def opened(context: typer.Context) -> Lineage:
    """The graph, open for questions; to be used in a ``with`` statement.

    Raises:
        LineageError: the settings are wrong, or the graph cannot be opened.
    """
    from lineage_flows import lineage

    return lineage(chosen_settings(context))


def undelivered(settings: Settings) -> int:
    """How many events wait in the spool for the graph, as those of a process that was killed do; 0 when it cannot be told."""
    from lineage_flows.delivery import GraphReceiver
    from lineage_flows.errors import LineageError
    from lineage_flows.runtime import open_spool

    if not (settings.home / "spool.db").exists():
        return 0
    try:
        spool = open_spool(settings)
    except LineageError:  # a home that may only be read
        return 0
    try:
        return spool.backlog(GraphReceiver.name)
    finally:
        spool.close()
