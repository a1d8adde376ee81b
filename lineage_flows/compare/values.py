"""Compares two values: identical, equal within tolerance, different, or not compared; how far they lie apart, and where.

Knows content (fingerprints, loading), records, and which module compares which kind of value; must not know runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lineage_flows.compare.showing import shown_text
from lineage_flows.compare.walk import MOST_PARTS, Handler, Scope, Walk
from lineage_flows.content import fingerprint, load_value
from lineage_flows.content.guard import attempt, say
from lineage_flows.content.models import is_booster, is_estimator
from lineage_flows.content.naming import comes_from
from lineage_flows.content.pictures import is_image, is_plotly
from lineage_flows.content.statistics_models import is_result
from lineage_flows.content.torch_values import is_module, is_tensor
from lineage_flows.errors import ContentError
from lineage_flows.record_replay import ComparedBy, PartDifference, ValueDifference, Verdict
from lineage_flows.records import ValueRef

__all__ = ["NOT_KEPT", "Scope", "ValueComparison", "compare_refs", "compare_values", "scope_of", "worst"]

NOT_KEPT = "the values were not kept, so how far they lie apart is not known; the level `all` keeps them"

_OTHER_FORM = "equal in every part that was compared, in another form"
_UNSEEN = "the fingerprints differ, in something that lies in none of the parts that can be compared"

_ORDER: tuple[Verdict, ...] = ("not compared", "identical", "equivalent", "different")
_INEXACT = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_EVERYTHING = Scope()

Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class ValueComparison:
    """What came of a comparison; ``found`` says it in figures and is None for what is identical."""

    verdict: Verdict
    found: ValueDifference | None = None

    @property
    def note(self) -> str:
        """Why it was not compared, or not wholly."""
        return self.found.note if self.found is not None else ""

    @property
    def largest(self) -> float | None:
        """The largest absolute difference between two numbers; None when there is none."""
        return self.found.absolute if self.found is not None else None

    @property
    def where(self) -> str:
        """The path (``/sharpe``, ``/0/prices``) of the part that differs most; empty for the value as a whole."""
        return self.found.parts[0].where if self.found is not None and self.found.parts else ""


_SAME = ValueComparison("identical")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several verdicts: what was not compared changes none, and is the verdict only when it is all there is."""
    return max(verdicts, key=_ORDER.index, default="identical")


def compare_values(a: object, b: object, scope: Scope = _EVERYTHING) -> ValueComparison:
    """Compare two values by fingerprint, then part by part.

    Integers, text, times and shapes must be equal; numbers of which at least one is a float may differ within the tolerance that
    the rules of ``scope`` set for them (NaN equals NaN). Of the same kind of object, its state is compared. It is the same
    whichever value is named first, and never raises because of a value.
    """
    mine, theirs = fingerprint(a), fingerprint(b)
    if mine is not None and mine == theirs:
        return _SAME
    # Equal number by number and yet another fingerprint: another dtype, -0.0 for 0.0. Equal for use, not identical.
    return _walked(a, b, scope, "content", ValueRef(fingerprint=mine, type=""), unequal=mine is not None)


def compare_refs(
    a: ValueRef | None,
    b: ValueRef | None,
    *,
    read: Read | None = None,
    trust_pickle: bool = False,
    scope: Scope = _EVERYTHING,
) -> ValueComparison:
    """Compare two recorded values as far as the records allow: fingerprints, then previews, then what was kept of them.

    Args:
        a: the one value, None when there was none.
        b: the other value.
        read: reads a blob by digest; None compares without the contents.
        trust_pickle: load values that were stored as pickles; only for a replay that the user asked for.
        scope: the rules of tolerance, and what they go by.

    Returns:
        "not compared", with the reason, when neither has a fingerprint, or one of them is a secret.
    """
    if a is None or b is None:
        given = a or b
        only = "only one of the two runs gave a value"
        return _SAME if given is None else _told("different", given, "nothing", note=only)
    if "secret" in (a.rule, b.rule) or None in (a.fingerprint, b.fingerprint):
        return _incomparable(a, b)
    if a.fingerprint == b.fingerprint:
        return _SAME
    if a.preview is not None and b.preview is not None:
        shown = _walked(_previewed(a), _previewed(b), scope, "preview", a)
        # Equal in what the records show, and yet another fingerprint: only what was kept tells how they differ.
        if not _alike_unexplained(shown):
            return shown
    if a.type != b.type and {a.kind, b.kind} == {"Value"} and not (_is_number(a) and _is_number(b)):
        return _told("different", a, "fingerprint", note=f"{a.type} became {b.type}")
    return _contents(a, b, scope, read, trust_pickle=trust_pickle)


