"""What a run took in and gave out, as OpenLineage datasets: files under their own names, values under their producer's.

Knows the records and how datasets are named; must not know runs' own facets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Literal

from lineage_flows.events import values
from lineage_flows.events.columns import MEMORY, Finder, Found, column_lineage
from lineage_flows.events.facets import Facet, Facets
from lineage_flows.events.jobs import Jobs
from lineage_flows.events.text import masked, utc, without_credentials
from lineage_flows.record_base import ColumnSource, ObjectFacts
from lineage_flows.records import (
    ArtifactKind,
    DatasetRef,
    FlowRecord,
    InputRef,
    Source,
    StepRecord,
    ValueRef,
    value_uri,
)

__all__ = ["Datasets"]

_VALUE_URI = re.compile(r"prefect://[^/]+/(?:task|flow)-run/[^/]+/(.+)", re.DOTALL)
_Run = StepRecord | FlowRecord
_Side = tuple[str, str]
_READ: _Side = ("inputFacets", "inputStatistics")
_WRITTEN: _Side = ("outputFacets", "outputStatistics")


class Datasets:
    """Makes the inputs and outputs of one builder's events.

    Args:
        facets: makes the facets on them.
        jobs: knows what the producers of values are called.
    """

    def __init__(self, facets: Facets, jobs: Jobs) -> None:
        self._facets = facets
        self._jobs = jobs

    def step(self, record: StepRecord, job: str) -> tuple[list[Facet], list[Facet]]:
        """Inputs and outputs of a task run whose job is ``job``."""
        inputs = [*self._inputs(record, job, record.inputs, "task-run"), *self._files(record, "read")]
        find = self._finder(record, record.inputs, job, "input")
        if record.cached_from is not None and record.output is not None:
            inputs += self._sources(InputRef(name="cache", value=record.output, sources=(record.cached_from,)), job)
        outputs = [*self._result(record, job, record.output, "task-run", find), *self._files(record, "write", find)]
        return inputs, outputs

    def flow(self, record: FlowRecord, job: str) -> tuple[list[Facet], list[Facet]]:
        """Inputs and outputs of a flow run whose job is ``job``.

        Where its result comes from counts as an input: it is what joins a subflow's result to the steps that made it.
        """
        inputs = [*self._inputs(record, job, record.parameters, "flow-run"), *self._files(record, "read")]
        if record.result is not None:
            inputs += self._sources(InputRef(name="return", value=record.result, sources=record.result_sources), job)
        find = self._finder(record, record.parameters, job, "parameter")
        outputs = [*self._result(record, job, record.result, "flow-run", find), *self._files(record, "write", find)]
        return inputs, outputs

    def _finder(
        self, record: _Run, inputs: Iterable[InputRef], job: str, what: Literal["input", "parameter"]
    ) -> Finder:
        """What an event calls the dataset that a column is said to come from.

        A value is named by its producer only when exactly one is known to have given out that very content.
        """
        known = {item.name: item for item in inputs}
        read = {(item.namespace, item.name): item.uri for item in record.datasets if item.direction == "read"}

        def find(source: ColumnSource) -> Found | None:
            if source.namespace != MEMORY:
                uri = read.get((source.namespace, source.name))
                names = without_credentials(source.namespace), without_credentials(source.name)
                return Found(*names, source.column, None if uri is None else without_credentials(uri))
            parameter, slash, step = source.name.partition("/")
            if (item := known.get(parameter)) is None:
                return None
            if not item.sources or _was_made_between(item):
                column = f"/{step}/{source.column}" if slash else source.column
                part = f"{what}/{parameter}"
                of_run: Literal["task-run", "flow-run"] = "task-run" if what == "input" else "flow-run"
                uri = value_uri(self._facets.namespace, of_run, record.run_id, part)
                return Found(MEMORY, f"{job}/{part}", column, uri) if values.is_data(item.value) else None
            parts = {part.path: part.fingerprint for part in item.value.parts}
            wanted = parts.get(f"/{step}") if slash else item.value.fingerprint
            made = [one for one in item.sources if one.fingerprint == wanted is not None and not one.part]
            if len(made) != 1:
                return None
            return Found(MEMORY, self._name(made[0], job), source.column, made[0].uri)

        return find

    def _inputs(
        self, record: _Run, job: str, inputs: Iterable[InputRef], what: Literal["task-run", "flow-run"]
    ) -> Iterator[Facet]:
        for item in inputs:
            yield from self._sources(item, job)
            if item.sources and not _was_made_between(item):
                continue
            # What a flow is given belongs to the flow run, so that its steps can name it; what a step is given out of
            # nowhere is told only when it is data of a known kind: anything else may as well have been typed.
            if what == "flow-run" and not values.is_trivial(item.value):
                part = f"parameter/{item.name}"
            elif what == "task-run" and values.is_data(item.value):
                part = f"input/{item.name}"
            else:
                continue
            uri = value_uri(self._facets.namespace, what, record.run_id, part)
            yield self._input(f"{job}/{part}", uri, item.name, item.value)

    def _sources(self, item: InputRef, job: str) -> Iterator[Facet]:
        for source in item.sources:
            whole = not source.part and source.fingerprint == item.value.fingerprint is not None
            name = self._name(source, job)
            if whole:
                yield self._input(name, source.uri, item.name, item.value, source)
            else:
                yield self._partial(name, item, source)

    def _input(self, name: str, uri: str, parameter: str, value: ValueRef, source: Source | None = None) -> Facet:
        artifact = self._artifact(uri, parameter, value, known_by=source.known_by if source else ())
        facets = self._described(value, artifact)
        statistics = self._facets.statistics("inputStatistics", values.rows(value), value.size)
        return _dataset(MEMORY, name, facets, _READ, statistics)

    def _partial(self, name: str, item: InputRef, source: Source) -> Facet:
        """A part of an artifact, or one that was changed on its way: only what is known of the artifact itself is said."""
        # The container's own kind is its producer's to say; that of a value that was changed is likely to have stayed.
        kind: ArtifactKind = "Value" if source.part else item.value.kind
        artifact = self._facets.make(
            "lineageFlows_artifact",
            sourceUri=source.uri,
            artifactType=kind,
            fingerprint=source.fingerprint,
            role="value",
            name=item.name,
            part=source.part or None,
            knownBy=list(source.known_by),
        )
        facets: Facet = {"lineageFlows_artifact": artifact}
        if (version := self._facets.version(source.fingerprint)) is not None:
            facets["version"] = version
        return _dataset(MEMORY, name, facets, _READ, None)

    def _result(
        self, record: _Run, job: str, value: ValueRef | None, what: Literal["task-run", "flow-run"], find: Finder
    ) -> Iterator[Facet]:
        if value is None or values.is_none(value):
            return
        uri = value_uri(self._facets.namespace, what, record.run_id, "result")
        facets = self._described(value, self._artifact(uri, "result", value))
        if value.column_lineage and (columns := column_lineage(self._facets, value.column_lineage, find)):
            facets["columnLineage"] = columns
        statistics = self._facets.statistics("outputStatistics", values.rows(value), value.size)
        yield _dataset(MEMORY, f"{job}/result", facets, _WRITTEN, statistics)

    def _files(self, record: _Run, direction: Literal["read", "write"], find: Finder | None = None) -> Iterator[Facet]:
        side = _READ if direction == "read" else _WRITTEN
        for item in record.datasets:
            if item.direction != direction:
                continue
            facets: Facet = {"lineageFlows_artifact": self._file(item), "dataSource": self._facets.data_source(item)}
            if (version := self._facets.dataset_version(item)) is not None:
                facets["version"] = version
            if (schema := self._facets.schema(item.columns)) is not None:
                facets["schema"] = schema
            facets |= self._facets.described(item)
            if find and item.column_lineage and (columns := column_lineage(self._facets, item.column_lineage, find)):
                facets["columnLineage"] = columns
            files = 1 if item.namespace == "file" else None
            rows = item.rows if item.rows is not None else item.facts.rows if item.facts else None
            statistics = self._facets.statistics(side[1], rows, item.size, files)
            namespace, name = without_credentials(item.namespace), without_credentials(item.name)
            yield _dataset(namespace, name, facets, side, statistics)

    def _file(self, item: DatasetRef) -> Facet:
        return self._facets.make(
            "lineageFlows_artifact",
            sourceUri=without_credentials(item.uri),
            artifactType=item.kind,
            fingerprint=item.fingerprint,
            role="data",
            name=PurePath(item.name).name or item.name,
            blob=item.blob.digest if item.blob else None,
            format=item.blob.format if item.blob else None,
            size=item.size,
            knownBy=[],
            via=list(item.via) or None,
            touched=None if item.touched is None else utc(item.touched),
            note=None if item.note is None else masked(item.note),
            givenProperties=values.shown(item.properties) or None,
            **({} if item.facts is None else self._facts(item.facts)),
        )

    def _facts(self, facts: ObjectFacts) -> Facet:
        """What a store or server said of data that is no local file."""
        return {
            "version": facts.version,
            "etag": facts.etag,
            "status": facts.status,
            "statements": list(facts.statements) or None,
            "tables": list(facts.tables) or None,
            "results": list(facts.results) or None,
        }

    def _artifact(self, uri: str, name: str, value: ValueRef, *, known_by: Iterable[str] = ()) -> Facet:
        return self._facets.make(
            "lineageFlows_artifact",
            sourceUri=uri,
            artifactType=value.kind,
            fingerprint=values.identity(value),
            role="value",
            name=name,
            pythonType=value.type,
            blob=value.blob.digest if value.blob else None,
            format=value.blob.format if value.blob else None,
            size=value.size,
            knownBy=list(known_by),
            rule=value.rule,
            note=None if value.note is None else masked(value.note),
            preview=values.preview(value),
            hyperparameters=values.shown(value.hyperparameters) or None,
            picture=value.picture.digest if value.picture else None,
        )

    def _described(self, value: ValueRef, artifact: Facet) -> Facet:
        facets: Facet = {"lineageFlows_artifact": artifact}
        if (version := self._facets.version(values.identity(value))) is not None:
            facets["version"] = version
        if (schema := self._facets.schema(value.columns)) is not None:
            facets["schema"] = schema
        return facets

    def _name(self, source: Source, job: str) -> str:
        """``JOB/result`` of the producer; the producer's id stands for a job that nobody here knows."""
        found = _VALUE_URI.fullmatch(source.uri)
        part = found[1] if found else "result"
        producer = self._jobs.name(source.run_id)
        return f"{producer}/{part}" if producer is not None else f"{job.partition('.')[0]}/{source.run_id}/{part}"


def _was_made_between(item: InputRef) -> bool:
    """Whether what went in was computed by the flow's own code from its sources: then it is a version of its own.

    The flow may have put anything into it, so that for the graph it also comes from nowhere known.
    """
    ways = {way for source in item.sources for way in source.known_by}
    return bool(ways & {"derivation", "mutation"}) and "content" not in ways


def _dataset(namespace: str, name: str, facets: Facet, side: _Side, statistics: Facet | None) -> Facet:
    facets_of_side, key = side
    return {
        "namespace": namespace,
        "name": name,
        "facets": facets,
        facets_of_side: {} if statistics is None else {key: statistics},
    }
