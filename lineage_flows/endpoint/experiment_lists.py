"""ListExperiments, ListTrials and ListTrialComponents.

Knows the members of requests and answers, and the columns that are sorted and filtered by.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lineage_flows.endpoint import others
from lineage_flows.endpoint.answering import told
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.errors import validation
from lineage_flows.endpoint.experiments import COMPONENT, EXPERIMENT, TRIAL, Kind, document, existing, in_experiment
from lineage_flows.endpoint.others import Other
from lineage_flows.endpoint.paging import Window, turn_page
from lineage_flows.endpoint.shapes import output_shape
from lineage_flows.endpoint.snapshot import Snapshot

__all__ = ["OPERATIONS"]

_SOURCES = {"Experiment": "ExperimentSource", "Trial": "TrialSource", "TrialComponent": "TrialComponentSource"}
_TIMES = {"CreatedAfter": "o.created > ?", "CreatedBefore": "o.created < ?"}
"""Created *after* and *before* a moment (D: not "on or after", as it is of artifacts)."""

_Condition = tuple[str, Sequence[object]]

_OF_EXPERIMENT = """o.arn IN (SELECT m.component FROM endpoint_member m JOIN endpoint_other t ON t.arn = m.trial
    WHERE t.body ->> '$.ExperimentName' = ?)"""
_OF_TRIAL = "o.arn IN (SELECT component FROM endpoint_member WHERE trial = ?)"
_OF_COMPONENT = "o.arn IN (SELECT trial FROM endpoint_member WHERE component = ?)"


def list_kind(kind: Kind, backend: Backend, request: Request) -> Answer:
    """List*: newest first unless told otherwise."""
    shape = output_shape(f"List{kind.name}s").members[f"{kind.name}Summaries"].member
    by_name = request.get("SortBy") == "Name"

    def fetch(snapshot: Snapshot, conditions: list[_Condition], window: Window) -> list[Other]:
        conditions = [*conditions, (window.condition, window.values)]
        return others.listed(snapshot, kind.name, conditions, window.order, window.limit)

    with backend.store.reading(lagging=True) as snapshot:
        page = turn_page(
            f"List{kind.name}s",
            request,
            columns=("o.name" if by_name else "o.created", "o.arn"),
            secret=backend.store.secret,
            fetch=partial(fetch, snapshot, _conditions(kind, snapshot, request)),
            position=lambda other: (other.name if by_name else other.created, other.arn),
        )
    summaries = [
        told(shape, {**document(kind, item), _SOURCES[kind.name]: item.body.get("Source")}) for item in page.items
    ]
    return {f"{kind.name}Summaries": summaries, "NextToken": page.token}


def _conditions(kind: Kind, snapshot: Snapshot, request: Request) -> list[_Condition]:
    """What a request asks for. What it names has to be there: ResourceNotFound is declared of the lists that name something."""
    conditions: list[_Condition] = [(text, [request[member]]) for member, text in _TIMES.items() if member in request]
    if kind is COMPONENT and len(request.keys() & {"ExperimentName", "TrialName", "SourceArn"}) > 1:
        raise validation("Only one of ExperimentName, TrialName and SourceArn can be specified.")  # D
    if "ExperimentName" in request:
        experiment = existing(snapshot, EXPERIMENT, request["ExperimentName"])
        conditions.append(in_experiment(experiment) if kind is TRIAL else (_OF_EXPERIMENT, [experiment.name]))
    if "TrialName" in request:
        conditions.append((_OF_TRIAL, [existing(snapshot, TRIAL, request["TrialName"]).arn]))
    if "TrialComponentName" in request:
        conditions.append((_OF_COMPONENT, [existing(snapshot, COMPONENT, request["TrialComponentName"]).arn]))
    if "SourceArn" in request:
        conditions.append(("o.body ->> '$.Source.SourceArn' = ?", [request["SourceArn"]]))
    return conditions


OPERATIONS: dict[str, Handler] = {
    f"List{kind.name}s": partial(list_kind, kind) for kind in (EXPERIMENT, TRIAL, COMPONENT)
}
