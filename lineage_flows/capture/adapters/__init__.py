"""Watches libraries that reach data which is no local file: one adapter a library, put in place when the library is imported.

Knows the adapters' common shape and when each is installed; must not know what a library does.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING

from lineage_flows.capture import seams

if TYPE_CHECKING:
    from lineage_flows.capture.adapters.shape import Adapter

__all__ = ["ADAPTERS", "Watched", "install", "uninstall"]


class Watched:
    """A library that is watched once it is imported. Its adapter is imported then too: most flows need few of them.

    Args:
        module: the module whose import puts the adapter in place.
        where: the adapter's module in this package, and its class there.
    """

    def __init__(self, module: str, where: str) -> None:
        self.module = module
        self._where = where
        self._adapter: Adapter | None = None

    def adapter(self) -> Adapter:
        """The adapter, imported now if it was not."""
        if self._adapter is None:
            module, _, name = self._where.partition(":")
            # Not under the lock: another thread may hold the lock of an import, and wait for ours.
            made: Adapter = getattr(importlib.import_module(f"{__name__}.{module}"), name)()
            with _lock:
                self._adapter = self._adapter or made
        return self._adapter

    def uninstall(self) -> None:
        """Give the library its own functions back."""
        if self._adapter is not None:
            self._adapter.uninstall()
            seams.forget(self._adapter.name)


ADAPTERS: tuple[Watched, ...] = (
    Watched("pydantic.types", "secret_values:SecretAdapter"),
    Watched("botocore.client", "s3:S3Adapter"),
    Watched("aiobotocore.client", "s3:AsyncS3Adapter"),
    Watched("s3transfer.tasks", "s3:TransferAdapter"),
    Watched("requests.sessions", "http:RequestsAdapter"),
    Watched("httpx", "http:HttpxAdapter"),
    Watched("urllib.request", "urllib_http:UrllibAdapter"),
    Watched("pandas", "pandas_objects:PandasAdapter"),
    Watched("duckdb", "duckdb_files:DuckdbAdapter"),
    Watched("sqlite3", "sqlite:SqliteAdapter"),
    Watched("aiosqlite.core", "aiosqlite_threads:AioSqliteAdapter"),
    Watched("sqlalchemy", "sqlalchemy_sql:SqlalchemyAdapter"),
)
"""All of them. An adapter module imports nothing of its library."""

_lock = threading.RLock()  # an adapter that tries its library out may have it import another that is watched
_hooked = False
_installed = False


def install() -> None:
    """Watch the libraries that are loaded, and the others when they are imported. A second call changes nothing."""
    global _hooked, _installed  # noqa: PLW0603 - import hooks cannot be taken back, so they are registered once
    import wrapt

    with _lock:
        _installed = True
        first, _hooked = not _hooked, True
    for watched in ADAPTERS:
        if first:
            wrapt.register_post_import_hook(_imported, watched.module)
        elif watched.module in sys.modules:
            _imported(sys.modules[watched.module])


def uninstall() -> None:
    """Give the libraries their own functions back."""
    global _installed  # noqa: PLW0603 - as above
    with _lock:
        _installed = False
        for watched in ADAPTERS:
            watched.uninstall()


def _imported(module: ModuleType) -> None:
    for watched in ADAPTERS:
        if not _installed or watched.module != module.__name__:
            continue
        adapter = watched.adapter()
        with _lock:
            if not _installed:
                return
            try:
                adapter.install(module)
            except Exception as error:  # noqa: BLE001 - the library is imported all the same, and the record says what it lacks
                adapter.uninstall()
                seams.disable(adapter.name, str(error), adapter.module.partition(".")[0])
