"""Replays a run: plan, workspace, a process of its own, report; nothing is left behind whatever happens.

Knows the parts of a replay and their order; must not know what a step is compared by.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import lineage_flows.errors as errors_module
from lineage_flows.errors import LineageError, ReplayError
from lineage_flows.records import Environment, ReplayInfo, RunRecord
from lineage_flows.replay.asked import Asked, check_parameters, choose_steps
from lineage_flows.replay.choice import EnvironmentMode, Interpreter, choose, entered
from lineage_flows.replay.clock import ClockMode
from lineage_flows.replay.editable import editable_paths, write_metadata
from lineage_flows.replay.find import find_record
from lineage_flows.replay.plan import Plan, make_plan
from lineage_flows.replay.process import Pipes, child_environment, compiled, execute, requested_by
from lineage_flows.replay.report import ChildResult, Failure, ReplayReport
from lineage_flows.replay.spec import ChildSpec, Folders
from lineage_flows.replay.workspace import WORKSPACE_PREFIX, Workspace, code_root, places, unusable
from lineage_flows.settings import Settings, load_settings
from lineage_flows.tolerances import ToleranceRule

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.records import Package

__all__ = ["recorded_environment", "replay_run"]

_EDITABLE = "editable"

OnProgress = Callable[[str, int, int], None]

_CLOCK_NOTES = {
    "captured": "the code saw the original's time: each step began at the moment at which it began there",
    "frozen": "the code saw the original's time, standing still at the moment at which each step began there",
}


def replay_run(
    reference: str,
    *,
    settings: Settings | None = None,
    code_path: Path | None = None,
    keep: bool = False,
    clock: ClockMode = "now",
    timeout: float | None = None,
    on_progress: OnProgress | None = None,
    tolerances: Iterable[ToleranceRule] = (),
    environment: EnvironmentMode = "auto",
    asked: Asked | None = None,
) -> ReplayReport:
    """Execute a run again from what lineage recorded alone, and compare every step.

    Args:
        reference: run id, unique prefix of one, or run name.
        settings: where graph and blobs lie; read from environment and pyproject.toml when None.
        code_path: a folder whose code is executed in place of the captured code, everything else as captured.
        keep: leave the workspace where it is, for looking into it; the report names it.
        clock: what the code of flows and tasks sees as the time: ``now``, ``captured`` (each step begins when it began in the
            original, and time goes on) or ``frozen`` (it stands still there).
        timeout: seconds after which the replay is stopped; None waits as long as it takes.
        on_progress: called with the name of the step that starts now ("" at the end), how many steps have started before it, and
            how many the original had. From another thread.
        tolerances: rules of tolerance beside those of the settings; of equally specific ones these decide.
        environment: what it runs on: what is installed here (``current``), the run's environment built anew (``rebuild``), or
            whichever is the run's (``auto``), see ``choice.choose``.
        asked: steps that alone are to be executed, and parameters that are to be others; None repeats the run as it was.

    Returns:
        The report; its verdict may be ``different``.

    Raises:
        UnknownReferenceError: nothing is called so; AmbiguousReferenceError: more than one run is.
        ReplayError: the run cannot be replayed (never finished, captured at too low a level, code not restorable), or the
            replay was stopped or died.
        ContentError: a blob is missing or altered; nothing was executed.
        LineageError: any other reason why it could not be done. Nothing half made is left in any case.
    """
    from lineage_flows.content import open_store

    settings = settings or load_settings()
    settings = settings.model_copy(update={"tolerances": (*settings.tolerances, *tolerances)})
    store = open_store(settings.blobs_url)
    record, notes, digest = find_record(reference, settings, store)
    if clock != "now":
        notes = (*notes, _CLOCK_NOTES[clock])
    asked = asked or Asked()
    chosen = choose_steps(record, asked)
    notes = (*notes, *check_parameters(record, asked.parameters), *chosen.notes)
    code_path = code_path.absolute() if code_path else None
    plan = make_plan(record, store, code_path=code_path, notes=notes, restored=chosen.restored)
    _verify(plan, store)
    recorded = recorded_environment(record, store)
    progress = on_progress or _silent
    choice = choose(environment, recorded, record, settings)
    with (
        entered(choice, record, settings, store, timeout=timeout, on_progress=progress) as interpreter,
        Workspace(keep=keep) as workspace,
    ):
        plan = replace(plan, notes=(*plan.notes, *interpreter.notes))
        workspace.build(plan, store)
        with Pipes() as pipes:
            editable = choice.wanted.editable if choice.wanted is not None else ()
            spec = _spec(plan, workspace, pipes, settings, store, interpreter=interpreter, editable=editable)
            spec = spec.model_copy(update={"clock": clock, "record_digest": digest, **_question(asked)})
            variables = child_environment(record, recorded, settings, workspace, interpreter)
            try:
                result = execute(
                    spec, pipes, workspace, variables, timeout=timeout, on_progress=progress, interpreter=interpreter
                )
            except OSError as error:
                raise unusable(error) from error
            finally:
                _forget_compiled(interpreter, workspace)
        return _report(result, record, workspace if keep else None)


def _question(asked: Asked) -> dict[str, object]:
    return {"parameters": dict(asked.parameters), "allow_live": asked.allow_live}


def _forget_compiled(interpreter: Interpreter, workspace: Workspace) -> None:
    """The workspace's own modules were compiled beside the environment's, and go with it; those of killed replays go, too."""
    if interpreter.built is None:
        return
    shutil.rmtree(f"{compiled(interpreter.built)}{workspace.base}", ignore_errors=True)
    for left in Path(f"{compiled(interpreter.built)}{workspace.base.parent}").glob(f"{WORKSPACE_PREFIX}*"):
        if not (workspace.base.parent / left.name).exists():
            shutil.rmtree(left, ignore_errors=True)


def _spec(
    plan: Plan,
    workspace: Workspace,
    pipes: Pipes,
    settings: Settings,
    store: Store,
    *,
    interpreter: Interpreter,
    editable: tuple[Package, ...],
) -> ChildSpec:
    record, built = plan.record, interpreter.built
    paths: tuple[str, ...] = ()
    if built is not None:  # it has nothing installed in editable form
        write_metadata(editable, workspace.base / _EDITABLE)
        paths = (*editable_paths(editable, record, workspace.root), str(workspace.base / _EDITABLE))
    return ChildSpec(
        record=record,
        base=str(workspace.base),
        folders=Folders.of(places(plan, workspace, settings, store.url, built.paths if built else ())),
        substitutes=plan.substitutes,
        code_replaced=plan.code_path is not None,
        code_root=code_root(record),
        info=ReplayInfo(replay_of=record.flow.run_id, requested_by=requested_by(), workspace=str(workspace.root)),
        tolerances=settings.tolerances,
        notes=plan.notes,
        alive=pipes.alive,
        progress=pipes.progress,
        paths=paths,
    )


def recorded_environment(record: RunRecord, store: Store) -> Environment | None:
    """The environment of the original; a replay can do without, and says so in what differs."""
    ref = record.flow.environment
    if ref is None or ref.blob is None:
        return None
    return Environment.model_validate_json(store.get(ref.blob.digest))


def _verify(plan: Plan, store: Store) -> None:
    """Read every blob that is not laid out as a file: one that was altered is found before anything runs."""
    laid_out = {blob.digest for blob in plan.files.values()}
    for digest in plan.blobs:
        if digest not in laid_out:
            store.get(digest)


def _silent(step: str, done: int, total: int) -> None:
    """Nobody wants to know."""


def _report(result: ChildResult, record: RunRecord, kept: Workspace | None) -> ReplayReport:
    outcome = result.outcome
    if outcome is None:
        raise _raised(result.failure or Failure(kind="ReplayError", what="the replay left no outcome"))
    return ReplayReport(
        run_id=record.flow.run_id,
        run_name=record.flow.run_name,
        flow=record.flow.flow_name,
        replay_run_id=outcome.replay_run_id,
        verdict=outcome.verdict,
        steps=outcome.steps,
        result=outcome.result,
        first_divergence=outcome.first_divergence,
        notes=outcome.notes,
        environment=result.environment,
        workspace=str(kept.root) if kept is not None else None,
        first_inexact=outcome.first_inexact,
        values=outcome.values,
        tolerances=outcome.tolerances,
        report=outcome.report,
    )


def _raised(failure: Failure) -> LineageError:
    """The child's error, of the class it had where that takes no more than what, why and fix."""
    kind = getattr(errors_module, failure.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, LineageError) and kind.__init__ is LineageError.__init__):
        kind = ReplayError
    error: LineageError = kind(failure.what, why=failure.why, fix=failure.fix)
    return error
