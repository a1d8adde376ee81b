"""The frozen data classes that travel between the stages: what capture saw, what events say, what replay reads.

Knows pydantic and the standard library; must not know Prefect, OpenLineage, SageMaker or any store.
Times are RFC 3339 strings in UTC. Digests of stored bytes are ``sha256:<hex>``; fingerprints of values are ``lf1:<hex>``.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import JsonValue, ValidationError
from pydantic_core import PydanticSerializationError

from lineage_flows.errors import RecordFormatError
from lineage_flows.record_base import BlobRef, ColumnEdge, ColumnSource, Frozen, ObjectFacts
from lineage_flows.record_code import (
    DeploymentRef,
    EntryPoint,
    Environment,
    EnvironmentRef,
    FunctionRef,
    ModuleFile,
    Package,
    RandomStates,
    SourceTree,
)

__all__ = [
    "RECORD_FORMAT",
    "ArtifactKind",
    "AttemptRef",
    "BlobRef",
    "Cause",
    "Column",
    "ColumnEdge",
    "ColumnSource",
    "DatasetRef",
    "DeploymentRef",
    "EntryPoint",
    "Environment",
    "EnvironmentRef",
    "ErrorRef",
    "FlowRecord",
    "Frozen",
    "FunctionRef",
    "InputRef",
    "KnownBy",
    "Level",
    "ModuleFile",
    "ObjectFacts",
    "Package",
    "Part",
    "RandomStates",
    "ReplayInfo",
    "ReplayOutcome",
    "RunRecord",
    "Source",
    "SourceTree",
    "StepComparison",
    "StepKind",
    "StepRecord",
    "StepVerdict",
    "ValueRef",
    "Verdict",
    "read_run_record",
    "record_json",
    "value_uri",
]

RECORD_FORMAT = 1
"""Number of the run record's format; a reader refuses one it does not know."""

Level = Literal["off", "metadata", "inputs", "all"]
ArtifactKind = Literal["Value", "DataSet", "Model", "Metrics", "TimeSeries", "Figure"]
StepKind = Literal["preprocessing", "training", "postprocessing", "processing"]
KnownBy = Literal["prefect", "content", "derivation", "mutation"]
"""How a link is known: by Prefect's own tracking; by equal fingerprints; since the object was computed from the other; since the
step had the very object before it changed, so that it or the flow's own code changed it."""

Verdict = Literal["identical", "equivalent", "different"]
StepVerdict = Literal["identical", "equivalent", "different", "restored", "missing", "added"]
Cause = Literal["code", "parameters", "inputs", "environment", "unexplained"]


class Part(Frozen):
    """A component of a container: its path (``/train``, ``/0/prices``), its own fingerprint, whether many values equal it."""

    path: str
    fingerprint: str
    common: bool = False


class Column(Frozen):
    """A column of a frame or table: name and logical type."""

    name: str
    type: str


class ValueRef(Frozen):
    """A Python value as it was seen at one moment.

    ``fingerprint`` is None when none could be made; ``note`` then says why. ``rule`` names the rule that made it: ``canonical``
    (equal values are equal), ``model`` (a fitted estimator), ``pickle`` (the value's own pickle reduction: a weaker identity),
    ``secret`` (never looked at), ``none``. ``preview`` is a small scalar or small mapping of numbers itself; never a secret.
    ``column_lineage`` is of what a step gave out only: from which columns that went in its own are.
    """

    fingerprint: str | None
    type: str
    kind: ArtifactKind = "Value"
    rule: Literal["canonical", "model", "pickle", "secret", "none"] = "canonical"
    size: int | None = None
    shape: tuple[int, ...] | None = None
    columns: tuple[Column, ...] = ()
    preview: JsonValue = None
    blob: BlobRef | None = None
    parts: tuple[Part, ...] = ()
    note: str | None = None
    column_lineage: tuple[ColumnEdge, ...] = ()


class Source(Frozen):
    """Where an input came from: another run's result or parameter, inside the same root flow run.

    ``uri`` and ``fingerprint`` are those of the artifact as its producer wrote it; ``part`` is the path inside it.
    """

    run_id: str
    uri: str
    fingerprint: str | None
    part: str = ""
    known_by: tuple[KnownBy, ...] = ()


class InputRef(Frozen):
    """A parameter of a call, fingerprinted before the call, and where its value came from."""

    name: str
    value: ValueRef
    sources: tuple[Source, ...] = ()


class DatasetRef(Frozen):
    """Data outside the flow that a run read or wrote.

    ``path`` is absolute, as the code named it; for a replay, ``uri`` and ``path`` are those of the original run. ``order`` counts
    touches within the process, so that the first touch of a path can be told from later ones. ``touched`` is the first moment at
    which it was read, or the last at which it may have been written; None when that is not known. Of what is no file (an object, a
    response, a table) ``path`` is the URI, and ``facts`` is what its store or server said of it. ``column_lineage`` says
    of what was written from which columns its own are.
    """

    namespace: str
    name: str
    uri: str
    path: str
    direction: Literal["read", "write"]
    fingerprint: str | None
    size: int | None = None
    blob: BlobRef | None = None
    via: tuple[str, ...] = ()
    order: int = 0
    touched: str | None = None
    note: str | None = None
    facts: ObjectFacts | None = None
    column_lineage: tuple[ColumnEdge, ...] = ()


