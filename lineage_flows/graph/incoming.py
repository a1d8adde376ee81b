"""An OpenLineage event as the projection reads it: checked, and nothing of its meaning lost or invented.

Knows OpenLineage's JSON; must not know the graph. What is of the core (times, ids, names) has to be right in any event; of
facets, our own have to be right too, while another producer's odd facet is passed over: it must not cost the rest.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from lineage_flows.errors import EventError

if TYPE_CHECKING:
    from lineage_flows.events.event import Event

__all__ = ["Dataset", "Facet", "Incoming", "read_event", "utc"]

KINDS = frozenset({"START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER"})
OWN_PREFIX = "lineageFlows_"

_CANONICAL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Facet:
    """A JSON object whose fields are asked for by name and type. A field that is absent or null is None, or empty.

    In one of our own facets (``strict``) a field of another type raises EventError; elsewhere it counts as absent.
    """

    __slots__ = ("_fields", "_strict", "_where")

    def __init__(self, fields: Mapping[str, Any], where: str, *, strict: bool) -> None:
        self._fields = fields
        self._where = where
        self._strict = strict

    def text(self, key: str) -> str | None:
        """A text; an empty one is None."""
        value = self._fields.get(key)
        if value is None or isinstance(value, str):
            return value or None
        self._wrong(key, "a text")
        return None

    def number(self, key: str) -> int | None:
        """A whole number."""
        value = self._fields.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self._wrong(key, "a whole number")
        return None

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self._fields.get(key)
        if value is None or isinstance(value, bool):
            return value
        self._wrong(key, "true or false")
        return None

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        value = self._fields.get(key)
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        self._wrong(key, "a list of texts")
        return []

    def mapping(self, key: str) -> dict[str, Any]:
        """An object as it is."""
        value = self._fields.get(key)
        if value is None or isinstance(value, dict):
            return value or {}
        self._wrong(key, "an object")
        return {}

    def object(self, key: str) -> Facet | None:
        """An object inside this one."""
        value = self._fields.get(key)
        if isinstance(value, dict):
            return Facet(value, f"{self._where}.{key}", strict=self._strict)
        if value is not None:
            self._wrong(key, "an object")
        return None

    def objects(self, key: str) -> list[Facet]:
        """A list of objects."""
        value = self._fields.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._wrong(key, "a list of objects")
            return []
        return [Facet(item, f"{self._where}.{key}", strict=self._strict) for item in value]

    def raw(self, key: str) -> Any:  # noqa: ANN401 - any JSON value
        """The field as it is."""
        return self._fields.get(key)

    def run_id(self, key: str) -> str | None:
        """A run id in canonical form."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return _canonical_id(text)
        except ValueError:
            self._wrong(key, "a UUID")
            return None

    def _wrong(self, key: str, expected: str) -> None:
        if self._strict:
            raise _malformed(f"{self._where}.{key} is not {expected}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset of an event: what it read, or wrote."""

    namespace: str
    name: str
    facets: Mapping[str, Any]
    is_output: bool

    def facet(self, key: str) -> Facet | None:
        """One of its facets."""
        return _facet(self.facets, key)


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event. ``run_id`` is None when it tells of a job or dataset and not of a run; ``kind`` is then ``OTHER``."""

    kind: str
    time: str
    producer: str
    run_id: str | None
    namespace: str
    job: str
    run_facets: Mapping[str, Any]
    job_facets: Mapping[str, Any]
    datasets: tuple[Dataset, ...]

    def run_facet(self, key: str) -> Facet | None:
        """A facet of the run."""
        return _facet(self.run_facets, key)

    def job_facet(self, key: str) -> Facet | None:
        """A facet of the job."""
        return _facet(self.job_facets, key)


def read_event(event: Event | Mapping[str, Any]) -> Incoming:
    """Check an event and take it apart.

    Raises:
        EventError: it is not an OpenLineage event.
    """
    document = _document(event)
    run, job = document.get("run"), document.get("job")
    is_run = run is not None
    kind = document.get("eventType") or "OTHER"
    if not isinstance(kind, str) or kind not in KINDS:
        raise _malformed(f"eventType is {kind!r}")
    run_object = _object(run, "run") if is_run else {}
    job_object = _object(job, "job") if job is not None or is_run else {}
    if not is_run and job is None and not isinstance(document.get("dataset"), dict):
        raise _malformed("it has no run, job or dataset")
    return Incoming(
        kind=kind if is_run else "OTHER",
        time=utc(document.get("eventTime"), "eventTime"),
        producer=_text(document.get("producer", ""), "producer"),
        run_id=_run_id(run_object.get("runId")) if is_run else None,
        namespace=_text(job_object.get("namespace", ""), "job.namespace"),
        job=_name(job_object.get("name"), "job.name") if job is not None or is_run else "",
        run_facets=_object(run_object.get("facets") or {}, "run.facets"),
        job_facets=_object(job_object.get("facets") or {}, "job.facets"),
        datasets=tuple(_datasets(document)),
    )


def utc(value: object, where: str) -> str:
    """A moment as RFC 3339 in UTC with microseconds, so that texts sort as times do. One without a zone is taken for UTC.

    Raises:
        EventError: it is no date and time.
    """
    text = _text(value, where)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    except (ValueError, OverflowError):
        raise _malformed(f"{where} is {text[:60]!r}, which is no date and time") from None


def _document(event: Event | Mapping[str, Any]) -> dict[str, Any]:
    """The event's JSON. What JSON cannot hold (half a surrogate pair) is refused here, before it can reach the graph."""
    try:
        text = orjson.dumps(event) if isinstance(event, Mapping) else event.payload
        document = orjson.loads(text)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, TypeError, ValueError, RecursionError) as error:
        raise _malformed(str(error)) from error
    return _object(document, "it")


