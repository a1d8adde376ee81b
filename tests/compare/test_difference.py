from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr

from lineage_flows.compare import Folders, Judge, compare_runs, compare_steps
from lineage_flows.content import describe
from lineage_flows.records import BlobRef, ErrorRef, InputRef, Package, Source
from tests.compare.building import Blobs, Run, environment, read, wrote

CODE = {
    "flow.py": """\
        from helpers import zscore

        LIMIT = 3

        def load(path):
            return open(path).read()

        def features(prices, window):
            return zscore(prices, window)

        def fit(frame):
            return 0.5 * LIMIT

        def evaluate(model):
            return {"sharpe": model}

        def backtest(path, window):
            return evaluate(fit(features(load(path), window)))
        """,
    "helpers.py": "def zscore(prices, window):\n    return prices\n",
}
ENVIRONMENT = environment(
    packages=(Package(name="numpy", version="2.3.0"), Package(name="lineage-flows", version="0.1.0"))
)


def backtest(
    *,
    window: int = 20,
    prices: str = "1",
    features: float = 1.0,
    model: float = 2.0,
    sharpe: float = 0.8,
    code: dict[str, str] = CODE,
    env=ENVIRONMENT,
    root: str = "/desk/project",
    blobs: Blobs | None = None,
    keep: bool = False,
    **more,
):
    """Load, features, fit, evaluate: each value handed to the next step."""
    run = Run(root=root, code=code, environment=env, blobs=blobs, path=f"{root}/prices.csv", window=window, strip="")
    load = run.step(
        "load",
        pd.DataFrame({"close": [float(prices), 2.0]}),
        inputs={"path": (f"{root}/prices.csv", "path")},
        datasets=(read(f"{root}/prices.csv", prices),),
    )
    frame = pd.DataFrame({"z": [features, window * 1.0, float(prices)]})
    made = run.step(
        "features",
        frame,
        keep=keep,
        inputs={"prices": (pd.DataFrame({"close": [float(prices), 2.0]}), load), "window": window},
    )
    fit = run.step("fit", [model, features], keep=keep, inputs={"frame": (frame, made)})
    run.step("evaluate", {"sharpe": sharpe}, inputs={"model": ([model, features], fit)})
    return run, run.record({"sharpe": sharpe}, **more)


def difference(a, b, **options):
    blobs = Blobs({**a[0].blobs, **b[0].blobs})
    return compare_runs(a[1], b[1], read=blobs.read, **options)


def replaced(path: str, old: str, new: str) -> dict[str, str]:
    assert old in CODE[path]
    return {**CODE, path: CODE[path].replace(old, new)}


def first(found):
    return found.steps[found.first_divergence]


def test_equal_runs_are_identical():
    found = difference(backtest(), backtest())
    assert found.verdict == "identical"
    assert [step.verdict for step in found.steps] == ["identical"] * 4
    assert found.first_divergence is None
    assert (found.parameters, found.inputs, found.environment, found.metrics) == ((), (), (), ())
    assert not found.code.tree
    assert found.code.functions == ()


def test_the_changed_code_of_a_step_is_named_with_file_and_lines():
    code = replaced("flow.py", "0.5 * LIMIT", "0.7 * LIMIT")
    found = difference(backtest(), backtest(code=code, model=3.0, sharpe=0.9))
    step = first(found)
    assert (step.task, step.verdict, step.causes) == ("fit", "different", ("code",))
    assert step.details[0] == "code of step fit (flow.py, lines 12)"
    assert [s.verdict for s in found.steps] == ["identical", "identical", "different", "different"]
    assert found.steps[3].causes == ("inputs",)
    assert "step fit#0" in found.steps[3].details[0]
    (function,) = found.code.functions
    assert (function.name, function.path) == ("fit", "/desk/project/flow.py")
    assert "-    return 0.5 * LIMIT" in function.diff
    assert [(file.path, file.status, file.lines) for file in found.code.files] == [("flow.py", "changed", "12")]


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        (
            "helpers.py",
            "return prices",
            "return prices * 2",
            "code of `zscore` (helpers.py, lines 1-2), which step features can call",
        ),
        (
            "helpers.py",
            "def zscore",
            "import numpy\nnumpy.seterr(all='raise')\ndef zscore",
            "module-level code (helpers.py",
        ),
    ],
)
def test_changed_code_that_a_step_calls_is_named(path, old, new, said):
    found = difference(backtest(), backtest(code=replaced(path, old, new), features=5.0))
    assert (first(found).task, first(found).causes) == ("features", ("code",))
    assert any(said in detail for detail in first(found).details)
    assert "code" not in found.steps[2].causes


