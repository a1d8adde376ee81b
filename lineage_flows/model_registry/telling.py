"""Says a registration: on the run that made it, or, outside of any, as a run of its own.

Knows the log of a run, and events; must not know AWS. Either way it goes through the spool, so that nothing is lost while the graph
is away.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote

from lineage_flows.capture.declared import masked_properties
from lineage_flows.capture.details import Details
from lineage_flows.capture.file_content import Content
from lineage_flows.capture.naming import target_of_uri
from lineage_flows.capture.objects import Facts, Target
from lineage_flows.events.build import producer
from lineage_flows.events.event import Event, EventKind
from lineage_flows.events.facets import CORE, Facet, Facets
from lineage_flows.events.text import encode, utc
from lineage_flows.graph.identity import value_name
from lineage_flows.record_base import REGISTRATION
from lineage_flows.redacted_documents import document

if TYPE_CHECKING:
    from pydantic import JsonValue

    from lineage_flows.capture.files import FileLog
    from lineage_flows.model_registry.registered import RegisteredModel
    from lineage_flows.model_registry.subject import Subject

__all__ = [
    "JOB",
    "Data",
    "Said",
    "cannot_repeat",
    "events_of",
    "model_of",
    "object_of",
    "package_of",
    "run_of",
    "tell_run",
]

JOB: Final = REGISTRATION
"""What a registration is called: its job in OpenLineage, and by what a run's dataset was seen."""

_CALL: Final = "call sagemaker.CreateModelPackage"
_MEMORY: Final = "inmemory://"
_LF1: Final = "lf1:"

Direction = Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class Data:
    """A model as data: a value that a run gave out, an object in S3, a file, a package."""

    namespace: str
    name: str
    uri: str
    direction: Direction
    fingerprint: str | None = None
    version: str | None = None
    etag: str | None = None
    note: str | None = None
    properties: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def is_value(self) -> bool:
        """Whether it is a value in memory."""
        return value_name(self.uri) is not None


@dataclass(frozen=True, slots=True)
class Said:
    """Everything that a registration says."""

    package: Data
    model: Data | None = None
    more: tuple[Data, ...] = ()

    @property
    def all(self) -> tuple[Data, ...]:
        """Each of it."""
        return (*((self.model,) if self.model else ()), *self.more, self.package)


def model_of(subject: Subject) -> Data | None:
    """The model itself, by the identity that it has in the graph; None when it has none yet."""
    uri = subject.source_uri
    if uri is None:
        return None
    types = dict(subject.source_types)
    custom = types.get("Custom")
    namespace, name = _names(uri, subject)
    return Data(
        namespace,
        name,
        uri,
        "read",
        fingerprint=custom if custom and custom.startswith(_LF1) else None,
        version=types.get("S3Version") or (custom if custom and not custom.startswith(_LF1) else None),
        etag=types.get("S3ETag"),
    )


def object_of(uri: str, direction: Direction, named: tuple[str | None, str | None] | None) -> Data:
    """An object in S3, by ETag and version where they are known."""
    etag, version = named or (None, None)
    target = target_of_uri(uri)
    return Data(target.namespace, target.name, target.uri, direction, etag=etag, version=version)


def package_of(registered: RegisteredModel, direction: Direction, **more: object) -> Data:
    """The package: SageMaker's own artifact of it has its ARN for a URI and no version, and this is to be the same one."""
    host, _, name = registered.arn.rpartition(":")
    said = {
        "group": registered.group,
        "version": registered.version,
        "approval": registered.approval,
        "content": registered.content,
        "sourceUri": registered.source_uri,
        "modelData": registered.model_data,
        "runId": registered.run_id,
        "stepId": registered.step_id,
        **more,
    }
    shown = masked_properties({key: value for key, value in said.items() if value not in (None, "", {}, [])})
    return Data(host, name, registered.arn, direction, properties=shown)


def cannot_repeat(log: FileLog) -> None:
    """Say that a replay cannot do this again: what the run gave out is put in its place there."""
    log.cannot_restore(_CALL)


