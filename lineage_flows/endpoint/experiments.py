"""The operations on experiments and trials, and which trial components belong to a trial.

Knows the members of requests and answers; must not know how they are kept. What AWS documents is D, what is inferred I, unknown U.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lineage_flows.endpoint import others
from lineage_flows.endpoint.answering import told
from lineage_flows.endpoint.assumptions import already_exists, has_associations
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.changes import Change
from lineage_flows.endpoint.errors import not_found, validation
from lineage_flows.endpoint.others import Other
from lineage_flows.endpoint.shapes import output_shape
from lineage_flows.endpoint.snapshot import Snapshot
from lineage_flows.endpoint.tags import read_tags
from lineage_flows.graph.identity import LOCAL

__all__ = ["COMPONENT", "EXPERIMENT", "OPERATIONS", "TRIAL", "Kind", "changed", "document", "existing", "made"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between experiments, trials and trial components.

    Attributes:
        name: ``Experiment``, ``Trial`` or ``TrialComponent``: the kind, and how its members begin.
        part: what its ARN has before the slash.
        type: as the end of an association is typed; a component that stands for a job is typed by the job.
    """

    name: str
    part: str
    type: str

    @property
    def name_member(self) -> str:
        """The member that has the name."""
        return f"{self.name}Name"

    @property
    def arn_member(self) -> str:
        """The member that has the ARN."""
        return f"{self.name}Arn"

    def arn(self, name_or_arn: str) -> str:
        """The ARN that a name or an ARN means. Names are not case-sensitive (D); ARNs have them in small letters (I)."""
        return name_or_arn if name_or_arn.startswith("arn:") else f"{LOCAL}:{self.part}/{name_or_arn.lower()}"


EXPERIMENT = Kind("Experiment", "experiment", "Experiment")
TRIAL = Kind("Trial", "experiment-trial", "Trial")
COMPONENT = Kind("TrialComponent", "experiment-trial-component", "SageMakerExperimentTrialComponent")
"""The type of a component that no job stands behind: I, from a comment in the SageMaker SDK."""


def existing(snapshot: Snapshot, kind: Kind, name_or_arn: str) -> Other:
    """One that is there.

    Raises:
        ServiceError: it is not.
    """
    other = others.get(snapshot, kind.arn(name_or_arn))
    if other is None or other.kind != kind.name:
        raise not_found(f"{kind.name} {name_or_arn} does not exist.")
    return other


def made(change: Change, kind: Kind, request: Request, now: str, *, type_: str = "") -> Other:
    """Make one of what a Create* brings.

    Raises:
        ServiceError: there is one of that name, or a tag breaks a rule.
    """
    name = request[kind.name_member]
    tags = read_tags(request.get("Tags", []))
    if others.get(change, kind.arn(name)) is not None:
        raise already_exists(f"{kind.name} {name}")
    body = {key: value for key, value in request.items() if key not in (kind.name_member, "Tags")}
    other = Other(kind.arn(name), kind.name, type_ or kind.type, name, body, now, now)
    others.keep(change, other)
    change.tag(other.arn, tags)
    return other


def changed(change: Change, other: Other, members: Request, now: str) -> None:
    """Write members over those that one has."""
    others.keep(change, replace(other, body={**other.body, **members}, modified=max(now, other.modified)))


def document(kind: Kind, other: Other) -> dict[str, Any]:
    """All that descriptions, lists and Search have in common; moments are texts."""
    return {
        "DisplayName": other.name,  # what is displayed when nothing else was given (D)
        **other.body,
        kind.name_member: other.name,
        kind.arn_member: other.arn,
        "CreationTime": other.created,
        "LastModifiedTime": other.modified,
        "CreatedBy": {},
        "LastModifiedBy": {},
    }


def create_experiment(backend: Backend, request: Request) -> Answer:
    """CreateExperiment."""
    with backend.store.writing() as change:
        return {"ExperimentArn": made(change, EXPERIMENT, request, backend.now()).arn}