def test_changed_code_that_a_step_cannot_reach_by_name_is_told_with_that_doubt():
    code = replaced("flow.py", "LIMIT = 3", "LIMIT = 4")
    found = difference(backtest(), backtest(code=code, features=5.0))
    assert (first(found).task, first(found).causes) == ("features", ("code",))
    assert "not reachable by name from step features" in first(found).details[0]
    found = difference(backtest(), backtest(code=code, model=5.0))
    assert (first(found).task, first(found).causes) == ("fit", ("code",))
    assert "`LIMIT`" in first(found).details[0]
    assert "which step fit can call" in first(found).details[0]


def test_a_changed_parameter_is_named_with_both_values():
    found = difference(backtest(), backtest(window=30))
    assert (first(found).task, first(found).causes) == ("features", ("parameters",))
    assert "parameter `window` of flow backtest 20 → 30" in first(found).details
    (parameter,) = found.parameters
    assert (parameter.name, parameter.old, parameter.new) == ("window", 20, 30)


def test_a_changed_file_is_an_input():
    found = difference(backtest(), backtest(prices="7"))
    assert (first(found).task, first(found).causes) == ("load", ("inputs",))
    assert "file prices.csv had other content" in first(found).details
    assert found.steps[1].causes == ("inputs",)
    (change,) = found.inputs
    assert change.name == "prices.csv"


def test_a_changed_package_is_the_environment():
    env = ENVIRONMENT.model_copy(
        update={"packages": (Package(name="numpy", version="2.4.0"), Package(name="lineage-flows", version="9"))}
    )
    found = difference(backtest(), backtest(env=env, features=5.0))
    assert (first(found).task, first(found).causes) == ("features", ("environment",))
    assert first(found).details[0] == "numpy 2.3.0 → 2.4.0"
    assert found.steps[2].causes == ("inputs",)
    assert [(change.name, change.old, change.new) for change in found.environment] == [("numpy", "2.3.0", "2.4.0")]


def test_several_causes_are_all_told():
    found = difference(
        backtest(), backtest(code=replaced("helpers.py", "return prices", "return 1"), window=30, features=2.0)
    )
    assert first(found).causes == ("code", "parameters")


def test_what_nothing_explains_is_said_to_be_so():
    found = difference(backtest(), backtest(model=9.0))
    assert (first(found).task, first(found).causes) == ("fit", ("unexplained",))
    assert any("random state was not recorded" in detail for detail in first(found).details)


def fetching(*, fails: bool, reports: bool = False):
    """A run of which a subflow's function reads a page, and which ends there when it cannot."""
    made = Run()
    made.subflow("fetch")
    page = read("/x", "a page").model_copy(
        update={"uri": "https://data.example/rates", "path": "https://data.example/rates"}
    )
    made.subflows[-1] = made.subflows[-1].model_copy(update={"datasets": (page, read("/x/local.csv", "a,b"))})
    if reports and not fails:
        made.step("report", 1)
    return made.record(result=None if fails else 1, error=("httpx.ConnectError", "refused") if fails else None)


READ_ELSEWHERE = "the function of flow fetch read what cannot be served again: https://data.example/rates"


def test_what_the_functions_of_flows_read_elsewhere_is_told_where_a_replay_of_them_fails():
    found = compare_runs(fetching(fails=False), fetching(fails=True))
    assert f"flow result: {READ_ELSEWHERE}" in found.notes
    assert not [note for note in found.notes if "local.csv" in note]


