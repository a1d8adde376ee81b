"""What became of each test in two runs of one suite, from JUnit reports, and where the runs differ.

Knows the reports' XML and nothing of how they came about.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Comparison", "Outcome", "compare", "flaky", "read_report"]

Outcome = Literal["passed", "failed", "skipped", "not run"]
_BY_TAG: dict[str, Outcome] = {"failure": "failed", "error": "failed", "skipped": "skipped"}
_WORST: tuple[Outcome, ...] = ("not run", "passed", "skipped", "failed")


@dataclass(frozen=True)
class Comparison:
    """Two runs of one suite, side by side.

    Attributes:
        off: how many tests had each outcome without the plugin.
        on: the same with it.
        broken: tests that pass without the plugin and do not with it, with their outcome there. This is what must be empty.
        mended: tests that do not pass without the plugin and do with it. Nothing the plugin is for: flaky tests.
        other: tests with another outcome that concerns no pass (failed here, skipped there), off and on.
    """

    off: Mapping[Outcome, int]
    on: Mapping[Outcome, int]
    broken: Mapping[str, Outcome]
    mended: Mapping[str, Outcome]
    other: Mapping[str, tuple[Outcome, Outcome]]

    @property
    def same(self) -> bool:
        """Whether every test has the same outcome in both."""
        return not (self.broken or self.mended or self.other)


def read_report(report: Path) -> dict[str, Outcome]:
    """The outcome of each test of a JUnit report, by ``class::name``.

    A test that passes and fails in its tear-down is there twice, and counts as failed.

    Raises:
        OSError: no such file.
        xml.etree.ElementTree.ParseError: a report that was cut off, as of a run that was killed.
    """
    found: dict[str, Outcome] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        outcomes: list[Outcome] = [_BY_TAG[child.tag] for child in case if child.tag in _BY_TAG]
        found[name] = _worst([found.get(name, "not run"), *(outcomes or ["passed"])])
    return found


def compare(off: Mapping[str, Outcome], on: Mapping[str, Outcome]) -> Comparison:
    """Put two runs side by side; a test that only one of them has is ``not run`` in the other."""
    broken: dict[str, Outcome] = {}
    mended: dict[str, Outcome] = {}
    other: dict[str, tuple[Outcome, Outcome]] = {}
    for name in sorted({*off, *on}):
        before, after = off.get(name, "not run"), on.get(name, "not run")
        if before == after:
            continue
        if before == "passed":
            broken[name] = after
        elif after == "passed":
            mended[name] = before
        else:
            other[name] = (before, after)
    return Comparison(Counter(off.values()), Counter(on.values()), broken, mended, other)


def flaky(runs: Iterable[Mapping[str, Outcome]]) -> set[str]:
    """The tests that passed in one of several runs under the same conditions, and did not in another."""
    seen: dict[str, set[bool]] = {}
    for run in runs:
        for name, outcome in run.items():
            seen.setdefault(name, set()).add(outcome == "passed")
    return {name for name, passed in seen.items() if len(passed) > 1}


def _worst(outcomes: list[Outcome]) -> Outcome:
    return max(outcomes, key=_WORST.index)
