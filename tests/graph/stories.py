"""Made-up runs: steps with known and unknown inputs, files read and written, subflows, steps that call steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from lineage_flows.records import (
    DatasetRef,
    EntryPoint,
    FlowRecord,
    FunctionRef,
    InputRef,
    RunRecord,
    Source,
    SourceTree,
    StepRecord,
    ValueRef,
    value_uri,
)
from tests.support.records import NAMESPACE, at, fingerprint

CONTENTS = ("true", "frame", "model")
"""So few that values of different steps and runs are equal all the time."""


@dataclass(frozen=True)
class Made:
    """A value that a run gave out."""

    run_id: str
    uri: str
    value: ValueRef


def run_id(run: int, number: int) -> str:
    """Id of the n-th thing of a run."""
    return f"{run:08x}-0000-7000-8000-{number:012x}"


@st.composite
def stories(draw: Any, run: int = 1, files: tuple[str, ...] = ("/desk/a", "/desk/b"), code: str = "tree") -> RunRecord:
    """A run of at most seven steps.

    Args:
        draw: hypothesis's.
        run: what its ids begin with; later runs happen later.
        files: what its steps may read and write.
        code: what its code hashes to.
    """
    root_id, sub_id = run_id(run, 0), run_id(run, 1)
    with_subflow = draw(st.booleans())
    clock = run * 1000
    made: list[Made] = []
    sub_made: list[Made] = []
    steps: list[StepRecord] = []
    sub: FlowRecord | None = None
    for number in range(draw(st.integers(1, 7))):
        clock += 10
        inside = with_subflow and draw(st.booleans())
        if inside and sub is None:
            sub, sub_made = _subflow(draw, sub_id, root_id, clock, made)
            clock += 1
        siblings = [step for step in steps if step.flow_run_id == (sub_id if inside else root_id)]
        caller = draw(st.sampled_from(siblings)) if siblings and draw(st.integers(0, 5)) == 0 else None
        step = StepRecord(
            run_id=run_id(run, number + 2),
            flow_run_id=sub_id if inside else root_id,
            root_run_id=root_id,
            flow_name="sub" if inside else "story",
            task_name=draw(st.sampled_from(("load", "fit"))),
            run_name=f"step-{number}",
            function=FunctionRef(
                name="fn", module="m", digest=draw(st.sampled_from((None, f"sha256:{code}-function")))
            ),
            state="Completed",
            state_type="COMPLETED",
            started=at(clock),
            ended=at(clock + 5),
            parent_step_id=caller.run_id if caller else None,
            inputs=tuple(
                _input(draw, name, sub_made if inside else made) for name in ("x", "y")[: draw(st.integers(0, 2))]
            ),
            output=draw(st.one_of(st.none(), values())),
            datasets=tuple(draw(st.lists(touched(files, clock, clock + 40), max_size=2))),
        )
        steps.append(step)
        if step.output is not None:
            produced = Made(step.run_id, value_uri(NAMESPACE, "task-run", step.run_id, "result"), step.output)
            (sub_made if inside else made).append(produced)
            if caller is not None:
                (sub_made if inside else made).remove(produced)  # only the body of its caller sees it
    if sub is not None:
        inside_sub = tuple(draw(st.lists(touched(files, run * 1000, clock + 6), max_size=2)))
        sub = sub.model_copy(update={"ended": at(clock + 6), "datasets": inside_sub, **_result(draw, sub_made)})
    root = FlowRecord(
        run_id=root_id,
        root_run_id=root_id,
        flow_name="story",
        run_name=f"story-{run}",
        function=FunctionRef(name="story", module="m"),
        entry=_ENTRY,
        state="Completed",
        state_type="COMPLETED",
        started=at(run * 1000),
        ended=at(clock + 10),
        parameters=(InputRef(name="config", value=draw(values())),),
        datasets=tuple(draw(st.lists(touched(files, run * 1000, clock + 10), max_size=4))),
        **_result(draw, made),
        code=SourceTree(digest=f"sha256:{code}", format="files", root="/desk"),
    )
    return RunRecord(flow=root, subflows=(sub,) if sub else (), steps=tuple(steps))


@st.composite
def values(draw: Any) -> ValueRef:
    """A value out of few."""
    content = draw(st.sampled_from(CONTENTS))
    return ValueRef(
        fingerprint=fingerprint(content), type="DataFrame", kind="DataSet" if content == "frame" else "Model"
    )


@st.composite
def touched(draw: Any, files: tuple[str, ...], begin: int, end: int) -> DatasetRef:
    """A file read or written, in one of two versions, at a moment between two or at one that is not known."""
    path, version = draw(st.sampled_from(files)), draw(st.sampled_from(("1", "2")))
    return DatasetRef(
        namespace="file",
        name=path,
        uri=f"file://{path}",
        path=path,
        direction=draw(st.sampled_from(("read", "write"))),
        fingerprint=fingerprint(f"{path} {version}"),
        via=("open",),
        touched=draw(st.one_of(st.none(), st.integers(begin, end).map(at))),
    )


_ENTRY = EntryPoint(path="/desk/flow.py", qualname="story", module="__main__", working_directory="/desk")


def _input(draw: Any, name: str, known: list[Made]) -> InputRef:
    """An input: what somebody gave out, or a value that came from nowhere known."""
    if known and draw(st.integers(0, 3)):
        made = draw(st.sampled_from(known))
        source = Source(run_id=made.run_id, uri=made.uri, fingerprint=made.value.fingerprint, known_by=("prefect",))
        return InputRef(name=name, value=made.value, sources=(source,))
    return InputRef(name=name, value=draw(values()))


def _result(draw: Any, made: list[Made]) -> dict[str, Any]:
    """What a flow gave out: nothing, something of its own, or something one of its steps had made."""
    value, sources = draw(st.one_of(st.none(), values())), ()
    if made and draw(st.booleans()):
        inputs = [_input(draw, "result", made) for _ in range(draw(st.integers(1, 2)))]
        by_run = {source.run_id: source for given in inputs for source in given.sources}
        sources, value = tuple(by_run.values()), draw(st.one_of(values(), st.just(inputs[0].value)))
    return {"result": value, "result_sources": sources}


def _subflow(draw: Any, sub_id: str, root_id: str, clock: int, made: list[Made]) -> tuple[FlowRecord, list[Made]]:
    name = draw(st.sampled_from(("p", "result")))
    parameter = _input(draw, name, made)
    uri = value_uri(NAMESPACE, "flow-run", sub_id, f"parameter/{name}")
    flow = FlowRecord(
        run_id=sub_id,
        root_run_id=root_id,
        parent_run_id=root_id,
        flow_name="sub",
        run_name="sub",
        function=FunctionRef(name="sub", module="m"),
        entry=_ENTRY,
        state="Completed",
        state_type="COMPLETED",
        started=at(clock),
        ended=at(clock + 1),
        parameters=(parameter,),
    )
    return flow, [Made(sub_id, uri, parameter.value)]