def test_a_step_that_is_missing_since_its_flow_failed_before_says_how():
    (step,) = compare_runs(fetching(fails=False, reports=True), fetching(fails=True)).steps
    assert step.verdict == "missing"
    assert step.details[:2] == ("the flow of the other run raised httpx.ConnectError: refused", READ_ELSEWHERE)
    assert not [detail for detail in step.details if "random state" in detail]


def test_numbers_within_the_tolerance_are_equivalent_where_outputs_were_kept():
    a, b = backtest(keep=True), backtest(keep=True, features=1.0 + 1e-13)
    found = difference(a, b)
    assert [step.verdict for step in found.steps] == ["identical", "equivalent", "equivalent", "equivalent"]
    assert found.verdict == "equivalent"
    assert found.first_divergence is None, "what is equal within tolerance does not diverge"
    assert found.steps[found.first_inexact].task == "features"
    assert "output equal within tolerance: 1 of 6 numbers differ, by at most rel" in " ".join(found.steps[1].details)
    assert compare_runs(a[1], b[1]).verdict == "different", "without the contents"


def test_the_first_step_that_really_differs_counts_before_one_that_is_only_equivalent():
    found = difference(backtest(keep=True), backtest(keep=True, features=1.0 + 1e-13, sharpe=0.9))
    assert first(found).task == "evaluate"


def test_metrics_are_compared_by_name():
    found = difference(backtest(), backtest(sharpe=0.9))
    assert [(m.step, m.name, m.a, m.b) for m in found.metrics] == [
        ("evaluate#0", "sharpe", 0.8, 0.9),
        ("result", "sharpe", 0.8, 0.9),
    ]
    assert found.metrics[0].delta == pytest.approx(0.1)
    assert found.result == "different"


def test_the_same_project_in_another_folder_has_the_same_files():
    a, b = backtest(), backtest(root="/elsewhere/copy")
    found = difference(a, b)
    assert found.inputs == ()
    assert not found.code.tree
    assert {change.name for change in found.parameters} == {"path"}


def test_missing_and_added_steps():
    a, b = backtest(), backtest()
    fewer = b[1].model_copy(update={"steps": b[1].steps[:3]})
    found = compare_runs(a[1], fewer)
    assert [step.verdict for step in found.steps] == ["identical"] * 3 + ["missing"]
    assert found.verdict == "different"
    assert first(found).task == "evaluate"
    found = compare_runs(fewer, a[1])
    assert found.steps[3].verdict == "added"
    assert found.steps[3].replay_run_id == a[1].steps[3].run_id


def test_errors_are_behaviour():
    def run(message: str | None, kind: str = "ValueError"):
        made = Run()
        made.step("fit", 1.0, error=(kind, message) if message else None)
        return made.record(error=(kind, message) if message else None)

    assert compare_runs(run("no data"), run("no data")).verdict == "identical"
    assert compare_runs(run("at 0x7f00aa11bb22"), run("at 0x7f00aa11cc33")).verdict == "identical"
    for other in (run("other data"), run("no data", "KeyError"), run(None)):
        found = compare_runs(run("no data"), other)
        assert (found.verdict, found.result, first(found).verdict) == ("different",) * 3
        assert "ValueError: no data" in " ".join(first(found).details)


def test_messages_that_name_the_workspace_are_the_same():
    a, b = Run(), Run(strip="/tmp/w")
    a.step("load", error=("FileNotFoundError", "No such file: '/desk/project/x.csv' or '/etc/x'"))
    b.step("load", error=("FileNotFoundError", "No such file: '/tmp/w/desk/project/x.csv' or '/tmp/w/etc/x'"))
    one, other = a.record(), b.record()
    folders = Folders.of(one)
    found = compare_steps(one, other, Judge(folders, dataclasses.replace(folders, strip="/tmp/w")))
    assert found.steps[0].verdict == "identical"


