"""What ``doctor`` looks at, one check a function: it finds out, and says what to do.

Knows every part that can be out of order; must not know how findings are shown.
"""

from __future__ import annotations

import contextvars
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from lineage_flows.errors import LineageError
from lineage_flows.ui.text import clip, count, listing, short, size_text

if TYPE_CHECKING:
    from lineage_flows.settings import Settings

__all__ = ["Check", "examine"]

_SCARCE, _FULL = 1_000_000_000, 50_000_000
"""Bytes free under which a home is warned about, and under which it fails: a day's runs, and a single one."""

_RECENT = 20
_PROBE = b"lineage-flows doctor was here\n"

_SERVER_SECONDS = 3.0


class Check(BaseModel):
    """One finding: what was looked at, how it is, what was found, and what to do about it."""

    model_config = ConfigDict(frozen=True)

    name: str
    outcome: Literal["ok", "warning", "failed"]
    found: str
    fix: str = ""


def examine(settings: Settings) -> list[Check]:
    """Every check, in the order in which a run meets what they look at. A check that itself fails is a finding, too."""
    return [_guarded(name, check, settings) for name, check in _CHECKS.items()]


Finding = tuple[Literal["ok", "warning", "failed"], str, str]


def _guarded(name: str, check: Callable[[Settings], Finding], settings: Settings) -> Check:
    try:
        outcome, found, fix = check(settings)
    except LineageError as error:
        outcome, found, fix = "failed", ": ".join(text for text in (error.what, error.why) if text), error.fix
    except OSError as error:
        outcome, found, fix = (
            "failed",
            f"{error.filename or 'a file'}: {error.strerror or error}",
            "see its permissions",
        )
    except ImportError as error:
        outcome, found, fix = "failed", str(error), "reinstall: pip install --force-reinstall lineage-flows"
    return Check(name=name, outcome=outcome, found=clip(found, 400), fix=clip(fix, 400))


def _plugin(_: Settings) -> Finding:
    found = metadata.entry_points(group="prefect.plugins", name="lineage-flows")
    if not found:
        return "failed", "Prefect does not know the plugin", "install the package into Prefect's own environment"
    try:
        version = metadata.version("lineage-flows")
    except metadata.PackageNotFoundError:
        version = "of unknown version"
    return "ok", f"lineage-flows {version} is installed beside Prefect {metadata.version('prefect')}", ""


def _enabled(settings: Settings) -> Finding:
    from prefect.settings import get_current_settings

    if settings.level == "off" and not settings.levels:
        return "warning", "capture is off: level is off", "set LINEAGE_FLOWS_LEVEL=inputs, or remove the setting"
    if get_current_settings().plugins.enabled:
        return "ok", f"on, by {_where_enabled()}; level {settings.level}", ""
    return (
        "warning",
        f"Prefect's plugins are off in {Path.cwd()}",
        "run `lineage-flows init` in the flow's folder, set PREFECT_PLUGINS_ENABLED=true, "
        "or `import lineage_flows` in the flow's module",
    )


def _where_enabled() -> str:
    """What turned the plugins on, in Prefect's order of precedence."""
    variables = ("PREFECT_PLUGINS_ENABLED", "PREFECT_EXPERIMENTS_PLUGINS_ENABLED")
    for name in variables:
        if name in os.environ:
            return f"{name}={clip(os.environ[name], 20)}"
    for name, mark in ((".env", "PLUGINS_ENABLED"), ("prefect.toml", "plugins"), ("pyproject.toml", "prefect.plugins")):
        path = Path(name)
        if path.is_file() and mark in path.read_text(encoding="utf-8", errors="replace"):
            return f"{path.absolute()}"
    return "the active Prefect profile"


def _engine(_: Settings) -> Finding:
    from lineage_flows.capture.engine import check_seams, check_yields

    problems = check_seams()
    version = metadata.version("prefect")
    if not problems and (unseen := check_yields()) is not None:
        return (
            "warning",
            f"Prefect {version} is supported, but what generator tasks yield is not recorded: {unseen}",
            "install a Prefect that lineage-flows supports, or return what such tasks yield as one value",
        )
    if not problems:
        return "ok", f"Prefect {version} is supported", ""
    return (
        "warning",
        f"Prefect {version} is not the one this version knows, less is captured: {listing(problems, limit=3)}",
        "install a Prefect that lineage-flows supports, or upgrade lineage-flows",
    )


def _server(_: Settings) -> Finding:
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return "ok", "none configured: Prefect starts a server of its own for each run", ""
    problem = _unreachable(url)
    if problem is None:
        return "ok", f"{url} answers", ""
    return (
        "failed",
        f"{url} does not answer: {problem}",
        "start it (`prefect server start`), or correct PREFECT_API_URL",
    )


def _unreachable(url: str) -> str | None:
    """Why the server does not answer Prefect's own client within three seconds; None when it does.

    The client resolves names, retries and waits in its own time, so it is asked in a thread that is left behind when time is up.
    """
    problems: queue.Queue[str | None] = queue.Queue()
    context = contextvars.copy_context()
    threading.Thread(target=lambda: problems.put(context.run(_ask_server)), daemon=True).start()
    try:
        return problems.get(timeout=_SERVER_SECONDS)
    except queue.Empty:
        return f"{urlsplit(url).netloc} gave no answer within {_SERVER_SECONDS:.0f} seconds"


