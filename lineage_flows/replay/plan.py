"""Decides, from a run record alone, what a replay restores, and refuses before anything runs what cannot be replayed.

Knows records, the store and the graph's references; must not know how the replay is executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lineage_flows.errors import BlobMissingError, CodeNotRestorableError, ReplayError
from lineage_flows.records import BlobRef, DatasetRef, RunRecord, StepRecord
from lineage_flows.replay.folders import files_of, folders_of

if TYPE_CHECKING:
    from lineage_flows.content import Store

__all__ = ["Plan", "check_code", "check_level", "first_reads", "is_substituted", "make_plan", "members", "touched"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay of one run consists of.

    Attributes:
        record: the run record of the original.
        files: what is restored: absolute path in the original -> its content; the files of folders one by one.
        folders: folders that were read whole: they hold what was captured of them, and nothing else.
        unkept: files the run read whose content is not in the store: path -> the dataset as it was read.
        substitutes: steps whose captured result is used in place of executing them: run id -> their output.
        code_path: a folder whose code is executed in place of the captured one; None for the captured code.
        blobs: the digest of every blob the replay reads, in a stable order.
        notes: what the reader of the verdict should know.
    """

    record: RunRecord
    files: dict[str, BlobRef]
    unkept: dict[str, DatasetRef]
    folders: tuple[str, ...]
    substitutes: dict[str, BlobRef]
    code_path: Path | None
    blobs: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def make_plan(
    record: RunRecord,
    store: Store,
    *,
    code_path: Path | None = None,
    notes: Iterable[str] = (),
    restored: Mapping[str, BlobRef] | None = None,
) -> Plan:
    """The plan for replaying a run.

    Args:
        record: the run record.
        store: where its blobs lie; asked whether it holds all of them.
        code_path: a folder with other code to execute.
        notes: what is already to be said.
        restored: steps that are not to be executed though they could be: run id -> their output.

    Raises:
        ReplayError: the run was captured at a level that keeps too little, or its flow cannot be called again.
        CodeNotRestorableError: its source code was not kept.
        BlobMissingError: the store does not hold a blob that the replay needs.
        ContentError: the list of a folder's files was altered or cannot be trusted.
    """
    check_level(record)
    check_code(record, code_path)
    said = list(notes)
    reads = first_reads(record)
    folders = folders_of(reads)
    lists = {item.blob.digest for path, item in reads.items() if path in folders and item.blob is not None}
    files = files_of(reads, touched(record), store)
    substitutes = {
        step.run_id: step.output.blob
        for step in record.steps
        if is_substituted(step) and step.output and step.output.blob
    } | dict(restored or {})
    unkept = {
        path: item for path, item in reads.items() if item.blob is None and not _only_read_by(path, substitutes, record)
    }
    said.extend(_notes(record, substitutes))
    blobs = tuple(dict.fromkeys([*_needed(record, files, substitutes), *sorted(lists), *members(record, store)]))
    _ask(blobs, store)
    return Plan(record, files, unkept, folders, substitutes, code_path, blobs, tuple(said))


def _ask(digests: Iterable[str], store: Store) -> None:
    for digest in digests:
        if not store.has(digest):
            raise BlobMissingError(digest, store.url)


def first_reads(record: RunRecord) -> dict[str, DatasetRef]:
    """The files that the run found when it started: those whose first touch, over all its steps, was a read."""
    first: dict[str, DatasetRef] = {}
    for item in sorted(touched(record), key=lambda dataset: dataset.order):
        known = first.get(item.path)
        if known is None or (
            known.direction == "read"
            and known.blob is None
            and item.direction == "read"
            and item.fingerprint == known.fingerprint
        ):
            first[item.path] = item
    return {path: item for path, item in first.items() if item.direction == "read"}


def touched(record: RunRecord) -> list[DatasetRef]:
    """Every local file that the run, its subflows and its steps touched, as often as they did."""
    runs = [
        record.flow.datasets,
        *(flow.datasets for flow in record.subflows),
        *(step.datasets for step in record.steps),
    ]
    return [item for datasets in runs for item in datasets if item.path.startswith("/")]


def check_level(record: RunRecord) -> None:
    """Refuse a run that was captured at a level that keeps no contents.

    Raises:
        ReplayError: it was.
    """
    flow = record.flow
    if flow.level not in {"inputs", "all"}:
        raise ReplayError(
            f"run {flow.run_id} ({flow.run_name}) cannot be replayed",
            why=f"it was captured at level {flow.level}, which keeps no contents; level inputs or all is needed",
            fix="run the flow again with LINEAGE_FLOWS_LEVEL=inputs",
        )


