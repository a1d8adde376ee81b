"""Documents of what SageMaker ran or registered elsewhere: training jobs, model packages and their groups.

Nothing runs behind this endpoint. But a job that ran on AWS can be kept here as its description tells of it: then Search finds
it, Describe* answers it, and the lineage that SageMaker makes of a training job by itself is in the graph. Knows shapes and
members; what AWS documents is D, what is inferred I, unknown U.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lineage_flows.endpoint import others
from lineage_flows.endpoint.answering import told
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.changes import Change, arn_of
from lineage_flows.endpoint.errors import ServiceError, not_found
from lineage_flows.endpoint.experiments import COMPONENT
from lineage_flows.endpoint.others import Other
from lineage_flows.endpoint.search_properties import RESOURCES, record_shape
from lineage_flows.endpoint.searching import number_in
from lineage_flows.endpoint.shapes import Shape, output_shape
from lineage_flows.endpoint.validation import read_request
from lineage_flows.errors import GraphError
from lineage_flows.redaction import MASK, is_secret_item, is_secret_variable, redact

__all__ = ["KEPT", "OPERATIONS", "keep_documents"]

KEPT = ("TrainingJob", "ModelPackage", "ModelPackageGroup")
"""Of which resources documents can be kept."""


_SAYING = ("Environment", "HyperParameters", "CustomerMetadataProperties")
"""Members in which people write what they like, secrets too. A graph holds none: they are masked as in what is captured."""


def keep_documents(backend: Backend, resource: str, documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Keep descriptions of resources, over those of the same ARNs; all or none of them.

    Args:
        backend: where.
        resource: one of ``KEPT``.
        documents: as boto3's ``describe_*`` gives them, or as the AWS CLI prints them. What Search does not know of is left out.

    Returns:
        Their ARNs.

    Raises:
        GraphError: one is no description of such a resource; nothing was kept.
    """
    if resource not in KEPT:
        raise GraphError(f"documents of {resource} cannot be kept", fix=f"keep those of {', '.join(KEPT)}")
    read = [_read(resource, document) for document in documents]
    with backend.store.writing() as change:
        for other, tags in read:
            others.keep(change, other)
            change.tag(other.arn, tags)
            if resource == "TrainingJob":
                _keep_lineage(change, other, backend.now())
    return [other.arn for other, _ in read]


def describe(resource: str, backend: Backend, request: Request) -> Answer:
    """Describe* of what is kept, by name or, where it has one, by ARN."""
    given = request[f"{resource}Name"]
    with backend.store.reading() as snapshot:
        by = "o.arn = ?" if given.startswith("arn:") else "o.name = ?"
        found = others.listed(snapshot, resource, [(by, [given])], limit=1)
    if not found:
        raise not_found(f"{resource} {given} does not exist.")
    answer: Answer = told(output_shape(f"Describe{resource}"), found[0].body)
    return answer


def _read(resource: str, document: Mapping[str, Any]) -> tuple[Other, dict[str, str]]:
    shape = record_shape(resource)
    try:
        members = read_request(shape, _plain(shape, document))
    except ServiceError as error:
        raise _refused(resource, error.message) from error
    except (ValueError, OverflowError) as error:
        raise _refused(resource, str(error)) from error
    missing = [name for name in output_shape(f"Describe{resource}").required_members if name not in members]
    if missing:
        raise _refused(resource, f"it has no {missing[0]}")
    for member in _SAYING:
        if member in members:
            members[member] = {key: _unless_secret(key, value) for key, value in members[member].items()}
    if "FailureReason" in members:
        members["FailureReason"] = redact(members["FailureReason"])
    arn = members[RESOURCES[resource][1]]
    tags = {tag["Key"]: tag["Value"] for tag in members.pop("Tags", ())}
    created = members["CreationTime"]
    name = members.get(f"{resource}Name") or arn.partition("/")[2]
    other = Other(arn, resource, resource, name, members, created, members.get("LastModifiedTime", created))
    return other, tags


def _unless_secret(name: str, value: str) -> str:
    return MASK if is_secret_item(name, value) or is_secret_variable(name) else redact(value)


