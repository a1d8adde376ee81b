"""Runs the child process of a replay: its environment, its pipes, its end.

Knows processes and environments; must not know what is compared.
"""

from __future__ import annotations

import contextlib
import fnmatch
import getpass
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from lineage_flows.errors import ReplayError
from lineage_flows.policy import rules_json
from lineage_flows.records import Environment, RunRecord
from lineage_flows.replay.choice import Interpreter
from lineage_flows.replay.environments import Built
from lineage_flows.replay.machine import machine_variables
from lineage_flows.replay.report import ChildResult
from lineage_flows.replay.spawned import write_site
from lineage_flows.replay.spec import ChildSpec
from lineage_flows.replay.workspace import Workspace, code_root
from lineage_flows.settings import Settings

__all__ = ["HERE", "Pipes", "child_environment", "compiled", "execute", "requested_by"]

HERE = Interpreter()
"""The interpreter of this process."""

_GRACE = 10.0
"""Seconds between asking the child to end (Prefect then marks the flow run as crashed) and ending it."""
_TAIL = 400
_SITE = "site"
_LOCALE = ("LANG", "LC_*", "TZ")


class Pipes:
    """The two pipes to the child: one says that the parent lives, through the other the child tells its progress."""

    def __init__(self) -> None:
        self.alive, self._living = os.pipe()
        self._told, self.progress = os.pipe()
        self._open = {self.alive, self._living, self._told, self.progress}

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close what is still open; the child then knows that nobody waits any more."""
        self._close(*self._open)

    def handed_over(self) -> None:
        """Close the child's ends here, so that its end shows as the end of what it tells."""
        self._close(self.alive, self.progress)

    def lines(self, total: int, on_progress: Callable[[str, int, int], None]) -> None:
        """Report steps as the child names them, until it closes its end."""
        self._open.discard(self._told)
        with os.fdopen(self._told, "r", encoding="utf-8") as stream:
            for started, line in enumerate(stream):
                on_progress(json.loads(line), min(started, total), total)

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open:
                self._open.discard(descriptor)
                os.close(descriptor)


def execute(
    spec: ChildSpec,
    pipes: Pipes,
    workspace: Workspace,
    environment: dict[str, str],
    *,
    timeout: float | None,
    on_progress: Callable[[str, int, int], None],
    interpreter: Interpreter = HERE,
) -> ChildResult:
    """Run the child to its end and read what it left.

    Args:
        spec: what it is to do.
        pipes: those that ``spec`` names.
        workspace: where it works.
        environment: its environment variables.
        timeout: seconds; None for no limit.
        on_progress: called with each starting step.
        interpreter: what executes it.

    Raises:
        ReplayError: it was stopped at the time limit, or ended without leaving a result.
        KeyboardInterrupt: the user stopped the replay; the child is gone.
    """
    path = workspace.base / "spec.json"
    path.write_text(spec.model_dump_json())
    write_site(workspace.base / _SITE)
    log = workspace.base / "output.log"
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches the parent, which ends the child and all that it started.
        child = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            [
                interpreter.python or sys.executable,
                *_options(interpreter),
                "-m",
                "lineage_flows.replay.child",
                str(path),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=workspace.base,
            env=environment,
            pass_fds=(pipes.alive, pipes.progress),
            start_new_session=True,
        )
    pipes.handed_over()
    total = len(spec.record.steps)
    listener = threading.Thread(target=pipes.lines, args=(total, on_progress), daemon=True)
    listener.start()
    try:
        code = child.wait(timeout)
    except subprocess.TimeoutExpired:
        raise ReplayError(
            f"the replay of run {spec.record.flow.run_id} was stopped",
            why=f"it took longer than {timeout:g} seconds",
            fix="give it more time",
        ) from None
    finally:
        _end(child)
        listener.join(_GRACE)
    result = workspace.base / "result.json"
    if not result.exists():
        raise ReplayError(
            f"the replay of run {spec.record.flow.run_id} died",
            why=f"its process {_said(code)}; its last words: {_last_words(log)}",
            fix="run it again with --keep to look into its workspace",
        )
    on_progress("", total, total)
    return ChildResult.model_validate_json(result.read_bytes())


