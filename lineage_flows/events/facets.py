"""OpenLineage's own facets, as plain dictionaries in the form of the specification.

Knows the records and the specification; must not know who reads the events. The client's facet classes are not used to build
them: their import alone costs a flow's start most of a second, and one event a millisecond. A test holds the table below to them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from lineage_flows.events.text import MASK, clip, masked, utc, without_credentials
from lineage_flows.events.values import parameter_text
from lineage_flows.records import Column, DatasetRef, Environment, ErrorRef, InputRef, SourceTree
from lineage_flows.redaction import is_secret_variable

__all__ = ["CORE", "OWN", "STANDARD", "Facet", "Facets", "error_text", "path_in_tree", "remote_url"]

Facet = dict[str, object]
"""A facet as it is sent."""

CORE: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"

STANDARD: Final[Mapping[str, tuple[str, str]]] = {
    "parent": ("1-2-0", "ParentRunFacet"),
    "nominalTime": ("1-0-1", "NominalTimeRunFacet"),
    "processing_engine": ("1-1-1", "ProcessingEngineRunFacet"),
    "executionParameters": ("1-0-0", "ExecutionParametersRunFacet"),
    "jobDependencies": ("1-0-1", "JobDependenciesRunFacet"),
    "errorMessage": ("1-0-1", "ErrorMessageRunFacet"),
    "environmentVariables": ("1-0-0", "EnvironmentVariablesRunFacet"),
    "tags": ("1-0-0", "TagsRunFacet"),
    "jobType": ("2-0-4", "JobTypeJobFacet"),
    "sourceCodeLocation": ("1-1-0", "SourceCodeLocationJobFacet"),
    "sourceCode": ("1-0-1", "SourceCodeJobFacet"),
    "documentation": ("1-1-0", "DocumentationJobFacet"),
    "ownership": ("1-0-1", "OwnershipJobFacet"),
    "schema": ("1-2-0", "SchemaDatasetFacet"),
    "columnLineage": ("1-2-0", "ColumnLineageDatasetFacet"),
    "version": ("1-0-1", "DatasetVersionDatasetFacet"),
    "dataSource": ("1-0-1", "DatasourceDatasetFacet"),
    "dataset.ownership": ("1-0-1", "OwnershipDatasetFacet"),
    "dataset.documentation": ("1-1-0", "DocumentationDatasetFacet"),
    "inputStatistics": ("1-0-0", "InputStatisticsInputDatasetFacet"),
    "outputStatistics": ("1-0-2", "OutputStatisticsOutputDatasetFacet"),
}
"""Key of a facet: version of its schema, its name. Versions are those of the specification this package was written for.

A dataset's facet whose key a job's facet has too is ``dataset.KEY``."""

OWN: Final[Mapping[str, tuple[str, str]]] = {
    "lineageFlows_flowRun": ("1-0-0", "LineageFlowsFlowRunRunFacet"),
    "lineageFlows_taskRun": ("1-0-0", "LineageFlowsTaskRunRunFacet"),
    "lineageFlows_job": ("1-0-0", "LineageFlowsJobJobFacet"),
    "lineageFlows_origin": ("1-0-0", "LineageFlowsOriginRunFacet"),
    "lineageFlows_policy": ("1-0-0", "LineageFlowsPolicyRunFacet"),
    "lineageFlows_ledger": ("1-0-0", "LineageFlowsLedgerRunFacet"),
    "lineageFlows_artifact": ("1-0-0", "LineageFlowsArtifactDatasetFacet"),
}
"""This project's facets. Their schemas ship in ``schemas/``; a published version is never changed, only followed by another."""

MAX_MESSAGE = 10_000
MAX_STACK = 50_000

_TAG = re.compile(r"([A-Za-z][\w.-]*)[:=](?!//)(\S.*)", re.DOTALL)
_SCP_REMOTE = re.compile(r"[^@/:\s]+@([A-Za-z0-9.-]+):(?!//)(\S+)")
_LOCAL_STORE = "file"