def scope_of(rules: Iterable[Any], flow: str, task: str | None, value: ValueRef | None) -> Scope:
    """What a value is to the rules of tolerance: of which flow, task, kind and class."""
    types = () if value is None else (value.kind, value.type, value.type.rpartition(".")[2])
    return Scope(tuple(rules), flow, task, types)


def _incomparable(a: ValueRef, b: ValueRef) -> ValueComparison:
    if "secret" in (a.rule, b.rule):
        return _told("not compared", a, "nothing", note="a secret is never looked at")
    if a.type != b.type:
        return _told("different", a, "nothing", note=f"{a.type} became {b.type}")
    if a.fingerprint is not None or b.fingerprint is not None:
        return _told("different", a, "nothing", note="only one of the two values has a fingerprint")
    return _told("not compared", a, "nothing", note=a.note or b.note or "it has no fingerprint")


def _contents(a: ValueRef, b: ValueRef, scope: Scope, read: Read | None, *, trust_pickle: bool) -> ValueComparison:
    """Compare what was kept of two values: themselves, else the pictures of them; by fingerprint alone when nothing was."""
    why = NOT_KEPT
    if read is not None and a.blob is not None and b.blob is not None:
        try:
            values = [
                load_value(read(blob.digest), blob.format, trust_pickle=trust_pickle) for blob in (a.blob, b.blob)
            ]
            return _walked(values[0], values[1], scope, "content", a)
        except ContentError as error:  # not there any more, or a pickle that may not be loaded
            why = str(error)
        except MemoryError:
            why = f"there is not enough memory for values of {max(a.size or 0, b.size or 0):,} bytes"
        except Exception as error:  # noqa: BLE001 - loading a value runs its own code
            why = f"a kept value cannot be loaded: {say(error)}"
    if read is not None and a.picture is not None and b.picture is not None:
        from lineage_flows.compare.pictures import decoded, pictures

        try:
            drawn = [decoded(read(blob.digest), blob.format) for blob in (a.picture, b.picture)]
        except ContentError as error:
            return _told("different", a, "fingerprint", note=f"compared by fingerprint only: {error}")
        looked = Walk(scope, _HANDLERS)
        if hasattr(drawn[0], "shape") and hasattr(drawn[1], "shape"):
            pictures(looked, drawn[0], drawn[1], "")
        else:
            looked.compare(drawn[0], drawn[1])
        return _summed_up(looked, "picture", a)
    return _told("different", a, "fingerprint", note=f"compared by fingerprint only: {why}")


def _walked(
    a: object, b: object, scope: Scope, by: ComparedBy, ref: ValueRef, *, unequal: bool = True
) -> ValueComparison:
    walk = Walk(scope, _HANDLERS)
    try:
        _, error = attempt(walk.compare, a, b)
    except MemoryError:
        walk.cut = "there was not enough memory to compare it wholly"
    else:
        if error is not None:
            walk.cut = f"it cannot be compared: {say(error)}"
    return _summed_up(walk, by, ref, unequal=unequal)


