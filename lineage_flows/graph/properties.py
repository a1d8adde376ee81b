"""Fields of our run facets that become properties of an action as they are, and how each is read.

Knows facets and the model's limits; must not know what the properties are of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from lineage_flows.graph.identity import fit_json, fit_text
from lineage_flows.graph.incoming import Facet, Incoming, utc
from lineage_flows.graph.keeper import PROPERTY

__all__ = [
    "FLOW_PROPERTIES",
    "STEP_PROPERTIES",
    "Reader",
    "decimal",
    "optional",
    "read_about",
    "read_properties",
    "time_of",
]

Reader = Literal["text", "number", "flag", "time", "json", "run_id"]
FLOW_PROPERTIES: dict[str, Reader] = {
    "flow": "text",
    "name": "text",
    "stateType": "text",
    "level": "text",
    "tags": "json",
    "attempt": "number",
    "attempts": "json",
    "started": "time",
    "deploymentId": "text",
    "deploymentName": "text",
    "workPool": "text",
    "createdBy": "text",
    "nominalStart": "time",
    "parameters": "json",
    "rootRunId": "run_id",
    "parentRunId": "run_id",
    "rolledBack": "json",
    "captureErrors": "number",
}
STEP_PROPERTIES: dict[str, Reader] = {
    "task": "text",
    "name": "text",
    "stateType": "text",
    "tags": "json",
    "attempt": "number",
    "attempts": "json",
    "started": "time",
    "flow": "text",
    "flowRunId": "run_id",
    "rootRunId": "run_id",
    "parentStepId": "run_id",
    "cached": "flag",
    "cachedFrom": "run_id",
    "restored": "flag",
    "unrestorable": "json",
    "captureErrors": "number",
}
"""Fields of our run facets that become properties under the same name, and how each is read."""


def read_about(event: Incoming) -> dict[str, str | None]:
    """What is declared of the job, who started the run, what the policy left out (``leftOut``), and a replay's report, as JSON.

    All in one property, ``about``: an action may have thirty, and a flow run needs the others. Nothing where nothing is said.
    """
    ownership = event.job_facet("ownership")
    owners = [name for owner in ownership.objects("owners") if (name := owner.text("name"))] if ownership else []
    run = event.run_facet("lineageFlows_flowRun")
    replay = run.object("replay") if run else None
    report = replay.text("report") if replay else None
    about: dict[str, object] = {"report": report} if report else {}
    about |= {"owners": owners} if owners else {}
    for facets in (event.job_facets.get("lineageFlows_job"), event.run_facets.get("lineageFlows_origin")):
        about |= _fields(facets)
    if left_out := _fields(event.run_facets.get("lineageFlows_policy")):
        about["leftOut"] = left_out
    return {f"{PROPERTY}about": fit_json(about)} if about else {}


def _fields(facet: object) -> dict[str, object]:
    """What a facet of ours says, without what says that it is one."""
    return {key: value for key, value in facet.items() if not key.startswith("_")} if isinstance(facet, dict) else {}


def read_properties(facet: Facet, properties: Mapping[str, Reader]) -> dict[str, str | None]:
    """What a facet says of these properties; None where it says nothing.

    Raises:
        EventError: one is not what it should be.
    """
    return {f"{PROPERTY}{key}": _READERS[how](facet, key) for key, how in properties.items()}


def optional(text: str | None) -> str | None:
    """A text that fits, if there is one."""
    return None if text is None else fit_text(text)


def decimal(number: int | None) -> str | None:
    """A number as a property has it, if there is one."""
    return None if number is None else str(number)


def time_of(facet: Facet, key: str) -> str | None:
    """A moment in a facet, in the form all times of the graph have."""
    text = facet.text(key)
    return None if text is None else utc(text, key)


def _flag(facet: Facet, key: str) -> str | None:
    value = facet.flag(key)
    return None if value is None else str(value).lower()


def _json(facet: Facet, key: str) -> str | None:
    value = facet.raw(key)
    return fit_json(value) if isinstance(value, dict | list) and value else None


_READERS: dict[Reader, Callable[[Facet, str], str | None]] = {
    "text": lambda facet, key: optional(facet.text(key)),
    "number": lambda facet, key: decimal(facet.number(key)),
    "flag": _flag,
    "time": time_of,
    "json": _json,
    "run_id": Facet.run_id,
}
