"""The rules that say what is captured and told of which flow, task and tag; the last word has the most specific one.

Knows the errors only. A rule is data; a decision is the answer to one question: this flow, this task, these tags.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Final, Literal, get_args

from pydantic import ByteSize, TypeAdapter, ValidationError

__all__ = [
    "LEFT_OUT_NOTE",
    "LEVELS",
    "SETTABLE",
    "CaptureLevel",
    "Decision",
    "Match",
    "Rule",
    "RuleError",
    "check_pattern",
    "decide",
    "leaves_out_anywhere",
    "leaves_out_dataset",
    "leaves_out_parameter",
    "names_parameter",
    "parse_rules",
    "rule_of_level",
    "rules_json",
]

CaptureLevel = Literal["off", "metadata", "inputs", "all"]

LEVELS: Final[tuple[CaptureLevel, ...]] = get_args(CaptureLevel)
"""From the one that keeps least to the one that keeps most."""

LEFT_OUT_NOTE: Final = "left out by policy"
"""What the record of a value says that a rule leaves out."""

_WILD = re.compile(r"[*?]|\[!?[^\]]+\]")
_SIZE: Final = TypeAdapter(ByteSize)


class RuleError(ValueError):
    """A rule that cannot be meant: what, the value given, and what is allowed.

    Attributes:
        where: the rule and its key as the user wrote them (``rules[2].match.flwo``).
        value: what was given.
        allowed: what is allowed, in words.
    """

    def __init__(self, where: str, value: object, allowed: str) -> None:
        self.where = where
        self.value = value
        self.allowed = allowed
        super().__init__(f"{where} is {value!r}; allowed is {allowed}")


@dataclass(frozen=True, slots=True)
class Match:
    """What a rule is for: patterns (``*``, ``?``, ``[abc]``) of names; None fits everything, a flow run outside any task too."""

    flow: str | None = None
    task: str | None = None
    tag: str | None = None

    def fits(self, flow: str, task: str | None, tags: Iterable[str]) -> bool:
        """Whether the rule is for this flow, or this task in it."""
        return (
            (self.flow is None or _fits(self.flow, flow))
            and (self.task is None or (task is not None and _fits(self.task, task)))
            and (self.tag is None or any(_fits(self.tag, tag) for tag in tags))
        )

    @property
    def specificity(self) -> tuple[int, tuple[bool, ...], tuple[int, ...]]:
        """What makes one rule more specific than another, the first difference deciding.

        What it names (task 4, tag 2, flow 1, added up: a task says more than a tag and a flow together); whether that is a whole
        name rather than a pattern, for task, tag, flow in this order; how many characters of the pattern are fixed, likewise.
        """
        given = (self.task, self.tag, self.flow)
        named = sum(weight for weight, pattern in zip((4, 2, 1), given, strict=True) if pattern is not None)
        exact = tuple(pattern is not None and _WILD.search(pattern) is None for pattern in given)
        literal = tuple(len(_WILD.sub("", pattern or "")) for pattern in given)
        return named, exact, literal

    def __str__(self) -> str:
        """As it is shown: ``flow=back* task=fit``; ``everything`` when it names nothing."""
        named = (("flow", self.flow), ("task", self.task), ("tag", self.tag))
        return " ".join(f"{what}={pattern}" for what, pattern in named if pattern is not None) or "everything"


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds where ``match`` fits. None leaves a setting to less specific rules, and at last to the project's setting.

    Attributes:
        origin: where it was written, for those who ask why.
        emit: false lets a flow or task leave no event, no record and no content.
        level: as the setting ``level``.
        size_cap: bytes; as the setting ``size_cap``.
        source_code: whether events tell the source of the function.
        outputs: false leaves out what a flow or task gives out.
        exclude_datasets: patterns of URIs (and of paths of files) that are left out; ``include_datasets`` are the exceptions.
        exclude_parameters: patterns of parameter names that are left out; ``include_parameters`` are the exceptions, and are looked
            at even where their names speak of secrets.
        owners: who owns the flow or task (``team:quant``).
    """

    match: Match = field(default_factory=Match)
    origin: str = ""
    emit: bool | None = None
    level: CaptureLevel | None = None
    size_cap: int | None = None
    source_code: bool | None = None
    outputs: bool | None = None
    exclude_datasets: tuple[str, ...] | None = None
    include_datasets: tuple[str, ...] | None = None
    exclude_parameters: tuple[str, ...] | None = None
    include_parameters: tuple[str, ...] | None = None
    owners: tuple[str, ...] | None = None


