from __future__ import annotations

import importlib.metadata
import os

import pytest

from lineage_flows.capture.distributions import installed_packages
from lineage_flows.record_gaps import Gap, Ledger
from lineage_flows.records import Package, RandomStates
from lineage_flows.replay.outlook import plan_run
from lineage_flows.settings import load_settings
from tests.compare.building import Blobs, Run, read
from tests.replay.tiny import here

CODE = {"flow.py": "def backtest(): ...\n", "sub/helpers.py": "X = 1\n"}


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path / "home")


def outlook(run: Run, settings, **options):
    record = run.record(**options.pop("record", {}))
    return plan_run(record, options.pop("store", run.blobs), settings, **options)


def test_a_run_of_which_all_was_captured_is_expected_to_be_identical(settings):
    run = Run(code=CODE, environment=here())
    states = RandomStates(python=run.blobs.keep(b"p"), entropy=("aa", "bb"))
    run.step("load", 1.0, random=states)
    plan = outlook(run, settings)
    assert (plan.expected, plan.exit_code, plan.missing, plan.reasons) == ("identical", 0, (), ())
    (step,) = plan.steps
    assert (step.action, step.expected) == ("executed", "identical")
    assert any("entropy they drew (2 times)" in reason for reason in step.reasons)
    assert (plan.environment.chosen, plan.environment.ready, plan.environment.differences) == ("current", True, ())
    assert (
        plan.summary == "this run can be replayed, and should come out identical: 1 of 1 steps are executed, 0 restored"
    )


def test_each_step_says_what_becomes_of_it_and_why(settings):
    run = Run(code=CODE, environment=here())
    run.step("fetch", [1.5], keep=True, unrestorable=("example.com:443",))
    run.step("cached", [2.5], keep=True, cached=True)
    run.step("live", [3.5], unrestorable=("vendor.example:443",))
    gap = Gap(kind="entropy", what="draws from uuid.uuid4", consequence="differs on each run")
    write = Gap(kind="file", what="writes /d/out", consequence="no content is known")
    run.step("draw", [4.5], ledger=Ledger(gaps=(gap, write)))
    plan = outlook(run, settings)
    assert [(step.task, step.action, step.expected) for step in plan.steps] == [
        ("fetch", "restored", "identical"),
        ("cached", "restored", "identical"),
        ("live", "executed", "may differ"),
        ("draw", "executed", "may differ"),
    ]
    assert "example.com:443" in plan.steps[0].reasons[0]
    assert "cache" in plan.steps[1].reasons[0]
    assert "its result was not kept" in plan.steps[2].reasons[0]
    assert plan.steps[3].reasons == ("it draws from uuid.uuid4: differs on each run",)
    assert (plan.expected, plan.exit_code) == ("may differ", 0)
    assert "2 of them may come out differently" in plan.summary


def test_steps_that_share_a_generator_are_said_not_to_be_reproducible(settings):
    run = Run(code=CODE, environment=here())
    states = [RandomStates(numpy=run.blobs.keep(name)) for name in (b"one", b"two", b"three")]
    run.step("left", 1.0, started=0, ended=10, random=states[0])
    run.step("right", 2.0, started=1, ended=9, random=states[1])
    run.step("after", 3.0, started=20, ended=21, random=states[2])
    plan = outlook(run, settings)
    assert "not reproducible" in plan.steps[1].reasons[0]
    assert plan.steps[1].expected == "may differ"
    assert plan.steps[2].expected == "identical"
    # When no generator ever moved, nobody drew, and nothing is shared.
    calm = Run(code=CODE, environment=here())
    same = RandomStates(numpy=calm.blobs.keep(b"one"))
    calm.step("left", 1.0, started=0, ended=10, random=same)
    calm.step("right", 2.0, started=1, ended=9, random=same)
    assert [step.expected for step in outlook(calm, settings).steps] == ["identical", "identical"]


def test_all_that_was_pruned_is_named_at_once(settings):
    run = Run(code=CODE, environment=here(), window=20)
    run.parameters = (run.parameters[0].model_copy(update={"value": run.see(20, keep=True)}),)
    run.step("load", 1.0, datasets=(read("/d/in.csv", "a", 1, blob=run.blobs.keep(b"a")),))
    run.step("fetch", [1.5], keep=True, unrestorable=("example.com:443",))
    record = run.record()
    gone = {
        run.blobs.keep(b"a").digest,
        record.steps[1].output.blob.digest,
        run.blobs.keep(CODE["flow.py"].encode()).digest,
    }
    store = Blobs({name: data for name, data in run.blobs.items() if name not in gone})
    plan = plan_run(record, store, settings)
    assert (plan.expected, plan.exit_code) == ("impossible", 2)
    assert {item.what for item in plan.missing} == {
        "the content of /d/in.csv",
        "the captured result of step fetch#0",
        "a source file in /desk/project",
    }
    assert all(item.fatal and "pruned" in item.why for item in plan.missing)
    assert plan.summary.startswith("this run cannot be replayed: ")


