"""Small questions about the inputs of two runs: which is which, whether they changed alike, how a change is said.

Knows records only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from lineage_flows.compare.names import Folders
from lineage_flows.records import DatasetRef, FlowRecord, InputRef, RunRecord, StepRecord, ValueRef

__all__ = ["change_said", "first_reads", "is_literally", "named", "same_change", "touched"]

_ONLY_SAID = ("prefect.asset_deps",)


def named(inputs: Iterable[InputRef], name: str) -> InputRef | None:
    """The input of a name."""
    return next((item for item in inputs if item.name == name), None)


def same_change(a: tuple[ValueRef, ValueRef], b: tuple[ValueRef, ValueRef]) -> bool:
    """Whether two values changed from the same to the same."""
    before, after = a[0].fingerprint, a[1].fingerprint
    return (
        before is not None
        and after is not None
        and before != after
        and (before, after) == (b[0].fingerprint, b[1].fingerprint)
    )


def is_literally(value: ValueRef, source: str) -> bool:
    """Whether a value is what a literal of the source says; what cannot be shown or read may be."""
    try:
        return value.preview is None or value.preview == ast.literal_eval(source)
    except (ValueError, SyntaxError):
        return True


def change_said(old: ValueRef, new: ValueRef) -> str:
    """A change in words: the values where they are short, else only that it changed."""
    if old.preview is not None and new.preview is not None:
        before, after = repr(old.preview), repr(new.preview)
        if len(before) + len(after) <= 120 and before != after:
            return f" {before} → {after}"
    if old.shape != new.shape:
        return f" (shape {old.shape} → {new.shape})"
    return ""


def first_reads(datasets: Iterable[DatasetRef], folders: Folders) -> dict[str, str | None]:
    """Name -> what was read, of the data whose first touch was a read. What a task only says it depends on, nobody saw it read."""
    first: dict[str, DatasetRef] = {}
    for item in sorted((item for item in datasets if item.via != _ONLY_SAID), key=lambda dataset: dataset.order):
        first.setdefault(folders.name(item.path), item)
    return {name: item.content_id for name, item in first.items() if item.direction == "read"}


def touched(record: RunRecord) -> list[DatasetRef]:
    """All that a run, its subflows and its steps read and wrote."""
    runs: tuple[FlowRecord | StepRecord, ...] = (record.flow, *record.subflows, *record.steps)
    return [item for run in runs for item in run.datasets]
