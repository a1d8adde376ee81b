from __future__ import annotations

import sys

from lineage_flows.cli.answer import console
from lineage_flows.cli.diff import _code
from lineage_flows.compare import CodeDifference, FileChange, FunctionChange
from tests.support.graphs import keep_run
from tests.support.records import FLOW_ID, backtest_record, blob

OTHER_ID = "01935c4e-7a10-7c3e-9d1a-5b6f0a4c1e00"


def test_a_difference_is_shown_from_its_cause_to_its_effect(call, filled) -> None:
    said = call("diff", "brave-otter", "calm-heron")
    assert said.code == 0, "a difference is an answer, not a failure"
    words = " ".join(said.out.split())
    assert "verdict different" in words
    assert "window 20 60" in words
    assert "sharpe 0.8431 0.71 -0.1331 evaluate#0" in words
    assert "0 load_prices identical" in words
    assert "0 make_features different parameters" in words
    assert max(map(len, said.out.splitlines())) <= 100


def test_the_document_is_the_difference(call, filled) -> None:
    document = call("diff", FLOW_ID, "calm-heron", "--json").document
    assert (document["a"], document["b"], document["verdict"]) == (FLOW_ID, OTHER_ID, "different")
    assert document["steps"][document["first_divergence"]]["causes"] == ["parameters"]


def test_a_run_is_identical_to_itself(call, filled) -> None:
    said = call("diff", FLOW_ID, FLOW_ID)
    assert said.code == 0
    assert "verdict  identical" in said.out
    assert "parameters" not in said.out


def test_a_run_without_a_record_cannot_be_compared(call, filled) -> None:
    keep_run(filled, backtest_record("01935c5e-7a10-7c3e-9d1a-5b6f0a4c1e00", run_name="killed"), finished=False)
    said = call("diff", FLOW_ID, "killed")
    assert said.code == 2
    assert "has no run record" in said.err


def test_changed_code_is_a_unified_diff(capsys) -> None:
    change = FunctionChange(
        name="fit", path="/desk/flow.py", line=7, diff="--- fit\n+++ fit\n@@ -1 +1 @@\n-\treturn [1]\n+\treturn [red]\n"
    )
    code = CodeDifference(
        tree=True,
        commit_a="a" * 40,
        commit_b="b" * 40,
        files=(FileChange(path="flow.py", status="changed", lines="7"),),
        functions=(change,),
    )
    target = console(sys.stdout)
    for part in _code(code):
        target.print(part)
    out = capsys.readouterr().out
    for needle in (
        "flow.py",
        "changed",
        "function fit",
        "/desk/flow.py:7",
        "-   return [1]",
        "+   return [red]",
        "a" * 40,
    ):
        assert needle in out


def test_what_can_no_longer_be_read_is_compared_by_fingerprint(call, home) -> None:
    gone = backtest_record()
    assert gone.flow.code is not None
    assert gone.flow.code.blob == blob("tree", "git-bundle"), "a blob that no store of this test has"
    keep_run(home, gone)
    keep_run(home, backtest_record(OTHER_ID, run_name="calm-heron"))
    assert call("diff", "brave-otter", "calm-heron", "--json").document["verdict"] == "identical"
