"""The run of an event as an action, and what belongs to the run as a whole: its flow, code, environment, image and record.

Knows events as they come in, our two run facets and the keeper's claims; must not know how a graph is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from lineage_flows.graph.datasets import MADE, artifact_claim, blob_digest, image_sources
from lineage_flows.graph.identity import (
    action_arn,
    action_name,
    context_arn,
    context_name,
    fit_id,
    fit_json,
    fit_metadata,
    fit_text,
    fit_uri,
)
from lineage_flows.graph.incoming import Facet, Incoming
from lineage_flows.graph.keeper import META, PROPERTY, Claim, Link, run_handle
from lineage_flows.graph.model import DESCRIPTION_LENGTH, ActionStatus, AssociationType
from lineage_flows.graph.properties import (
    FLOW_PROPERTIES,
    STEP_PROPERTIES,
    Reader,
    decimal,
    optional,
    read_about,
    read_properties,
    time_of,
)

__all__ = ["Projected", "project_run"]

FLOW_FACET = "lineageFlows_flowRun"
TASK_FACET = "lineageFlows_taskRun"
LEDGER_FACET = "lineageFlows_ledger"

STATUS: dict[str, ActionStatus] = {
    "START": "InProgress",
    "RUNNING": "InProgress",
    "COMPLETE": "Completed",
    "FAIL": "Failed",
    "ABORT": "Stopped",
}
"""What an event says of its run's status; ``OTHER`` says nothing."""

STATES = {"START": "Running", "RUNNING": "Running", "COMPLETE": "Completed", "FAIL": "Failed", "ABORT": "Aborted"}
"""The state of a run whose producer names none."""

PHASES = {"OTHER": 0, "START": 1, "RUNNING": 2, "COMPLETE": 3, "FAIL": 3, "ABORT": 3}
"""Rank of events within an attempt: a START that arrives after its COMPLETE does not set the run back."""

RUN_TYPES = {"run": "FlowRun", "replay": "Replay"}
STEP_TYPES = {
    "preprocessing": "Preprocessing",
    "training": "Training",
    "postprocessing": "Postprocessing",
    "processing": "Processing",
}
FOREIGN_TYPE = "Processing"

_Facts = dict[str, str | None]


@dataclass(slots=True)
class Projected:
    """What an event says of the graph."""

    claims: list[Claim] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def project_run(event: Incoming, run_id: str) -> Projected:
    """The action of a run, and the artifacts and context that belong to the run as a whole.

    Raises:
        EventError: one of our facets is malformed.
    """
    if (flow := event.run_facet(FLOW_FACET)) is not None:
        return _Run(event, run_id).flow_run(flow)
    if (task := event.run_facet(TASK_FACET)) is not None:
        return _Run(event, run_id).task_run(task)
    return _Run(event, run_id).foreign()


