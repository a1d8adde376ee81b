"""Prefect's assets as datasets of the step that depends on them or materialises them.

Knows Prefect's asset context; must not know where a record goes.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Literal

from lineage_flows.capture.declared import masked_properties
from lineage_flows.capture.details import Details
from lineage_flows.capture.naming import local_path_of, target_of_uri
from lineage_flows.capture.paths import absolute, printable, to_uri
from lineage_flows.capture.touches import order, rfc3339
from lineage_flows.events.text import masked
from lineage_flows.events.values import is_data
from lineage_flows.record_base import ObjectFacts
from lineage_flows.records import DatasetRef

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lineage_flows.capture.disk_cache import DiskCache
    from lineage_flows.records import ValueRef

__all__ = ["depended_on", "has_assets", "materialized", "remember", "without_materialized"]

_MANY = "not fingerprinted: the task materializes several assets, and its result does not say which is which"
_MATERIALIZE = ("prefect.materialize",)
_ASSUMED = "the version is taken to be the last that was materialized before"
_NO_DATA = "not fingerprinted: the task returned no data"


def has_assets(task: Any) -> bool:  # noqa: ANN401 - a Prefect task of any version
    """Whether a task depends on assets or materialises some."""
    return bool(getattr(task, "asset_deps", None) or getattr(task, "assets", None))


def depended_on(task: Any, cache: DiskCache | None) -> list[DatasetRef]:  # noqa: ANN401 - as above
    """The assets that a task says it depends on, as datasets it reads.

    Which version it meets nobody says. It is taken to be the last that was materialized before, as far as ``cache`` knows of one,
    and the note says so; a replay has no cache, since what was materialized since its original is not what that met.
    """
    found = [_dataset(asset, "read", "prefect.asset_deps") for asset in getattr(task, "asset_deps", None) or ()]
    return [item if cache is None else _last_version(item, cache) for item in found]


def remember(datasets: Iterable[DatasetRef], cache: DiskCache | None) -> None:
    """Keep in mind which versions of assets a step that has completed has materialized."""
    for item in datasets if cache is not None else ():
        if cache is not None and item.direction == "write" and _MATERIALIZE[0] in item.via:
            facts = item.facts.model_dump(mode="json") if item.facts else None
            cache.put("asset", item.uri, json.dumps({"fingerprint": item.fingerprint, "facts": facts}))


def _last_version(item: DatasetRef, cache: DiskCache) -> DatasetRef:
    text = cache.get("asset", item.uri)
    known = json.loads(text) if text else {}
    facts = known.get("facts")
    if not known.get("fingerprint") and not facts:
        return item
    said = {"fingerprint": known.get("fingerprint"), "facts": ObjectFacts(**facts) if facts else None}
    return item.model_copy(update={**said, "note": _ASSUMED})


def materialized(task: Any, result: ValueRef | None, seen: Iterable[DatasetRef]) -> list[DatasetRef]:  # noqa: ANN401 - as above
    """What a task that has returned has touched, with the assets that it materialises among what it wrote.

    An asset that the step was seen to write is that dataset, with what the asset says of it. Of another one
    the fingerprint is that of the result, if that is data and there is no other asset. Called in Prefect's asset context, which has
    the metadata.

    Args:
        task: the task.
        result: what it returned.
        seen: what the step was seen to touch.
    """
    found = list(seen)
    assets = list(getattr(task, "assets", None) or ())
    metadata = _metadata()
    for asset in assets:
        made = _dataset(asset, "write", _MATERIALIZE[0], metadata.get(asset.key), task)
        place = next((at for at, item in enumerate(found) if (item.uri, item.direction) == (made.uri, "write")), None)
        if place is not None:
            found[place] = _united(found[place], made)
        elif result is None or not is_data(result):
            found.append(_noted(made, _NO_DATA))
        elif len(assets) > 1:
            found.append(_noted(made, _MANY))
        else:
            rows = result.shape[0] if result.shape and result.kind in {"DataSet", "TimeSeries"} else None
            said = {"fingerprint": result.fingerprint, "rows": rows, "columns": result.columns, "note": result.note}
            found.append(made.model_copy(update={**said, "size": result.size, "blob": result.blob}))
    return found


def without_materialized(datasets: Iterable[DatasetRef]) -> list[DatasetRef]:
    """What a failed step touched: an asset whose writing was not seen is no output of it."""
    return [item for item in datasets if item.via != _MATERIALIZE]


def _metadata() -> dict[str, dict[str, Any]]:
    from prefect.context import AssetContext

    context = AssetContext.get()
    return {} if context is None else dict(context.materialization_metadata)


def _dataset(
    asset: Any,  # noqa: ANN401 - as above
    direction: Literal["read", "write"],
    via: str,
    metadata: dict[str, Any] | None = None,
    task: Any = None,  # noqa: ANN401 - as above
) -> DatasetRef:
    path = local_path_of(asset.key)
    name = None if path is None else absolute(path)
    if name is not None:
        namespace, shown, uri, where = "file", printable(name), to_uri(name), printable(name)
    else:
        target = target_of_uri(asset.key)
        namespace, shown, uri, where = target.namespace, target.name, target.uri, target.uri
    ref = DatasetRef(
        namespace=namespace,
        name=shown,
        uri=uri,
        path=where,
        direction=direction,
        fingerprint=None,
        via=(via,),
        order=next(order),
        touched=rfc3339(time.time_ns()),
    )
    return _details(asset, metadata, task).on(ref)


def _details(asset: Any, metadata: dict[str, Any] | None, task: Any) -> Details:  # noqa: ANN401 - as above
    said = asset.properties
    properties = {"asset_key": asset.key, **(metadata or {})}
    if by := getattr(task, "materialized_by", None):
        properties["materialized_by"] = by
    for key in ("name", "url"):
        if said is not None and getattr(said, key, None):
            properties[f"asset_{key}"] = getattr(said, key)
    owners = tuple(masked(str(owner)) for owner in getattr(said, "owners", None) or ())
    description = getattr(said, "description", None)
    return Details(
        properties=masked_properties(properties),
        owners=owners,
        description=masked(description) if description else None,
    )


def _united(seen: DatasetRef, made: DatasetRef) -> DatasetRef:
    said = {
        "via": (*seen.via, *(via for via in made.via if via not in seen.via)),
        "owners": made.owners or seen.owners,
        "description": made.description or seen.description,
        "properties": {**seen.properties, **made.properties},
    }
    return seen.model_copy(update=said)


def _noted(ref: DatasetRef, note: str) -> DatasetRef:
    return ref.model_copy(update={"note": note})
