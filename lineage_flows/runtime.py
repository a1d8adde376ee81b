"""Wires capture to delivery in one process: opens home, spool, store and courier, and installs capture at Prefect's seams.

Knows every stage up to delivery; must not know replay or the command line.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING

from lineage_flows.errors import HomeError, LineageError, UnsupportedPrefectError

if TYPE_CHECKING:
    from lineage_flows.capture.intercept import Interceptor
    from lineage_flows.delivery import Courier, Receiver, Spool
    from lineage_flows.records import RunRecord
    from lineage_flows.settings import Settings

__all__ = [
    "Runtime",
    "active",
    "arrive",
    "decline",
    "graph_path",
    "open_spool",
    "prepare",
    "receivers",
    "start",
    "stop",
]

_log = logging.getLogger("lineage_flows")
_lock = threading.RLock()
_active: Runtime | None = None
_prepared = False
_declined = False
_tried = False
_visiting = False
"""Whether this process has its settings from a flow elsewhere."""
_LEAVE_SECONDS = 0.5
"""How long a process that ends waits for a batch that is on its way."""
_ENGINES = ("prefect.flow_engine", "prefect.task_engine")


class Runtime:
    """Capture and delivery as they run in this process.

    Args:
        settings: checked settings.
        interceptor: the replay's side; None in ordinary runs.

    Raises:
        LineageError: home, spool or store cannot be used.
    """

    def __init__(self, settings: Settings, *, interceptor: Interceptor | None = None) -> None:
        from lineage_flows import redaction
        from lineage_flows.capture.session import Session
        from lineage_flows.content import open_store

        self.settings = settings
        redaction.configure(settings.redact)
        self.spool: Spool = open_spool(settings)
        self._courier: Courier | None = None
        self._pid = os.getpid()
        self.session = Session(
            settings,
            self.spool,
            open_store(settings.blobs_url),
            interceptor=interceptor,
            on_finish=self._finished,
            on_enter=self.courier,
            on_leave=self.flush,
        )

    def install(self) -> None:
        """Wrap Prefect's engine; on an engine that this version does not know, fall back to Prefect's own state hooks.

        The fall-back sees less (no resolved inputs, no files, no failed attempts), and says so on every run.
        """
        from lineage_flows.capture import (
            adapters,
            audit,
            engine,
            files,
            io_adapters,
            persistence,
            processes,
            randomness,
            selection,
            state_hooks,
            travel,
            unseeded,
            variables,
        )
        from lineage_flows.capture.disk_cache import disk_cache
        from lineage_flows.capture.flows import FlowRecorder
        from lineage_flows.capture.steps import StepRecorder

        strip = self.session.interceptor.strip if self.session.interceptor else None
        files.configure(
            ignored=[str(self.settings.home)],
            observed=[] if strip is None else [strip],
            cache=disk_cache(self.session.cache),
        )
        if self.settings.rules:
            selection.configure(self.settings.leaves_out)
        audit.install()
        io_adapters.install()
        adapters.install()
        randomness.install()
        processes.install()
        unseeded.install()
        variables.configure(self.settings.variables)
        variables.install()
        persistence.install()
        flows, steps = FlowRecorder(self.session), StepRecorder(self.session)
        travel.install(self.session)
        try:
            engine.install(flows, steps)
        except UnsupportedPrefectError as error:
            if self.settings.strict:
                raise
            _log.warning("lineage: %s; capturing less, through Prefect's state hooks", error)
            state_hooks.install(self.session, str(error))

    def courier(self) -> Courier:
        """The courier of this process, started on first use; a forked child gets its own."""
        from lineage_flows.delivery import Courier

        with _lock:
            if self._courier is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._courier = Courier(self.spool, receivers(self.settings), self.settings.home)
                self._courier.start()
            return self._courier

    def flush(self) -> bool:
        """Wait until the graph has everything accepted so far, at most ``flush_seconds``; whether it has."""
        return self.courier().flush(self.settings.flush_seconds, receivers=("graph",))

    def leave(self) -> None:
        """Close what can be closed soon, so that each database is one file again; a forked child leaves its parent's alone.

        Raises:
            CaptureError: under ``strict``.
        """
        with self.session.boundary.guard("closing the spool and the graph"):
            if self._pid == os.getpid() and (self._courier is None or self._courier.stop(_LEAVE_SECONDS)):
                self.spool.close()  # else a courier that a silent receiver holds up still needs it

    def _finished(self, record: RunRecord) -> None:
        if self.settings.ui_artifact:
            from lineage_flows.ui import publish

            boundary = self.session.boundary

            def failed(error: BaseException) -> None:
                boundary.report("writing the lineage artifact", error)

            with boundary.guard("writing the lineage artifact"):
                publish(record, on_error=failed)


def open_spool(settings: Settings) -> Spool:
    """The spool of the home folder.

    Raises:
        HomeError: the home cannot be used.
    """
    from lineage_flows.delivery import Spool

    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(
            f"the home folder {settings.home} cannot be made",
            why=error.strerror or str(error),
            fix="set LINEAGE_FLOWS_HOME to a folder you can write to",
        ) from error
    return Spool(settings.home / "spool.db")


def graph_path(settings: Settings) -> str:
    """Where the embedded graph lies."""
    return str(settings.home / "graph.db")


def receivers(settings: Settings) -> list[Receiver]:
    """Who gets the events: the graph, and the user's own OpenLineage configuration when there is one."""
    from lineage_flows.delivery import GraphReceiver, openlineage_receivers
    from lineage_flows.graph.opening import open_graph

    return [GraphReceiver(lambda: open_graph(settings)), *openlineage_receivers()]