def test_an_error_class_of_a_script_is_the_same_run_or_imported():
    a, b = Run(), Run()
    a.step("check", error=("__main__.OutOfRange", "<class '__main__.Limits'> says no"))
    b.step("check", error=("flow.OutOfRange", "<class 'flow.Limits'> says no"))
    assert compare_runs(a.record(), b.record()).verdict == "identical"
    b.steps[0] = b.steps[0].model_copy(
        update={"error": ErrorRef(type="other.OutOfRange", message=a.steps[0].error.message)}
    )
    assert compare_runs(a.record(), b.record()).verdict == "different"


def test_written_files_are_compared_by_name_and_content():
    def run(*datasets, output=None):
        made = Run()
        made.step("save", output, datasets=datasets)
        return made.record()

    same = run(wrote("/desk/project/out.csv", "a"), wrote("/tmp/tmpabc", "t"))
    assert (
        compare_runs(same, run(wrote("/desk/project/out.csv", "a"), wrote("/tmp/tmpxyz", "t"))).verdict == "identical"
    )
    assert (
        compare_runs(same, run(wrote("/desk/project/out.csv", "b"), wrote("/tmp/tmpxyz", "t"))).verdict == "different"
    )
    assert compare_runs(same, run(wrote("/tmp/tmpxyz", "t"))).verdict == "different"
    twice = run(
        wrote("/desk/project/out.csv", "b", 1), wrote("/desk/project/out.csv", "a", 2), wrote("/tmp/tmpxyz", "t")
    )
    assert compare_runs(same, twice).verdict == "identical", "the last write counts"
    moved = run(wrote("/desk/project/other.csv", "a"), wrote("/tmp/tmpxyz", "t"))
    found = compare_runs(same, moved)
    assert "file out.csv was not written" in found.steps[0].details
    assert "file other.csv was written in addition" in found.steps[0].details


def test_an_output_without_a_fingerprint_is_not_comparable_and_said_to_be():
    def run(*datasets):
        made = Run()
        step = made.step("connect", datasets=datasets)
        none = step.output.model_copy(update={"fingerprint": None, "rule": "none", "type": "socket.socket"})
        made.steps[-1] = step.model_copy(update={"output": none})
        return made.record()

    found = compare_runs(run(), run())
    assert (found.verdict, found.steps[0].verdict) == ("not compared", "not compared")
    assert any("connect#0: output not compared: it has no fingerprint" in note for note in found.notes)
    found = compare_runs(run(wrote("/desk/project/x", "a")), run(wrote("/desk/project/x", "b")))
    assert found.verdict == "different"


def test_restored_steps_are_told_apart_and_never_hide_other_inputs():
    a, b, c = Run(), Run(), Run()
    a.step("fetch", 1.5, inputs={"day": 1})
    b.step("fetch", 1.5, inputs={"day": 1}, restored=True)
    c.step("fetch", 1.5, inputs={"day": 2}, restored=True)
    found = compare_runs(a.record(), b.record())
    assert (found.verdict, found.steps[0].verdict, found.first_divergence) == ("identical", "restored", None)
    found = compare_runs(a.record(), c.record())
    assert found.steps[0].verdict == "different"


def test_a_cached_step_has_written_nothing_and_proves_nothing():
    def run(**fields):
        made = Run()
        made.step("save", 1.5, **fields)
        return made.record()

    executed, cached = run(datasets=(wrote("/desk/project/out.csv", "a"),)), run(cached=True)
    assert compare_runs(cached, executed).steps[0].verdict == "identical"
    assert compare_runs(executed, cached).steps[0].verdict == "restored"
    assert compare_runs(cached, cached).steps[0].verdict == "identical"


