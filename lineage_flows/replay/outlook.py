"""Says before anything runs what a replay would do: which steps it executes, what it restores, what is missing, what to expect.

Knows the run record, the store and what is installed here; executes nothing, and asks no index.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lineage_flows.errors import LineageError
from lineage_flows.replay.asked import Asked, check_parameters, choose_steps
from lineage_flows.replay.choice import Choice, EnvironmentMode, choose
from lineage_flows.replay.find import find_record
from lineage_flows.replay.matching import started_alone
from lineage_flows.replay.plan import check_code, check_level, first_reads, is_substituted, make_plan, members
from lineage_flows.replay.planned import EnvironmentOutlook, Expected, Missing, ReplayPlan, StepOutlook
from lineage_flows.replay.run import recorded_environment
from lineage_flows.settings import Settings, load_settings

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.records import BlobRef, Environment, Gap, Ledger, RandomStates, RunRecord, StepRecord

__all__ = ["plan_replay", "plan_run"]

_GPU = "CUDA_VISIBLE_DEVICES"
_READS = "reads "
_SECRET = "secret"  # noqa: S105 - the word the ledger uses


def plan_replay(
    reference: str,
    *,
    settings: Settings | None = None,
    code_path: Path | None = None,
    environment: EnvironmentMode = "auto",
    asked: Asked | None = None,
) -> ReplayPlan:
    """Say what ``replay_run`` with the same arguments would do; nothing is executed, built or written.

    Args:
        reference: run id, unique prefix of one, or run name.
        settings: where graph and blobs lie; read from environment and pyproject.toml when None.
        code_path: a folder whose code would be executed in place of the captured code.
        environment: see ``replay_run``.
        asked: see ``replay_run``.

    Raises:
        UnknownReferenceError: nothing is called so; AmbiguousReferenceError: more than one run is.
        ReplayError: the run has no record: it goes on, was killed, or is a subflow's.
        RecordFormatError: its record is not one this version reads.
        ContentError: the record itself is missing or altered.
    """
    from lineage_flows.content import open_store

    settings = settings or load_settings()
    store = open_store(settings.blobs_url)
    record, notes, _ = find_record(reference, settings, store)
    return plan_run(record, store, settings, code_path=code_path, environment=environment, notes=notes, asked=asked)


def plan_run(
    record: RunRecord,
    store: Store,
    settings: Settings,
    *,
    code_path: Path | None = None,
    environment: EnvironmentMode = "auto",
    notes: Iterable[str] = (),
    asked: Asked | None = None,
) -> ReplayPlan:
    """The same of a record that is at hand."""
    code = code_path.absolute() if code_path else None
    asked = asked or Asked()
    chosen = choose_steps(record, asked)
    notes = (*notes, *check_parameters(record, asked.parameters), *chosen.notes)
    missing = [*_missing(record, store, code)]
    files, said = 0, tuple(notes)
    if not missing:
        try:
            plan = make_plan(record, store, code_path=code, notes=notes, restored=chosen.restored)
        except LineageError as error:
            missing.append(_of(error))
        else:
            files, said = len(plan.files), plan.notes
            missing.extend(_unkept(plan.unkept))
    recorded = _recorded(record, store, missing)
    choice = choose(environment, recorded, record, settings)
    if choice.problem is not None:
        missing.append(_of(choice.problem))
    missing.extend(_absent(record, recorded))
    steps = _steps(record, frozenset(chosen.restored))
    reasons = (*_flow_reasons(record), *_environment_reasons(choice))
    doubtful = bool(reasons) or any(step.expected == "may differ" for step in steps) or bool(missing)
    return ReplayPlan(
        run_id=record.flow.run_id,
        run_name=record.flow.run_name,
        flow=record.flow.flow_name,
        expected="impossible" if any(item.fatal for item in missing) else "may differ" if doubtful else "identical",
        steps=steps,
        reasons=reasons,
        missing=tuple(missing),
        environment=_environment(environment, choice, recorded, settings),
        files=files,
        notes=tuple(dict.fromkeys((*said, *choice.notes))),
    )


# ------------------------------------------------------------------------------------------------------------- what is missing


def _missing(record: RunRecord, store: Store, code_path: Path | None) -> Iterator[Missing]:
    """All that makes a replay impossible, where the replay itself would stop at the first."""
    try:
        check_level(record)
    except LineageError as error:
        yield _of(error)
        return  # at such a level nothing else was kept either
    try:
        check_code(record, code_path)
    except LineageError as error:
        yield _of(error)
    for digest, what in _blobs(record, store).items():
        if not store.has(digest):
            fix = "restore it from a backup of the store, or point LINEAGE_FLOWS_STORE_URL at the store that has it"
            yield Missing(what=what, why=f"blob {digest} is not in the store: it was pruned or lost", fix=fix)
    for item in record.flow.parameters:
        if item.value.blob is None and item.value.rule == _SECRET:
            why = "it is a secret, which is never kept"
            yield Missing(what=f"parameter {item.name}", why=why, fix="the flow needs a default for it", fatal=False)
        elif item.value.blob is None:
            why = item.value.note or "it was not kept"
            yield Missing(what=f"parameter {item.name}", why=why, fix="the flow needs a default for it", fatal=False)


def _blobs(record: RunRecord, store: Store) -> dict[str, str]:
    """Every blob that a replay reads and what it is to the reader; what a missing list would name is not known."""
    found: dict[str, str] = {}
    for blob, what in _named_blobs(record):
        if blob is not None:
            found.setdefault(blob.digest, what)
    code = record.flow.code
    if code is not None and code.blob is not None and store.has(code.blob.digest):
        with contextlib.suppress(LineageError):  # a list that cannot be read is told when the plan is made
            found = dict.fromkeys(members(record, store), f"a source file in {code.root}") | found
    return found


def _named_blobs(record: RunRecord) -> Iterator[tuple[BlobRef | None, str]]:
    flow = record.flow
    for item in flow.parameters:
        yield item.value.blob, f"the value of parameter {item.name}"
    if flow.code is not None:
        yield flow.code.blob, f"the source code in {flow.code.root}"
        for module in flow.code.modules:
            yield module.blob, f"the source file {module.path}"
    for step in record.steps:
        if is_substituted(step) and step.output is not None:
            yield step.output.blob, f"the captured result of step {step.task_name}#{step.index}"
    for path, dataset in first_reads(record).items():
        yield dataset.blob, f"the content of {path}"
    for states in (flow.module_random, flow.random, *(step.random for step in record.steps)):
        if states is not None:
            for blob in (states.python, states.numpy, states.numpy_import, states.torch):
                yield blob, "a state of the random generators"


def _unkept(unkept: Iterable[str]) -> Iterator[Missing]:
    for path in unkept:
        if Path(path).exists():
            why = "its content was not kept; it is used where it lies, if it is still what it was"
            yield Missing(what=f"the content of {path}", why=why, fatal=False)
        else:
            why = "its content was not kept, and it is not there any more"
            fix = "put it back as it was, or run the flow again with a larger LINEAGE_FLOWS_SIZE_CAP"
            yield Missing(what=f"the content of {path}", why=why, fix=fix)


def _recorded(record: RunRecord, store: Store, missing: list[Missing]) -> Environment | None:
    try:
        return recorded_environment(record, store)
    except LineageError as error:
        missing.append(_of(error))
        return None


def _absent(record: RunRecord, recorded: Environment | None) -> Iterator[Missing]:
    """Secrets and devices that the run had, and this process has not."""
    names: dict[str, None] = {}
    for gap in _all_gaps(record):
        if gap.kind == "variable" and _SECRET in gap.consequence and gap.what.startswith(_READS):
            names.setdefault(gap.what.removeprefix(_READS))
    for name in names:
        if name not in os.environ:
            why = "the run read this secret, whose value is never kept, and it is not set here"
            yield Missing(what=f"environment variable {name}", why=why, fix="set it before the replay", fatal=False)
    devices = recorded.variables.get(_GPU, "") if recorded is not None else ""
    if devices not in {"", "-1"} and not any(Path(place).exists() for place in ("/dev/nvidia0", "/dev/nvidiactl")):
        why = f"the run could use one ({_GPU}={devices}), and this machine has none"
        yield Missing(what="a GPU", why=why, fix="replay it on a machine that has one", fatal=False)


def _of(error: LineageError) -> Missing:
    return Missing(what=error.what, why=error.why, fix=error.fix)


# --------------------------------------------------------------------------------------------------------- what is to be expected


def _steps(record: RunRecord, chosen: frozenset[str]) -> tuple[StepOutlook, ...]:
    alone, moved = started_alone(record), _generators_moved(record)
    found = []
    for step in record.steps:
        kept = step.output is not None and step.output.blob is not None
        restored = step.run_id in chosen or (is_substituted(step) and kept)
        if restored:
            expected: Expected = "identical"
            reasons = [_why_restored(step)]
        else:
            doubts = [*_doubts(step, shared=moved and step.run_id not in alone)]
            expected = "may differ" if doubts else "identical"
            reasons = [*doubts, *_given_back(step.random, alone=step.run_id in alone)]
        found.append(
            StepOutlook(
                task=step.task_name,
                index=step.index,
                flow=step.flow_name,
                run_id=step.run_id,
                action="restored" if restored else "executed",
                expected=expected,
                reasons=tuple(dict.fromkeys(reasons)),
            )
        )
    return tuple(found)


def _why_restored(step: StepRecord) -> str:
    if not is_substituted(step):
        return "it is not among what is to be executed: its captured result is used"
    if step.unrestorable:
        return f"it reached what cannot be served again ({step.unrestorable[0]}): its captured result is used"
    return "Prefect took its result from a cache: the captured result is used"


def _doubts(step: StepRecord, *, shared: bool) -> Iterator[str]:
    """Why an executed step may come out differently."""
    if step.unrestorable:
        yield f"it reaches what cannot be served again ({step.unrestorable[0]}), and its result was not kept"
    elif step.cached:
        yield "Prefect took its result from a cache, and the result was not kept"
    if step.capture_errors:
        yield f"not all of it was captured ({step.capture_errors[0]})"
    if shared:
        yield "it ran beside others that share the global random generators: in which order they draw is not reproducible"
    yield from _gap_reasons(step.ledger)


def _gap_reasons(ledger: Ledger | None) -> Iterator[str]:
    for gap in ledger.gaps if ledger is not None else ():
        if not gap.unrestorable and not gap.what.startswith("writes "):
            yield f"it {gap.what}: {gap.consequence}"


def _given_back(states: RandomStates | None, *, alone: bool) -> Iterator[str]:
    if states is None:
        return
    if alone and any(blob is not None for blob in (states.python, states.numpy, states.torch)):
        yield "the global random generators start as they did"
    if states.entropy:
        times = "once" if len(states.entropy) == 1 else f"{len(states.entropy)} times"
        yield f"unseeded generators get the entropy they drew ({times})"


def _generators_moved(record: RunRecord) -> bool:
    """Whether anything drew from a global generator between the first and the last step."""
    states = [step.random for step in record.steps if step.random is not None]
    for name in ("python", "numpy", "torch"):
        seen = {blob.digest for state in states if (blob := getattr(state, name)) is not None}
        if len(seen) > 1:
            return True
    return False


def _flow_reasons(record: RunRecord) -> Iterator[str]:
    for flow in (record.flow, *record.subflows):
        if flow.unrestorable:
            yield f"flow {flow.flow_name}: its own code reaches {flow.unrestorable[0]}, and is executed again"
        if flow.capture_errors:
            yield f"flow {flow.flow_name}: not all of it was captured ({flow.capture_errors[0]})"
        for reason in _gap_reasons(flow.ledger):
            yield f"flow {flow.flow_name}: {reason}"


def _environment_reasons(choice: Choice) -> Iterator[str]:
    if choice.how == "current" and choice.differences:
        yield f"other packages are used than then: {', '.join(choice.differences[:6])}"


def _all_gaps(record: RunRecord) -> Iterator[Gap]:
    ledgers = [flow.ledger for flow in (record.flow, *record.subflows)] + [step.ledger for step in record.steps]
    for ledger in ledgers:
        yield from ledger.gaps if ledger is not None else ()


def _environment(
    asked: EnvironmentMode, choice: Choice, recorded: Environment | None, settings: Settings
) -> EnvironmentOutlook:
    from lineage_flows.replay.environments import is_ready

    wanted = choice.wanted
    return EnvironmentOutlook(
        asked=asked,
        chosen=choice.how,
        reason=choice.reason,
        differences=choice.differences,
        packages=len(recorded.packages) if recorded is not None else None,
        ready=choice.how == "current" or (wanted is not None and is_ready(settings.home, wanted.digest)),
        problem="" if choice.problem is None else choice.problem.why,
    )
