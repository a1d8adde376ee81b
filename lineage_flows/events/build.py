"""Builds OpenLineage run events (specification 2-0-2) from the records of flow runs and task runs.

Knows the records and how an event is put together of facets and datasets; must not know when a run starts or ends, nor what
becomes of its events.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from lineage_flows.errors import EventError
from lineage_flows.events.about import declared, origin, policy
from lineage_flows.events.datasets import Datasets
from lineage_flows.events.event import Event, EventKind
from lineage_flows.events.facets import CORE, Facet, Facets
from lineage_flows.events.jobs import Jobs, job_name
from lineage_flows.events.runs import flow_run, ledger, task_run
from lineage_flows.events.text import encode, now, utc
from lineage_flows.records import BlobRef, Environment, FlowRecord, StepRecord
from lineage_flows.redacted_documents import documents
from lineage_flows.redaction import generation

__all__ = ["EventBuilder", "producer"]

_CONSTANTS = 256
"""Tasks of flow runs whose constant parts are remembered."""

_IMAGES = 64
"""Environments whose image is remembered; a process has one."""


class EventBuilder:
    """Builds the events of one process. Safe for threads; a record is only read.

    Args:
        namespace: OpenLineage job namespace of every run.
        find: gives the record of a run of another process, or None (``Spool.record``). Without it, runs of other processes are
            left out of job dependencies, and the values they made are named by run id.
    """

    def __init__(self, namespace: str, find: Callable[[str], StepRecord | FlowRecord | None] | None = None) -> None:
        self._namespace = namespace
        self._producer, self._version = producer()
        self._facets = Facets(self._producer, namespace)
        self._jobs = Jobs(find)
        self._datasets = Datasets(self._facets, self._jobs)
        self._types = {name: self._facets.job_type(name) for name in ("FLOW", "TASK")}
        self._head = encode({"producer": self._producer, "schemaURL": CORE})[1:-1]
        self._constants: dict[tuple[object, ...], tuple[_Constant, tuple[object, ...]]] = {}
        self._images: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def flow_event(
        self,
        kind: EventKind,
        record: FlowRecord,
        *,
        time: str | None = None,
        run_record: BlobRef | None = None,
        parent_flow: FlowRecord | None = None,
        environment: Environment | None = None,
        source: str | None = None,
    ) -> Event:
        """An event of a flow run.

        Args:
            kind: its type.
            record: the flow run as far as it is known.
            time: when it happened; by default ``record.started`` of a START, ``record.ended`` of a terminal event, else now.
            run_record: where the run record was stored; with the terminal event of a root run.
            parent_flow: the flow run that called this one; None for a root run.
            environment: the whole environment, for its allowed variables and its container image.
            source: the source of its function, with the START event where it may be told.

        Raises:
            EventError: the record cannot be said as an OpenLineage event.
        """
        job = job_name(record)
        self._jobs.remember(record.run_id, job)
        run_facets = self._of_one(kind, record)
        run_facets["lineageFlows_flowRun"] = flow_run(
            self._facets, kind, record, run_record=run_record, image=self._image(record, environment)
        )
        if record.parent_run_id is not None:
            if parent_flow is not None:
                self._jobs.remember(parent_flow.run_id, job_name(parent_flow))
            ordered = record.root_run_id == record.run_id  # the run of a deployment, whose run record is its own
            root = parent_flow.root_run_id if ordered and parent_flow is not None else record.root_run_id
            run_facets["parent"] = self._parent(record.parent_run_id, root)
        run_facets["nominalTime"] = self._facets.nominal_time(record.nominal_start)
        run_facets["executionParameters"] = self._facets.parameters(record.parameters)
        run_facets["environmentVariables"] = self._facets.environment_variables(environment)
        job_facets: Facet = {
            "jobType": self._types["FLOW"],
            "sourceCodeLocation": self._facets.source_code(record.code, record.entry.path),
            **declared(self._facets, record.about, source),
        }
        constant = self._constant(job, self._of_all(record, record.prefect_version), job_facets)
        run_facets["lineageFlows_origin"] = origin(
            self._facets, record.origin, record.origin.run_url if record.origin else None
        )
        run_facets["lineageFlows_policy"] = policy(self._facets, record.policy)
        return self._event(kind, record, constant, run_facets, self._datasets.flow(record, job), time=time)

    def step_event(self, kind: EventKind, record: StepRecord, flow: FlowRecord, *, source: str | None = None) -> Event:
        """An event of a task run.

        Args:
            kind: its type; an attempt that failed before another is ``RUNNING``.
            record: the task run as far as it is known.
            flow: the flow run it belongs to.
            source: as for ``flow_event``.

        Raises:
            EventError: the record cannot be said as an OpenLineage event.
        """
        job = job_name(record)
        self._jobs.remember(record.run_id, job)
        self._jobs.remember(flow.run_id, job_name(flow))
        run_facets = self._of_one(kind, record)
        run_facets["lineageFlows_taskRun"] = task_run(self._facets, kind, record)
        if record.upstream:
            known = ((run_id, self._jobs.name(run_id)) for run_id in record.upstream)
            run_facets["jobDependencies"] = self._facets.dependencies(
                (run_id, name) for run_id, name in known if name is not None
            )
        literals = [item for item in record.inputs if not item.sources and item.value.kind == "Value"]
        run_facets["executionParameters"] = self._facets.parameters(literals)
        run_facets["lineageFlows_origin"] = origin(self._facets, None, record.url)
        run_facets["lineageFlows_policy"] = policy(self._facets, record.policy)
        constant = self._of_task(record, flow, job, source)
        return self._event(kind, record, constant, run_facets, self._datasets.step(record, job), time=None)

    def _of_task(self, record: StepRecord, flow: FlowRecord, job: str, source: str | None) -> _Constant:
        """What a task's runs in a flow run have in common; made once for all of them."""
        root_job = self._jobs.name(record.root_run_id)
        made_of = (flow, record.function, record.about)  # kept, so that no other object can get their identities
        key = (*map(id, made_of), job, source, record.root_run_id, root_job, record.tags, generation())
        with self._lock:
            known = self._constants.get(key)
        if known is not None:
            return known[0]
        run_facets = self._of_all(record, flow.prefect_version)
        run_facets["parent"] = self._parent(flow.run_id, record.root_run_id)
        run_facets["nominalTime"] = self._facets.nominal_time(flow.nominal_start)
        job_facets: Facet = {
            "jobType": self._types["TASK"],
            "sourceCodeLocation": self._facets.source_code(flow.code, record.function.path),
            **declared(self._facets, record.about, source),
        }
        constant = self._constant(job, run_facets, job_facets)
        with self._lock:
            self._constants[key] = constant, made_of
            while len(self._constants) > _CONSTANTS:
                del self._constants[next(iter(self._constants))]
        return constant

    def _constant(self, job: str, run_facets: Facet, job_facets: Facet) -> _Constant:
        said = {"namespace": self._namespace, "name": job, "facets": _present(job_facets)}
        return _Constant(*_members(_present(run_facets), {"job": said}))

    def _of_all(self, record: StepRecord | FlowRecord, prefect_version: str) -> Facet:
        """Facets that both kinds of run have, and are the same in all their events. Those that are None are not sent."""
        return {
            "processing_engine": self._facets.engine(prefect_version, self._version),
            "tags": self._facets.tags(record.tags),
        }

    def _of_one(self, kind: EventKind, record: StepRecord | FlowRecord) -> Facet:
        """Facets that both kinds of run have, of one event."""
        facets: Facet = {"lineageFlows_ledger": ledger(self._facets, record)}
        # A consumer keeps the last facet of a name and nothing takes it back, so an error of an attempt that is followed by
        # another is in our own facet only.
        if kind == "FAIL" or (kind == "ABORT" and record.error is not None):
            facets["errorMessage"] = self._facets.error(record.error, record.state)
        return facets

    def _parent(self, run_id: str, root_run_id: str) -> Facet | None:
        name = self._jobs.name(run_id)
        if name is None:
            return None
        return self._facets.parent(run_id, name, root_run_id, self._jobs.name(root_run_id))

    def _image(self, record: FlowRecord, environment: Environment | None) -> str | None:
        """The container image; remembered by the environment's digest, since the whole environment is not given each time."""
        if record.environment is None:
            return environment.image if environment else None
        digest = record.environment.digest
        if environment is not None:
            with self._lock:
                self._images[digest] = environment.image
                while len(self._images) > _IMAGES:
                    del self._images[next(iter(self._images))]
        return self._images.get(digest)

    def _event(
        self,
        kind: EventKind,
        record: StepRecord | FlowRecord,
        constant: _Constant,
        run_facets: Facet,
        datasets: tuple[list[Facet], list[Facet]],
        *,
        time: str | None,
    ) -> Event:
        time = utc(time or _time_of(kind, record) or now())
        run_id, root_run_id = _canonical(record.run_id), _canonical(record.root_run_id)
        facets, touched = _members(_present(run_facets), {"inputs": datasets[0], "outputs": datasets[1]})
        head = f'{{"eventType":"{kind}","eventTime":"{time}",'
        payload = b"".join(
            (
                head.encode(),
                self._head,
                f',"run":{{"runId":"{run_id}","facets":{{'.encode(),
                b",".join(filter(None, (constant.run_facets, facets))),
                b"}},",
                constant.job,
                b",",
                touched,
                b"}",
            )
        )
        return Event(run_id=run_id, root_run_id=root_run_id, kind=kind, time=time, payload=payload)


@dataclass(frozen=True, slots=True)
class _Constant:
    """Members of an event's JSON without secrets: of its run's facets, and its job."""

    run_facets: bytes
    job: bytes


def _members(*said: Facet) -> list[bytes]:
    """JSON objects without secrets and without their braces, so that they can be joined with others."""
    return [part[1:-1] for part in documents(map(encode, said))]


def producer() -> tuple[str, str]:
    """The URL that names this package at its version in every event and facet, and the version.

    The package itself lies above this layer; that it is loaded is certain, since this module is a part of it.
    """
    version = str(sys.modules[__name__.partition(".")[0]].__version__)
    return f"https://lineage-flows.dev/releases/{version}", version


def _time_of(kind: EventKind, record: StepRecord | FlowRecord) -> str | None:
    if kind == "RUNNING":
        return None
    return record.started if kind == "START" else record.ended


@lru_cache(maxsize=1024)  # of a root run, the same id goes into every event
def _canonical(run_id: str) -> str:
    try:
        return str(UUID(run_id))
    except ValueError:
        raise EventError("an event cannot be made", why=f"the run id {run_id[:60]!r} is not a UUID") from None


def _present(facets: Facet) -> Facet:
    return {key: facet for key, facet in facets.items() if facet is not None}