def tell_run(log: FileLog, said: Said) -> None:
    """Write it on the log of the run that registers: what was read and written."""
    for data in said.all:
        target = Target(data.namespace, data.name, data.uri)
        details = Details(properties=data.properties, kind="Model", note=data.note)
        if data.etag is None:
            content = Content(data.fingerprint, None)
            log.objects.declare(target, data.direction, JOB, data.version, content, details)
            continue
        facts = Facts(version=data.version, etag=data.etag)
        touch = (log.objects.read if data.direction == "read" else log.objects.write)(target, JOB, facts)
        touch.details = details


def run_of(package: str, subject: Subject) -> str:
    """The run that a registration outside of any run is: the same when it is said again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join([package, subject.content, subject.source_uri or ""])))


def events_of(
    namespace: str, run_id: str, said: Said, times: tuple[str, str], parameters: Sequence[tuple[str, str]]
) -> list[Event]:
    """A registration as a run of its own: its start, and its end.

    Args:
        namespace: of jobs.
        run_id: see ``run_of``.
        said: what it read and wrote.
        times: when it began and ended.
        parameters: what it was called with.
    """
    facets = Facets(producer()[0], namespace)
    job_type = facets.make("jobType", processingType="BATCH", integration="LINEAGE_FLOWS", jobType="REGISTRATION")
    about = facets.make("documentation", description="A model is registered in SageMaker's model registry.")
    listed = [{"key": key, "value": value} for key, value in parameters]
    found: list[Event] = []
    kinds: tuple[tuple[EventKind, str], ...] = (("START", times[0]), ("COMPLETE", times[1]))
    for kind, time in kinds:
        data = said.all if kind == "COMPLETE" else tuple(one for one in said.all if one.direction == "read")
        event: Facet = {
            "eventType": kind,
            "eventTime": utc(time),
            "producer": producer()[0],
            "schemaURL": CORE,
            "run": {
                "runId": run_id,
                "facets": {"executionParameters": facets.make("executionParameters", parameters=listed)},
            },
            "job": {"namespace": namespace, "name": JOB, "facets": {"jobType": job_type, "documentation": about}},
            "inputs": [_dataset(facets, one, time) for one in data if one.direction == "read"],
            "outputs": [_dataset(facets, one, time) for one in data if one.direction == "write"],
        }
        found.append(Event(run_id, run_id, kind, utc(time), document(encode(event))))
    return found


def _dataset(facets: Facets, data: Data, time: str) -> Facet:
    artifact = facets.make(
        "lineageFlows_artifact",
        sourceUri=data.uri,
        artifactType="Model",
        fingerprint=data.fingerprint,
        role="value" if data.is_value else "data",
        name="model" if data.is_value else data.name.rpartition("/")[2] or data.name,
        version=data.version,
        etag=data.etag,
        knownBy=["content"] if data.is_value else [],
        via=None if data.is_value else [JOB],
        touched=None if data.is_value else utc(time),
        note=data.note,
        givenProperties=data.properties or None,
    )
    said: Facet = {"lineageFlows_artifact": artifact}
    if (version := facets.version(data.version or data.etag or data.fingerprint)) is not None:
        said["version"] = version
    side = "inputFacets" if data.direction == "read" else "outputFacets"
    return {"namespace": data.namespace, "name": data.name, "facets": said, side: {}}


def _names(uri: str, subject: Subject) -> tuple[str, str]:
    """OpenLineage's namespace and name: of a value as its run's own events have it."""
    value = value_name(uri)
    if value is not None:
        part = value.handle.split("/", 2)[2]
        flow = subject.flow or "flow"
        made_by_task = "/task-run/" in uri
        if made_by_task and not subject.task:
            return _MEMORY, f"{flow}/{value.run_id}/{part}"
        return _MEMORY, f"{flow}.{subject.task}/{part}" if made_by_task else f"{flow}/{part}"
    if uri.startswith("file://"):
        return "file", unquote(uri.removeprefix("file://"))
    target = target_of_uri(uri)
    return target.namespace, target.name
