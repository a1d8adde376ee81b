"""The operations on trial components.

Knows the members of requests and answers; must not know how they are kept. What AWS documents is D, what is inferred I, unknown U.

SageMaker makes a component of each job by itself, calls it ``<job>-aws-training-job`` (``-processing-``, ``-transform-``), and
gives it the job as its source; CreateTrialComponent cannot. No jobs run behind this endpoint: here a component that is created
under such a name gets that source, so that what follows components to jobs finds what it finds on AWS.
"""

from __future__ import annotations

import re
from typing import Any

from lineage_flows.endpoint import others
from lineage_flows.endpoint.answering import told
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.entities import GROUP_ARN
from lineage_flows.endpoint.errors import validation
from lineage_flows.endpoint.experiments import COMPONENT, changed, document, existing, free, made
from lineage_flows.endpoint.others import Other
from lineage_flows.endpoint.shapes import output_shape
from lineage_flows.graph.identity import LOCAL

__all__ = ["OPERATIONS", "component_document"]

_JOB = re.compile(r"(?P<job>.+)-aws-(?P<kind>training|processing|transform)-job")
_MOST = {"Parameters": 300, "InputArtifacts": 60, "OutputArtifacts": 60}
"""How many of each a component may have (D: of a request; that it holds for what updates add up to is I)."""


def create(backend: Backend, request: Request) -> Answer:
    """CreateTrialComponent."""
    _one_value_each(request)
    source = _job_source(request["TrialComponentName"])
    with backend.store.writing() as change:
        type_ = source["SourceType"] if source else ""
        members = {**request, "Source": source} if source else request
        return {"TrialComponentArn": made(change, COMPONENT, members, backend.now(), type_=type_).arn}


def describe(backend: Backend, request: Request) -> Answer:
    """DescribeTrialComponent, by name or ARN."""
    with backend.store.reading() as snapshot:
        other = existing(snapshot, COMPONENT, request["TrialComponentName"])
    members = component_document(other)
    if "Source" in members:
        members["Sources"] = [members["Source"]]
    answer: Answer = told(output_shape("DescribeTrialComponent"), members)
    return answer


def update(backend: Backend, request: Request) -> Answer:
    """UpdateTrialComponent: parameters and artifacts are added to those there are, and replace those of the same key (D)."""
    _one_value_each(request)
    with backend.store.writing() as change:
        other = existing(change, COMPONENT, request["TrialComponentName"])
        members: dict[str, Any] = {
            key: request[key] for key in ("DisplayName", "Status", "StartTime", "EndTime") if key in request
        }
        for member, most in _MOST.items():
            removed = set(request.get(f"{member}ToRemove", ()))
            held = {**other.body.get(member, {}), **request.get(member, {})}
            members[member] = {key: value for key, value in held.items() if key not in removed}
            if len(members[member]) > most:
                raise validation(
                    f"A trial component has at most {most} of {member}, and would have {len(members[member])}."
                )
        changed(change, other, members, backend.now())
    return {"TrialComponentArn": other.arn}


def delete(backend: Backend, request: Request) -> Answer:
    """DeleteTrialComponent: it has to be disassociated from all trials first (D; the code U)."""
    with backend.store.writing() as change:
        other = existing(change, COMPONENT, request["TrialComponentName"])
        if others.trials_of(change, [other.arn]):
            raise validation(
                f"Trial component {other.name} cannot be deleted: it is associated with trials. Disassociate it first."
            )
        free(change, other)
        others.remove(change, other.arn)
    return {"TrialComponentArn": other.arn}


def component_document(other: Other) -> dict[str, Any]:
    """All that is known of a component; moments are texts."""
    return {
        "Parameters": {},
        "InputArtifacts": {},
        "OutputArtifacts": {},
        "Metrics": [],
        "LineageGroupArn": GROUP_ARN,
        **document(COMPONENT, other),
    }


def _job_source(name: str) -> dict[str, str] | None:
    match = _JOB.fullmatch(name)
    if match is None:
        return None
    kind = match["kind"]
    return {
        "SourceArn": f"{LOCAL}:{kind}-job/{match['job'].lower()}",
        "SourceType": f"SageMaker{kind.capitalize()}Job",
    }


def _one_value_each(request: Request) -> None:
    """A parameter is a text or a number (D)."""
    for name, value in request.get("Parameters", {}).items():
        if len(value) != 1:
            raise validation(f"Parameter {name} must have either a StringValue or a NumberValue.")


OPERATIONS: dict[str, Handler] = {
    "CreateTrialComponent": create,
    "DescribeTrialComponent": describe,
    "UpdateTrialComponent": update,
    "DeleteTrialComponent": delete,
}
