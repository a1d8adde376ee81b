"""The datasets of an event as artifacts: what data is called, and what is claimed of it.

Knows events as they come in and the keeper's claims; must not know how a graph is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lineage_flows.graph.columns import column_properties
from lineage_flows.graph.identity import (
    artifact_arn,
    artifact_name,
    dataset_uri,
    fit_id,
    fit_json,
    fit_text,
    fit_uri,
    value_name,
)
from lineage_flows.graph.incoming import Dataset, Facet, Incoming
from lineage_flows.graph.keeper import PROPERTY, Claim, Link, run_handle
from lineage_flows.graph.model import TYPE_LENGTH, Use
from lineage_flows.graph.properties import time_of

__all__ = [
    "FOREIGN",
    "MADE",
    "SEEN",
    "artifact_claim",
    "blob_digest",
    "dataset_claim",
    "dataset_images",
    "dataset_links",
    "image_sources",
]

# Stamps of claims about an artifact. What an artifact is does not change, so time plays no part: who made it knows best.
FOREIGN, SEEN, MADE = "0", "1", "2"

OWN_FACET = "lineageFlows_artifact"
IN_MEMORY = "inmemory"

_TEXTS = ("role", "pythonType", "format", "rule", "note", "version", "etag", "picture")
"""Texts of our facet that become properties under the same name."""

_MOST_COLUMNS = 200

_SAGEMAKER = re.compile(r"arn:[^:]+:sagemaker:")
_IMAGE = re.compile(r"[/:@]")


def dataset_claim(dataset: Dataset, event: Incoming) -> Claim:
    """The artifact that a dataset of an event is.

    Raises:
        EventError: our own facet on it is malformed.
    """
    own = dataset.facet(OWN_FACET)
    if own is None:
        return _foreign_claim(dataset, event)
    uri = own.text("sourceUri") or dataset_uri(dataset.namespace, dataset.name)
    fingerprint, kind = own.text("fingerprint"), own.text("artifactType")
    facts: dict[str, str | None] = {f"{PROPERTY}name": fit_text(dataset.name)}
    if own.text("role") == "value" and own.text("pythonType") is None:
        # A part of it, or a changed copy, went in: the entry says who the value is, and can only guess what it is.
        facts["type"] = fit_text(kind or "Value", TYPE_LENGTH)
        stamp = FOREIGN
    else:
        facts |= (
            {"type": fit_text(kind or "DataSet", TYPE_LENGTH)} | _own_properties(own) | _standard_properties(dataset)
        )
        stamp = MADE if dataset.is_output else SEEN
    return artifact_claim(
        uri,
        _identity(uri, own, fingerprint),
        dataset.name,
        stamp=stamp,
        time=event.time,
        facts=facts,
    )


def dataset_links(dataset: Dataset, claim: Claim, run_id: str, event: Incoming) -> Iterator[Link]:
    """How the artifact of a dataset hangs together with runs.

    The URI of a value names the run it belongs to, so it hangs on that run too, whoever speaks of it.

    Args:
        dataset: the dataset.
        claim: its artifact.
        run_id: the run of the event.
        event: the event.
    """
    run = run_handle(run_id)
    if dataset.is_output:
        yield Link(run, claim.arn, "Produced", event.time, _writes(dataset))
    else:
        yield Link(claim.arn, run, "ContributedTo", event.time, _uses(dataset))
    value = value_name(claim.source_uri)
    if value is not None and value.kind == "parameter":
        yield Link(claim.arn, run_handle(value.run_id), "ContributedTo", event.time, (Use(name=value.name),))
    elif value is not None and value.kind in {"result", "argument"} and not dataset.is_output:
        yield Link(run_handle(value.run_id), claim.arn, "Produced", event.time)


def dataset_images(dataset: Dataset, claim: Claim, run_id: str, event: Incoming) -> Iterator[tuple[Claim, Link]]:
    """The container images of what a run started or made in SageMaker, each with how it went into the run.

    Args:
        dataset: a job, model or model package, by its ARN; of anything else nothing is said.
        claim: its artifact.
        run_id: the run of the event.
        event: the event.
    """
    own = dataset.facet(OWN_FACET)
    if own is None or not dataset.is_output or _SAGEMAKER.match(claim.source_uri) is None:
        return
    given = own.mapping("givenProperties") or {}
    listed = given.get("images")
    for image in (given.get("image"), *(listed if isinstance(listed, list) else ())):
        # An algorithm of SageMaker's stands there by its bare name or ARN; the reference of an image says where it is or which.
        if isinstance(image, str) and not image.startswith("arn:") and _IMAGE.search(image):
            sources = image_sources(image)
            found = artifact_claim(image, sources, image, stamp=SEEN, time=event.time, facts={"type": "Image"})
            yield found, Link(found.arn, run_handle(run_id), "ContributedTo", event.time)


def image_sources(image: str) -> tuple[tuple[str, str], ...]:
    """The source types of a container image: its digest, where the reference has one."""
    digest = image.rpartition("@")[2] if "@" in image else ""
    return (("Custom", fit_id(digest)),) if digest else ()


def artifact_claim(
    uri: str, sources: tuple[tuple[str, str], ...], label: str, *, stamp: str, time: str, facts: dict[str, str | None]
) -> Claim:
    """A claim about the artifact of a URI and source types."""
    uri = fit_uri(uri)
    arn = artifact_arn(uri, sources)
    value = value_name(uri)
    handle = value.handle if value is not None else None
    named = {**facts, "name": artifact_name(label, arn)}
    return Claim("Artifact", arn, None, uri, sources, handle, stamp, time, named)


def _foreign_claim(dataset: Dataset, event: Incoming) -> Claim:
    version = dataset.facet("version")
    given = version.text("datasetVersion") if version else None
    facts: dict[str, str | None] = {"type": "DataSet", f"{PROPERTY}name": fit_text(dataset.name)}
    return artifact_claim(
        _foreign_uri(dataset, event),
        (("Custom", fit_id(given)),) if given else (),
        dataset.name,
        stamp=FOREIGN,
        time=event.time,
        facts=facts | _standard_properties(dataset),
    )


def _foreign_uri(dataset: Dataset, event: Incoming) -> str:
    """A dataset's URI; one in memory is of its run alone, whatever it is called: memory is shared by no two root runs."""
    if dataset.namespace.partition(":")[0] != IN_MEMORY:
        return dataset_uri(dataset.namespace, dataset.name)
    parent = event.run_facet("parent")
    root = parent.object("root") if parent else None
    for facet in (root, parent):
        run = facet.object("run") if facet else None
        if run is not None and (run_id := run.run_id("runId")):
            return dataset_uri(f"{IN_MEMORY}://{run_id}", dataset.name)
    return dataset_uri(f"{IN_MEMORY}://{event.run_id or event.job}", dataset.name)


