"""Checks events as a strict consumer would: JSON, the core schema, every facet's own schema, and the life of each run.

Uses OpenLineage's published schemas (tests/openlineage_spec) and those this package ships. ``check(events)`` gives the findings.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import referencing
import referencing.jsonschema

import lineage_flows.events

SPEC = Path(__file__).parents[1] / "openlineage_spec"
OWN = Path(lineage_flows.events.__file__).parent / "schemas"
ENTITIES = ("RunFacet", "JobFacet", "DatasetFacet", "InputDatasetFacet", "OutputDatasetFacet")
TERMINAL = ("COMPLETE", "FAIL", "ABORT")
BASE = {"_producer", "_schemaURL", "_deleted"}

FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("uuid", raises=ValueError)
def _uuid(value: object) -> bool:
    return not isinstance(value, str) or str(UUID(value)) == value.lower()


@FORMATS.checks("date-time", raises=ValueError)
def _date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return "T" in value and datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("uri")
def _uri(value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", value))


def check(events: Iterable[bytes]) -> list[str]:
    """What is wrong with a whole stream of events, each with its position; nothing when all is well."""
    found, documents = [], []
    for position, line in enumerate(events):
        try:
            document = strict(line)
        except ValueError as error:
            found.append(f"{position}: not strict JSON: {error}")
            continue
        documents.append((position, document))
        found += [f"{position}: {finding}" for finding in check_event(document)]
    return [*found, *_life(documents)]


def strict(line: bytes) -> dict[str, Any]:
    """One JSON object: no NaN, no key twice, one line.

    Raises:
        ValueError: it is something else.
    """
    if b"\n" in line:
        raise ValueError("more than one line")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) < len(items):
            raise ValueError(f"a key twice in {[key for key, _ in items]}")
        return dict(items)

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    document = json.loads(line.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def check_event(event: dict[str, Any]) -> Iterator[str]:
    yield from _against("https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent", event, "$")
    if event.get("schemaURL") != "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent":
        yield f"schemaURL is {event.get('schemaURL')!r}"
    for side in ("inputs", "outputs"):
        if not isinstance(event.get(side), list):
            yield f"{side} is no array"
    kind, facets = event.get("eventType"), event["run"].get("facets", {})
    if kind == "FAIL" and "errorMessage" not in facets:
        yield "a FAIL without errorMessage"
    if kind in {"START", "RUNNING", "COMPLETE"} and "errorMessage" in facets:
        yield f"errorMessage on {kind}, which nothing takes back"
    for entity, at, facets in _facet_maps(event):
        for key, facet in facets.items():
            yield from _facet(entity, key, facet, f"{at}.{key}")
    for side in ("inputs", "outputs"):
        for dataset in event.get(side) or []:
            if "lineageFlows_artifact" not in dataset.get("facets", {}):
                yield f"{side}: {dataset.get('name')!r} has no lineageFlows_artifact"


def _facet_maps(event: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    yield "RunFacet", "run", event["run"].get("facets", {})
    yield "JobFacet", "job", event["job"].get("facets", {})
    for side, own, entity in (
        ("inputs", "inputFacets", "InputDatasetFacet"),
        ("outputs", "outputFacets", "OutputDatasetFacet"),
    ):
        for position, dataset in enumerate(event.get(side) or []):
            yield "DatasetFacet", f"{side}[{position}]", dataset.get("facets", {})
            yield entity, f"{side}[{position}]", dataset.get(own, {})


def _facet(entity: str, key: str, facet: dict[str, Any], at: str) -> Iterator[str]:
    known = facets()
    if (entity, key) not in known:
        yield f"{at}: no {entity} is called {key!r}"
        return
    url, properties = known[entity, key]
    yield from _against(url, facet, at)
    if facet.get("_schemaURL") != url:
        yield f"{at}: _schemaURL is {facet.get('_schemaURL')!r}, not {url!r}"
    if key.startswith("lineageFlows_") and (unknown := set(facet) - properties - BASE):
        yield f"{at}: fields that the schema does not have: {sorted(unknown)}"


def _against(url: str, value: Any, at: str) -> Iterator[str]:
    validator = jsonschema.Draft202012Validator({"$ref": url}, registry=_registry(), format_checker=FORMATS)
    for error in validator.iter_errors(value):
        yield f"{at}{error.json_path[1:]}: {error.message[:300]}"


@cache
def _schemas() -> tuple[dict[str, Any], ...]:
    files = [SPEC / "OpenLineage.json", *sorted((SPEC / "facets").glob("*.json")), *sorted(OWN.glob("*.json"))]
    return tuple(json.loads(file.read_text(encoding="utf-8")) for file in files)


@cache
def _registry() -> Any:
    def newest(uri: str) -> Any:
        """Facets refer to versions of the core that are not at hand; the one that is stands for them."""
        (schema,) = (one for one in _schemas() if one["$id"].rsplit("/", 1)[-1] == uri.rsplit("/", 1)[-1])
        return referencing.jsonschema.DRAFT202012.create_resource(schema)

    resources = ((one["$id"], referencing.jsonschema.DRAFT202012.create_resource(one)) for one in _schemas())
    return referencing.Registry(retrieve=newest).with_resources(resources)  # type: ignore[call-arg]


@cache
def facets() -> dict[tuple[str, str], tuple[str, set[str]]]:
    """Every known facet: (entity, key) to the URL of its definition and the names of its fields."""
    found = {}
    for schema in _schemas():
        for key, node in schema.get("properties", {}).items():
            for name in _targets(schema["$defs"], node):
                text = json.dumps(schema["$defs"][name])
                for entity in ENTITIES:
                    if f"OpenLineage.json#/$defs/{entity}" in text:
                        parts = schema["$defs"][name].get("allOf", [])
                        fields = {field for part in parts for field in part.get("properties", {})}
                        found[entity, key] = (f"{schema['$id']}#/$defs/{name}", fields)
    return found


def _targets(definitions: dict[str, Any], node: dict[str, Any]) -> Iterator[str]:
    if node.get("$ref", "").startswith("#/$defs/"):
        yield node["$ref"].rsplit("/", 1)[-1]
    for choice in [*node.get("oneOf", []), *node.get("anyOf", [])]:
        yield from _targets(definitions, choice)


def _life(documents: list[tuple[int, dict[str, Any]]]) -> Iterator[str]:
    """One START first, one terminal event last, one job a run, times in order, parents and roots that exist."""
    runs: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for position, event in documents:
        runs[event["run"]["runId"]].append((position, event))
    for run_id, told in runs.items():
        kinds = [event["eventType"] for _, event in told]
        if kinds[0] != "START" or kinds.count("START") != 1:
            yield f"run {run_id}: its events are {kinds}, not one START and then others"
        if kinds[-1] not in TERMINAL or sum(kind in TERMINAL for kind in kinds) != 1:
            yield f"run {run_id}: its events are {kinds}, not others and then one terminal event"
        if len({(event["job"]["namespace"], event["job"]["name"]) for _, event in told}) != 1:
            yield f"run {run_id}: is of several jobs"
        times = [event["eventTime"] for _, event in told]
        if times != sorted(times):
            yield f"run {run_id}: times {times} go backwards"
        for position, event in told:
            yield from (f"{position}: {finding}" for finding in _family(event, runs))


def _family(event: dict[str, Any], runs: dict[str, list[tuple[int, dict[str, Any]]]]) -> Iterator[str]:
    facets = event["run"].get("facets", {})
    parent = facets.get("parent")
    if parent is not None:
        for what, node in (("parent", parent), ("root", parent.get("root"))):
            if node is None:
                yield f"{what} is missing"
            elif node["run"]["runId"] not in runs:
                yield f"{what} run {node['run']['runId']} is unknown"
            elif runs[node["run"]["runId"]][0][1]["job"]["name"] != node["job"]["name"]:
                yield f"{what} run is not of job {node['job']['name']!r}"
    for dependency in facets.get("jobDependencies", {}).get("upstream", []):
        other = dependency["run"]["runId"]
        if other not in runs or runs[other][0][1]["job"]["name"] != dependency["job"]["name"]:
            yield f"upstream run {other} is unknown, or of another job"
