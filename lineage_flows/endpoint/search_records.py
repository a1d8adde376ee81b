"""What Search searches: all that is kept of a resource, as documents in the shape that Search gives out.

Knows how each resource is kept; must not know what is searched for. Moments are RFC 3339 texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from lineage_flows.endpoint import others
from lineage_flows.endpoint.experiments import COMPONENT, EXPERIMENT, TRIAL, document
from lineage_flows.endpoint.others import Other
from lineage_flows.endpoint.search_properties import RESOURCES
from lineage_flows.endpoint.snapshot import Snapshot
from lineage_flows.endpoint.trial_components import component_document

__all__ = ["records_of"]

Document = dict[str, Any]


def records_of(snapshot: Snapshot, resource: str, arns: Iterable[str] | None = None) -> list[Document]:
    """What there is of a resource, one of ``RESOURCES``: all of it, or those of some ARNs that are there."""
    kind = RESOURCES[resource][0]
    found = others.listed(snapshot, kind) if arns is None else _of(snapshot, kind, arns)
    make = _DOCUMENTS.get(kind)
    documents = make(snapshot, found) if make else [dict(other.body) for other in found]
    tags = _tags(snapshot, [other.arn for other in found])
    for other, made in zip(found, documents, strict=True):
        if other.arn in tags:
            made["Tags"] = tags[other.arn]
    return documents


def _experiments(_: Snapshot, found: list[Other]) -> list[Document]:
    return [document(EXPERIMENT, other) for other in found]


def _trials(snapshot: Snapshot, found: list[Other]) -> list[Document]:
    members = others.components_of(snapshot, [trial.arn for trial in found])
    components = _by_arn(snapshot, COMPONENT.name, {arn for parts in members.values() for arn in parts})
    return [
        {
            **document(TRIAL, trial),
            "TrialComponentSummaries": [
                _short(components[arn]) for arn in members.get(trial.arn, ()) if arn in components
            ],
        }
        for trial in found
    ]


def _components(snapshot: Snapshot, found: list[Other]) -> list[Document]:
    members = others.trials_of(snapshot, [component.arn for component in found])
    trials = _by_arn(snapshot, TRIAL.name, {arn for parents in members.values() for arn in parents})
    bodies = [component_document(component) for component in found]
    jobs = _by_arn(snapshot, "TrainingJob", {made["Source"]["SourceArn"] for made in bodies if "Source" in made})
    documents = []
    for component, made in zip(found, bodies, strict=True):
        made["Parents"] = [
            {"TrialName": trials[arn].name, "ExperimentName": trials[arn].body["ExperimentName"]}
            for arn in members.get(component.arn, ())
            if arn in trials
        ]
        job = jobs.get(made.get("Source", {}).get("SourceArn", ""))
        if job is not None:
            made["SourceDetail"] = {"SourceArn": job.arn, "TrainingJob": job.body}
        documents.append(made)
    return documents


def _of(snapshot: Snapshot, kind: str, arns: Iterable[str]) -> list[Other]:
    return [other for other in others.of_arns(snapshot, arns) if other.kind == kind]


def _by_arn(snapshot: Snapshot, kind: str, arns: Iterable[str]) -> dict[str, Other]:
    return {other.arn: other for other in _of(snapshot, kind, arns)}


def _short(component: Other) -> Document:
    return {
        "TrialComponentName": component.name,
        "TrialComponentArn": component.arn,
        "TrialComponentSource": component.body.get("Source"),
        "CreationTime": component.created,
        "CreatedBy": {},
    }


def _tags(snapshot: Snapshot, arns: list[str]) -> Mapping[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    rows = snapshot.connection.execute(
        "SELECT arn, key, value FROM endpoint_tag WHERE arn IN (SELECT value FROM json_each(?)) ORDER BY arn, key",
        [orjson.dumps(arns).decode()],
    )
    for arn, key, value in rows:
        found.setdefault(arn, []).append({"Key": key, "Value": value})
    return found


_DOCUMENTS: dict[str, Callable[[Snapshot, list[Other]], list[Document]]] = {
    EXPERIMENT.name: _experiments,
    TRIAL.name: _trials,
    COMPONENT.name: _components,
}