def _ask_server() -> str | None:
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True, httpx_settings={"timeout": _SERVER_SECONDS}) as client:
            problem = client.api_healthcheck()
    except (ValueError, OSError) as error:
        problem = error
    return None if problem is None else str(problem) or type(problem).__name__


def _home(settings: Settings) -> Finding:
    home = settings.home
    existing = next((folder for folder in (home, *home.parents) if folder.exists()), home)
    fix = "set LINEAGE_FLOWS_HOME to a folder you can write to"
    if not existing.is_dir():
        return "failed", f"{existing} is not a folder", fix
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(_PROBE)
            probe.flush()
    except OSError as error:
        return "failed", f"{existing} cannot be written: {error.strerror or error}", fix
    free = shutil.disk_usage(existing).free
    found = f"{home}{'' if home.exists() else ' (made by the first run)'}, {size_text(free)} free"
    if free < _FULL:
        return "failed", found, "free some space there, or set LINEAGE_FLOWS_HOME to a folder on another disk"
    return ("warning", found, "free some space there soon") if free < _SCARCE else ("ok", found, "")


def _store(settings: Settings) -> Finding:
    from lineage_flows.content import open_store

    store = open_store(settings.blobs_url)
    store.check()
    digest, _ = store.put(_PROBE)
    if store.get(digest) != _PROBE:
        return "failed", f"{store.url} gives back other bytes than were put there", "use another store"
    return "ok", f"{store.url} keeps and gives back what is put there", ""


def _graph(settings: Settings) -> Finding:
    from lineage_flows.api import lineage

    with lineage(settings) as graph:
        latest = graph.runs(limit=1)
    if not latest:
        return "ok", "opens; no run is in it yet", ""
    return "ok", f"opens; the latest run is {latest[0].flow} / {latest[0].name} ({short(latest[0].run_id)})", ""


def _spool(settings: Settings) -> Finding:
    from lineage_flows.graph.opening import held_back
    from lineage_flows.runtime import open_spool, receivers

    if not (settings.home / "spool.db").exists():
        return "ok", "no event has been accepted yet", ""
    spool = open_spool(settings)
    try:
        waiting = {receiver.name: spool.backlog(receiver.name) for receiver in receivers(settings)}
        parked = {name: len(spool.parked(name)) for name in waiting}
        given_up = spool.discards.all()
    finally:
        spool.close()
    said = [f"{count(amount, 'event')} waiting for {name}" for name, amount in waiting.items() if amount]
    put_aside = [f"{count(amount, 'event')} that {name} refuses" for name, amount in parked.items() if amount]
    held = held_back(settings)
    if held.parked:
        put_aside.append(f"{count(len(held.parked), 'thing')} that SageMaker refuses")
    if held.undone:
        said.append(f"{count(held.undone, 'thing')} waiting for SageMaker")
    if put_aside:
        return (
            "failed",
            listing([*put_aside, *said]),
            "see the reasons with `lineage-flows deliver --parked`, and report them",
        )
    if held.near:
        return (
            "warning",
            f"SageMaker's quotas are nearly used: {listing([*held.near, *said])}",
            "have them raised, prune old runs, or set LINEAGE_FLOWS_SAGEMAKER_DETAIL=runs",
        )
    if said:
        return "warning", listing(said), "run `lineage-flows deliver`"
    notes = [*((item.time, item.who) for item in given_up), *((item.time, item.who) for item in held.discarded)]
    if notes:
        when, who = max(notes)
        found = f"{count(len(given_up), 'event')} and {count(len(held.discarded), 'thing')} discarded by hand"
        return "ok", f"the rest has been delivered; {found}, last on {when} by {who}", ""
    return "ok", "every event has been delivered", ""


def _recent(settings: Settings) -> Finding:
    from lineage_flows.api import lineage
    from lineage_flows.ui.summary import capture_errors

    troubled: list[tuple[str, int, str]] = []
    with lineage(settings) as graph:
        runs = [run for run in graph.runs(limit=_RECENT) if run.record_digest is not None]
        for run in runs:
            errors = capture_errors(graph.record(run.run_id))
            if errors:
                troubled.append((run.run_id, len(errors), errors[0][1]))
    if not troubled:
        return "ok", f"none in the last {count(len(runs), 'run')}", ""
    run_id, _, first = troubled[0]
    return (
        "warning",
        f"{sum(amount for _, amount, _ in troubled)} in {len(troubled)} of the last {count(len(runs), 'run')}: {first}",
        f"see them with `lineage-flows show {run_id}`",
    )


_CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "plugin installed": _plugin,
    "capture switched on": _enabled,
    "Prefect supported": _engine,
    "Prefect server": _server,
    "home": _home,
    "store": _store,
    "graph": _graph,
    "delivery": _spool,
    "capture errors": _recent,
}
