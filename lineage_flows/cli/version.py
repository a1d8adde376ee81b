"""The verb ``version``."""

from __future__ import annotations

import platform
from importlib import metadata

from lineage_flows.cli.answer import Answer, AsJson

__all__ = ["version"]


def version(as_json: AsJson = False) -> Answer:
    """Say which version this is, and of what it is built."""
    from lineage_flows import __version__

    versions = {"lineage_flows": __version__, "prefect": installed("prefect"), "python": platform.python_version()}
    return Answer(
        versions,
        lambda: [
            f"lineage-flows {__version__} (Prefect {versions['prefect'] or 'missing'}, Python {versions['python']})"
        ],
        as_json,
    )


def installed(name: str) -> str | None:
    """The version of an installed distribution, read without importing it; None when there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