def test_a_subflows_parameter_is_followed_to_the_step_or_parameter_it_came_from():
    def run(window, rows):
        made = Run(window=window)
        count = made.step("count", rows)
        flow = made.subflow("inner", size=([rows, rows, 9.5], count), window=(window * 1000, "window"))
        step = made.step("fit", [rows * 2.5], flow_id=flow, inputs={"size": [rows, rows, 9.5]})
        uri = f"prefect://prefect/flow-run/{flow}/parameter/size"
        size = step.inputs[0].model_copy(update={"sources": (Source(run_id="x", uri=uri, fingerprint=None),)})
        made.steps[-1] = step.model_copy(update={"inputs": (size,)})
        return made.record()

    found = compare_runs(run(20, 1000), run(20, 2000))
    assert found.steps[1].flow == "backtest/inner"
    assert found.steps[1].causes == ("inputs",)
    assert "step count#0" in found.steps[1].details[0]


def test_an_input_that_the_flow_makes_anew_is_unexplained():
    a, b = Run(), Run()
    a.step("stamp", 1.0, inputs={"now": "2024-01-01T00:00:00.000001"})
    b.step("stamp", 1.0, inputs={"now": "2024-01-01T00:00:05.000002"})
    step = compare_runs(a.record(), b.record()).steps[0]
    assert (step.verdict, step.causes) == ("different", ("unexplained",))
    assert "`now`" in step.details[0]


def test_unexplained_says_which_steps_did_not_run_and_which_parameter_nobody_can_tell():
    a, b = Run(), Run()
    for run, number in ((a, 1.0), (b, 2.0)):
        run.step("setup", 0.0)
        run.step("use", number)
    old, new = a.record(), b.record()
    new = new.model_copy(update={"steps": (new.steps[0].model_copy(update={"restored": True}), *new.steps[1:])})
    hidden = describe(SecretStr("abc"))
    token = InputRef(name="token", value=hidden)
    records = [
        run.model_copy(update={"flow": run.flow.model_copy(update={"parameters": (*run.flow.parameters, token)})})
        for run in (old, new)
    ]
    step = next(step for step in compare_runs(*records).steps if step.task == "use")
    said = " ".join(step.details)
    assert step.causes == ("unexplained",)
    assert "setup got a captured result and did not run" in said
    same, _, open_ = said.partition("not compared:")
    assert "the flow's parameters" not in same
    assert "parameter token" in open_


def test_another_literal_in_the_flows_own_code_is_code():
    code = replaced("flow.py", "return evaluate(fit(", "return evaluate(fit( ")
    a, b = Run(code=CODE), Run(code=code)
    a.step("fit", 1.0, inputs={"alpha": 0.5})
    b.step("fit", 2.0, inputs={"alpha": 0.6})
    step = compare_runs(a.record(), b.record()).steps[0]
    assert step.causes == ("code",)
    assert "code of flow backtest" in step.details[0]
    assert "0.5 → 0.6" in step.details[0]


def test_trees_that_cannot_be_read_leave_functions_and_digests():
    a, b = backtest(), backtest(code=replaced("flow.py", "0.5", "0.7"), model=3.0)
    found = compare_runs(a[1], b[1])
    assert found.code.tree
    assert found.code.files == ()
    assert first(found).causes == ("code",)
    gone = a[1].flow.code.model_copy(update={"blob": BlobRef(digest="sha256:" + "0" * 64, size=1, format="files")})
    broken = a[1].model_copy(update={"flow": a[1].flow.model_copy(update={"code": gone})})
    assert compare_runs(broken, b[1], read=b[0].blobs.read).code.files == ()


def test_runs_of_two_flows_are_said_to_be():
    a, b = Run(flow="monday"), Run(flow="tuesday")
    assert any("different flows" in note for note in compare_runs(a.record(), b.record()).notes)


def test_the_report_survives_json():
    found = difference(backtest(), backtest(window=30, sharpe=0.9))
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_arrays_are_compared_through_previews_or_blobs():
    a, b = Run(), Run()
    a.step("fit", np.array([1.0, 2.0, 3.0] * 50), keep=True)
    b.step("fit", np.array([1.0, 2.0, 3.0 + 1e-12] * 50), keep=True)
    blobs = Blobs({**a.blobs, **b.blobs})
    assert compare_runs(a.record(), b.record(), read=blobs.read).verdict == "equivalent"