def _summed_up(walk: Walk, by: ComparedBy, ref: ValueRef, *, unequal: bool = True) -> ValueComparison:
    verdict = walk.verdict
    if verdict == "identical" and not unequal and not walk.compared:
        return _told("not compared", ref, by, note="it has no fingerprint, and nothing in it can be compared")
    if verdict == "identical" and not unequal:
        return _SAME
    parts = sorted(walk.parts, key=_badness, reverse=True)
    figures = {
        name: max((figure for part in parts if (figure := getattr(part, name)) is not None), default=None)
        for name in ("absolute", "relative", "ulps")
    }
    note = shown_text(walk.cut, 300)
    if verdict == "identical":
        # A picture counts as it looks. Else something must explain why the fingerprints differ.
        verdict, note = ("equivalent", _OTHER_FORM) if walk.reformed or by == "picture" else ("different", _UNSEEN)
    found = ValueDifference(
        verdict=verdict,
        by=by,
        type=ref.type,
        kind=ref.kind,
        differing=walk.differing,
        compared=walk.compared,
        parts=tuple(parts[:MOST_PARTS]),
        left_out=max(0, len(parts) - MOST_PARTS) + walk.left_out,
        note=note,
        **figures,
    )
    return ValueComparison(verdict, found)


def _alike_unexplained(compared: ValueComparison) -> bool:
    return compared.verdict == "different" and compared.note == _UNSEEN


def _badness(part: PartDifference) -> tuple[bool, bool, float]:
    """What differs in shape before what differs by a figure, before what is within tolerance; else in order of the value."""
    measured = part.relative is not None or part.absolute is not None
    if part.verdict == "different" and not measured:
        return True, True, math.inf
    return part.verdict == "different", part.unlike > 0, part.relative or part.absolute or 0.0


def _told(verdict: Verdict, ref: ValueRef, by: ComparedBy, *, note: str) -> ValueComparison:
    return ValueComparison(
        verdict, ValueDifference(verdict=verdict, by=by, type=ref.type, kind=ref.kind, note=shown_text(note, 300))
    )


def _previewed(ref: ValueRef) -> object:
    """The preview of a value, with the numbers that JSON does not have as numbers again."""
    preview = ref.preview
    if isinstance(preview, dict):
        return {name: _INEXACT.get(item, item) if isinstance(item, str) else item for name, item in preview.items()}
    if isinstance(preview, str) and preview in _INEXACT and "str" not in ref.type:
        return _INEXACT[preview]
    return preview


def _is_number(ref: ValueRef) -> bool:
    return isinstance(ref.preview, int | float) and not isinstance(ref.preview, bool)


def _of(*names: str) -> Callable[[object], bool]:
    """A test by the names of a value's classes, so that no library is imported to ask."""
    wanted = [name.split(".") for name in names]
    return lambda value: any(comes_from(type(value), library, name) for library, name in wanted)


def _by_class(fits: Callable[[type], bool]) -> Callable[[object], bool]:
    return lambda value: fits(type(value))


def _late(module: str, name: str) -> Handler:
    """A handler of a module that imports a library: imported when the first such value is there."""

    def handle(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - any value
        import importlib

        getattr(importlib.import_module(f"lineage_flows.compare.{module}"), name)(walk, a, b, where)

    return handle


_HANDLERS: tuple[tuple[Callable[[Any], bool], Handler], ...] = (
    (_of("numpy.ndarray"), _late("arrays", "arrays")),
    (_of("pandas.DataFrame"), _late("frames", "frames")),
    (_of("pandas.Series"), _late("frames", "series")),
    (_of("pandas.Index"), _late("frames", "indexes")),
    (_of("lineage_flows.FrameColumn"), _late("frames", "columns")),
    (_of("pandas.ExtensionArray"), _late("frames", "extensions")),
    (_of("pyarrow.Table", "pyarrow.RecordBatch", "polars.DataFrame"), _late("tables", "tables")),
    (_of("polars.Series"), _late("tables", "polars_columns")),
    (_of("pyarrow.Array", "pyarrow.ChunkedArray"), _late("tables", "columns")),
    (_of("matplotlib.Figure"), _late("pictures", "figures")),
    (_by_class(is_image), _late("pictures", "figures")),
    (_by_class(is_plotly), _late("pictures", "figures")),
    (_by_class(is_tensor), _late("models", "tensors")),
    (_by_class(is_module), _late("models", "modules")),
    (_by_class(is_booster), _late("models", "boosters")),
    (_by_class(is_result), _late("models", "results")),
    (_by_class(is_estimator), _late("models", "estimators")),
)
"""What compares which kind of value; asked in order, of both values."""
