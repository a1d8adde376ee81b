"""The verb ``show``: everything that was recorded of one run, or of one dataset or value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.api import RunSummary
    from lineage_flows.records import FlowRecord, RunRecord, StepRecord

__all__ = ["show"]

_MOST_NAMED = 6


def show(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(help="Run id or its start, or run name; or a dataset's URI or ARN.", show_default=False)
    ],
    gaps: Annotated[
        bool, typer.Option("--gaps", help="What lineage does not hold of the run, or of the step that RUN names.")
    ] = False,
    as_json: AsJson = False,
) -> Answer:
    """Show one run: parameters, code, environment, steps, files, metrics, and how to replay it; or one dataset."""
    from lineage_flows.cli.columns import shown_artifact

    if gaps:
        from lineage_flows.cli.gaps import ledger_document, shown_ledger

        with opened(context) as graph:
            found = graph.gaps(run)
        return Answer(ledger_document(found), lambda: shown_ledger(found), as_json)
    with opened(context) as graph:
        if (artifact := shown_artifact(graph, run)) is not None:
            return Answer(artifact.document, artifact.shown, as_json)
        summary = graph.run(run)
        record = graph.record(summary.run_id) if summary.record_digest is not None else None
    document = {"run": summary, "record": record, "replay_command": f"lineage-flows replay {summary.run_id}"}
    return Answer(document, lambda: _shown(summary, record), as_json)


def _shown(summary: RunSummary, record: RunRecord | None) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import facts, note
    from lineage_flows.ui.text import duration, duration_text, moment

    yield from _title(summary)
    if record is None:
        took = duration_text(duration(summary.started, summary.ended))
        yield facts([("run", summary.run_id), ("started", f"{moment(summary.started)} UTC"), ("took", took)])
        yield note("There is no run record: the run has not ended yet, or its process was killed before its end.")
        return
    yield facts(_about(record))
    yield from _steps(record)
    yield from _files(record)
    yield from _models(record)
    yield from _metrics(record)
    yield from _subflows(record)
    yield from _capture_errors(record)
    yield ""
    yield f"replay it: lineage-flows replay {record.flow.run_id}"


def _title(summary: RunSummary) -> Iterator[RenderableType]:
    from rich.text import Text

    from lineage_flows.cli.tables import cell, state

    yield Text.assemble(cell(f"{summary.flow} / {summary.name}", "bold"), "  ", state(summary.state))


def _about(record: RunRecord) -> Iterator[tuple[str, str | list[str]]]:
    from lineage_flows.ui.summary import code_text
    from lineage_flows.ui.text import clip, duration, duration_text, moment, short_type, value_text

    flow = record.flow
    took = duration_text(duration(flow.started, flow.ended))
    yield "run", flow.run_id
    yield "started", f"{moment(flow.started)} UTC, took {took}" if flow.ended else f"{moment(flow.started)} UTC"
    yield from _origin(flow)
    if flow.replay is not None:
        yield "replay of", flow.replay.replay_of
        if flow.replay.outcome is not None:
            yield "verdict", flow.replay.outcome.verdict
    if flow.error is not None:
        yield "error", f"{short_type(flow.error.type)}: {clip(flow.error.message, 300)}"
    yield "parameters", [f"{taken.name} = {value_text(taken.value, 70)}" for taken in flow.parameters]
    yield "result", value_text(flow.result, 70) if flow.result is not None else ""
    yield "code", code_text(flow) + (f" ({flow.code.files} files)" if flow.code else "")
    if flow.environment is not None:
        version = f", Prefect {flow.prefect_version}" if flow.prefect_version else ""
        yield "environment", f"Python {flow.environment.python} on {flow.environment.platform}{version}"
    yield "kept", f"level {flow.level}{_left_out(record)}"


def _origin(flow: FlowRecord) -> Iterator[tuple[str, str | list[str]]]:
    """What the flow is declared to be, and who started the run."""
    about, origin = flow.about, flow.origin
    if about is not None and about.documentation:
        yield "about", about.documentation.strip().partition("\n")[0]
    if about is not None and about.owners:
        yield "owners", ", ".join(about.owners)
    if flow.deployment is not None:
        version = f" {origin.deployment_version}" if origin and origin.deployment_version else ""
        named = (
            ("work pool", flow.deployment.work_pool),
            ("work queue", origin.work_queue if origin else None),
            ("worker", origin.worker if origin else None),
        )
        places = "".join(f", {what} {name}" for what, name in named if name)
        yield "deployment", f"{flow.deployment.name or flow.deployment.id}{version}{places}"
    creator = flow.created_by or (origin.name if origin else None)
    if creator:
        kind = f" ({origin.type.lower()})" if origin and origin.type else ""
        yield "started by", f"{creator}{kind}" + (", on schedule" if origin and origin.auto_scheduled else "")
    if origin is not None and origin.run_url:
        yield "in Prefect", origin.run_url


def _left_out(record: RunRecord) -> str:
    """What the rules of the settings left out of the run, in all."""
    from lineage_flows.ui.text import count

    said_by: list[FlowRecord | StepRecord] = [record.flow, *record.subflows, *record.steps]
    found = [item.policy for item in said_by if item.policy is not None]
    numbers = (
        ("dataset", sum(item.datasets for item in found)),
        ("parameter", sum(len(item.parameters) for item in found)),
        ("output", sum(item.output for item in found)),
    )
    said = [count(number, what) for what, number in numbers if number]
    return f"; left out by policy: {', '.join(said)}" if said else ""


def _steps(record: RunRecord) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, heading, state
    from lineage_flows.ui.text import count, duration, duration_text

    if not record.steps:
        return
    names = {step.run_id: _numbered(step) for step in record.steps}
    names |= {flow.run_id: flow.flow_name for flow in record.subflows}
    yield heading(count(len(record.steps), "step"))
    yield grid(
        ("#", "task", "kind", "state", "took", "inputs", "outputs"),
        [
            (
                str(step.index) if step.index >= 0 else "-",
                step.task_name,
                step.kind,
                state(step.state + (f" (attempt {step.attempt})" if step.attempt > 1 else "")),
                duration_text(duration(step.started, step.ended)),
                _inputs(step, names),
                _outputs(step),
            )
            for step in record.steps
        ],
        right=("#", "took"),
    )


def _numbered(step: StepRecord) -> str:
    return f"{step.task_name} #{step.index}" if step.index > 0 else step.task_name


def _inputs(step: StepRecord, names: dict[str, str]) -> str:
    from lineage_flows.ui.text import listing, value_text

    said = []
    for taken in step.inputs:
        sources = list(dict.fromkeys(names[source.run_id] for source in taken.sources if source.run_id in names))
        if sources:
            said.append(f"{taken.name} ← {listing(sources, limit=3)}")
        else:
            said.append(f"{taken.name} = {value_text(taken.value, 24)}")
    return _some([*said, *_touched(step, "read")])


def _outputs(step: StepRecord) -> str:
    from lineage_flows.ui.text import short, short_type

    said = [f"{short_type(step.output.type)} {short(step.output.fingerprint)}"] if step.output is not None else []
    return _some([*said, *_touched(step, "write")]) or "-"


def _touched(step: StepRecord, direction: str) -> list[str]:
    from lineage_flows.ui.text import dataset_name

    return [
        f"file {dataset_name(file)}" if file.namespace == "file" else file.name
        for file in step.datasets
        if file.direction == direction
    ]


def _some(items: list[str]) -> str:
    more = len(items) - _MOST_NAMED
    return ", ".join(items[:_MOST_NAMED]) + (f", and {more} more" if more > 0 else "")


def _files(record: RunRecord) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, heading
    from lineage_flows.ui.summary import touched, touched_by
    from lineage_flows.ui.text import count, listing, short, size_text

    files = touched(record)
    if not files:
        return
    names = touched_by(record)
    yield heading(count(len(files), "file"))
    yield grid(
        ("file", "", "by", "rows", "size", "fingerprint", "kept"),
        [
            (
                file.path or file.name,
                file.direction,
                listing(names[file.uri, file.fingerprint, file.direction], limit=3),
                "-" if file.rows is None else f"{file.rows:,}",
                size_text(file.size),
                short(file.fingerprint),
                "yes" if file.blob is not None else file.note or "no",
            )
            for file in files
        ],
        right=("rows", "size"),
    )


def _models(record: RunRecord) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, heading
    from lineage_flows.ui.summary import given_out
    from lineage_flows.ui.text import clip, count, preview_text, short, short_type

    found = {given.value.fingerprint: given for given in reversed(given_out(record)) if given.value.kind == "Model"}
    if found:
        yield heading(count(len(found), "model"))
        yield grid(
            ("model", "by", "fingerprint", "hyperparameters"),
            [
                (
                    short_type(given.value.type),
                    given.by,
                    short(given.value.fingerprint),
                    clip(preview_text(given.value.hyperparameters), 400) if given.value.hyperparameters else "-",
                )
                for given in reversed(found.values())
            ],
        )


def _metrics(record: RunRecord) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, heading
    from lineage_flows.ui.summary import metrics
    from lineage_flows.ui.text import number

    found = metrics(record)
    if found:
        yield heading("metrics")
        yield grid(
            ("metric", "value", "step"),
            [(name, number(amount), step) for step, name, amount in found],
            right=("value",),
        )


def _subflows(record: RunRecord) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, heading, state
    from lineage_flows.ui.text import count

    if record.subflows:
        yield heading(count(len(record.subflows), "subflow"))
        rows = [(flow.run_id, flow.flow_name, flow.run_name, state(flow.state)) for flow in record.subflows]
        yield grid(("run id", "flow", "name", "state"), rows, whole=("run id",))


def _capture_errors(record: RunRecord) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import cell, grid, heading
    from lineage_flows.ui.summary import capture_errors
    from lineage_flows.ui.text import count

    errors = capture_errors(record)
    if errors:
        yield heading(count(len(errors), "capture error") + ": this lineage is not whole")
        yield grid(("where", "what"), [(where, cell(text, "red")) for where, text in errors])
