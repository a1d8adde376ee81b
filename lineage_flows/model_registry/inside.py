"""A registration inside a run: what the run knows of the object, and of itself.

Knows what capture knows of a run that goes on; must not know AWS.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lineage_flows.capture.live import LiveFlow, LiveStep, current_flow, current_step
from lineage_flows.errors import LineageError, RegistrationError
from lineage_flows.graph.identity import value_name
from lineage_flows.model_registry.registered import RegisteredModel
from lineage_flows.model_registry.subject import MODEL, Subject
from lineage_flows.model_registry.telling import JOB
from lineage_flows.records import FlowRecord, StepRecord

if TYPE_CHECKING:
    from lineage_flows.capture.files import FileLog
    from lineage_flows.capture.session import Session
    from lineage_flows.records import DatasetRef, RunRecord, Source, SourceTree, ValueRef

__all__ = ["Inside", "inside", "recorded"]

_CODE_SECONDS: Final = 10.0
"""How long the commit is waited for, which is found out beside the flow."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The run that a registration is made in.

    Attributes:
        session: of the process.
        log: what the run touches.
        step: the task run; None in a flow's own code.
        flow: the flow run; None in a thread that does not know it.
    """

    session: Session
    log: FileLog
    step: LiveStep | None
    flow: LiveFlow | None

    @property
    def run_id(self) -> str | None:
        """Of the step, else of the flow run."""
        if self.step is not None:
            return self.step.start.run_id
        return self.flow.start.run_id if self.flow is not None else None

    @property
    def root(self) -> LiveFlow | None:
        """The flow run at the top."""
        return self.flow.root if self.flow is not None else None

    @property
    def root_run_id(self) -> str | None:
        """Its id."""
        if self.step is not None:
            return self.step.start.root_run_id
        return self.flow.start.root_run_id if self.flow is not None else None

    def subject(self, value: ValueRef) -> Subject:
        """An object that the run has in hand: by what gave it out, which is this very run when nobody has before."""
        source = self._source(value)
        maker = source.run_id if source is not None else self.run_id
        record = self._record(maker) if source is not None else None
        code = self._code()
        step_id, task = None, None
        if source is None and self.step is not None:
            step_id, task = maker, self.step.start.task_name
        elif source is not None and "/task-run/" in source.uri:
            step_id, task = maker, record.task_name if record is not None else None
        made = source if source is not None and not source.part else None
        return Subject(
            content=value.fingerprint or "",
            source_uri=source.uri if source is not None else None,
            source_types=(("Custom", source.fingerprint),) if source is not None and source.fingerprint else (),
            run_id=self.root_run_id,
            step_id=step_id,
            flow=self._flow_name(),
            task=task,
            commit=code.commit if code is not None else None,
            repository=code.remote if code is not None else None,
            label=f"this {value.type}" if made is None else f"the result of {task or maker}",
        )

    def object_of_run(self, uri: str) -> DatasetRef | None:
        """What runs under the root have said of an object that they wrote: the newest of it."""
        root = self.root_run_id
        try:
            records = self.session.sink.records(root) if root is not None else []
        except LineageError:
            return None
        written = [
            item for record in records for item in record.datasets if item.direction == "write" and item.uri == uri
        ]
        return max(written, key=lambda item: item.touched or "", default=None)

    def about(self, subject: Subject) -> Subject:
        """What the run itself adds where nothing else is known: it made, or at least registers, the model."""
        code = self._code()
        return replace(
            subject,
            run_id=subject.run_id or self.root_run_id,
            flow=subject.flow or self._flow_name(),
            commit=subject.commit or (code.commit if code is not None else None),
            repository=subject.repository or (code.remote if code is not None else None),
        )

    def _source(self, value: ValueRef) -> Source | None:
        """The one result that the object is, or is a part of; None when there is none, or more than one."""
        given = self.step.inputs if self.step is not None else ()
        found = [source for item in given if item.value.fingerprint == value.fingerprint for source in item.sources]
        if not found and self.root is not None:
            found = list(self.root.links.sources(value, (), identity_is_safe=False))
        results = {
            source.uri: source
            for source in found
            if (named := value_name(source.uri)) is not None and named.kind == "result"
        }
        return next(iter(results.values())) if len(results) == 1 else None

    def _record(self, run_id: str | None) -> StepRecord | None:
        try:
            found = self.session.sink.record(run_id) if run_id else None
        except LineageError:
            return None
        return found if isinstance(found, StepRecord) else None

    def _flow_name(self) -> str | None:
        if self.step is not None:
            return self.step.start.flow_name
        return self.flow.start.flow_name if self.flow is not None else None

    def _code(self) -> SourceTree | None:
        root = self.root
        if root is None:
            return None
        if root.background is None:
            return root.start.code
        try:
            return root.background.result(_CODE_SECONDS).code
        except NotYet:
            return None
        except Exception:  # noqa: BLE001 - capture says on the run that it failed; the model is registered without a commit
            return None


def inside(session: Session, log: FileLog) -> Inside:
    """The run that the executing code belongs to."""
    step = current_step.get()
    return Inside(session, log, step, step.flow if step is not None else current_flow.get())


def recorded(record: RunRecord, group: str, content: str) -> RegisteredModel:
    """What a run has registered, for its replay, which registers nothing.

    Args:
        record: of the run that is repeated.
        group: in which group.
        content: of the model now; a replay that came out otherwise gets the only one there is.

    Raises:
        RegistrationError: the run has registered nothing in that group.
    """
    runs: list[FlowRecord | StepRecord] = [record.flow, *record.subflows, *record.steps]
    said = [item for run in runs for item in run.datasets if item.kind == MODEL and JOB in item.via]
    found = [item for item in said if item.uri.startswith("arn:") and item.properties.get("group") == group]
    same = [item for item in found if item.properties.get("content") == content]
    if not found:
        raise RegistrationError(
            "a replay registers no model",
            why=f"and the run that it repeats has registered none in the group {group}",
            fix="run the flow itself to register it",
        )
    item = (same or found)[0]

    def text(name: str) -> str | None:
        value = item.properties.get(name)
        return None if value is None else str(value)

    return RegisteredModel(
        arn=item.uri,
        group=group,
        version=int(text("version") or 0),
        created=item.direction == "write",
        approval=text("approval") or "",
        content=text("content") or content,
        source_uri=text("sourceUri"),
        model_data=text("modelData"),
        run_id=text("runId"),
        step_id=text("stepId"),
        registered_by=text("registeredBy"),
    )
