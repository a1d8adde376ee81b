"""What is left to say where nothing that was recorded explains a difference: what was compared, and what was not.

Knows records; must not know how causes are found.
"""

from __future__ import annotations

from collections.abc import Collection

from lineage_flows.compare.code import ComparedCode
from lineage_flows.records import FlowRecord, RandomStates, RunRecord, StepRecord

__all__ = ["hints"]

_MOST = 6


def hints(
    a: StepRecord | FlowRecord,
    b: StepRecord | FlowRecord,
    runs: tuple[RunRecord, RunRecord],
    code: ComparedCode,
    touched: Collection[str],
) -> list[str]:
    """What is known to make runs differ, then what was compared and what was not.

    Args:
        a: the step or flow of the one run.
        b: the same of the other; ``a`` itself where only one run has the step.
        runs: the two runs.
        code: what is known of their code.
        touched: names of the files that either run read or wrote.
    """
    said: list[str] = []
    if a is b:
        said.extend([*_ended(runs), *_read_by_flows(runs[0])])
    elif isinstance(a, StepRecord):
        said.extend(f"it read what cannot be served again: {item}" for item in a.unrestorable[:_MOST])
        beside = [
            step.task_name
            for step in runs[0].steps
            if step.run_id != a.run_id and step.flow_run_id == a.flow_run_id and _overlap(a, step)
        ]
        if beside and (_draws(a.random) or _draws(b.random)):
            said.append(f"it ran at the same time as {beside[0]}, and threads share the global random generators")
        if a.random is None:
            said.append("the original's random state was not recorded")
    else:
        said.extend(_read_by_flows(runs[0]))
    others = [path for path in code.others if path not in touched]
    if others:
        more = f" and {len(others) - _MOST} more" if len(others) > _MOST else ""
        said.append(
            f"files of the project that are no Python differ, and nobody was seen reading them: {', '.join(others[:_MOST])}{more}"
        )
    said.extend(_left_out(runs[1]))
    return [*said, _compared(runs, code)]


def _left_out(run: RunRecord) -> list[str]:
    """What restored steps may have left behind beside their results: nobody recorded that."""
    names = list(dict.fromkeys(step.task_name for step in run.steps if step.restored))
    if not names:
        return []
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return [
        f"{', '.join(names[:_MOST])}{more} got a captured result and did not run: what else it did (a global variable, "
        "numbers drawn from a shared generator, a file removed) is missing"
    ]


def _parameters(runs: tuple[RunRecord, RunRecord]) -> tuple[list[str], list[str]]:
    """Names of the flow's parameters that are another, and of those of which nobody can tell (secrets)."""
    old, new = ({item.name: item.value.fingerprint for item in run.flow.parameters} for run in runs)
    names = list(dict.fromkeys([*old, *new]))
    unknown = [name for name in names if None in (old.get(name), new.get(name))]
    return [name for name in names if name not in unknown and old[name] != new[name]], unknown


def _ended(runs: tuple[RunRecord, RunRecord]) -> list[str]:
    """How the other run's flow ended, where the first one's did not end so: no step comes after that."""
    error = runs[1].flow.error
    if error is None or runs[0].flow.error is not None:
        return []
    return [f"the flow of the other run raised {error.type}: {error.message}"]


def _read_by_flows(run: RunRecord) -> list[str]:
    """What the functions of flows read themselves beside local files: a replay puts results of steps in place, not of flows."""
    read = {
        f"the function of flow {flow.flow_name} read what cannot be served again: {dataset.uri}": None
        for flow in (run.flow, *run.subflows)
        for dataset in flow.datasets
        if dataset.direction == "read" and not dataset.uri.startswith(("file:", "prefect:"))
    }
    return list(read)[:_MOST]


def _compared(runs: tuple[RunRecord, RunRecord], code: ComparedCode) -> str:
    equal, open_ = [], []
    if code.same:
        equal.append("the code (what was captured was executed)")
    elif code.old is not None and code.new is not None:
        equal.append("its own code and the code it reaches by name")
    else:
        equal.append("its own code")
        open_.append("the project's other code, which was not kept")
    changed, unknown = _parameters(runs)
    equal.extend(
        [
            "its inputs",
            *([] if changed or unknown else ["the flow's parameters"]),
            "the files that were seen being read",
        ]
    )
    if changed:
        open_.append(f"whether it used the flow's parameter {', '.join(changed)}, which is another")
    if unknown:
        open_.append(f"the flow's parameter {', '.join(unknown)}, which has no fingerprint")
    if None not in [run.flow.environment for run in runs]:
        equal.append("the recorded environment")
    else:
        open_.append("the environment, which was not recorded")
    open_.extend(
        [
            "environment variables that are not recorded",
            "the clock",
            "the order of threads and of sets of text (fixed by PYTHONHASHSEED)",
            "what another run in the same process left behind (a cache, a module's global)",
        ]
    )
    return f"compared and the same: {', '.join(equal)}; not compared: {', '.join(open_)}"


def _draws(states: RandomStates | None) -> bool:
    return states is not None and (states.python is not None or states.numpy is not None)


def _overlap(a: StepRecord, b: StepRecord) -> bool:
    if not (a.started and a.ended and b.started and b.ended):
        return False
    return a.started < b.ended and b.started < a.ended