SETTABLE: Final = tuple(item.name for item in fields(Rule) if item.name not in {"match", "origin"})
"""The settings that a rule may set."""

_FLAGS = frozenset({"emit", "source_code", "outputs"})
_SCOPES = ("flow", "task", "tag")


@dataclass(frozen=True, slots=True)
class Decision:
    """What holds for one flow, or one task in it. ``why`` names the rule behind each setting that a rule has set."""

    emit: bool
    level: CaptureLevel
    size_cap: int
    source_code: bool = True
    outputs: bool = True
    exclude_datasets: tuple[str, ...] = ()
    include_datasets: tuple[str, ...] = ()
    exclude_parameters: tuple[str, ...] = ()
    include_parameters: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    why: Mapping[str, Rule] = field(default_factory=dict)


def decide(
    rules: Iterable[Rule], flow: str, *, task: str | None, tags: Iterable[str], level: CaptureLevel, size_cap: int
) -> Decision:
    """What holds for a flow, or for a task in it.

    Each setting is decided by itself: by the most specific rule that fits and sets it, of equally specific ones by the last. Lists
    are not added up: the deciding rule's list holds.

    Args:
        rules: in the order they were written.
        flow: name of the flow.
        task: name of the task; None asks for the flow run itself, which rules with a task do not fit.
        tags: of the task run; of the flow run when there is no task.
        level: the project's, where no rule sets one.
        size_cap: likewise, in bytes.
    """
    tags = tuple(tags)
    fitting = sorted(
        (rule for rule in rules if rule.match.fits(flow, task, tags)), key=lambda rule: rule.match.specificity
    )
    found: dict[str, object] = {"emit": True, "level": level, "size_cap": size_cap}
    why: dict[str, Rule] = {}
    for rule in fitting:  # sorting is stable: of equals the later one comes last, and overwrites
        for name in SETTABLE:
            if (value := getattr(rule, name)) is not None:
                found[name], why[name] = value, rule
    if not found["emit"]:
        found["level"], why["level"] = "off", why["emit"]
    return Decision(**found, why=why)  # type: ignore[arg-type]  # each value is of its field's type, from a checked rule


def leaves_out_dataset(decision: Decision, uri: str, written: str = "") -> bool:
    """Whether a dataset is left out, by its URI or by how the flow wrote it; a file's URI also by its path."""
    names = (uri, uri.removeprefix("file://")) if uri.startswith("file://") else (uri,)
    names = (*names, written) if written else names
    return _any(decision.exclude_datasets, names) and not _any(decision.include_datasets, names)


def leaves_out_anywhere(rules: Iterable[Rule], uri: str) -> bool:
    """Whether any rule leaves a dataset out, whatever flow or task it is for."""
    return any(
        leaves_out_dataset(
            Decision(
                True, "inputs", 0, exclude_datasets=rule.exclude_datasets, include_datasets=rule.include_datasets or ()
            ),
            uri,
        )
        for rule in rules
        if rule.exclude_datasets
    )


def leaves_out_parameter(decision: Decision, name: str) -> bool:
    """Whether a parameter is left out."""
    return _any(decision.exclude_parameters, (name,)) and not _any(decision.include_parameters, (name,))


def names_parameter(decision: Decision, name: str) -> bool:
    """Whether a rule names a parameter as one to look at, whatever its name says."""
    return _any(decision.include_parameters, (name,))