def create_trial(backend: Backend, request: Request) -> Answer:
    """CreateTrial: part of one experiment (D)."""
    with backend.store.writing() as change:
        experiment = existing(change, EXPERIMENT, request["ExperimentName"])
        request = {**request, "ExperimentName": experiment.name}
        return {"TrialArn": made(change, TRIAL, request, backend.now()).arn}


def describe(kind: Kind, backend: Backend, request: Request) -> Answer:
    """DescribeExperiment and DescribeTrial."""
    with backend.store.reading() as snapshot:
        other = existing(snapshot, kind, request[kind.name_member])
    answer: Answer = told(output_shape(f"Describe{kind.name}"), document(kind, other))
    return answer


def update(kind: Kind, backend: Backend, request: Request) -> Answer:
    """UpdateExperiment and UpdateTrial: the members that are given."""
    members = {key: value for key, value in request.items() if key != kind.name_member}
    with backend.store.writing() as change:
        other = existing(change, kind, request[kind.name_member])
        changed(change, other, members, backend.now())
    return {kind.arn_member: other.arn}


def delete_experiment(backend: Backend, request: Request) -> Answer:
    """DeleteExperiment: its trials have to be deleted first (D; the code U)."""
    with backend.store.writing() as change:
        other = existing(change, EXPERIMENT, request["ExperimentName"])
        if others.listed(change, "Trial", [in_experiment(other)], limit=1):
            raise validation(f"Experiment {other.name} cannot be deleted: it has trials. Delete them first.")
        free(change, other)
        others.remove(change, other.arn)
    return {"ExperimentArn": other.arn}


def delete_trial(backend: Backend, request: Request) -> Answer:
    """DeleteTrial: it may have no components any more (D; the code U)."""
    with backend.store.writing() as change:
        other = existing(change, TRIAL, request["TrialName"])
        if others.components_of(change, [other.arn]):
            raise validation(f"Trial {other.name} cannot be deleted: it has trial components. Disassociate them first.")
        others.remove(change, other.arn)
    return {"TrialArn": other.arn}


def associate(backend: Backend, request: Request) -> Answer:
    """AssociateTrialComponent. Doing so twice is no error (U)."""
    with backend.store.writing() as change:
        trial, component = _pair(change, request)
        others.join(change, trial.arn, component.arn)
    return {"TrialArn": trial.arn, "TrialComponentArn": component.arn}


def disassociate(backend: Backend, request: Request) -> Answer:
    """DisassociateTrialComponent; of what is not associated: ResourceNotFound, the one error that it declares."""
    with backend.store.writing() as change:
        trial, component = _pair(change, request)
        if not others.part(change, trial.arn, component.arn):
            raise not_found(f"Trial component {component.name} is not associated with trial {trial.name}.")
    return {"TrialArn": trial.arn, "TrialComponentArn": component.arn}


def free(change: Change, other: Other) -> None:
    """Make sure that one has no associations of lineage.

    Raises:
        ServiceError: it has; as with an artifact, they have to be deleted first (I).
    """
    if change.edges(sources=[other.arn]) or change.edges(destinations=[other.arn]):
        raise has_associations(f"{other.kind} {other.name}")


def in_experiment(experiment: Other) -> tuple[str, list[object]]:
    """The condition on trials to be of an experiment."""
    return "o.body ->> '$.ExperimentName' = ?", [experiment.name]


def _pair(change: Change, request: Request) -> tuple[Other, Other]:
    trial = existing(change, TRIAL, request["TrialName"])
    return trial, existing(change, COMPONENT, request["TrialComponentName"])


_BY_KIND: dict[str, Callable[[Kind, Backend, Request], Answer]] = {"Describe": describe, "Update": update}

OPERATIONS: dict[str, Handler] = {
    "CreateExperiment": create_experiment,
    "CreateTrial": create_trial,
    "DeleteExperiment": delete_experiment,
    "DeleteTrial": delete_trial,
    "AssociateTrialComponent": associate,
    "DisassociateTrialComponent": disassociate,
    **{
        f"{verb}{kind.name}": partial(handler, kind)
        for verb, handler in _BY_KIND.items()
        for kind in (EXPERIMENT, TRIAL)
    },
}
