"""The rules that say how far two numbers may lie apart and still count as equal; a part of ``settings``.

Knows the errors of rules only. A rule is data: what it is for (flow, task, type, name), and the tolerance that holds there. The
most specific rule decides.
"""

from __future__ import annotations

import fnmatch
import json
import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

from lineage_flows.policy import RuleError, check_pattern

__all__ = [
    "DEFAULTS",
    "KINDS",
    "Tolerance",
    "ToleranceMatch",
    "ToleranceRule",
    "ToleranceSettings",
    "choose",
    "parse_tolerances",
    "tolerances_of_text",
]

KINDS: Final = ("DataSet", "Figure", "Metrics", "Model", "TimeSeries", "Value")
"""The kinds of artifact that a rule may be for by a single word."""

_SCOPES = ("flow", "task", "type", "name")
_LONG = {"rel": "relative", "abs": "absolute", "relative": "relative", "absolute": "absolute", "ulps": "ulps"}
_ALLOWED = {
    "relative": "a number from 0 to 1",
    "absolute": "a finite number from 0",
    "ulps": "a whole number from 0 to 9007199254740992",
}
_MOST_ULPS = 1 << 53
_WILD = re.compile(r"[*?]|\[!?[^\]]+\]")
_EXAMPLE = "such as metrics:rel=1e-9 or task=fit_*,name=coef_:abs=1e-12,ulps=4"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may lie apart and still count as equal: they are, when any one of the three says so.

    Attributes:
        relative: largest difference, as a share of the larger of the two magnitudes.
        absolute: largest difference itself; of a picture, in levels of a colour channel of 256.
        ulps: largest number of representable numbers (of the coarser of the two formats) from the one to the other.
    """

    relative: float = 0.0
    absolute: float = 0.0
    ulps: int = 0

    def __str__(self) -> str:
        """As a rule is written: ``rel=1e-09,abs=1e-12``; ``exact`` when nothing may differ."""
        named = (("rel", self.relative), ("abs", self.absolute), ("ulps", self.ulps))
        return ",".join(
            f"{name}={figure:g}" if name != "ulps" else f"ulps={figure}" for name, figure in named if figure
        ) or ("exact")


@dataclass(frozen=True, slots=True)
class ToleranceMatch:
    """What a rule is for: patterns (``*``, ``?``, ``[abc]``); None fits everything.

    Attributes:
        flow: name of the flow.
        task: name of the task; a rule with one is not for what the flow itself gives out.
        type: kind of artifact (``Metrics``) or class (``ndarray``, ``pandas.DataFrame``), of the output or the part of it that is
            compared; upper and lower case are the same.
        name: of a part of the output (a metric, a column, an attribute of a model), or its whole path (``prices/close``). What
            lies in that part has it too.
    """

    flow: str | None = None
    task: str | None = None
    type: str | None = None
    name: str | None = None

    def fits(self, flow: str, task: str | None, types: Iterable[str], path: str) -> bool:
        """Whether the rule is for a part of what a flow, or a task in it, gave out.

        Args:
            flow: name of the flow.
            task: name of the task, None for the flow's own result.
            types: kinds and classes of the output and of the parts that lead to this one, in lower case.
            path: to the part, as ``/prices/close``; "" for the whole.
        """
        return (
            (self.flow is None or _fits(self.flow, flow))
            and (self.task is None or (task is not None and _fits(self.task, task)))
            and (self.type is None or any(_fits(self.type.lower(), name) for name in types))
            and (self.name is None or any(_fits(self.name, name) for name in _names(path)))
        )

    @property
    def specificity(self) -> tuple[int, tuple[bool, ...], tuple[int, ...]]:
        """What makes one rule more specific than another, as of the rules of the policy: the first difference decides.

        What it names (name 8, task 4, type 2, flow 1, added up); whether that is a whole name rather than a pattern, in this order;
        how many characters of the pattern are fixed, likewise.
        """
        given = (self.name, self.task, self.type, self.flow)
        named = sum(weight for weight, pattern in zip((8, 4, 2, 1), given, strict=True) if pattern is not None)
        exact = tuple(pattern is not None and _WILD.search(pattern) is None for pattern in given)
        literal = tuple(len(_WILD.sub("", pattern or "")) for pattern in given)
        return named, exact, literal

    def __str__(self) -> str:
        """As it is written: ``task=fit_*,name=coef_``; ``*`` when it names nothing."""
        named = ((name, getattr(self, name)) for name in _SCOPES)
        return ",".join(f"{name}={pattern}" for name, pattern in named if pattern is not None) or "*"


@dataclass(frozen=True, slots=True)
class ToleranceRule:
    """A tolerance and what it is for. A rule decides whole: what it does not set is 0, whatever other rules say.

    Attributes:
        origin: where it was written, for those who ask why.
    """

    match: ToleranceMatch
    tolerance: Tolerance
    origin: str = ""

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{self.match}:{self.tolerance}"


DEFAULTS: Final = (
    ToleranceRule(ToleranceMatch(), Tolerance(relative=1e-9, absolute=1e-12, ulps=16), "default"),
    ToleranceRule(ToleranceMatch(type="Figure"), Tolerance(absolute=1), "default"),
)
"""What holds where no rule says otherwise.

