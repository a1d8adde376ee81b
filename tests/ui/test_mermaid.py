from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from lineage_flows.records import RunRecord
from lineage_flows.ui.mermaid import flowchart, label
from tests.support.records import backtest_flow, backtest_record, mapped_record, step

# What this module may write, line by line; mermaid itself was shown these in Prefect's UI.
GRAMMAR = re.compile(
    r"""%%\{init:\ \{[^\n]*\}\}%%
      | flowchart\ (LR|TB)
      | \s\sn\d+(\(|\[\[|\[\(|\(\[|\[)"[\w\ #;<>/]*"(\)|\]\]|\)\]|\]\)|\])(:::\w+)?
      | \s\sn\d+\ (-->|-\.->)\ n\d+
      | \s\sclassDef\ \w+\ [\w:#,.-]+
      | \s\slinkStyle\ default\ [\w:#,.-]+""",
    re.VERBOSE,
)

anything = st.text(st.characters(codec=None), max_size=80)


def unescape(text: str) -> str:
    return re.sub(r"#(\d+);", lambda entity: chr(int(entity.group(1))), text)


@given(anything)
def test_a_label_holds_nothing_that_mermaid_acts_on_and_loses_nothing(text: str) -> None:
    written = label(text)
    assert all(character.isalnum() or character in " #;" for character in written)
    if text.isprintable():
        assert unescape(written) == text


@example("\ud800", "\udfff")
@given(anything, anything)
def test_every_line_is_of_the_grammar_whatever_the_names(task: str, flow: str) -> None:
    steps = (step(0, task or "x"), step(1, "end", flow_name=flow), step(2, "graph"))
    for line in flowchart(RunRecord(flow=backtest_flow(), steps=steps)).splitlines():
        assert GRAMMAR.fullmatch(line), line


def test_a_chain_runs_down_and_a_short_one_across() -> None:
    assert "flowchart TB" in flowchart(backtest_record())
    assert "flowchart LR" in flowchart(mapped_record())


def test_every_node_of_an_arrow_is_declared() -> None:
    text = flowchart(backtest_record())
    declared = set(re.findall(r"^  (n\d+)[(\[]", text, re.MULTILINE))
    joined = set(re.findall(r"(n\d+) (?:-->|-\.->)", text)) | set(re.findall(r"(?:-->|-\.->) (n\d+)", text))
    assert joined <= declared
    assert len(declared) == 9


def test_a_run_without_steps_still_is_a_flowchart() -> None:
    assert 'n0("no steps")' in flowchart(RunRecord(flow=backtest_flow()))


def test_a_run_of_thousands_of_steps_stays_small() -> None:
    # Mermaid refuses more than 50,000 characters and 500 arrows.
    text = flowchart(mapped_record(3000, tasks=1000))
    assert len(text) < 5_000
    assert text.count("-->") < 30