class ErrorRef(Frozen):
    """An exception: qualified type, message, stack trace as text."""

    type: str
    message: str
    stack: str = ""


class AttemptRef(Frozen):
    """An attempt of a run that ended without being its last."""

    attempt: int
    state: str
    started: str | None = None
    ended: str | None = None
    error: ErrorRef | None = None


class StepComparison(Frozen):
    """One step of a replay beside the same step of the original."""

    task: str
    index: int
    verdict: StepVerdict
    flow: str = ""
    causes: tuple[Cause, ...] = ()
    details: tuple[str, ...] = ()
    original_run_id: str | None = None
    replay_run_id: str | None = None


class ReplayOutcome(Frozen):
    """What a replay found. ``first_divergence`` is the position in ``steps``, None when nothing differs."""

    run_id: str
    replay_run_id: str
    verdict: Verdict
    steps: tuple[StepComparison, ...]
    result: StepVerdict
    first_divergence: int | None = None
    notes: tuple[str, ...] = ()


class ReplayInfo(Frozen):
    """Says that a flow run repeats another; ``outcome`` is known at its end."""

    replay_of: str
    requested_by: str = ""
    workspace: str = ""
    outcome: ReplayOutcome | None = None


class StepRecord(Frozen):
    """One task run: everything capture saw of it, its last attempt in full.

    ``index`` is its rank among the steps of the same flow run and task name, in order of submission; -1 until the run record is
    assembled. ``unrestorable`` names what it read that a replay cannot serve again (a socket, a file over the size cap).
    """

    run_id: str
    flow_run_id: str
    root_run_id: str
    flow_name: str
    task_name: str
    run_name: str
    function: FunctionRef
    kind: StepKind = "processing"
    tags: tuple[str, ...] = ()
    index: int = -1
    attempt: int = 1
    attempts: tuple[AttemptRef, ...] = ()
    state: str = ""
    state_type: str = ""
    started: str | None = None
    ended: str | None = None
    inputs: tuple[InputRef, ...] = ()
    output: ValueRef | None = None
    datasets: tuple[DatasetRef, ...] = ()
    upstream: tuple[str, ...] = ()
    parent_step_id: str | None = None
    random: RandomStates | None = None
    error: ErrorRef | None = None
    cached: bool = False
    restored: bool = False
    unrestorable: tuple[str, ...] = ()
    capture_errors: tuple[str, ...] = ()
    level: Level = "inputs"


class FlowRecord(Frozen):
    """One flow run, as far as it is known at the moment of the record (start, or end).

    ``random`` is the state when the flow's function was called, ``module_random`` what its module was imported with.
    """

    run_id: str
    root_run_id: str
    flow_name: str
    run_name: str
    function: FunctionRef
    entry: EntryPoint
    parent_run_id: str | None = None
    parent_step_id: str | None = None
    tags: tuple[str, ...] = ()
    deployment: DeploymentRef | None = None
    nominal_start: str | None = None
    created_by: str | None = None
    attempt: int = 1
    attempts: tuple[AttemptRef, ...] = ()
    state: str = ""
    state_type: str = ""
    started: str | None = None
    ended: str | None = None
    parameters: tuple[InputRef, ...] = ()
    result: ValueRef | None = None
    result_sources: tuple[Source, ...] = ()
    datasets: tuple[DatasetRef, ...] = ()
    code: SourceTree | None = None
    environment: EnvironmentRef | None = None
    random: RandomStates | None = None
    module_random: RandomStates | None = None
    error: ErrorRef | None = None
    replay: ReplayInfo | None = None
    capture_errors: tuple[str, ...] = ()
    level: Level = "inputs"
    prefect_version: str = ""


class RunRecord(Frozen):
    """The one document of a root flow run that names everything a replay needs; stored as a JSON blob.

    ``steps`` are in order of submission (task run ids are time-ordered), those of subflows included;
    ``subflows`` likewise.
    """

    format: int = RECORD_FORMAT
    flow: FlowRecord
    subflows: tuple[FlowRecord, ...] = ()
    steps: tuple[StepRecord, ...] = ()


def value_uri(namespace: str, what: Literal["task-run", "flow-run"], run_id: str, part: str) -> str:
    """URI of a value in memory, by the run that gave it out; ``part`` is ``result`` or ``parameter/NAME``."""
    return f"prefect://{namespace}/{what}/{run_id}/{part}"


def record_json(record: Frozen, *, exclude_defaults: bool = False) -> bytes:
    """A record as JSON, also one that names a file whose name is not UTF-8 (half a surrogate pair, which JSON can escape)."""
    try:
        return record.model_dump_json(exclude_defaults=exclude_defaults).encode()
    except PydanticSerializationError:
        return json.dumps(record.model_dump(exclude_defaults=exclude_defaults)).encode()


def read_run_record(data: bytes) -> RunRecord:
    """Read a run record from its stored form, as ``record_json`` writes it.

    Raises:
        RecordFormatError: it is of a format that this version does not know, or no run record at all.
    """
    try:
        document = json.loads(data)
    except ValueError:
        raise RecordFormatError("(not JSON)", RECORD_FORMAT) from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != RECORD_FORMAT:
        raise RecordFormatError(found, RECORD_FORMAT)
    try:
        return RunRecord.model_validate(document)
    except ValidationError as error:
        raise RecordFormatError(f"{found} with {error.error_count()} unreadable fields", RECORD_FORMAT) from error
