"""Chooses what a replay runs on: the interpreter and packages that are here, or an environment rebuilt as the run's was.

Knows both environments and what can be rebuilt; must not know how it is built, nor what is executed in it.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lineage_flows.capture.disk_cache import disk_cache
from lineage_flows.capture.distributions import installed_packages
from lineage_flows.errors import LineageError, ReplayError
from lineage_flows.replay.installing import interpreter_for
from lineage_flows.replay.uv import NO_UV, find_uv
from lineage_flows.replay.wanted import Wanted, differing, wanted_environment

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.records import Environment, RunRecord
    from lineage_flows.replay.environments import Built
    from lineage_flows.settings import Settings

__all__ = ["Choice", "EnvironmentMode", "Interpreter", "choose", "entered"]

EnvironmentMode = Literal["current", "rebuild", "auto"]

_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Choice:
    """What a replay runs on.

    Attributes:
        how: the environment that is here, or one that is rebuilt.
        reason: why, in words.
        differences: what the environment that is here has other than the run's: Python, then packages.
        wanted: what is to be rebuilt; None when the run's environment was not recorded.
        problem: why the replay cannot be done as asked; None when it can.
        notes: what the reader of the verdict should know.
    """

    how: Literal["current", "rebuild"]
    reason: str
    differences: tuple[str, ...] = ()
    wanted: Wanted | None = None
    problem: LineageError | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The interpreter that executes a replay.

    Attributes:
        python: the program; empty for that of this process.
        built: its environment, when it was rebuilt.
        other_prefect: whether that has another Prefect than this process.
        notes: what the reader of the verdict should know.
    """

    python: str = ""
    built: Built | None = None
    other_prefect: bool = False
    notes: tuple[str, ...] = ()


def choose(mode: EnvironmentMode, recorded: Environment | None, record: RunRecord, settings: Settings) -> Choice:
    """Decide, before anything runs, what a replay runs on.

    ``auto`` takes the environment that is here when Python and every package are the run's, or when a rebuilt one would be no
    nearer; otherwise it rebuilds. It never falls back to other packages than the run's: that is for the user to ask for.

    Args:
        mode: what was asked for.
        recorded: the environment of the run; None when it was not kept.
        record: the run.
        settings: of this process.
    """
    if recorded is None:
        problem = _cannot(record, "what it ran on was not recorded") if mode == "rebuild" else None
        reason = "what the run ran on was not recorded"
        return Choice("current", reason, problem=problem, notes=(f"environment: the present one, since {reason}",))
    packages = differing(recorded.packages, installed_packages(disk_cache(settings.home / "cache")))
    wanted = wanted_environment(recorded, record, settings)
    found = Choice("current", "asked for", (*_interpreter(recorded), *packages), wanted, notes=_machine(recorded))
    if mode == "current":
        return found
    if mode == "auto" and not found.differences:
        return replace(found, reason="Python and every package are the run's")
    reason = "asked for" if mode == "rebuild" else f"here is another one: {_some(found.differences)}"
    found = replace(found, how="rebuild", reason=reason, notes=(*found.notes, *wanted.tool.unfit))
    uv = find_uv()
    interpreter = interpreter_for(uv, wanted.python, wanted.implementation) if uv is not None else None
    obstacle = _obstacle(wanted, uv, interpreter is not None or settings.python_downloads)
    if obstacle is not None:
        return replace(found, problem=_cannot(record, obstacle[0], found.differences, obstacle[1]))
    only_python = not packages and not settings.python_downloads and interpreter is not None
    if mode == "auto" and only_python and interpreter is not None and interpreter[1] == platform.python_version():
        note = f"Python {wanted.python} is not installed here: the replay runs on Python {interpreter[1]}"
        reason = "every package is the run's, and its Python is not here"
        return replace(found, how="current", reason=reason, notes=(note, *_machine(recorded)))
    # Built on another patch it is another environment: the run's own Python may be installed one day.
    other = interpreter is not None and interpreter[1] != wanted.python and not settings.python_downloads
    stand_in = interpreter[1] if other and interpreter is not None else ""
    return replace(found, wanted=wanted.model_copy(update={"stand_in": stand_in}))


