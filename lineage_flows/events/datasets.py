"""What a run took in and gave out, as OpenLineage datasets: files under their own names, values under their producer's.

Knows the records and how datasets are named; must not know runs' own facets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Literal

from lineage_flows.events import values
from lineage_flows.events.facets import Facet, Facets
from lineage_flows.events.jobs import Jobs
from lineage_flows.events.text import masked, utc, without_credentials
from lineage_flows.record_base import ObjectFacts
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

MEMORY = "inmemory://"
"""Namespace of values that live in memory only, by OpenLineage's naming table."""

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
        if record.cached_from is not None and record.output is not None:
            inputs += self._sources(InputRef(name="cache", value=record.output, sources=(record.cached_from,)), job)
        outputs = [*self._result(record, job, record.output, "task-run"), *self._files(record, "write")]
        return inputs, outputs

    def flow(self, record: FlowRecord, job: str) -> tuple[list[Facet], list[Facet]]:
        """Inputs and outputs of a flow run whose job is ``job``.

        Where its result comes from counts as an input: it is what joins a subflow's result to the steps that made it.
        """
        inputs = [*self._inputs(record, job, record.parameters, "flow-run"), *self._files(record, "read")]
        if record.result is not None:
            inputs += self._sources(InputRef(name="return", value=record.result, sources=record.result_sources), job)
        outputs = [*self._result(record, job, record.result, "flow-run"), *self._files(record, "write")]
        return inputs, outputs

    def _inputs(
        self, record: _Run, job: str, inputs: Iterable[InputRef], what: Literal["task-run", "flow-run"]
    ) -> Iterator[Facet]:
        for item in inputs:
            if item.sources:
                yield from self._sources(item, job)
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
        self, record: _Run, job: str, value: ValueRef | None, what: Literal["task-run", "flow-run"]
    ) -> Iterator[Facet]:
        if value is None or values.is_none(value):
            return
        uri = value_uri(self._facets.namespace, what, record.run_id, "result")
        facets = self._described(value, self._artifact(uri, "result", value))
        statistics = self._facets.statistics("outputStatistics", values.rows(value), value.size)
        yield _dataset(MEMORY, f"{job}/result", facets, _WRITTEN, statistics)

    def _files(self, record: _Run, direction: Literal["read", "write"]) -> Iterator[Facet]:
        side = _READ if direction == "read" else _WRITTEN
        for item in record.datasets:
            if item.direction != direction:
                continue
            facets: Facet = {"lineageFlows_artifact": self._file(item), "dataSource": self._facets.data_source(item)}
            if (version := self._facets.dataset_version(item)) is not None:
                facets["version"] = version
            files = 1 if item.namespace == "file" else None
            rows = item.facts.rows if item.facts else None
            statistics = self._facets.statistics(side[1], rows, item.size, files)
            namespace, name = without_credentials(item.namespace), without_credentials(item.name)
            yield _dataset(namespace, name, facets, side, statistics)

    def _file(self, item: DatasetRef) -> Facet:
        return self._facets.make(
            "lineageFlows_artifact",
            sourceUri=without_credentials(item.uri),
            artifactType="DataSet",
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
            **({} if item.facts is None else self._facts(item.facts)),
        )

    def _facts(self, facts: ObjectFacts) -> Facet:
        """What a store or server said of data that is no local file."""
        return {
            "version": facts.version,
            "etag": facts.etag,
            "status": facts.status,
            "statements": list(facts.statements) or None,
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
        )

    def _described(self, value: ValueRef, artifact: Facet) -> Facet:
        facets: Facet = {"lineageFlows_artifact": artifact}
        if (version := self._facets.version(values.identity(value))) is not None:
            facets["version"] = version
        if value.columns:
            facets["schema"] = self._facets.schema(value)
        return facets

    def _name(self, source: Source, job: str) -> str:
        """``JOB/result`` of the producer; the producer's id stands for a job that nobody here knows."""
        found = _VALUE_URI.fullmatch(source.uri)
        part = found[1] if found else "result"
        producer = self._jobs.name(source.run_id)
        return f"{producer}/{part}" if producer is not None else f"{job.partition('.')[0]}/{source.run_id}/{part}"


def _dataset(namespace: str, name: str, facets: Facet, side: _Side, statistics: Facet | None) -> Facet:
    facets_of_side, key = side
    return {
        "namespace": namespace,
        "name": name,
        "facets": facets,
        facets_of_side: {} if statistics is None else {key: statistics},
    }