Other CPU kernels and thread counts change the last few of a double's sixteen digits, so that a billionth lets them pass; what
should be zero lies within 1e-12 of it; 16 ulps are for numbers of single and half precision, of which a billionth is less than one
digit. A line in a picture that moves by a thousandth of a pixel changes a channel by a level.
"""


def choose(
    rules: Iterable[ToleranceRule], flow: str, task: str | None, types: Collection[str], path: str
) -> ToleranceRule:
    """The rule that decides: of those that fit the most specific, of equally specific ones the last.

    Arguments as of ``ToleranceMatch.fits``.
    """
    fitting = [rule for rule in (*DEFAULTS, *rules) if rule.match.fits(flow, task, types, path)]
    best = max(rule.match.specificity for rule in fitting)
    return [rule for rule in fitting if rule.match.specificity == best][-1]


def parse_tolerances(raw: object, origin: str) -> tuple[ToleranceRule, ...]:
    """Rules as they stand in a file or in JSON: a list of tables, or of texts as on the command line.

    Args:
        raw: the list.
        origin: where it was written.

    Raises:
        RuleError: for the first key that does not exist, or value that cannot be meant.
    """
    if not isinstance(raw, list | tuple):
        raise RuleError("tolerances", raw, "a list of tables, each with a match and relative, absolute or ulps")
    return tuple(
        _rule(item, f"tolerances[{place}]", f"{origin} tolerances[{place}]") for place, item in enumerate(raw, 1)
    )


def tolerances_of_text(text: str, origin: str) -> tuple[ToleranceRule, ...]:
    """Rules as on the command line and in the environment: ``metrics:rel=1e-9; task=fit_*,name=coef_:abs=1e-12,ulps=4``.

    Before the colon: ``flow=``, ``task=``, ``type=``, ``name=`` patterns, a kind of artifact for short, or ``*`` for everything.

    Raises:
        RuleError: it cannot be read so.
    """
    return tuple(_of_text(item.strip(), origin) for item in text.split(";") if item.strip())


class ToleranceSettings(BaseModel):
    """The setting ``tolerances``."""

    tolerances: Annotated[tuple[ToleranceRule, ...], NoDecode] = Field(
        (),
        description="how far numbers may lie apart and still count as equal: a list of tables, each with a match and relative, "
        "absolute or ulps (in the environment metrics:rel=1e-9; task=fit_*,name=coef_:ulps=4)",
    )

    @field_validator("tolerances", mode="before")
    @classmethod
    def _tolerances(cls, value: object) -> object:
        if isinstance(value, str):
            return _of_environment(value)
        if isinstance(value, list | tuple) and all(isinstance(item, ToleranceRule) for item in value):
            return value
        return parse_tolerances(value, "settings")


def _of_environment(text: str) -> tuple[ToleranceRule, ...]:
    if not text.lstrip().startswith("["):
        return tolerances_of_text(text, "LINEAGE_FLOWS_TOLERANCES")
    try:
        return parse_tolerances(json.loads(text), "LINEAGE_FLOWS_TOLERANCES")
    except RuleError:
        raise
    except ValueError:
        raise RuleError("tolerances", text, f"JSON, or a text {_EXAMPLE}") from None


def _rule(raw: object, where: str, origin: str) -> ToleranceRule:
    if isinstance(raw, str):
        return _of_text(raw, origin)
    if not isinstance(raw, dict):
        raise RuleError(where, raw, "a table with a match and relative, absolute or ulps")
    figures = {}
    for key, value in raw.items():
        if key == "match":
            continue
        if key not in _ALLOWED:
            raise RuleError(f"{where}.{key}", value, "one of match, " + ", ".join(_ALLOWED))
        figures[key] = _figure(key, value, f"{where}.{key}")
    if not figures:
        raise RuleError(where, raw, "a table that sets at least one of " + ", ".join(_ALLOWED))
    return ToleranceRule(_match(raw.get("match", {}), f"{where}.match"), _tolerance(figures), origin)


def _of_text(text: str, origin: str) -> ToleranceRule:
    where, _, said = text.rpartition(":")
    if not where.strip() or not said.strip():
        raise RuleError("tolerance", text, f"what it is for, a colon, and the figures, {_EXAMPLE}")
    scopes: dict[str, object] = {}
    for item in where.split(","):
        name, separator, pattern = (part.strip() for part in item.partition("="))
        if not separator:
            if name == "*":
                continue
            kind = next((kind for kind in KINDS if kind.lower() == name.lower()), None)
            if kind is None:
                allowed = f"one of {', '.join(KINDS)}, * for everything, or flow=, task=, type= or name= and a pattern"
                raise RuleError("tolerance", text, allowed)
            name, pattern = "type", kind
        if name in scopes:
            raise RuleError("tolerance", text, f"{name} named once")
        scopes[name] = pattern
    figures: dict[str, float] = {}
    for item in said.split(","):
        name, _, figure = (part.strip() for part in item.partition("="))
        key = _LONG.get(name)
        if key is None:
            raise RuleError("tolerance", text, f"figures named rel, abs or ulps, {_EXAMPLE}")
        if key in figures:
            raise RuleError("tolerance", text, f"{name} named once")
        figures[key] = _figure(key, _read(figure), f"{name} of tolerance {text!r}", figure)
    return ToleranceRule(_match(scopes, f"tolerance {text!r}"), _tolerance(figures), origin)


def _match(raw: object, where: str) -> ToleranceMatch:
    if not isinstance(raw, dict):
        raise RuleError(where, raw, "a table of patterns for " + ", ".join(_SCOPES))
    for key, pattern in raw.items():
        if key not in _SCOPES:
            raise RuleError(f"{where}.{key}", pattern, ", ".join(_SCOPES[:-1]) + f" or {_SCOPES[-1]}")
        check_pattern(pattern, f"{where}.{key}")
    return ToleranceMatch(**raw)


def _tolerance(figures: dict[str, float]) -> Tolerance:
    return Tolerance(
        relative=figures.get("relative", 0.0), absolute=figures.get("absolute", 0.0), ulps=int(figures.get("ulps", 0))
    )


def _figure(key: str, value: object, where: str, written: object = None) -> float:
    """A figure that is one: neither negative nor NaN nor infinite, since such a tolerance lets nothing or everything pass."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    if good and key == "relative":
        good = value <= 1  # type: ignore[operator]  # a number, see above
    if good and key == "ulps":
        good = value == int(value) and value <= _MOST_ULPS  # type: ignore[call-overload, operator]
    if not good:
        raise RuleError(where, value if written is None else written, _ALLOWED[key])
    return float(value)  # type: ignore[arg-type]


def _read(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _names(path: str) -> tuple[str, ...]:
    """Every name that a part goes by: each step of its path, and each beginning of it."""
    steps = path.split("/")[1:]
    return (*steps, *("/".join(steps[:count]) for count in range(2, len(steps) + 1)))


def _fits(pattern: str, name: str) -> bool:
    return _compiled(pattern).match(name) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