def _datasets(document: Mapping[str, Any]) -> Iterator[Dataset]:
    for key, is_output in (("inputs", False), ("outputs", True)):
        listed = document.get(key) or []
        if not isinstance(listed, list):
            raise _malformed(f"{key} is not a list")
        for item in listed:
            yield _dataset(item, key, is_output=is_output)
    if document.get("dataset") is not None and document.get("run") is None:
        yield _dataset(document["dataset"], "dataset", is_output=False)


def _dataset(item: object, where: str, *, is_output: bool) -> Dataset:
    fields = _object(item, where)
    facets = _object(fields.get("facets") or {}, f"{where}.facets")
    own = _object(fields.get("outputFacets" if is_output else "inputFacets") or {}, f"{where} statistics")
    name, namespace = (
        _name(fields.get("name"), f"{where}.name"),
        _text(fields.get("namespace", ""), f"{where}.namespace"),
    )
    return Dataset(namespace, name, {**own, **facets} if own else facets, is_output)


def _facet(facets: Mapping[str, Any], key: str) -> Facet | None:
    value = facets.get(key)
    own = key.startswith(OWN_PREFIX)
    if isinstance(value, dict):
        return Facet(value, key, strict=own)
    if own and value is not None:
        raise _malformed(f"facet {key} is not an object")
    return None


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(f"{where} is not an object")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _malformed(f"{where} is not a text")
    return value


def _name(value: object, where: str) -> str:
    text = _text(value, where)
    if not text:
        raise _malformed(f"{where} is empty")
    return text


def _run_id(value: object) -> str:
    try:
        return _canonical_id(_text(value, "run.runId"))
    except ValueError:
        raise _malformed(f"run.runId is {str(value)[:60]!r}, which is no UUID") from None


def _canonical_id(text: str) -> str:
    # Ours are canonical already, and a look costs less than parsing them again.
    return text if _CANONICAL_ID.fullmatch(text) else str(uuid.UUID(text))


def _malformed(why: str) -> EventError:
    return EventError(
        "this is not an OpenLineage event", why=why, fix="mend its producer; nothing of the event was kept"
    )