def rule_of_level(selector: str, level: CaptureLevel) -> Rule:
    """The rule that an entry of the setting ``levels`` (``task:fit_*``) is short for."""
    scope, _, pattern = selector.partition(":")
    return Rule(Match(**{scope: pattern}), f"levels {selector}", level=level)


def parse_rules(raw: object, origin: str) -> tuple[Rule, ...]:
    """Rules as they stand in a file or in JSON.

    Args:
        raw: a list of tables.
        origin: where they were written.

    Raises:
        RuleError: for the first key that does not exist, or value that cannot be meant.
    """
    if not isinstance(raw, list | tuple):
        raise RuleError("rules", raw, "a list of tables, each with a match and the settings that hold there")
    return tuple(_rule(item, f"rules[{place}]", f"{origin} rules[{place}]") for place, item in enumerate(raw, 1))


def rules_json(rules: Iterable[Rule]) -> str:
    """Rules as the setting ``rules`` takes them from the environment."""
    listed = []
    for rule in rules:
        said = {name: value for name in SETTABLE if (value := getattr(rule, name)) is not None}
        match = {name: value for name in _SCOPES if (value := getattr(rule.match, name)) is not None}
        listed.append({"match": match, **said})
    return json.dumps(listed)


def _rule(raw: object, where: str, origin: str) -> Rule:
    if not isinstance(raw, dict):
        raise RuleError(where, raw, "a table with a match and the settings that hold there")
    match = _match(raw.get("match", {}), f"{where}.match")
    said: dict[str, object] = {}
    for key, value in raw.items():
        if key == "match":
            continue
        if key not in SETTABLE:
            raise RuleError(f"{where}.{key}", value, "one of match, " + ", ".join(SETTABLE))
        said[key] = _value(key, value, f"{where}.{key}")
    if not said:
        raise RuleError(where, raw, "a table that sets at least one of " + ", ".join(SETTABLE))
    return Rule(match, origin, **said)  # type: ignore[arg-type]  # _value gives what the field of that name takes


def _match(raw: object, where: str) -> Match:
    if not isinstance(raw, dict):
        raise RuleError(where, raw, "a table of patterns for flow, task and tag")
    for key, pattern in raw.items():
        if key not in _SCOPES:
            raise RuleError(f"{where}.{key}", pattern, "flow, task or tag")
        check_pattern(pattern, f"{where}.{key}")
    return Match(**raw)


def _value(key: str, value: object, where: str) -> object:
    if key in _FLAGS:
        if not isinstance(value, bool):
            raise RuleError(where, value, "true or false")
        return value
    if key == "level":
        if value not in LEVELS:
            raise RuleError(where, value, "off, metadata, inputs or all")
        return value
    if key == "size_cap":
        try:
            return int(_SIZE.validate_python(None if isinstance(value, bool) else value))
        except ValidationError:
            raise RuleError(where, value, 'bytes, or a text such as "500MB"') from None
    if not isinstance(value, list | tuple):
        raise RuleError(where, value, "a list of texts")
    for item in value:
        check_pattern(item, where)
    return tuple(value)


def check_pattern(pattern: object, where: str) -> None:
    """Refuse what is no pattern of names.

    Raises:
        RuleError: it is no text, is empty, or has a ``[`` that nothing closes.
    """
    if not isinstance(pattern, str) or not pattern.strip():
        raise RuleError(where, pattern, "a text that is not empty, with * ? and [abc] where it is a pattern")
    rest = re.sub(r"\[!?\]?[^\]]*\]", "", pattern)
    if "[" in rest:
        raise RuleError(where, pattern, "a pattern whose [ is closed by ], or [[] for the bracket itself")


def _any(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    return any(_fits(pattern, name) for pattern in patterns for name in names)


def _fits(pattern: str, name: str) -> bool:
    return _compiled(pattern).match(name) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