@contextlib.contextmanager
def entered(
    choice: Choice,
    record: RunRecord,
    settings: Settings,
    store: Store,
    *,
    timeout: float | None = None,
    on_progress: Callable[[str, int, int], None],
) -> Iterator[Interpreter]:
    """The interpreter that was chosen; a rebuilt one is kept as long as the block runs.

    Args:
        choice: what to run on.
        record: the run.
        settings: where environments are kept, and what a rebuild may do.
        store: holds wheels and source.
        timeout: seconds that building may take.
        on_progress: told that an environment is built.

    Raises:
        LineageError: it cannot be done as asked, or the environment cannot be built.
    """
    if choice.problem is not None:
        raise choice.problem
    if choice.how == "current" or choice.wanted is None:
        yield Interpreter(notes=choice.notes)
        return
    from lineage_flows.replay.environments import Rebuilder

    uv = find_uv()
    if uv is None:
        raise _cannot(record, NO_UV)
    on_progress("building the environment", 0, len(record.steps))
    rebuilder = Rebuilder(
        settings.home,
        uv,
        downloads=settings.python_downloads,
        timeout=timeout,
        on_wait=lambda: on_progress("waiting for the environment", 0, len(record.steps)),
    )
    with rebuilder.environment(choice.wanted, record.flow.code, store) as built:
        said = f"environment: rebuilt, Python {built.version} and {built.packages} packages as the run had them"
        notes = dict.fromkeys((said, *built.notes, *choice.notes))
        yield Interpreter(built.python, built, _other_prefect(choice.wanted), tuple(notes))


def _obstacle(wanted: Wanted, uv: str | None, has_python: bool) -> tuple[str, str] | None:
    """Why an environment cannot be rebuilt, as far as that is known without trying, and what to do; None when nothing is known."""
    if wanted.lost:
        first, *more = wanted.lost
        others = f"; also lost: {', '.join(f'{item.name} {item.version}' for item in more)}" if more else ""
        return f"{first.name} {first.version} cannot be installed: {first.why}{others}", ""
    if uv is None:
        return NO_UV, 'install it (`pip install "lineage-flows[replay]"`)'
    if not has_python:
        asked = f"{wanted.implementation} {wanted.python}"
        fix = f"install {asked}, let uv download it with LINEAGE_FLOWS_PYTHON_DOWNLOADS=true"
        return f"no {asked} is installed here", fix
    return None


def _cannot(record: RunRecord, why: str, differences: tuple[str, ...] = (), fix: str = "") -> ReplayError:
    here = f"; here is another one ({_some(differences)})" if differences else ""
    return ReplayError(
        f"the environment of run {record.flow.run_id} ({record.flow.run_name}) cannot be rebuilt",
        why=f"{why}{here}",
        fix=(f"{fix}, or " if fix else "") + "run it on what is installed here with `--env current`",
    )


def _interpreter(recorded: Environment) -> tuple[str, ...]:
    old = f"{recorded.implementation} {recorded.python}"
    new = f"{platform.python_implementation()} {platform.python_version()}"
    return () if old == new else (f"{old} → {new}",)


def _machine(recorded: Environment) -> tuple[str, ...]:
    """What no environment can give back: another system or another kind of processor."""
    system = recorded.platform.partition("-")[0]
    here = platform.platform().partition("-")[0]
    if (recorded.machine, system) == (platform.machine(), here):
        return ()
    return (f"the run's machine was {system} on {recorded.machine}, this one is {here} on {platform.machine()}",)


def _some(items: tuple[str, ...]) -> str:
    more = len(items) - _MOST_NAMED
    return ", ".join(items[:_MOST_NAMED]) + (f", and {more} more" if more > 0 else "")


def _other_prefect(wanted: Wanted) -> bool:
    """Whether a rebuilt environment has another Prefect than this process."""
    import prefect

    installed = {*wanted.pinned, *(f"{wheel.name}=={wheel.version}" for wheel in wanted.kept)}
    return f"prefect=={prefect.__version__}" not in installed
