"""Where Prefect keeps its own files and where its API answers, so that neither is taken for the flow's data.

Knows Prefect's settings; imports nothing of Prefect that is not loaded.
"""

from __future__ import annotations

import os
import sys
import urllib.parse

__all__ = ["endpoints", "folders", "is_database"]


def folders() -> tuple[str, ...]:
    """Prefect's home and the folder of persisted results."""
    settings = sys.modules.get("prefect.settings")
    if settings is None:
        return (os.path.expanduser(os.environ.get("PREFECT_HOME", "~/.prefect")),)  # noqa: PTH111 - a string is wanted
    current = settings.get_current_settings()
    places = {str(current.home), str(current.results.local_storage_path)}
    return tuple(sorted(places))


def endpoints() -> tuple[tuple[str, int], ...]:
    """Hosts and ports of the API: the configured one, and those of servers that this process started for itself."""
    urls: list[str] = []
    settings = sys.modules.get("prefect.settings")
    if settings is not None:
        urls.append(settings.get_current_settings().api.url or "")
    server = sys.modules.get("prefect.server.api.server")
    if server is not None:
        started = getattr(server.SubprocessASGIServer, "_instances", {})
        urls += [instance.address for instance in started.values() if instance.port]
    found = []
    for url in urls:
        parts = urllib.parse.urlsplit(url)
        if parts.hostname:
            found.append((parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)))
    return tuple(found)


def is_database(place: str) -> bool:
    """Whether a database is the one that Prefect's server keeps its own state in.

    Args:
        place: absolute path of a file of SQLite's, or ``host:port/database``.
    """
    if place.startswith("/") and any(place.startswith(folder.rstrip("/") + "/") for folder in folders()):
        return True
    settings = sys.modules.get("prefect.settings")
    if settings is None:
        return False
    url = settings.get_current_settings().server.database.connection_url
    if url is None:
        return False
    parts = urllib.parse.urlsplit(url.get_secret_value() if hasattr(url, "get_secret_value") else str(url))
    if parts.scheme.startswith("sqlite"):
        return place == os.path.abspath(urllib.parse.unquote(parts.path[1:]).partition("?")[0])  # noqa: PTH100 - as above
    return place == f"{parts.hostname}:{parts.port or 5432}/{parts.path[1:]}"