class Facets:
    """Makes facets of one producer.

    Args:
        producer: URL of this package at its version.
        namespace: namespace of every job.
    """

    def __init__(self, producer: str, namespace: str) -> None:
        self.namespace = namespace
        self._bases: dict[str, Facet] = {}
        for site, table in (("openlineage.io", STANDARD), ("lineage-flows.dev", OWN)):
            for key, (version, name) in table.items():
                url = f"https://{site}/spec/facets/{version}/{name}.json#/$defs/{name}"
                self._bases[key] = {"_producer": producer, "_schemaURL": url}

    def make(self, key: str, **fields: object) -> Facet:
        """A facet of that key; fields that are None are left out."""
        facet = dict(self._bases[key])
        for name, value in fields.items():
            if value is not None:
                facet[name] = value
        return facet

    def parent(self, run_id: str, job: str, root_run_id: str, root_job: str | None) -> Facet:
        """The run that started this one, and the run at the top; that is left out when its job is not known."""
        root = None if root_job is None else self._run_and_job(root_run_id, root_job)
        return self.make("parent", **self._run_and_job(run_id, job), root=root)

    def dependencies(self, upstream: Iterable[tuple[str, str]]) -> Facet | None:
        """The runs, each with its job, that had to end before this one could start."""
        listed = [{**self._run_and_job(*run), "sequence_trigger_rule": "FINISH_TO_START"} for run in upstream]
        return self.make("jobDependencies", upstream=listed) if listed else None

    def nominal_time(self, start: str | None) -> Facet | None:
        """When the run was due."""
        return None if start is None else self.make("nominalTime", nominalStartTime=utc(start))

    def engine(self, version: str, adapter: str) -> Facet | None:
        """Prefect's and this package's version."""
        if not version:
            return None
        return self.make("processing_engine", name="prefect", version=version, openlineageAdapterVersion=adapter)

    def job_type(self, job_type: str) -> Facet:
        """What kind of job: ``FLOW`` or ``TASK``."""
        return self.make("jobType", processingType="BATCH", integration="PREFECT", jobType=job_type)

    def parameters(self, inputs: Iterable[InputRef]) -> Facet | None:
        """Parameters of the call, each as text."""
        listed = [{"key": item.name, "value": parameter_text(item.value)} for item in inputs]
        return self.make("executionParameters", parameters=listed) if listed else None

    def error(self, error: ErrorRef | None, state: str) -> Facet:
        """Why the run failed; without an exception, the name of the state it ended in."""
        if error is None:
            return self.make("errorMessage", message=state or "Failed", programmingLanguage="python")
        return self.make(
            "errorMessage",
            message=error_text(error),
            programmingLanguage="python",
            stackTrace=clip(masked(error.stack), MAX_STACK) or None,
        )

    def tags(self, tags: Iterable[str]) -> Facet | None:
        """Prefect's tags: ``key:value`` and ``key=value`` in their parts; one without a value has the specification's ``true``."""
        listed = [{"key": key, "value": value, "source": "PREFECT"} for key, value in map(tag_parts, tags)]
        return self.make("tags", tags=listed) if listed else None

    def environment_variables(self, environment: Environment | None) -> Facet | None:
        """The variables the settings allow; one whose name says that it is a secret is masked all the same."""
        if environment is None or not environment.variables:
            return None
        listed = [
            {"name": name, "value": MASK if is_secret_variable(name) else masked(value)}
            for name, value in environment.variables.items()
        ]
        return self.make("environmentVariables", environmentVariables=listed)

    def source_code(self, code: SourceTree | None, path: str | None) -> Facet | None:
        """Where the code can be looked up: only for a commit of a repository whose remote has a URL.

        Args:
            code: the source tree.
            path: the file of the flow or task, absolute or relative to the tree's root.
        """
        if code is None or not code.commit or not code.remote or (url := remote_url(code.remote)) is None:
            return None
        return self.make(
            "sourceCodeLocation",
            type="git",
            url=url,
            repoUrl=without_credentials(code.remote),
            path=path_in_tree(code.root, path),
            version=code.commit,
            branch=code.branch,
        )

    def schema(self, columns: Iterable[Column]) -> Facet | None:
        """Columns of a frame or table; one whose type is not known has none."""
        fields = [
            {"name": column.name, **({"type": column.type} if column.type else {}), "ordinal_position": position}
            for position, column in enumerate(columns, 1)
        ]
        if not fields:
            return None
        return self.make("schema", fields=fields)

    def described(self, dataset: DatasetRef) -> dict[str, Facet]:
        """Who owns a dataset, and what it is, where its author says that."""
        found: dict[str, Facet] = {}
        if dataset.owners:
            found["ownership"] = self.make(
                "dataset.ownership", owners=[{"name": masked(owner)} for owner in dataset.owners]
            )
        if dataset.description:
            found["documentation"] = self.make("dataset.documentation", description=masked(dataset.description))
        return found

    def version(self, fingerprint: str | None) -> Facet | None:
        """A dataset's version is the fingerprint of its content."""
        return None if fingerprint is None else self.make("version", datasetVersion=fingerprint)

    def dataset_version(self, dataset: DatasetRef) -> Facet | None:
        """The version of data outside the flow: the store's own name of it where it has one, else the content's fingerprint."""
        facts = dataset.facts
        return self.version((facts.version or facts.etag if facts else None) or dataset.fingerprint)

    def data_source(self, dataset: DatasetRef) -> Facet:
        """The store that holds a dataset."""
        namespace = without_credentials(dataset.namespace)
        # "file" is a namespace and no URI; the root of the file system is the store's.
        return self.make("dataSource", name=namespace, uri="file:///" if namespace == _LOCAL_STORE else namespace)

    def statistics(self, key: str, rows: int | None, size: int | None, files: int | None = None) -> Facet | None:
        """Rows and bytes read or written; ``key`` is ``inputStatistics`` or ``outputStatistics``."""
        if rows is None and size is None:
            return None
        return self.make(key, rowCount=rows, size=size, fileCount=files)

    def _run_and_job(self, run_id: str, job: str) -> Facet:
        return {"run": {"runId": run_id}, "job": {"namespace": self.namespace, "name": job}}


def tag_parts(tag: str) -> tuple[str, str]:
    """Key and value of a tag. A time (``16:30``) and a URL have none."""
    found = _TAG.fullmatch(tag)
    return (found[1], found[2]) if found else (tag, "true")


def error_text(error: ErrorRef) -> str:
    """An exception in one text, as Python prints it."""
    text = f"{error.type}: {error.message}" if error.message else error.type
    return clip(masked(text), MAX_MESSAGE)


def remote_url(remote: str) -> str | None:
    """A git remote as a URL without credentials; None when it is a folder. ``git@host:a/b.git`` becomes ``https://host/a/b.git``."""
    url = without_credentials(remote.strip())
    if "://" in url:
        parts = urlsplit(url)
        return url if parts.scheme != _LOCAL_STORE and parts.netloc and not re.search(r"\s", url) else None
    found = _SCP_REMOTE.fullmatch(url)
    return f"https://{found[1]}/{found[2].lstrip('/')}" if found else None


def path_in_tree(root: str, path: str | None) -> str | None:
    """The path of a source file inside its tree, with forward slashes; None when it lies outside."""
    if not path:
        return None
    relative = posixpath.relpath(path, root) if path.startswith("/") else posixpath.normpath(path)
    return None if relative.startswith("..") else relative