def child_environment(
    record: RunRecord,
    recorded: Environment | None,
    settings: Settings,
    workspace: Workspace,
    interpreter: Interpreter = HERE,
) -> dict[str, str]:
    """The environment variables of the child: this process's, with the original's values where those were recorded.

    Args:
        record: the run to execute again.
        recorded: its environment; None when it was not kept.
        settings: the lineage settings of this process, which the child is to share.
        workspace: where the child keeps its temporary files and Prefect's results.
        interpreter: what executes the child; the programs of a rebuilt environment come first on its ``PATH``.
    """
    found = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT__", "PYTHON", "LINEAGE_FLOWS_"))
    }
    if recorded is not None:
        allowed = (*settings.variables, *_LOCALE)
        found = {
            name: value for name, value in found.items() if not any(fnmatch.fnmatchcase(name, rule) for rule in allowed)
        }
        found.update({name: value for name, value in recorded.variables.items() if "\0" not in value})
        found.update(machine_variables(recorded))
        if recorded.hash_seed is not None:
            found["PYTHONHASHSEED"] = recorded.hash_seed
    built = interpreter.built
    # What is on this process's own path is no part of a rebuilt environment.
    others = _python_path(record) if built is None else []
    found["PYTHONPATH"] = os.pathsep.join([str(workspace.base / _SITE), *others])
    if built is not None:
        programs = Path(built.python).parent
        found["PATH"] = os.pathsep.join([str(programs), *filter(None, [found.get("PATH")])])
        found["VIRTUAL_ENV"] = str(programs.parent)
    temporary = workspace.at(tempfile.gettempdir())
    temporary.mkdir(parents=True, exist_ok=True)
    found.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    found.update(_prefect(workspace, interpreter))
    found.update(_lineage(record, settings))
    if record.flow.deployment is not None:
        found["PREFECT__RUNTIME__DEPLOYMENT__ID"] = record.flow.deployment.id
        if record.flow.deployment.name:
            found["PREFECT__RUNTIME__DEPLOYMENT__NAME"] = record.flow.deployment.name
    return found


def _python_path(record: RunRecord) -> list[str]:
    """The folders of ``PYTHONPATH`` that are not the project's: those come from the workspace."""
    given = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]  # noqa: PTH100
    project = (code_root(record), record.flow.entry.working_directory)
    return [path for path in given if not any(Path(path).is_relative_to(folder) for folder in project if folder != "/")]


def requested_by() -> str:
    """Who asks for the replay; "" where the system does not tell."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _options(interpreter: Interpreter) -> list[str]:
    """``-P``: the working directory is not imported from.

    A rebuilt environment has no byte code yet, and the guard lets none be written among its packages: it is kept beside them, so
    that only the first replay compiles.
    """
    if interpreter.built is None:
        return ["-P"]
    return ["-P", "-X", f"pycache_prefix={compiled(interpreter.built)}"]


def compiled(built: Built) -> Path:
    """Where the byte code of a rebuilt environment's packages lies."""
    return Path(built.python).parents[2] / "compiled"


def _prefect(workspace: Workspace, interpreter: Interpreter) -> dict[str, str]:
    """The parent's API; results start empty, so that a cache answers what it did within the original, and no more."""
    from prefect.settings import get_current_settings

    current = get_current_settings()
    results = workspace.base / "results"
    found = {
        # Without a server each process keeps Prefect's database itself, and another version may not be let at it.
        "PREFECT_HOME": str(
            workspace.base / "prefect" if interpreter.other_prefect and not current.api.url else current.home
        ),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(results),
    }
    if current.api.url:
        found["PREFECT_API_URL"] = str(current.api.url)
    if current.api.key is not None:
        found["PREFECT_API_KEY"] = current.api.key.get_secret_value()
    return found


def _lineage(record: RunRecord, settings: Settings) -> dict[str, str]:
    """The parent's lineage settings. Outputs are kept where the original's were: only those can be compared number by number."""
    kept = any(step.output is not None and step.output.blob is not None for step in record.steps)
    found = {
        "LINEAGE_FLOWS_HOME": str(settings.home),
        "LINEAGE_FLOWS_KEEPER": settings.keeper,
        "LINEAGE_FLOWS_STORE_URL": settings.blobs_url,
        "LINEAGE_FLOWS_LEVEL": "all" if kept else "inputs",
        "LINEAGE_FLOWS_NAMESPACE": settings.namespace,
        "LINEAGE_FLOWS_STRICT": str(settings.strict).lower(),
        "LINEAGE_FLOWS_SIZE_CAP": str(int(settings.size_cap)),
        "LINEAGE_FLOWS_CODE_SIZE_CAP": str(int(settings.code_size_cap)),
        "LINEAGE_FLOWS_FLUSH_SECONDS": str(max(settings.flush_seconds, 30.0)),
        "LINEAGE_FLOWS_UI_ARTIFACT": str(settings.ui_artifact).lower(),
        "LINEAGE_FLOWS_VARIABLES": json.dumps(settings.variables),
    }
    if settings.levels:
        found["LINEAGE_FLOWS_LEVELS"] = ",".join(f"{selector}={level}" for selector, level in settings.levels.items())
    if settings.rules:
        found["LINEAGE_FLOWS_RULES"] = rules_json(settings.rules)
    if settings.redact:
        found["LINEAGE_FLOWS_REDACT"] = json.dumps(settings.redact)
    if settings.owners:
        found["LINEAGE_FLOWS_OWNERS"] = ",".join(settings.owners)
    return found


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and everything it started: first asked, then not asked."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _said(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return (lines[-1] if lines else "none")[-_TAIL:]
