"""What is known of a dataset beside its content: rows and columns a library had in hand, and what the flow's author says of it.

Knows the records' fields only; must not know who tells it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

    from lineage_flows.record_base import DatasetKind
    from lineage_flows.records import DatasetRef

__all__ = ["Details", "merged"]


@dataclass(frozen=True, slots=True)
class Details:
    """See ``records.DatasetRef``. ``columns`` are names and types; ``namespace`` and ``name`` stand in place of the URI's own."""

    rows: int | None = None
    columns: tuple[tuple[str, str], ...] = ()
    properties: Mapping[str, JsonValue] = field(default_factory=dict)
    owners: tuple[str, ...] = ()
    description: str | None = None
    namespace: str | None = None
    name: str | None = None
    note: str | None = None
    kind: DatasetKind | None = None

    def on(self, dataset: DatasetRef) -> DatasetRef:
        """The dataset with these details."""
        from lineage_flows.records import Column  # this module is loaded while Prefect starts

        said = {
            "rows": self.rows,
            "columns": tuple(Column(name=name, type=kind) for name, kind in self.columns),
            "properties": dict(self.properties),
            "owners": self.owners,
            "description": self.description,
            "namespace": self.namespace,
            "name": self.name,
            "kind": self.kind,
            "note": "; ".join(note for note in (dataset.note, self.note) if note),
        }
        return dataset.model_copy(update={key: value for key, value in said.items() if value not in (None, (), {}, "")})


def merged(old: Details | None, new: Details) -> Details:
    """What two say of one dataset; where both say something, the later; of rows and columns, the more. Properties are united."""
    if old is None:
        return new
    said = {
        item.name: value
        for item in dataclasses.fields(Details)
        if (value := getattr(new, item.name)) not in (None, (), {})
    }
    said["rows"] = max((rows for rows in (old.rows, new.rows) if rows is not None), default=None)
    said["columns"] = old.columns if len(old.columns) > len(new.columns) else new.columns
    return dataclasses.replace(old, **{**said, "properties": {**old.properties, **new.properties}})
