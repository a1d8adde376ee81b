"""Watches libraries that reach data which is no local file: one adapter a library, put in place when the library is imported.

Knows the adapters' common shape and when each is installed; must not know what a library does.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType

from lineage_flows.capture import seams
from lineage_flows.capture.adapters.http import HttpxAdapter, RequestsAdapter
from lineage_flows.capture.adapters.s3 import AsyncS3Adapter, S3Adapter, TransferAdapter
from lineage_flows.capture.adapters.shape import Adapter

__all__ = ["ADAPTERS", "Adapter", "install", "uninstall"]


class _Later:
    """An adapter whose own module is only imported with its library: Prefect starts without it.

    Args:
        name: see ``Adapter``.
        module: see ``Adapter``.
        home: the adapter's module in this package.
        kind: its class there.
    """

    def __init__(self, name: str, module: str, home: str, kind: str) -> None:
        self.name = name
        self.module = module
        self._home = home
        self._kind = kind
        self._adapter: Adapter | None = None

    def install(self, module: ModuleType) -> None:
        """See ``Adapter.install``."""
        if self._adapter is None:
            self._adapter = getattr(importlib.import_module(f"{__name__}.{self._home}"), self._kind)()
        self._adapter.install(module)

    def uninstall(self) -> None:
        """See ``Adapter.uninstall``."""
        if self._adapter is not None:
            self._adapter.uninstall()


ADAPTERS: tuple[Adapter, ...] = (
    S3Adapter(),
    AsyncS3Adapter(),
    TransferAdapter(),
    RequestsAdapter(),
    HttpxAdapter(),
    _Later("duckdb", "duckdb", "duckdb_files", "DuckdbAdapter"),
    _Later("SQL through sqlite3", "sqlite3", "sqlite", "SqliteAdapter"),
    _Later("SQL through aiosqlite", "aiosqlite.core", "aiosqlite_threads", "AioSqliteAdapter"),
    _Later("SQL through SQLAlchemy", "sqlalchemy", "sqlalchemy_sql", "SqlalchemyAdapter"),
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
    for adapter in ADAPTERS:
        if first:
            wrapt.register_post_import_hook(_imported, adapter.module)
        elif adapter.module in sys.modules:
            _imported(sys.modules[adapter.module])


def uninstall() -> None:
    """Give the libraries their own functions back."""
    global _installed  # noqa: PLW0603 - as above
    with _lock:
        _installed = False
        for adapter in ADAPTERS:
            adapter.uninstall()
            seams.forget(adapter.name)


def _imported(module: ModuleType) -> None:
    with _lock:
        for adapter in ADAPTERS:
            if _installed and adapter.module == module.__name__:
                try:
                    adapter.install(module)
                except Exception as error:  # noqa: BLE001 - the library is imported all the same, and the record says what it lacks
                    adapter.uninstall()
                    seams.disable(adapter.name, str(error))
