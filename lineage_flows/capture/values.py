"""Looks at values on behalf of capture: fingerprint, what is kept of them, and where they came from.

Knows content and records; must not know Prefect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lineage_flows.capture.columns import InputColumns
from lineage_flows.capture.derivation import Holder
from lineage_flows.capture.links import Links
from lineage_flows.content import Columns, describe, dump_value
from lineage_flows.content.guard import attempt, say
from lineage_flows.content.pictures import picture_of
from lineage_flows.errors import ContentError
from lineage_flows.policy import LEFT_OUT_NOTE
from lineage_flows.records import BlobRef, InputRef, ValueRef, value_uri
from lineage_flows.redaction import holds_known, holds_secret, is_secret_item

if TYPE_CHECKING:
    from lineage_flows.capture.left_out import LeftOut
    from lineage_flows.content import Store

__all__ = ["LEFT_OUT", "ValueObserver"]

_SEARCHED = frozenset({"text", "bytes", "json", "pickle"})
_MOST_SEARCHED = 1 << 20
"""Bytes up to which a value is searched for known secrets before it is stored; what is larger is data."""

LEFT_OUT = ValueRef(fingerprint=None, type="object", rule="none", note=LEFT_OUT_NOTE)
"""A value that the rules of the settings leave out."""

_SECRET_TEXT = ValueRef(fingerprint=None, type="str", rule="secret", note="it is or holds a secret: never looked at")
_SECRET_BY_NAME = ValueRef(
    fingerprint=None, type="object", rule="secret", note="its name says that it is a secret: never looked at"
)


class ValueObserver:
    """Describes values, and stores those that a level asks for.

    Args:
        store: where contents go.
        size_cap: bytes; a larger value is described and not kept.
        strip: see ``fingerprint``; set in a replay only.
        namespace: of the URIs of values.
    """

    def __init__(self, store: Store, *, size_cap: int, strip: str = "", namespace: str = "") -> None:
        self._namespace = namespace
        self._store = store
        self._size_cap = size_cap
        self._strip = strip

    def see(self, value: object, columns: Columns | None = None) -> ValueRef:
        """A value as it is now; ``columns`` takes in those of its frames. Never raises on any value."""
        if type(value) is str and holds_secret(value):
            return _SECRET_TEXT
        return describe(value, strip=self._strip, columns=columns)

    def keep(self, value: object, ref: ValueRef, *, size_cap: int | None = None) -> ValueRef:
        """The same with the value stored, or with a note that says why it is not.

        Raises:
            LineageError: the store cannot be written.
        """
        if ref.rule in {"secret", "none"}:
            return ref
        if ref.secrets:
            return _noted(ref, "not kept: it holds a secret")
        size_cap = self._size_cap if size_cap is None else size_cap
        if ref.size is not None and ref.size > size_cap:
            return _noted(ref, f"not kept: {ref.size} bytes are over the size cap of {size_cap}")
        try:
            data, format_ = dump_value(value)
        except ContentError as error:
            return _noted(ref, f"not kept: {error.why or error.what}")
        if format_ in _SEARCHED and (ref.size or 0) <= _MOST_SEARCHED:
            data = data if isinstance(data, bytes) else b"".join(data)
            if len(data) <= _MOST_SEARCHED and holds_known(data):
                return _noted(ref, "not kept: it holds a secret")
        digest, size = self._store.put(data)
        return ref.model_copy(update={"blob": BlobRef(digest=digest, size=size, format=format_)})

    def pictured(self, value: object, ref: ValueRef) -> ValueRef:
        """A figure with its picture stored, anything else as it is. Never raises on any value.

        Raises:
            LineageError: the store cannot be written.
        """
        if ref.kind != "Figure" or ref.fingerprint is None:
            return ref
        drawn, error = attempt(picture_of, value)
        if drawn is None:
            return ref if error is None else _noted(ref, f"no picture: {say(error)}")
        if len(drawn[0]) > self._size_cap:
            return _noted(ref, f"no picture: it is over the size cap of {self._size_cap}")
        digest, size = self._store.put(drawn[0])
        return ref.model_copy(update={"picture": BlobRef(digest=digest, size=size, format=drawn[1])})

    def inputs(
        self,
        parameters: dict[str, object],
        links: Links,
        tracked: Callable[[str], Iterable[str]],
        left_out: LeftOut | None = None,
        *,
        taker: str | None = None,
        columns: InputColumns | None = None,
    ) -> tuple[InputRef, ...]:
        """The parameters of a call, in order of the signature, with their sources.

        Args:
            parameters: by name.
            links: what was given out so far.
            tracked: the ids of the runs that Prefect says a parameter's value came from.
            left_out: what the settings leave out of the run.
            taker: the task run that is called; None of a flow.
            columns: takes in what columns its frames have.
        """
        found = []
        for name, value in parameters.items():
            looks: Columns = {}
            ref = self._named(name, value, left_out, looks if columns is not None else None)
            found.append(self._input(name, value, ref, links=links, tracked=tracked(name), taker=taker))
            if columns is not None:
                columns.add(name, value, looks, strip=self._strip)
        return tuple(found)

    def _input(
        self, name: str, value: object, ref: ValueRef, *, links: Links, tracked: Iterable[str], taker: str | None
    ) -> InputRef:
        objects = links.derivation
        changed = objects.taken(value, ref.fingerprint, Holder(taker, name) if taker else None)
        sources = links.sources(
            ref,
            tracked,
            identity_is_safe=bool(type(value).__weakrefoffset__),
            derived=objects.origins(value),
            changed_by=[(one, self._left(one)) for one in changed],
        )
        return InputRef(name=name, value=ref, sources=sources)

    def _left(self, holder: Holder) -> str:
        """URI of what a step left of an object that it was given, once that has changed."""
        return value_uri(self._namespace, "task-run", holder.run_id, f"argument/{holder.parameter}")

    def _named(self, name: str, value: object, left_out: LeftOut | None, columns: Columns | None) -> ValueRef:
        if left_out is not None and left_out.covers_parameter(name):
            return LEFT_OUT
        if is_secret_item(name, value) and not (left_out is not None and left_out.looks_at(name)):
            return _SECRET_BY_NAME
        return self.see(value, columns)


def _noted(ref: ValueRef, note: str) -> ValueRef:
    return ref.model_copy(update={"note": f"{ref.note}; {note}" if ref.note else note})
