"""What of a run is asked to be executed again: all of it, from a step on, some steps only; and with which other parameters.

Knows the run record; executes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from lineage_flows.errors import AmbiguousReferenceError, ReplayError, UnknownReferenceError
from lineage_flows.records import BlobRef, DatasetRef, RunRecord, StepRecord
from lineage_flows.redaction import is_secret_name, redact

__all__ = ["Asked", "Chosen", "check_parameters", "choose_steps"]

_SHORTEST = 4
_NAMED = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """The question a replay answers.

    Attributes:
        from_step: only this step, and what depends on it, is executed; what came before is restored.
        only: only these steps are executed.
        parameters: what the flow is called with in place of what the original had, by name.
        allow_live: whether a step that reads what lineage cannot serve again may read it where it is, when what it was given is
            not what it was given then.
    """

    from_step: str | None = None
    only: Sequence[str] = ()
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    allow_live: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """Steps whose captured result takes the place of executing them: run id -> their output; and what is to be said of it."""

    restored: dict[str, BlobRef] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def check_parameters(record: RunRecord, parameters: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """What is to be said of changed parameters.

    Raises:
        ReplayError: the flow has none of that name.
    """
    known = {item.name: item.value for item in record.flow.parameters}
    said = []
    for name, value in parameters.items():
        if name not in known:
            raise ReplayError(
                f"flow {record.flow.flow_name} has no parameter {name!r}",
                fix=f"it has {', '.join(known) or 'none'}",
            )
        before = known[name]
        if before.rule == "secret" or is_secret_name(name):
            said.append(f"what if: parameter {name}, a secret, is another")
            continue
        shown = f" in place of {before.preview!r}" if before.preview is not None else ""
        said.append(redact(f"what if: parameter {name} is {value!r}{shown}"))
    return tuple(said)


def choose_steps(record: RunRecord, asked: Asked) -> Chosen:
    """Which steps are restored, so that only what is asked for is executed.

    A step is restored when its result was kept (level ``all``) and the result is all that it gave: it wrote no data, changed none
    of its inputs in place and called no other step. The others are executed, and named.

    Raises:
        ReplayError: a whole run and some steps are asked for at once.
        UnknownReferenceError: no step is called so.
        AmbiguousReferenceError: the start of an id fits several.
    """
    if asked.from_step is None and not asked.only:
        return Chosen()
    if asked.from_step is not None and asked.only:
        raise ReplayError("from a step on, and only some steps, are asked for at once", fix="give one of the two")
    if asked.from_step is not None:
        wanted = _with_all_after(record, _named(record, asked.from_step))
        question = f"only {asked.from_step} and what depends on it was to be executed"
    else:
        wanted = {run_id for name in asked.only for run_id in _named(record, name)}
        question = f"only {', '.join(asked.only)} was to be executed"
    wanted = _with_family(record, wanted)
    others = [step for step in record.steps if step.run_id not in wanted]
    changers = _changers(record)
    callers = {step.parent_step_id for step in record.steps}
    if (
        asked.parameters
    ):  # what is executed may write something else then: who read that is no longer answered by what it gave
        writers = {step.run_id for step in record.steps if step.run_id in wanted or _writes(step)}
        wanted = wanted | _readers(record, writers)
        wanted = _with_family(record, wanted)
        others = [step for step in others if step.run_id not in wanted]
    restored: dict[str, BlobRef] = {}
    executed: list[StepRecord] = []
    for step in others:
        whole = step.run_id not in callers and step.run_id not in changers and not _writes(step)
        if step.output is not None and step.output.blob is not None and step.state_type == "COMPLETED" and whole:
            restored[step.run_id] = step.output.blob
        else:
            executed.append(step)
    return Chosen(restored, (question, *_said(executed)))


def _said(executed: Sequence[StepRecord]) -> Iterable[str]:
    if not executed:
        return
    names = list(dict.fromkeys(step.task_name for step in executed))
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    yield f"executed all the same, since their results were not kept (level all keeps them) or are not all that they gave: {shown}"


def _named(record: RunRecord, name: str) -> set[str]:
    """The steps of a task, one of them (``task#2``), or the one with a run name or an id or its start."""
    task, mark, number = name.rpartition("#")
    ways = (
        [step for step in record.steps if step.task_name == name],
        [step for step in record.steps if mark and step.task_name == task and str(step.index) == number],
        [step for step in record.steps if step.run_name == name],
    )
    for found in ways:
        if found:
            return {step.run_id for step in found}
    starting = [step.run_id for step in record.steps if len(name) >= _SHORTEST and step.run_id.startswith(name.lower())]
    if len(starting) > 1:
        raise AmbiguousReferenceError(name, tuple(starting))
    if not starting:
        tasks = ", ".join(dict.fromkeys(step.task_name for step in record.steps))
        error = UnknownReferenceError(name, fix=f"it has {tasks}" if tasks else "")
        error.what = f"run {record.flow.run_id} ({record.flow.run_name}) has no step {name!r}"
        raise error
    return set(starting)


def _with_all_after(record: RunRecord, first: set[str]) -> set[str]:
    """Steps and all that depend on them: by Prefect's links, by where inputs came from, by data one wrote and another read."""
    wanted = set(first)
    grown = True
    while grown:
        written = {
            item.uri for step in record.steps if step.run_id in wanted for item in step.datasets if _is_written(item)
        }
        more = {
            step.run_id
            for step in record.steps
            if step.run_id not in wanted
            and (
                not wanted.isdisjoint(step.upstream)
                or any(source.run_id in wanted for item in step.inputs for source in item.sources)
                or step.parent_step_id in wanted
                or any(item.uri in written for item in step.datasets if item.direction == "read")
            )
        }
        wanted |= more
        grown = bool(more)
    return wanted


def _readers(record: RunRecord, writers: set[str]) -> set[str]:
    """Steps that read what one of some other steps wrote."""
    steps = [step for step in record.steps if step.run_id in writers]
    by_uri: dict[str, set[str]] = {}
    for step in steps:
        for item in step.datasets:
            if _is_written(item):
                by_uri.setdefault(item.uri, set()).add(step.run_id)
    return {
        step.run_id
        for step in record.steps
        for item in step.datasets
        if item.direction == "read" and by_uri.get(item.uri, set()) - {step.run_id}
    }


def _with_family(record: RunRecord, wanted: set[str]) -> set[str]:
    """With the steps that call them, which have to run for it, and those that they call."""
    parents = {step.run_id: step.parent_step_id for step in record.steps}
    callers = {flow.run_id: flow.parent_step_id for flow in record.subflows}
    by_flow = {step.run_id: callers.get(step.flow_run_id) for step in record.steps}
    found = set(wanted)
    for step in record.steps:
        line = [step.run_id]
        while (above := parents.get(line[-1]) or by_flow.get(line[-1])) is not None and above not in line:
            line.append(above)
        if step.run_id in wanted:
            found.update(line)
        elif not wanted.isdisjoint(line):
            found.add(step.run_id)
    return found


def _changers(record: RunRecord) -> set[str]:
    """Steps that changed in place what they were given: another step took it as they left it."""
    return {
        source.run_id
        for step in record.steps
        for item in step.inputs
        for source in item.sources
        if "mutation" in source.known_by
    }


def _writes(step: StepRecord) -> bool:
    return any(_is_written(item) for item in step.datasets)


def _is_written(item: DatasetRef) -> bool:
    return item.direction == "write"