def active() -> Runtime | None:
    """The runtime of this process, when capture is on."""
    return _active


def start(settings: Settings | None = None, *, interceptor: Interceptor | None = None) -> Runtime | None:
    """Turn capture on in this process; a second call changes nothing.

    Args:
        settings: checked settings; read from environment and pyproject.toml when None.
        interceptor: given by a replay's child process only.

    Returns:
        The runtime; None when capture is ``off`` everywhere, or when it cannot start and ``strict`` is off (said in one log line).

    Raises:
        LineageError: capture cannot start, and ``strict`` is on or this is a replay.
    """
    global _active  # noqa: PLW0603 - one process has one engine to wrap, so one runtime
    with _lock:
        if _active is not None:
            return _active
        if _declined:
            return None
        strict = interceptor is not None or os.environ.get("LINEAGE_FLOWS_STRICT", "").lower() in {
            "1",
            "true",
            "yes",
            "on",
        }
        from lineage_flows.settings import load_settings

        try:
            settings = settings or load_settings()
            strict = strict or settings.strict
            if settings.is_off:
                _stop_observing()
                return None
            runtime = Runtime(settings, interceptor=interceptor)
            runtime.install()
        except LineageError as error:
            if strict:
                raise
            _log.warning("lineage: capture is off: %s", error)
            _stop_observing()
            return None
        _active = runtime
        atexit.register(runtime.leave)
        return runtime


def stop() -> None:
    """Turn capture off in this process: Prefect's own methods are put back, what is in the spool stays there."""
    global _active
    with _lock:
        runtime, _active = _active, None
        if runtime is None:
            return
        from lineage_flows.capture import engine, persistence, travel

        engine.uninstall()
        persistence.uninstall()
        travel.uninstall()
        _stop_observing()
        atexit.unregister(runtime.leave)
        runtime.leave()


def arrive(carried: str) -> None:
    """A task has come from a process in which capture is on: turn it on here, as it is there. Never raises.

    A process whose own settings name a home keeps them. One that has those of another flow changes to these, unless a step runs
    here. Where the flow's home is not on this machine nothing is captured: the flow's own process says so on its record.

    Args:
        carried: of a ``travel.Packed``.
    """
    global _visiting  # noqa: PLW0603 - a fact of the process
    from lineage_flows.capture import files
    from lineage_flows.capture.travel import home_identity
    from lineage_flows.settings import load_settings

    try:
        document = json.loads(carried)
        with _lock:
            own = _active is not None and not _visiting and "home" in _active.settings.model_fields_set
            if own or _declined or document["pid"] == os.getpid():
                return
            settings = load_settings(**document["settings"])
            if _active is not None and (_active.settings == settings or files.active().any):
                return
            if home_identity(settings.home) != document["home"]:
                _log.info("lineage: a task's home %s is not on this machine; nothing is captured of it", settings.home)
                return
            stop()
            _visiting = start(settings) is not None
    except Exception as error:  # noqa: BLE001 - Prefect's task would fail to unpickle
        _log.warning("lineage: capture did not arrive with a task: %s", error)


def prepare() -> None:
    """Turn capture on as soon as Prefect's engine is imported, and not before: start-up stays light.

    Only what a flow's module reads and draws while it is imported is watched from the import of Prefect on, since it is part of
    what the run was made from. Called by the plugin at the end of ``import prefect``, and by ``import lineage_flows``.
    """
    global _prepared  # noqa: PLW0603 - import hooks cannot be taken back, so they are registered once
    if _prepared or hasattr(sys, "_lineage_flows_arriving"):  # see capture.travel
        return
    _prepared = True
    import wrapt

    wrapt.register_post_import_hook(_prefect_imported, "prefect")
    for module in _ENGINES:
        wrapt.register_post_import_hook(_engine_imported, module)


def decline() -> None:
    """Never turn capture on in this process: it looks at lineage, and is none (the command line, a receiver)."""
    global _declined  # noqa: PLW0603 - a fact of the process
    _declined = True
    _stop_observing()


def _prefect_imported(_module: ModuleType) -> None:
    if not _declined:
        from lineage_flows.capture import adapters, audit, io_adapters, processes, randomness, unseeded, variables

        audit.install()
        io_adapters.install()
        adapters.install()
        randomness.install()
        processes.install()
        unseeded.install()
        variables.install()


def _stop_observing() -> None:
    if "lineage_flows.capture.audit" in sys.modules:
        from lineage_flows.capture import adapters, audit, io_adapters, processes, randomness, unseeded, variables

        audit.pause()
        io_adapters.uninstall()
        adapters.uninstall()
        randomness.uninstall()
        processes.uninstall()
        unseeded.uninstall()
        variables.uninstall()


def _engine_imported(module: ModuleType) -> None:
    """Start once neither engine is half imported: each imports the other's neighbours, and only whole classes can be wrapped."""
    global _tried  # noqa: PLW0603 - what cannot start is said once, not once an engine
    others = (sys.modules.get(name) for name in _ENGINES if name != module.__name__)
    if not _tried and not any(
        other is not None and getattr(other.__spec__, "_initializing", False) for other in others
    ):
        _tried = True
        start()