class _Run:
    """Projects one event of one run."""

    def __init__(self, event: Incoming, run_id: str) -> None:
        self.event = event
        self.run_id = run_id
        self.handle = run_handle(run_id)
        self.out = Projected()

    def flow_run(self, facet: Facet) -> Projected:
        """A flow run, or a replay of one."""
        event = self.event
        flow = facet.text("flow") or event.job
        facts = self.common(facet, FLOW_PROPERTIES)
        facts["type"] = RUN_TYPES.get(facet.text("kind") or "run", "FlowRun")
        facts[f"{PROPERTY}flow"] = fit_text(flow)
        self.belongs_to_flow(flow)
        if parent := facet.run_id("parentRunId"):
            self.link(self.handle, run_handle(parent), "AssociatedWith")
        if (code := facet.object("code")) is not None:
            facts |= self.code(code)
        if (environment := facet.object("environment")) is not None:
            self.environment(environment)
        if image := facet.text("image"):
            self.image(image)
        if (record := facet.object("runRecord")) is not None:
            facts |= self.run_record(record)
        if (replay := facet.object("replay")) is not None:
            facts |= self.replay(replay)
        self.act(
            flow, facts, f"prefect://{quote(event.namespace, safe='')}/flow-run/{self.run_id}", "PrefectFlowRun", facet
        )
        return self.out

    def task_run(self, facet: Facet) -> Projected:
        """A task run: a step."""
        event = self.event
        task = facet.text("task") or event.job
        facts = self.common(facet, STEP_PROPERTIES)
        facts["type"] = STEP_TYPES.get(facet.text("kind") or "processing", FOREIGN_TYPE)
        facts[f"{PROPERTY}task"] = fit_text(task)
        for container in (facet.run_id("flowRunId") or self.parent_run(), facet.run_id("parentStepId")):
            if container:
                self.link(self.handle, run_handle(container), "AssociatedWith")
        if (function := facet.object("function")) is not None:
            facts |= self.function(function)
        self.act(
            task, facts, f"prefect://{quote(event.namespace, safe='')}/task-run/{self.run_id}", "PrefectTaskRun", facet
        )
        return self.out

    def foreign(self) -> Projected:
        """A run of another producer."""
        event = self.event
        facts: _Facts = {"type": FOREIGN_TYPE, f"{PROPERTY}name": fit_text(event.job), **self.state(None)}
        if event.kind == "START":
            facts[f"{PROPERTY}started"] = event.time
        if kind := event.job_facet("jobType"):
            facts[f"{PROPERTY}jobType"] = optional(kind.text("jobType"))
        if (nominal := event.run_facet("nominalTime")) and (start := nominal.text("nominalStartTime")):
            facts[f"{PROPERTY}nominalStart"] = fit_text(start)
        if (parameters := event.run_facet("executionParameters")) and (listed := parameters.objects("parameters")):
            facts[f"{PROPERTY}parameters"] = fit_json({item.text("key") or "": item.raw("value") for item in listed})
        if parent := self.parent_run():
            facts[f"{PROPERTY}parentRunId"] = parent
            self.link(self.handle, run_handle(parent), "AssociatedWith")
        else:
            facts[f"{PROPERTY}flow"] = fit_text(event.job)
            self.belongs_to_flow(event.job)
        uri = f"openlineage://{quote(event.namespace, safe='')}/{quote(event.job, safe='')}/run/{self.run_id}"
        self.act(event.job, facts, uri, "OpenLineageRun", None)
        return self.out

    def act(self, label: str, facts: _Facts, uri: str, source_type: str, facet: Facet | None) -> None:
        """Claim the action itself."""
        event = self.event
        facts |= self.metadata(facts)
        name = action_name(label, self.run_id)
        attempt = (facet.number("attempt") if facet else None) or 1
        stamp = f"{min(max(attempt, 1), 9999):04d}.{PHASES[event.kind]}.{event.time}"
        sources = ((source_type, self.run_id),)
        facts = {key: value for key, value in facts.items() if value is not None or key in _RETRACTED}
        self.out.claims.append(
            Claim("Action", action_arn(name), name, fit_uri(uri), sources, self.handle, stamp, event.time, facts)
        )

    def common(self, facet: Facet, properties: dict[str, Reader]) -> _Facts:
        """Properties that are said by the facet as they are, and the state."""
        return read_properties(facet, properties) | read_about(self.event) | self.state(facet) | self.gaps()

    def gaps(self) -> _Facts:
        """What the run did that its lineage does not hold, in words; as much as fits, the whole stands in the run record."""
        ledger = self.event.run_facet(LEDGER_FACET)
        said = [f"{gap.text('what')}: {gap.text('consequence')}" for gap in ledger.objects("gaps")] if ledger else []
        return {f"{PROPERTY}gaps": fit_json(said)} if said else {}

    def state(self, facet: Facet | None) -> _Facts:
        """How the run stands. What one attempt said of end and error, the start of another takes back."""
        event = self.event
        facts: _Facts = {}
        if event.kind == "OTHER":
            return facts
        named = facet.text("state") if facet and event.kind != "START" else None
        facts["status"] = STATUS[event.kind]
        facts[f"{PROPERTY}state"] = fit_text(named or STATES[event.kind])
        ended = PHASES[event.kind] == PHASES["COMPLETE"]
        facts[f"{PROPERTY}ended"] = (time_of(facet, "ended") if facet else None) or event.time if ended else None
        error = event.run_facet("errorMessage")
        message = error.text("message") if error and event.kind in {"FAIL", "ABORT"} else None
        facts[f"{PROPERTY}error"] = optional(message)
        return facts

    def metadata(self, facts: _Facts) -> _Facts:
        """Where the code comes from, as far as nothing better was said by ``code``."""
        event = self.event
        found: _Facts = {f"{META}generated_by": fit_metadata(event.producer) if event.producer else None}
        if event.namespace:
            found[f"{META}project_id"] = fit_metadata(event.namespace)
        location = event.job_facet("sourceCodeLocation")
        if location is not None and f"{META}commit_id" not in facts:
            found |= _code_metadata(location.text("version"), location.text("repoUrl"))
        documentation = event.job_facet("documentation")
        if documentation is not None and (text := documentation.text("description")):
            found["description"] = fit_text(text, DESCRIPTION_LENGTH)
        return found

    def belongs_to_flow(self, flow: str) -> None:
        """The flow as a context, and the run in it."""
        namespace = self.event.namespace
        name = context_name(namespace, flow)
        uri = fit_uri(f"prefect://{quote(namespace, safe='')}/flow/{quote(flow, safe='')}")
        facts = {"type": "Flow", f"{PROPERTY}flow": fit_text(flow), f"{PROPERTY}namespace": fit_text(namespace)}
        self.out.claims.append(
            Claim(
                "Context", context_arn(name), name, uri, (("Flow", fit_id(flow)),), None, MADE, self.event.time, facts
            )
        )
        self.link(self.handle, context_arn(name), "AssociatedWith")

    def code(self, code: Facet) -> _Facts:
        """The source tree; what differs between runs of one tree (branch, dirty) is the run's."""
        metadata = _code_metadata(code.text("commit"), code.text("remote"))
        if digest := code.text("digest"):
            facts: _Facts = {
                f"{PROPERTY}format": optional(code.text("format")),
                f"{PROPERTY}blob": optional(blob_digest(code)),
                f"{PROPERTY}files": decimal(code.number("files")),
            }
            self.contributes("SourceTree", "source-tree", digest, facts | metadata)
        dirty = code.flag("dirty")
        return {
            **metadata,
            f"{PROPERTY}branch": optional(code.text("branch")),
            f"{PROPERTY}dirty": None if dirty is None else str(dirty).lower(),
        }

    def environment(self, environment: Facet) -> None:
        """The environment: everything in it is in its digest."""
        if digest := environment.text("digest"):
            python, platform = environment.text("python"), environment.text("platform")
            named = " on ".join(part for part in (python and f"Python {python}", platform) if part)
            facts: _Facts = {
                f"{PROPERTY}name": optional(named or None),
                f"{PROPERTY}python": optional(python),
                f"{PROPERTY}platform": optional(platform),
                f"{PROPERTY}blob": optional(blob_digest(environment)),
            }
            self.contributes("Environment", "environment", digest, facts)

    def image(self, image: str) -> None:
        """The container image under its own reference, so that it is the one SageMaker's jobs name too."""
        self.contributes_artifact("Image", image, image_sources(image), image, {})

    def function(self, function: Facet) -> _Facts:
        """The task's function by what its source hashes to."""
        name, module = function.text("name"), function.text("module")
        qualified = ".".join(part for part in (module, name) if part)
        if digest := function.text("digest"):
            facts: _Facts = {f"{PROPERTY}name": optional(name), f"{PROPERTY}blob": optional(blob_digest(function))}
            self.contributes("SourceCode", "source-code", digest, facts)
        return {
            f"{PROPERTY}function": optional(qualified),
            f"{PROPERTY}functionPath": optional(function.text("path")),
            f"{PROPERTY}functionLine": decimal(function.number("line")),
        }

    def run_record(self, record: Facet) -> _Facts:
        """The run record, which the run produced."""
        digest, size = record.text("digest"), decimal(record.number("size"))
        if digest is None:
            return {}
        uri = f"prefect://{quote(self.event.namespace, safe='')}/flow-run/{self.run_id}/record"
        facts: _Facts = {"type": "RunRecord", f"{PROPERTY}blob": fit_text(digest)}
        if size is not None:
            facts[f"{PROPERTY}size"] = size
        claim = artifact_claim(
            uri, (("Custom", fit_id(digest)),), "run-record", stamp=MADE, time=self.event.time, facts=facts
        )
        self.out.claims.append(claim)
        self.link(self.handle, claim.arn, "Produced")
        return {f"{PROPERTY}runRecord": fit_text(digest), f"{PROPERTY}runRecordSize": size}

    def replay(self, replay: Facet) -> _Facts:
        """What the run repeats, and which of its values turned out the same."""
        original = replay.run_id("replayOf")
        if original is None:
            return {}
        # AWS suggests that the destination of DerivedFrom is the derived one, and restricts nothing; this project's design
        # says it as it is read: the replay is DerivedFrom the run.
        self.link(self.handle, run_handle(original), "DerivedFrom")
        if replay.text("result") == "identical":
            self.same(f"flow-run/{self.run_id}/result", f"flow-run/{original}/result")
        for step in replay.objects("steps"):
            pair = step.run_id("replayRunId"), step.run_id("originalRunId")
            if step.text("verdict") == "identical" and pair[0] and pair[1]:
                self.same(f"task-run/{pair[0]}/result", f"task-run/{pair[1]}/result")
        return {
            f"{PROPERTY}replayOf": original,
            f"{PROPERTY}verdict": optional(replay.text("verdict")),
            f"{PROPERTY}firstDivergence": decimal(replay.number("firstDivergence")),
        }

    def contributes(self, kind: str, what: str, digest: str, facts: _Facts) -> None:
        """An artifact that is nothing but its content went into the run."""
        uri = f"urn:lineage-flows:{what}:{quote(digest, safe=':')}"
        self.contributes_artifact(kind, uri, (("Custom", fit_id(digest)),), what, facts)

    def contributes_artifact(
        self, kind: str, uri: str, sources: tuple[tuple[str, str], ...], label: str, facts: _Facts
    ) -> None:
        known: _Facts = {key: value for key, value in facts.items() if value is not None}
        claim = artifact_claim(uri, sources, label, stamp=MADE, time=self.event.time, facts=known | {"type": kind})
        self.out.claims.append(claim)
        self.link(claim.arn, self.handle, "ContributedTo")

    def parent_run(self) -> str | None:
        """The run that the standard facet names as the parent."""
        parent = self.event.run_facet("parent")
        run = parent.object("run") if parent else None
        found = run.run_id("runId") if run else None
        return None if found == self.run_id else found

    def same(self, replayed: str, original: str) -> None:
        self.link(replayed, original, "SameAs")

    def link(self, source: str, destination: str, kind: AssociationType) -> None:
        if source != destination:
            self.out.links.append(Link(source, destination, kind, self.event.time))


_RETRACTED = frozenset({f"{PROPERTY}ended", f"{PROPERTY}error"})
"""Facts whose absence is said too: a run that ended once and goes on has no end, and one that recovered no error."""


def _code_metadata(commit: str | None, repository: str | None) -> _Facts:
    found: Iterable[tuple[str, str | None]] = (("commit_id", commit), ("repository", repository))
    return {f"{META}{key}": fit_metadata(text) for key, text in found if text}