def _uses(dataset: Dataset) -> tuple[Use, ...]:
    own = dataset.facet(OWN_FACET)
    if own is None:
        return ()
    is_file = own.text("role") == "data"
    known_by = tuple(sorted({*own.texts("knownBy"), *own.texts("via")}))
    if is_file:
        touched = time_of(own, "touched")
        return (_use("", "", known_by, touched),) if known_by or touched else ()
    return (_use(own.text("name") or "", own.text("part") or "", known_by),)


def _writes(dataset: Dataset) -> tuple[Use, ...]:
    """When a file was written; nothing else is said of how something came out of a run."""
    own = dataset.facet(OWN_FACET)
    touched = time_of(own, "touched") if own is not None and own.text("role") == "data" else None
    return (_use("", "", (), touched),) if touched else ()


def _use(name: str, part: str, known_by: tuple[str, ...], touched: str | None = None) -> Use:
    """A use whose fields were checked already."""
    return Use.model_construct(name=name, part=part, known_by=known_by, touched=touched)


def _identity(uri: str, own: Facet, fingerprint: str | None) -> tuple[tuple[str, str], ...]:
    """What tells a version of data from another: its fingerprint; of what has a version in its store, its name there.

    That is known of every object that is read or written, and the fingerprint is not: a reader of a few columns would otherwise
    have read another artifact than its writer wrote.
    """
    if uri.startswith("s3://") and (etag := own.text("etag")):
        version = own.text("version")
        return (("S3ETag", fit_id(etag)), *((("S3Version", fit_id(version)),) if version else ()))
    if not uri.startswith("file:") and (version := own.text("version")):
        return (("Custom", fit_id(version)),)  # as other producers name a version
    return (("Custom", fit_id(fingerprint)),) if fingerprint else ()


def _own_properties(own: Facet) -> dict[str, str | None]:
    facts: dict[str, str | None] = {f"{PROPERTY}{key}": fit_text(text) for key in _TEXTS if (text := own.text(key))}
    if (
        own.text("role") == "data"
        and (own.text("etag") or own.text("version"))
        and (fingerprint := own.text("fingerprint"))
    ):
        facts[f"{PROPERTY}fingerprint"] = fit_text(fingerprint)
    for key in ("size", "status"):
        if (number := own.number(key)) is not None:
            facts[f"{PROPERTY}{key}"] = str(number)
    for key in ("statements", "tables", "results"):
        if listed := own.texts(key):
            facts[f"{PROPERTY}{key}"] = fit_json(list(listed))
    if blob := blob_digest(own):
        facts[f"{PROPERTY}blob"] = fit_text(blob)
    if (preview := own.raw("preview")) is not None:
        facts[f"{PROPERTY}preview"] = fit_json(preview)
    for key in ("hyperparameters", "givenProperties"):
        if named := own.mapping(key):
            facts[f"{PROPERTY}{key}"] = fit_json(named)
    return facts


def _standard_properties(dataset: Dataset) -> dict[str, str | None]:
    facts: dict[str, str | None] = {}
    schema = dataset.facet("schema")
    if schema is not None and (columns := schema.objects("fields")):
        listed = {column.text("name") or "": column.text("type") or "" for column in columns[:_MOST_COLUMNS]}
        facts[f"{PROPERTY}columns"] = fit_json(listed)
        facts[f"{PROPERTY}columnCount"] = str(len(columns))
    ownership, documentation = dataset.facet("ownership"), dataset.facet("documentation")
    owners = [name for owner in ownership.objects("owners") if (name := owner.text("name"))] if ownership else []
    if owners:
        facts[f"{PROPERTY}owners"] = fit_json(owners)
    if documentation is not None and (description := documentation.text("description")):
        facts[f"{PROPERTY}description"] = fit_text(description)
    if dataset.is_output:
        facts |= column_properties(dataset)
    statistics = dataset.facet("outputStatistics" if dataset.is_output else "inputStatistics")
    if statistics is not None and (rows := statistics.number("rowCount")) is not None:
        facts[f"{PROPERTY}rows"] = str(rows)
    return facts


def blob_digest(facet: Facet) -> str | None:
    """The digest in a facet's field ``blob``, which is the digest itself or an object that has it."""
    if isinstance(facet.raw("blob"), dict):
        blob = facet.object("blob")
        return blob.text("digest") if blob else None
    return facet.text("blob")
