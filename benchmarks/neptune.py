"""What the export of a large graph for Amazon Neptune takes: seconds, memory at its peak, and bytes.

    python benchmarks/neptune.py [--entities 100000] [--format gremlin]

The graph is made of runs of sixteen steps that share their code, environment and functions, and all read the same file; every
third step also takes in a value that came from nowhere known, so that it may come from any step before. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lineage_flows.events import Event, EventBuilder
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.neptune.export import export
from lineage_flows.graph.neptune.tables import FORMATS
from lineage_flows.graph.project import project
from lineage_flows.records import (
    DatasetRef,
    EntryPoint,
    EnvironmentRef,
    FlowRecord,
    FunctionRef,
    InputRef,
    Source,
    SourceTree,
    StepRecord,
    ValueRef,
    value_uri,
)

STEPS = 16
ENTITIES_A_RUN = 39
RUNS_AT_ONCE = 100
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    """A moment, so many seconds after the first run began."""
    return (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def run_id(run: int, number: int) -> str:
    """Id of the n-th thing of a run."""
    return f"{run:08x}-0000-7000-8000-{number:012x}"


def frame(text: str) -> ValueRef:
    """A frame whose content is a text."""
    return ValueRef(fingerprint=f"lf1:{text}", type="pandas.DataFrame", kind="DataSet")


def desk_file(name: str, direction: str, moment: str) -> DatasetRef:
    """A file that was read or written."""
    return DatasetRef.model_validate(
        {
            "namespace": "file",
            "name": f"/desk/{name}",
            "uri": f"file:///desk/{name}",
            "path": f"/desk/{name}",
            "direction": direction,
            "fingerprint": f"lf1:{name}",
            "via": ("open",),
            "touched": moment,
        }
    )


def events_of(run: int) -> Iterator[Event]:
    """What a run sends."""
    builder = EventBuilder("prefect")
    root, begin = run_id(run, 0), run * 1000.0
    flow = FlowRecord(
        run_id=root,
        root_run_id=root,
        flow_name="backtest",
        run_name=f"run-{run}",
        function=FunctionRef(name="backtest", module="backtest"),
        entry=EntryPoint(path="/desk/flow.py", qualname="backtest", module="__main__", working_directory="/desk"),
        state="Completed",
        state_type="COMPLETED",
        started=at(begin),
        ended=at(begin + 900),
        parameters=(InputRef(name="window", value=frame("20")),),
        code=SourceTree(digest="sha256:tree", format="files", root="/desk"),
        environment=EnvironmentRef(digest="sha256:environment", python="3.11.9", platform="Linux"),
    )
    yield builder.flow_event("START", flow)
    before: StepRecord | None = None
    for number in range(STEPS):
        clock = begin + 10 * (number + 1)
        inputs: tuple[InputRef, ...] = ()
        if before is not None and before.output is not None:
            uri = value_uri("prefect", "task-run", before.run_id, "result")
            made = Source(run_id=before.run_id, uri=uri, fingerprint=before.output.fingerprint, known_by=("prefect",))
            inputs = (InputRef(name="x", value=before.output, sources=(made,)),)
            if number % 3 == 0:
                inputs += (InputRef(name="y", value=frame(f"{run}-{number}-unknown")),)
        touched = {0: ("prices", "read"), STEPS - 1: (f"report-{run % 50}", "write")}.get(number)
        before = StepRecord(
            run_id=run_id(run, number + 1),
            flow_run_id=root,
            root_run_id=root,
            flow_name="backtest",
            task_name=f"task-{number}",
            run_name=f"task-{number}-0",
            function=FunctionRef(name=f"task-{number}", module="backtest", digest=f"sha256:function-{number}"),
            state="Completed",
            state_type="COMPLETED",
            started=at(clock),
            ended=at(clock + 5),
            inputs=inputs,
            output=frame(f"{run}-{number}"),
            datasets=() if touched is None else (desk_file(*touched, at(clock)),),
        )
        yield builder.step_event("COMPLETE", before, flow)
    yield builder.flow_event("COMPLETE", flow)


def fill(path: Path, entities: int) -> None:
    """Make a graph of at least so many entities."""
    keeper = open_embedded(path)
    runs = entities // ENTITIES_A_RUN + 1
    for first in range(0, runs, RUNS_AT_ONCE):
        project([event for run in range(first, min(first + RUNS_AT_ONCE, runs)) for event in events_of(run)], keeper)
    keeper.close()


def measure(path: Path, style: str) -> None:
    """Export a graph and say what it took; in a process of its own, since memory is known by its peak alone."""
    keeper = open_embedded(path, read_only=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        done = export(keeper, Path(folder, "out"), "opencypher" if style == "opencypher" else "gremlin")
        seconds = time.perf_counter() - begin
        size = sum(file.stat().st_size for file in Path(folder, "out").iterdir())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{done.entities:>9,} entities {done.associations:>9,} associations {done.places:>9,} places {done.steps:>10,} steps "
        f"{seconds:7.1f} s {(after - peak) / 1024:6.0f} MB over {peak / 1024:.0f} MB {size / 1e6:7.0f} MB written"
    )


def main() -> None:
    """Measure a tenth of the graph, and the graph: memory should not grow as the graph does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--format", choices=FORMATS, default="gremlin")
    parser.add_argument("--graph", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fill", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.graph is not None:
        if given.fill:
            fill(given.graph, given.entities)
        else:
            measure(given.graph, given.format)
        return
    with tempfile.TemporaryDirectory() as folder:
        for entities in (given.entities // 10, given.entities):
            # Each in a process of its own: a process begins with the peak of the one that started it.
            graph = ["--graph", str(Path(folder, f"{entities}.db"))]
            subprocess.run([sys.executable, __file__, *graph, "--fill", "--entities", str(entities)], check=True)
            subprocess.run([sys.executable, __file__, *graph, "--format", given.format], check=True)


if __name__ == "__main__":
    main()