def _refused(resource: str, why: str) -> GraphError:
    return GraphError(f"a document of {resource} cannot be kept", why=why, fix="give it as the service describes it")


def _plain(shape: Shape, value: Any) -> Any:  # noqa: ANN401 - any part of a document
    """A document as a request has it: moments as seconds, and no member that the shape does not know.

    What is of another type than its shape stays as it is, and is refused by who reads it next.
    """
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        known = ((name, item) for name, item in value.items() if name in shape.members and item is not None)
        return {name: _plain(shape.members[name], item) for name, item in known}
    if kind == "list" and isinstance(value, list):
        return [_plain(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, Mapping):
        return {key: _plain(shape.value, item) for key, item in value.items()}
    if kind == "timestamp" and isinstance(value, str | datetime):
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return value


# The lineage of a training job


def _keep_lineage(change: Change, job: Other, now: str) -> None:
    """What SageMaker makes of a training job: its component, and artifacts of what went in and came out (D)."""
    body = job.body
    component = _component(change, job)
    for uri, type_ in _inputs(body):
        _link(change, _artifact(change, uri, type_, now), component, "ContributedTo", now)
    # Of the output it documents the path; where a job says what model it left, it is that (I: so AWS's own example lists it).
    model = (body.get("ModelArtifacts") or {}).get("S3ModelArtifacts") or (body.get("OutputDataConfig") or {}).get(
        "S3OutputPath"
    )
    if model:
        _link(change, component, _artifact(change, model, "Model", now), "Produced", now)
    checkpoint = (body.get("CheckpointConfig") or {}).get("S3Uri")
    if checkpoint:
        _link(change, component, _artifact(change, checkpoint, "Checkpoint", now), "Produced", now)


def _inputs(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    image = (body.get("AlgorithmSpecification") or {}).get("TrainingImage")
    if image:
        yield image, "Image"
    for channel in body.get("InputDataConfig") or ():
        uri = (channel.get("DataSource", {}).get("S3DataSource") or {}).get("S3Uri")
        if uri:
            yield uri, "DataSet"


def _component(change: Change, job: Other) -> str:
    """The job's component, called after it (D); one that is there already stays as it is."""
    name = f"{job.name}-aws-training-job"
    arn = COMPONENT.arn(name)
    if others.get(change, arn) is None:
        status = job.body.get("TrainingJobStatus")
        body = {
            "Source": {"SourceArn": job.arn, "SourceType": "SageMakerTrainingJob"},
            "Parameters": {key: _parameter(value) for key, value in job.body.get("HyperParameters", {}).items()},
            "Status": {"PrimaryStatus": status} if status else None,
            "StartTime": job.body.get("TrainingStartTime"),
            "EndTime": job.body.get("TrainingEndTime"),
        }
        members = {key: value for key, value in body.items() if value is not None}
        others.keep(
            change, Other(arn, COMPONENT.name, "SageMakerTrainingJob", name, members, job.created, job.modified)
        )
    return arn


def _parameter(text: str) -> dict[str, Any]:
    """A number where it is one (I: a component shows them so)."""
    number = number_in(text)
    return {"StringValue": text} if number is None or math.isinf(number) else {"NumberValue": number}


def _artifact(change: Change, uri: str, type_: str, now: str) -> str:
    """SageMaker's own artifact of a URI: without source types (D)."""
    arn = arn_of("Artifact", None, uri, ())
    if change.entity(arn) is None:
        change.create("Artifact", name=None, source_uri=uri, sources=(), facts={"type": type_}, now=now)
        _uncount(change, arn)
    return arn


def _link(change: Change, source: str, destination: str, kind: str, now: str) -> None:
    if not change.edges(sources=[source], destinations=[destination]):
        change.link(source, destination, kind, now)
        _uncount(change, f"{source} {destination}")


def _uncount(change: Change, key: str) -> None:
    """What SageMaker makes itself counts against no quota (D)."""
    change.connection.execute("UPDATE endpoint_note SET made = 0 WHERE key = ?", [key])


OPERATIONS: dict[str, Handler] = {f"Describe{resource}": partial(describe, resource) for resource in KEPT}
