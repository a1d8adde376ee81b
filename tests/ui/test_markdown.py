from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lineage_flows.records import ErrorRef, Gap, Ledger, RunRecord
from lineage_flows.ui import render_run
from tests.support.records import backtest_record, literal, mapped_record, replay_record

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
COMMAND = "lineage-flows replay 01935c2e"
anything = st.text(st.characters(codec=None), max_size=60) | st.text(
    st.sampled_from("`|\\*_[]<>#!~\n$\"'1. "), max_size=40
)


def test_a_run_is_told_at_a_glance() -> None:
    page = render_run(backtest_record(), command=COMMAND)
    title, _, sentence, *_ = page.splitlines()
    assert title == "## Completed · backtest / brave-otter"
    assert (
        sentence == "5 steps in 5.2 s; read 1 file; wrote 1 file; gave out 1 model, 1 set of metrics and 3 time series."
    )
    assert "```mermaid\n" in page
    assert "| sharpe | `0.8431` | evaluate |" in page
    assert "| prices.parquet | 1.4 MB | load_prices | `f60edc42` |" in page
    assert "| fit_model | `Ridge` | `622efe33` |" in page
    assert "commit 9f2c1ab07d on main, with changes that were not committed" in page
    assert page.rstrip().endswith(f"`{COMMAND}`")
    assert "<details>" not in page


def test_a_replay_tells_its_verdict_first_and_folds_the_rest() -> None:
    page = render_run(replay_record(backtest_record(), different=2), command=COMMAND)
    verdict, _, folded = page.partition("<details>")
    assert verdict.startswith("## Replay different · ")
    assert "2 of 5 steps identical; first different: fit_model (by code)" in verdict
    assert "| load_prices | ✓ identical |  |  |" in verdict
    assert "| fit_model | ✗ different | code | function fit_model changed |" in verdict
    assert "```mermaid" not in verdict
    assert "```mermaid" in folded
    assert COMMAND in folded


def test_an_identical_replay_says_so() -> None:
    page = render_run(replay_record(backtest_record()), command=COMMAND)
    assert page.startswith("## Replay identical · ")
    assert "Identical: 5 of 5 steps identical." in page


def test_what_went_wrong_is_told_before_anything_else() -> None:
    error = ErrorRef(type="builtins.ValueError", message="no prices\nfor <AAPL>", stack="Traceback")
    page = render_run(backtest_record(state="Failed", state_type="FAILED", error=error), command=COMMAND)
    assert page.startswith("## Failed · backtest / brave-otter\n\n**ValueError**: no prices for \\<AAPL\\>\n")


def test_capture_errors_are_counted_and_shown() -> None:
    record = backtest_record(capture_errors=("the store is full",) * 12)
    page = render_run(record, command=COMMAND)
    assert "12 capture errors: this lineage is not whole" in page
    assert "- and 2 more" in page


def test_long_tables_are_folded_and_cut() -> None:
    page = render_run(mapped_record(200), command=COMMAND)
    assert "<summary>Inputs (202)</summary>" in page
    assert "… 102 more inputs" in page
    assert len(page) < 40_000


def test_steps_that_differ_are_shown_even_of_a_thousand() -> None:
    replayed = replay_record(backtest_record(), different=4)
    outcome = replayed.flow.replay.outcome
    same, different = outcome.steps[0], outcome.steps[4]
    many = outcome.model_copy(
        update={"steps": (*(same.model_copy(update={"index": n}) for n in range(999)), different)}
    )
    replay = replayed.flow.replay.model_copy(update={"outcome": many})
    page = render_run(
        replayed.model_copy(update={"flow": replayed.flow.model_copy(update={"replay": replay})}), command=COMMAND
    )
    assert "| evaluate | ✗ different | code |" in page
    assert "… 900 more steps" in page


def test_a_secret_is_never_shown() -> None:
    secret = literal("password", "hunter2", "pydantic.SecretStr")
    secret = secret.model_copy(
        update={"value": secret.value.model_copy(update={"rule": "secret", "fingerprint": None})}
    )
    page = render_run(backtest_record(parameters=(secret,)), command=COMMAND)
    assert "hunter2" not in page
    assert "| password | `(secret)` | flow parameter | - |" in page


def with_names(record: RunRecord, name: str, value: str) -> RunRecord:
    """The same run with the user's text wherever a user can put one."""
    steps = tuple(
        step.model_copy(
            update={
                "task_name": name,
                "capture_errors": (value,),
                "datasets": tuple(file.model_copy(update={"path": f"/{value}"}) for file in step.datasets),
            }
        )
        for step in record.steps
    )
    flow = record.flow.model_copy(
        update={
            "flow_name": name,
            "run_name": value,
            "state": name,
            "parameters": (literal(name, value, value),),
            "error": ErrorRef(type=name, message=value),
            "capture_errors": (name,),
        }
    )
    return record.model_copy(update={"flow": flow, "steps": steps})


def shape(record: RunRecord) -> list[str]:
    """What the page consists of, without what it says: kinds of blocks, tables' cells, HTML."""
    tokens = PARSER.parse(render_run(record, command=COMMAND))
    return [token.type if token.type != "html_block" else token.content for token in tokens]


@settings(max_examples=200)
@given(anything, anything)
def test_no_name_or_value_can_change_the_page_itself(name: str, value: str) -> None:
    record = with_names(backtest_record(), name, value)
    assert shape(record) == shape(with_names(backtest_record(), "name", "value"))
    render_run(record, command=COMMAND).encode("utf-8")


def test_gaps_are_one_line() -> None:
    gap = Gap(kind="connection", what="connects to db:5432", consequence="lost")
    record = backtest_record()
    assert " in the lineage, of " not in render_run(record, command=COMMAND)
    steps = tuple(step.model_copy(update={"ledger": Ledger(gaps=(gap, gap))}) for step in record.steps[:2])
    page = render_run(record.model_copy(update={"steps": (*steps, *record.steps[2:])}), command=COMMAND)
    (line,) = [line for line in page.splitlines() if " in the lineage, of " in line]
    assert line == (
        "4 gaps in the lineage, of load_prices and make_features. See them with "
        f"`lineage-flows show {record.flow.run_id} --gaps`."
    )
