"""Says which run made a result that Prefect took from its cache, also one that ran long ago or in another process.

Knows Prefect's transactions and the disk cache. Prefect keeps a result under a key and not who made it, so that is remembered here
beside it. What is remembered counts only when the value found in the cache is the one its maker gave out.
"""

from __future__ import annotations

import json
from typing import Any

from lineage_flows.capture.disk_cache import DiskCache
from lineage_flows.content.hashing import fingerprint_of
from lineage_flows.events.values import identity
from lineage_flows.records import KnownBy, Source, ValueRef

__all__ = ["maker", "remember"]

_KIND = "result"


def remember(cache: DiskCache, transaction: Any, run_id: str, uri: str, value: ValueRef) -> None:  # noqa: ANN401 - Prefect's
    """A run has made a value that Prefect is about to keep.

    Args:
        cache: where it is remembered.
        transaction: Prefect's, of the attempt.
        run_id: of the task run.
        uri: of its result.
        value: its result.
    """
    if not transaction.write_on_commit or not transaction.key:
        return
    made = json.dumps({"run_id": run_id, "uri": uri, "fingerprint": identity(value), "content": value.fingerprint})
    cache.put(_KIND, _place(transaction), made)


def maker(cache: DiskCache, transaction: Any, value: ValueRef) -> Source | None:  # noqa: ANN401 - Prefect's
    """Where a value that Prefect took from its cache came from; None when that is not known for certain.

    Args:
        cache: see ``remember``.
        transaction: Prefect's, of the attempt that found the value.
        value: the value.
    """
    found = cache.get(_KIND, _place(transaction)) if transaction.key else None
    if found is None:
        return None
    made = json.loads(found)
    if made["content"] != value.fingerprint:
        return None  # written by a run that was not captured
    known_by: tuple[KnownBy, ...] = ("prefect",) if value.fingerprint is None else ("content", "prefect")
    return Source(run_id=made["run_id"], uri=made["uri"], fingerprint=made["fingerprint"], known_by=known_by)


def _place(transaction: Any) -> str:  # noqa: ANN401 - Prefect's
    """Names a key in a storage, the same in every process; hashed, since a storage's name may be longer than it is worth."""
    storage = getattr(transaction.store, "result_storage", None)
    block = getattr(storage, "_block_document_id", None)
    where = str(block or getattr(storage, "basepath", None) or "")
    return fingerprint_of(json.dumps([type(storage).__qualname__, where, transaction.key]).encode())
