"""Takes the folders that a run read as one dataset apart: which of their files a replay restores, and with what content.

Knows records, the store and the form in which capture keeps a folder; must not know where the files are laid out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lineage_flows.capture.file_content import FILE_FORMAT, FOLDER_FORMAT
from lineage_flows.errors import ContentError
from lineage_flows.records import BlobRef, DatasetRef

if TYPE_CHECKING:
    from lineage_flows.content import Store

__all__ = ["files_of", "folders_of"]


def folders_of(reads: Mapping[str, DatasetRef]) -> tuple[str, ...]:
    """The folders among what was read and kept."""
    return tuple(path for path, item in reads.items() if item.blob is not None and item.blob.format == FOLDER_FORMAT)


def files_of(reads: Mapping[str, DatasetRef], touched: Iterable[DatasetRef], store: Store) -> dict[str, BlobRef]:
    """Every file that the run found, by absolute path: those read one by one, and those of the folders it read whole.

    A file that was seen twice has the content of the earlier time. One that the run had written before it read the folder is not
    among them: the run writes it again.

    Args:
        reads: what the run found when it started, by path.
        touched: all that it touched.
        store: where the lists of folders lie.

    Raises:
        ContentError: a list is missing, altered, or not one that can be trusted.
    """
    written = _first_writes(touched)
    found: dict[str, BlobRef] = {}
    for path, item in sorted(reads.items(), key=lambda pair: pair[1].order):
        if item.blob is None:
            continue
        members = _members(path, item.blob, store) if item.blob.format == FOLDER_FORMAT else {path: item.blob}
        for name, blob in members.items():
            if not _own(name, item.order, written, reads):
                found.setdefault(name, blob)
    return found


def _first_writes(touched: Iterable[DatasetRef]) -> dict[str, int]:
    first: dict[str, int] = {}
    for item in touched:
        if item.direction == "write":
            first[item.path] = min(item.order, first.get(item.path, item.order))
    return first


def _own(path: str, order: int, written: Mapping[str, int], reads: Mapping[str, DatasetRef]) -> bool:
    """Whether the run had written a file, or the folder it lies in, before it read it; and had not found the folder there."""
    at = path
    while at:
        if at in written and written[at] < order and not (at in reads and reads[at].order < written[at]):
            return True
        at = at.rpartition("/")[0]
    return False


def _members(folder: str, blob: BlobRef, store: Store) -> dict[str, BlobRef]:
    try:
        listed = json.loads(store.get(blob.digest))["files"]
        found = {name: (str(entry["digest"]), int(entry["size"] or 0)) for name, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContentError(
            f"the folder {folder} cannot be restored",
            why="the list of its files is not one this version reads",
            fix="upgrade lineage-flows",
        ) from error
    for name in found:
        if not name or name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise ContentError(f"the folder {folder} cannot be restored", why=f"its list names {name!r}, outside of it")
    return {
        f"{folder.rstrip('/')}/{name}": BlobRef(digest=digest, size=size, format=FILE_FORMAT)
        for name, (digest, size) in found.items()
    }
