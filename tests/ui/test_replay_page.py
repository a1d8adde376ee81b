"""The report of a replay: what it says, that nothing breaks out of it, and that it fits a desk and a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.compare import Change
from lineage_flows.record_replay import CellDifference, PartDifference, ToleranceUsed, ValueDifference
from lineage_flows.records import ReplayOutcome
from lineage_flows.ui.replay_page import replay_page
from tests.support.records import backtest_record, replay_record

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RECORD = "sha256:" + "ab" * 32
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Read(HTMLParser):
    """What a browser would take from a page; fails where tags are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data


def outcome_of(different: int | None = None, **more: Any) -> ReplayOutcome:
    replay = replay_record(backtest_record(), different=different).flow.replay
    assert replay is not None
    assert replay.outcome is not None
    return replay.outcome.model_copy(update=more)


def page_of(outcome: ReplayOutcome, environment: tuple[Change, ...] = (), **run: Any) -> str:
    original = backtest_record(**run)
    replay = replay_record(original)
    return replay_page(
        original, replay, outcome, environment, record_digest=RECORD, made_at="2026-11-23T23:59:00Z", version="1.2.3"
    )


def test_an_identical_replay_says_so_with_its_evidence() -> None:
    original = backtest_record()
    read = Read(page_of(outcome_of()))
    assert "✓ identical" in read.text
    assert "5 of 5 steps to the last bit" in read.text
    assert "First divergence" not in read.text
    assert "What lies apart" not in read.text
    for said in (RECORD, original.flow.run_id, "researcher", "2026-01-30 21:30:00", "lineage-flows 1.2.3", "window"):
        assert said in read.text, said
    for step in original.steps:
        assert step.task_name in read.text
        assert step.output is not None
        assert step.output.fingerprint in read.text


def test_a_different_replay_names_where_why_and_by_how_much() -> None:
    part = PartDifference(
        where="/sharpe",
        differing=1,
        compared=4,
        absolute=8e-4,
        relative=9.5e-4,
        cells=(CellDifference(old=0.8431, new=0.8439),),
        tolerance=ToleranceUsed(relative=1e-9, rule="Metrics:rel=1e-9"),
    )
    steps = list(outcome_of(2).steps)
    value = ValueDifference(verdict="different", by="preview", kind="Metrics", differing=1, compared=4, parts=(part,))
    steps[4] = steps[4].model_copy(update={"values": (value,)})
    changed = (Change(what="environment", name="package scikit-learn", old="1.5.2", new=None),)
    read = Read(page_of(outcome_of(2, steps=tuple(steps), tolerances=("Metrics:rel=1e-9",)), changed))
    for said in (
        "✗ different",
        "First divergence: fit_model.",
        "Code that it runs is not the same.",
        "function fit_model changed",
        "evaluate: output/sharpe",
        "0.8431 → 0.8439",
        "1 of 4",
        "rel 0.00095",
        "Metrics:rel=1e-9",
        "package scikit-learn",
        "1.5.2",
    ):
        assert said in read.text, said


def test_what_only_the_flow_made_different_and_what_was_not_compared() -> None:
    flow_alone = outcome_of(verdict="different", result="different")
    assert "the flow's own result" in Read(page_of(flow_alone)).text
    nothing = outcome_of(verdict="not compared", steps=(), result="not compared")
    read = Read(page_of(nothing))
    assert "nothing of it could be held beside the original" in read.text
    assert "no steps" in read.text


def test_of_a_thousand_steps_it_says_how_many_it_leaves_out() -> None:
    (step, *_) = outcome_of().steps
    many = outcome_of(steps=tuple(step.model_copy(update={"index": index}) for index in range(1_200)))
    assert "and 700 steps more, in the run record" in Read(page_of(many)).text


@given(
    text=st.text(max_size=80)
    | st.sampled_from(["<script>alert(1)</script>", '"><img src=x onerror=1>', "</style>{{ 7 * 7 }}{%"])
)
@settings(max_examples=60, deadline=None)
def test_no_text_of_a_flow_breaks_out_of_its_place(text: str) -> None:
    steps = list(outcome_of(2).steps)
    steps[2] = steps[2].model_copy(update={"task": text, "details": (text,)})
    change = Change(what="environment", name=text, old=text, new=[text])
    outcome = outcome_of(2, steps=tuple(steps), notes=(text,), tolerances=(text,))
    page = page_of(outcome, (change,), flow_name=text, run_name=text)
    plain, meant = Read(page_of(outcome_of(2))), Read(page)
    assert {tag for tag, _ in meant.tags} <= {tag for tag, _ in plain.tags} | {
        "li",
        "td",
        "tr",
        "table",
        "thead",
        "tbody",
    }
    assert not any(name.startswith("on") or name in {"src", "href"} for _, given in meant.tags for name in given)
    assert ("{{ 7 * 7 }}" in meant.text) == ("{{ 7 * 7 }}" in text), "no text is taken for a template"
    page.encode("utf-8")


def test_it_loads_nothing() -> None:
    page = page_of(outcome_of(2))
    assert not re.search(r"(src|href|url\(|@import|<script|<link)", page)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_a_desk_and_a_phone(tmp_path: Path, width: int) -> None:
    steps = list(outcome_of(2).steps)
    steps[2] = steps[2].model_copy(update={"task": "fit_" + "w" * 70, "details": ("x" * 500,)})
    page = page_of(
        outcome_of(2, steps=tuple(steps)), (Change(what="environment", name="v" * 90, old="o" * 200, new="n"),)
    )
    frame = tmp_path / "frame.html"
    # A frame is as narrow as it is told to be; a headless window is not.
    frame.write_text(
        f'<!doctype html><iframe width="{width}" height="900" srcdoc="{html.escape(page, quote=True)}" '
        'onload="document.title = this.contentDocument.documentElement.scrollWidth"></iframe>',
        encoding="utf-8",
    )
    assert BROWSER is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--window-size=1400,1000"]
    done = subprocess.run(
        [BROWSER, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r"<title>(\d+)</title>", done.stdout)
    assert found is not None, done.stdout[:500]
    assert int(found[1]) <= width, "it would have to be scrolled sideways"
