"""What was recorded, to ask questions of: runs, their records, where a thing comes from, what came of it, how two runs differ.

Knows graph, records, store and comparison; read only. Nothing here knows Prefect: a run is asked about without a server.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from lineage_flows.compare.changes import RunDifference
from lineage_flows.errors import GraphError
from lineage_flows.graph.columns import ColumnLink, ColumnTrace
from lineage_flows.graph.in_force import InForce
from lineage_flows.graph.jobs import TrainingJob
from lineage_flows.graph.model import Entity
from lineage_flows.graph.opening import open_graph
from lineage_flows.graph.query import Path as LineagePath
from lineage_flows.graph.query import Walk, WalkEdge, WalkNode
from lineage_flows.graph.runs import RunKind, RunSummary, run_summary
from lineage_flows.ledger import RunGaps, gaps_of
from lineage_flows.records import RunRecord, read_run_record
from lineage_flows.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from os import PathLike

    from lineage_flows.content.store import Store
    from lineage_flows.graph.keeper import Direction, Keeper
    from lineage_flows.graph.model import Artifact
    from lineage_flows.graph.neptune.export import Exported
    from lineage_flows.graph.neptune.load import Loaded
    from lineage_flows.graph.neptune.tables import Format
    from lineage_flows.tolerances import ToleranceRule

__all__ = [
    "ColumnLink",
    "ColumnTrace",
    "Entity",
    "InForce",
    "Lineage",
    "LineagePath",
    "RunDifference",
    "RunGaps",
    "RunKind",
    "RunRecord",
    "RunSummary",
    "TrainingJob",
    "Walk",
    "WalkEdge",
    "WalkNode",
    "lineage",
]


def lineage(settings: Settings | None = None) -> Lineage:
    """Open what was recorded, to ask questions of it; nothing is written, and a home without a graph reads as empty.

    Args:
        settings: where to look; read from ``LINEAGE_FLOWS_*`` and pyproject.toml when None.

    Raises:
        SettingsError: a setting is wrong.
        HomeError: the home is no folder.
        KeeperUnavailableError: the graph cannot be opened.
    """
    settings = settings or load_settings()
    settings.check_home()
    return Lineage(open_graph(settings, read_only=True), settings)


class Lineage:
    """A graph and the blobs it names, open for questions. Safe for threads; close it, or use it in a ``with`` statement.

    A *reference* is a run id or the start of one, a run name, an ARN, a dataset's URI or path, ``GROUP/VERSION`` of a
    registered model, or ``commit:SHA``. Wherever one is
    taken, ``UnknownReferenceError`` says that it means nothing in the graph, ``AmbiguousReferenceError`` that it means more than
    one thing, and ``GraphError`` that the graph cannot be read.
    """

    def __init__(self, keeper: Keeper, settings: Settings) -> None:
        self._keeper = keeper
        self._settings = settings
        self._opened_store: Store | None = None

    def __enter__(self) -> Lineage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the graph back; nothing can be asked any more."""
        self._keeper.close()

    def runs(
        self,
        limit: int | None = None,
        *,
        flow: str | None = None,
        kind: RunKind | None = None,
        subflows: bool = False,
    ) -> list[RunSummary]:
        """The runs that were captured, newest first.

        Args:
            limit: at most so many.
            flow: only runs of this flow.
            kind: only runs, or only replays.
            subflows: also flow runs that another run started.
        """
        from lineage_flows.graph.runs import runs

        return runs(self._keeper, limit=limit, flow=flow, kind=kind, subflows=subflows)

    def runs_of(self, strategy: str) -> list[RunSummary]:
        """The runs of a flow, a deployment or a tag, newest first, without replays; see ``run_in_force``."""
        from lineage_flows.graph.in_force import runs_of_strategy

        return runs_of_strategy(self._keeper, strategy)

    def run(self, reference: str) -> RunSummary:
        """The one flow run or replay that a reference means."""
        from lineage_flows.graph.reference import resolve_run

        return run_summary(resolve_run(self._keeper, reference))

    def run_in_force(
        self,
        *,
        strategy: str | None = None,
        model: str | None = None,
        until: datetime | None = None,
        since: datetime | None = None,
    ) -> InForce:
        """The last run that had completed by a moment; see ``graph.in_force.run_in_force``, also for what is raised."""
        from lineage_flows.graph.in_force import run_in_force

        return run_in_force(self._keeper, strategy=strategy, model=model, until=until, since=since)

    def record(self, reference: str) -> RunRecord:
        """The run record of a run: everything that was captured of it, with its steps in order.

        Raises:
            GraphError: the run has none: it has not ended, was killed, or is a subflow (whose steps are in the root's record).
            BlobMissingError, BlobAlteredError: the store does not hold it, or not as it was.
            RecordFormatError: it was written by a later version, or is no run record.
        """
        summary = self.run(reference)
        if summary.record_digest is None:
            raise _no_record(summary)
        return read_run_record(self.read(summary.record_digest))

    def report(self, reference: str) -> tuple[RunSummary, str]:
        """The report of a replay: the replay, and one HTML page that needs nothing else.

        Args:
            reference: the replay; of a run that was replayed, its newest replay.

        Raises:
            GraphError: it is no replay and has none, or no report of it was made.
            BlobMissingError, BlobAlteredError: the store does not hold it, or not as it was.
        """
        summary = self.run(reference)
        if summary.kind != "replay":
            made = self.runs(kind="replay", flow=summary.flow)
            summary = next((run for run in made if run.replay_of == summary.run_id), summary)
        if summary.report_digest is None:
            what = f"there is no report of run {summary.run_id} ({summary.flow} / {summary.name})"
            if summary.kind != "replay":
                raise GraphError(
                    what, why="it was never replayed", fix=f"replay it with `lineage-flows replay {reference}`"
                )
            raise GraphError(what, why="none was made, or its end is not recorded", fix="replay the run again")
        return summary, self.read(summary.report_digest).decode()

    def gaps(self, reference: str) -> tuple[RunGaps, ...]:
        """The completeness ledger: of a flow run that of its own code, of its subflows and of every step; of a step its own.

        Args:
            reference: a flow run, or a step.

        Raises:
            LineageError: see ``record``.
        """
        from lineage_flows.graph.model import Action
        from lineage_flows.graph.reference import resolve_one

        found = resolve_one(self._keeper, reference)
        flow_run = found.properties.get("flowRunId") if isinstance(found, Action) else None
        if not isinstance(found, Action) or flow_run is None:
            return gaps_of(self.record(reference))
        root = found.properties.get("rootRunId", flow_run)
        return tuple(item for item in gaps_of(self.record(root)) if item.run_id == found.source_id)

    def read(self, digest: str) -> bytes:
        """The bytes of a blob (``sha256:<hex>``), verified.

        Raises:
            BlobMissingError, BlobAlteredError: the store does not hold it, or not as it was.
        """
        return self._store().get(digest)

    def resolve(self, reference: str) -> tuple[Entity, ...]:
        """What a reference means: one entity, or for ``commit:SHA`` every run of that commit."""
        from lineage_flows.graph.reference import resolve

        return resolve(self._keeper, reference)

    def upstream(self, reference: str, depth: int | None = None) -> Walk:
        """Everything that a thing was made from: data, values, steps, code, environment. A run stands for all it gave out.

        Args:
            reference: what to start from.
            depth: follow at most so many edges; None follows all.
        """
        from lineage_flows.graph.query import upstream

        return upstream(self._keeper, self._one(reference), depth)

    def training_job(self, uri: str) -> TrainingJob | None:
        """SageMaker's training job whose model lies at a URI in S3, by its Search; None without one, or with another keeper.

        Args:
            uri: ``s3://…/model.tar.gz``.
        """
        if self._settings.keeper != "sagemaker" or not uri.startswith("s3://"):
            return None
        from lineage_flows.graph.sagemaker import SageMakerKeeper

        return self._keeper.training_job(uri) if isinstance(self._keeper, SageMakerKeeper) else None

    def registered(self, group: str | None = None, *, of: str | None = None) -> list[Artifact]:
        """Versions of models in SageMaker's model registry that the graph knows, by group and newest first.

        Args:
            group: only those of this group.
            of: only those that were made from this: the versions that a dataset reached.
        """
        from lineage_flows.graph.packages import packages, packages_of

        if of is None:
            return packages(self._keeper, group)
        return packages_of([node.entity for node in self.downstream(of).nodes], group)

    def downstream(self, reference: str, depth: int | None = None) -> Walk:
        """Everything that was made from a thing. A run stands for all it gave out.

        Args:
            reference: what to start from.
            depth: follow at most so many edges; None follows all.
        """
        from lineage_flows.graph.query import downstream

        return downstream(self._keeper, self._one(reference), depth)

    def columns(self, reference: str) -> tuple[ColumnLink, ...]:
        """From which columns those of a dataset or value were made, one step back; nothing where that is not certain.

        Raises:
            UnknownReferenceError: it is no dataset or value.
        """
        from lineage_flows.graph.columns import columns_of

        return columns_of(self._keeper, self._one(reference))

    def column_origins(self, reference: str, column: str) -> ColumnTrace:
        """Where a column of a dataset or value comes from, as far back as it is certain.

        Args:
            reference: the dataset or value.
            column: the column's name; in a container the component's path and the column (``/train/close``).

        Raises:
            UnknownReferenceError: it is no dataset or value.
        """
        from lineage_flows.graph.columns import trace_column

        return trace_column(self._keeper, self._one(reference), column)

    def path(self, a: str, b: str) -> LineagePath:
        """The shortest way that data took between two things, whichever came first; empty when there is none."""
        from lineage_flows.graph.query import path

        return path(self._keeper, self._one(a), self._one(b))

    def search(self, text: str, limit: int | None = None) -> list[Entity]:
        """Entities whose name, URI, type or properties hold every word of a text, letter case aside; newest first."""
        from lineage_flows.graph.query import search

        return search(self._keeper, text, limit=limit)

    def export(
        self,
        target: str | PathLike[str],
        format: Format,
        reference: str | None = None,
        direction: Direction | None = None,
    ) -> Exported:
        """Write the graph as files that Amazon Neptune's bulk loader takes, whole or not at all; see docs/neptune.md.

        Args:
            target: a folder, or ``s3://bucket/prefix``, where nothing is yet.
            format: ``gremlin`` or ``opencypher``: one of Neptune's load formats. Either is asked in both languages.
            reference: only this and what is upstream or downstream of it; None exports everything.
            direction: ``up`` or ``down``, together with ``reference``.

        Raises:
            ValueError: one of ``reference`` and ``direction`` is given without the other.
        """
        from lineage_flows.graph.neptune.export import export

        if (reference is None) != (direction is None):
            raise ValueError(
                "a reference is exported with what is up or down of it, and a direction is that of a reference"
            )
        start = None if reference is None else self._one(reference)
        return export(self._keeper, target, format, start, direction)

    @staticmethod
    def load_into_neptune(
        exported: Exported,
        *,
        endpoint: str,
        iam_role: str,
        region: str | None = None,
        patience: float = 3600.0,
    ) -> Loaded:
        """Have Neptune load an export that lies in S3, and wait until it is there.

        Args:
            exported: what ``export`` gave.
            endpoint: of the cluster; a bare host means https and port 8182.
            iam_role: ARN of the role by which Neptune reads the bucket.
            region: of cluster and bucket; None takes that of the endpoint's name, then that of AWS's settings.
            patience: seconds to wait for its end.

        Raises:
            SettingsError: the export does not lie in S3, or endpoint, role or region are none.
            NeptuneLoadError: it was refused, failed, or did not end in time.
        """
        from lineage_flows.graph.neptune.load import bulk_load

        return bulk_load(
            exported.target,
            endpoint=endpoint,
            iam_role=iam_role,
            style=exported.format,
            region=region,
            patience=patience,
        )

    def diff(self, a: str, b: str, *, tolerances: Iterable[ToleranceRule] = ()) -> RunDifference:
        """All that differs between two runs; what is no longer in the store is compared by fingerprint alone.

        Args:
            a: the one run: id, the start of one, or name.
            b: the other run.
            tolerances: rules of tolerance beside those of the settings; of equally specific ones these decide.

        Raises:
            LineageError: see ``record``, for either run.
        """
        from lineage_flows.compare import compare_runs

        rules = (*self._settings.tolerances, *tolerances)
        return compare_runs(self.record(a), self.record(b), read=self.read, tolerances=rules)

    def _one(self, reference: str) -> str:
        from lineage_flows.graph.reference import resolve_one

        return resolve_one(self._keeper, reference).arn

    def _store(self) -> Store:
        if self._opened_store is None:
            from lineage_flows.content import open_store

            self._opened_store = open_store(self._settings.blobs_url)
        return self._opened_store


def _no_record(summary: RunSummary) -> GraphError:
    name = f"run {summary.run_id} ({summary.flow} / {summary.name})"
    if summary.root_run_id != summary.run_id:
        why = f"it is a subflow, and in the record of {summary.root_run_id}"
        return GraphError(f"{name} has no run record of its own", why=why, fix="ask about that run")
    ended = summary.ended is not None
    why = (
        "it ended without one, as a run does whose capture failed"
        if ended
        else "it has not ended, or its process was killed"
    )
    return GraphError(f"{name} has no run record", why=why, fix="see it with `lineage-flows show`")