def test_code_that_was_too_large_and_a_level_that_keeps_nothing_are_said(settings):
    run = Run(code=CODE, environment=here())
    record = run.record()
    code = record.flow.code.model_copy(update={"blob": None, "note": "larger than the cap"})
    plan = plan_run(
        record.model_copy(update={"flow": record.flow.model_copy(update={"code": code})}), run.blobs, settings
    )
    assert [item.why for item in plan.missing] == ["larger than the cap"]
    assert plan.exit_code == 2
    plan = outlook(run, settings, record={"level": "metadata"})
    assert [item.fatal for item in plan.missing] == [True]
    assert "level metadata" in plan.missing[0].why


def test_a_file_that_was_not_kept_is_used_where_it_lies_or_missing(settings, tmp_path):
    (tmp_path / "big").write_text("big")
    run = Run(code=CODE, environment=here())
    run.step("load", 1.0, datasets=(read(f"{tmp_path}/big", "big", 1), read("/absent/big", "x", 2)))
    there, absent = outlook(run, settings).missing
    assert (there.what, there.fatal) == (f"the content of {tmp_path}/big", False)
    assert (absent.what, absent.fatal) == ("the content of /absent/big", True)


def test_a_secret_and_a_gpu_that_are_absent_are_said(settings, monkeypatch):
    monkeypatch.delenv("VENDOR_TOKEN", raising=False)
    run = Run(code=CODE, environment=here(variables={"CUDA_VISIBLE_DEVICES": "0"}))
    gap = Gap(
        kind="variable", what="reads VENDOR_TOKEN", consequence="its name says it holds a secret: value never kept"
    )
    run.step("fetch", 1.0, ledger=Ledger(gaps=(gap,)))
    said = {item.what: item.fatal for item in outlook(run, settings).missing}
    assert said["environment variable VENDOR_TOKEN"] is False
    assert ("a GPU" in said) == (not os.path.exists("/dev/nvidia0") and not os.path.exists("/dev/nvidiactl"))
    monkeypatch.setenv("VENDOR_TOKEN", "x")
    assert "environment variable VENDOR_TOKEN" not in {item.what for item in outlook(run, settings).missing}


def test_other_packages_are_said_with_what_comes_of_each_choice(settings, monkeypatch):
    numpy = importlib.metadata.version("numpy")
    others = [item for item in installed_packages(None) if item.name != "numpy"]
    run = Run(code=CODE, environment=here(packages=(*others, Package(name="numpy", version="1.0"))))
    run.step("load", 1.0)
    plan = outlook(run, settings)
    assert plan.environment.differences == (f"numpy 1.0 → {numpy}",)
    assert (plan.environment.chosen, plan.environment.ready, plan.expected) == ("rebuild", False, "identical")
    plan = outlook(run, settings, environment="current")
    assert (plan.environment.chosen, plan.expected) == ("current", "may differ")
    assert "numpy 1.0" in plan.reasons[0]
    monkeypatch.setattr("lineage_flows.replay.choice.find_uv", lambda: None)
    plan = outlook(run, settings)
    assert (plan.expected, plan.environment.problem.partition(";")[0]) == ("impossible", "uv is not installed")
    assert "--env current" in plan.missing[0].fix


def test_a_package_whose_source_was_not_captured_is_said_to_be_lost(settings):
    lost = Package(name="deskpkg", version="0.3", origin="file:///elsewhere/deskpkg")
    run = Run(code=CODE, environment=here(packages=(*installed_packages(None), lost)))
    run.step("load", 1.0)
    plan = outlook(run, settings)
    assert plan.exit_code == 2
    assert "deskpkg 0.3 cannot be installed: it was installed from /elsewhere/deskpkg" in plan.environment.problem
    # In editable form, or from the captured tree, its source is the run's own.
    for package in (
        lost.model_copy(update={"editable": True}),
        lost.model_copy(update={"origin": "file:///desk/project/sub"}),
    ):
        run.environment = here(packages=(*installed_packages(None), package))
        assert outlook(run, settings).environment.problem == ""


def test_an_environment_that_was_not_recorded_cannot_be_rebuilt(settings):
    run = Run(code=CODE)
    run.step("load", 1.0)
    assert outlook(run, settings).exit_code == 0
    plan = outlook(run, settings, environment="rebuild")
    assert plan.exit_code == 2
    assert "not recorded" in plan.environment.problem