def check_code(record: RunRecord, code_path: Path | None) -> None:
    """Refuse a run whose code cannot be laid out.

    Raises:
        CodeNotRestorableError: its source code was not kept.
        ReplayError: the folder with other code is none.
    """
    flow = record.flow
    what = f"the code of run {flow.run_id} ({flow.run_name}) cannot be restored"
    if flow.entry.path is None:
        raise CodeNotRestorableError(
            what,
            why=f"flow {flow.flow_name} was defined in a notebook or an interactive session, not in a file",
            fix="move the flow into a Python file and run it again",
        )
    if code_path is not None:
        if not code_path.is_dir():
            raise ReplayError(f"there is no folder {code_path}", fix="name the folder that holds the code to execute")
        return
    if flow.code is None or flow.code.blob is None:
        raise CodeNotRestorableError(
            what,
            why=(flow.code.note if flow.code else None) or "its source tree was not kept",
            fix="make the tree smaller or raise LINEAGE_FLOWS_CODE_SIZE_CAP and run the flow again, "
            "or name a folder that has the code with --code",
        )
    entry = Path(flow.entry.path)
    inside = entry.is_relative_to(flow.code.root)
    if not inside and all(module.path != flow.entry.path for module in flow.code.modules):
        raise CodeNotRestorableError(
            what, why=f"{entry} is neither in the source tree {flow.code.root} nor kept beside it"
        )
    if inside and entry.relative_to(flow.code.root).as_posix() in flow.code.left_out:
        raise CodeNotRestorableError(what, why=f"{entry} was left out, since it is larger than the size cap")


def is_substituted(step: StepRecord) -> bool:
    """A step that read what cannot be served again, or whose result came out of Prefect's cache and not from its code."""
    return bool(step.unrestorable) or step.cached


def _only_read_by(path: str, substitutes: dict[str, BlobRef], record: RunRecord) -> bool:
    readers = [
        step.run_id
        for step in record.steps
        if any(item.path == path and item.direction == "read" for item in step.datasets)
    ]
    flows = (record.flow, *record.subflows)
    by_flow = any(item.path == path and item.direction == "read" for flow in flows for item in flow.datasets)
    return bool(readers) and not by_flow and all(run_id in substitutes for run_id in readers)


def _notes(record: RunRecord, substitutes: dict[str, BlobRef]) -> Iterable[str]:
    for step in record.steps:
        if step.run_id not in substitutes and is_substituted(step):
            reason = (
                f"reads what lineage cannot serve again ({step.unrestorable[0]})"
                if step.unrestorable
                else "took its result from Prefect's cache"
            )
            yield f"step {step.task_name}#{step.index} {reason} and its result was not kept: it is executed"
    errors = len(record.flow.capture_errors) + sum(len(step.capture_errors) for step in record.steps)
    if errors:
        yield f"{errors} capture errors were counted in the original: its record may lack something"


def _needed(record: RunRecord, files: dict[str, BlobRef], substitutes: dict[str, BlobRef]) -> Iterable[str]:
    flow = record.flow
    found = [item.value.blob for item in flow.parameters]
    if flow.code is not None:
        found.extend([flow.code.blob, *(module.blob for module in flow.code.modules)])
    for states in (flow.module_random, flow.random, *(step.random for step in record.steps)):
        if states is not None:
            found.extend([states.python, states.numpy, states.numpy_import, states.torch])
    found.extend([*files.values(), *substitutes.values()])
    return [blob.digest for blob in found if blob is not None]


def members(record: RunRecord, store: Store) -> Iterable[str]:
    """The blobs that a source tree in the form of a list of files names in turn."""
    code = record.flow.code
    if code is None or code.blob is None or code.format != "files":
        return []
    try:
        entries = json.loads(store.get(code.blob.digest))["files"]
        return [entry["digest"] for entry in entries if "digest" in entry]
    except (ValueError, KeyError, TypeError) as error:
        raise CodeNotRestorableError(
            f"the code of run {record.flow.run_id} ({record.flow.run_name}) cannot be restored",
            why="the list of its files is not one this version reads",
            fix="upgrade lineage-flows",
        ) from error
