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
from lineage_flows.record_about import JobAbout, PolicyRef, RunOrigin
from lineage_flows.record_base import BlobRef, ColumnEdge, ColumnSource, DatasetKind, Frozen, ObjectFacts
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
from lineage_flows.record_gaps import Gap, GapKind, Ledger, Tally
from lineage_flows.record_replay import (
    Cause,
    ReplayInfo,
    ReplayOutcome,
    StepComparison,
    StepVerdict,
    ValueDifference,
    Verdict,
)
from lineage_flows.redacted_documents import document as without_secrets

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
    "Gap",
    "GapKind",
    "InputRef",
    "JobAbout",
    "KnownBy",
    "Ledger",
    "Level",
    "ModuleFile",
    "ObjectFacts",
    "Package",
    "Part",
    "PolicyRef",
    "RandomStates",
    "ReplayInfo",
    "ReplayOutcome",
    "RunOrigin",
    "RunRecord",
    "Source",
    "SourceTree",
    "StepComparison",
    "StepKind",
    "StepRecord",
    "StepVerdict",
    "Tally",
    "ValueDifference",
    "ValueRef",
    "Verdict",
    "read_run_record",
    "record_json",
    "redacted",
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
    ``secrets`` counts those inside it, which are left out of the fingerprint; what holds one is not kept.
    ``hyperparameters`` are what a model was made with, by their names in its library; ``picture`` is what a figure looks like (PNG,
    or a plotly figure's own JSON).
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
    secrets: int = 0
    parts: tuple[Part, ...] = ()
    note: str | None = None
    hyperparameters: dict[str, JsonValue] = {}  # noqa: RUF012 - pydantic copies it
    picture: BlobRef | None = None
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
    response, a table) ``path`` is the URI, and ``facts`` is what its store or server said of it. ``rows`` and ``columns`` are those
    that were read or written, as the library had them in hand. ``properties`` are what the flow's author says of it; ``owners`` and
    ``description`` are those of a Prefect asset. ``column_lineage`` says of what was written from which columns its own are.
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
    rows: int | None = None
    columns: tuple[Column, ...] = ()
    properties: dict[str, JsonValue] = {}  # noqa: RUF012 - pydantic copies it
    owners: tuple[str, ...] = ()
    description: str | None = None
    column_lineage: tuple[ColumnEdge, ...] = ()
    kind: DatasetKind = "DataSet"

    @property
    def content_id(self) -> str | None:
        """What tells this content from another: its fingerprint, else what its store calls it; None when nothing does."""
        return self.fingerprint or (self.facts and (self.facts.etag or self.facts.version)) or None


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


class StepRecord(Frozen):
    """One task run: everything capture saw of it, its last attempt in full.

    ``index`` is its rank among the steps of the same flow run and task name, in order of submission; -1 until the run record is
    assembled. ``unrestorable`` names what it read that a replay cannot serve again (a socket, a file over the size cap).
    ``ledger`` is of all attempts; None when the function was not called, or nothing was watched.
    ``cached_from`` is the result that Prefect took from its cache in place of calling the function, as its maker gave it out;
    None when that is not known.
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
    cached_from: Source | None = None
    restored: bool = False
    unrestorable: tuple[str, ...] = ()
    ledger: Ledger | None = None
    capture_errors: tuple[str, ...] = ()
    level: Level = "inputs"
    about: JobAbout | None = None
    policy: PolicyRef | None = None
    url: str | None = None


class FlowRecord(Frozen):
    """One flow run, as far as it is known at the moment of the record (start, or end).

    ``random`` is the state when the flow's function was called, ``module_random`` what its module was imported with.
    ``unrestorable`` and ``ledger`` are of the flow's own code.
    ``rolled_back`` names the task runs of this flow run whose transaction failed after they had completed.
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
    unrestorable: tuple[str, ...] = ()
    ledger: Ledger | None = None
    rolled_back: tuple[str, ...] = ()
    capture_errors: tuple[str, ...] = ()
    level: Level = "inputs"
    prefect_version: str = ""
    about: JobAbout | None = None
    origin: RunOrigin | None = None
    policy: PolicyRef | None = None


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
    """A record as JSON without the secrets that its texts may hold (``redacted_documents.document``).

    Also one that names a file whose name is not UTF-8 (half a surrogate pair, which JSON can escape).
    """
    try:
        data = record.model_dump_json(exclude_defaults=exclude_defaults).encode()
    except PydanticSerializationError:
        data = json.dumps(record.model_dump(exclude_defaults=exclude_defaults)).encode()
    return without_secrets(data)


def redacted(record: FlowRecord) -> FlowRecord:
    """A flow run's record as ``record_json`` writes it, for those who show it; the record itself when it holds no secret."""
    try:
        data = record.model_dump_json().encode()
    except PydanticSerializationError:
        data = json.dumps(record.model_dump()).encode()
    clean = without_secrets(data)
    return record if clean is data else FlowRecord.model_validate(json.loads(clean))


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
