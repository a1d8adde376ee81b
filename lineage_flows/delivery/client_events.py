"""Spooled events as the objects of openlineage-python's client, which its transports and filters look into.

Knows the client's classes; must not know transports. The standard facets become the client's own classes, since parts of it (tags,
Kafka's message key, transformers) look for those; facets of others stay plain objects, which it serialises as they are.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import orjson

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset, RunEvent

__all__ = ["run_event"]


def run_event(payload: bytes) -> RunEvent:
    """The client's event object of a run event in JSON. It is the caller's alone: ``emit`` changes what it is given.

    Raises:
        ValueError: it is not a run event.
    """
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

    document = orjson.loads(payload)
    try:
        run, job = document["run"], document["job"]
        return RunEvent(
            eventType=RunState(document["eventType"]),
            eventTime=document["eventTime"],
            producer=document["producer"],
            run=Run(runId=run["runId"], facets=_facets(run.get("facets"))),
            job=Job(namespace=job["namespace"], name=job["name"], facets=_facets(job.get("facets"))),
            inputs=[_dataset(InputDataset, item, "inputFacets") for item in document.get("inputs") or ()],
            outputs=[_dataset(OutputDataset, item, "outputFacets") for item in document.get("outputs") or ()],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a run event: {error!r}") from error


def _dataset(kind: type[Dataset], item: Mapping[str, Any], side: str) -> Any:  # noqa: ANN401 - of the kind asked for
    sides = {side: _facets(item.get(side))}
    return kind(item["namespace"], item["name"], facets=_facets(item.get("facets")), **sides)


def _facets(facets: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: _facet(facet) for key, facet in (facets or {}).items()}


def _facet(facet: Any) -> Any:  # noqa: ANN401 - JSON in, one of many classes out
    url = facet.get("_schemaURL") if isinstance(facet, dict) else None
    kind = _classes().get(url) if isinstance(url, str) else None
    return facet if kind is None else _structured(kind, facet)


@cache
def _classes() -> dict[str, type[Any]]:
    """The client's facet classes by the URL of their schema: one of another version is not the same facet."""
    from openlineage.client import facet_v2
    from openlineage.client.generated.base import BaseFacet

    found: dict[str, type[Any]] = {}
    for module in vars(facet_v2).values():
        if isinstance(module, types.ModuleType) and module.__name__.startswith("openlineage.client.generated."):
            for kind in vars(module).values():
                if isinstance(kind, type) and issubclass(kind, BaseFacet) and kind.__module__ == module.__name__:
                    found[kind._get_schema()] = kind  # the only way to ask a class for its schema
    return found


def _structured(kind: type[Any], fields: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """An instance of an attrs class of the client; a field that it does not know makes it stay a plain object."""
    known = _fields(cast("Hashable", kind))
    if not set(fields) <= set(known):
        return dict(fields)
    values = {}
    for name, value in fields.items():
        alias, expected = known[name]
        if alias is not None:
            values[alias] = _converted(expected, value)
    return kind(**values)


@cache
def _fields(kind: Hashable) -> dict[str, tuple[str | None, Any]]:
    """Name of each field: the argument that sets it (None when nothing does) and its type."""
    import attr

    hints = typing.get_type_hints(kind)
    fields = attr.fields(cast("type[Any]", kind))
    return {field.name: (field.alias if field.init else None, hints[field.name]) for field in fields}


def _converted(expected: Any, value: Any) -> Any:  # noqa: ANN401
    import attr

    for choice in typing.get_args(expected) if isinstance(expected, types.UnionType) else (expected,):
        if isinstance(value, dict) and isinstance(choice, type) and attr.has(choice):
            return _structured(choice, value)
        if isinstance(value, list) and typing.get_origin(choice) is list:
            (item,) = typing.get_args(choice)
            return [_converted(item, element) for element in value]
    return value
