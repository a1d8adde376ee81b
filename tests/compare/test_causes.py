"""What a difference is put down to where names alone do not lead from a step to what changed."""

from __future__ import annotations

import pytest

from lineage_flows.compare import Folders, Judge, compare_runs, compare_steps
from lineage_flows.compare.code import ComparedCode
from lineage_flows.records import RunRecord, StepComparison
from tests.compare.building import Blobs, Run, environment, read, wrote

CODE = {
    "flow.py": """\
        from lib.strategy import Momentum
        from helpers import grid

        def positions(s, df, k=3):
            return s.run(df)

        def other(x):
            return x

        def backtest():
            return positions(Momentum(), grid())
        """,
    "lib/strategy.py": """\
        COST = 1

        class Momentum:
            def run(self, df):
                return df

            def more(self):
                return 1
        """,
    "lib/__init__.py": "",
    "lib/plugin.py": "def found_by_name():\n    return 1\n",
    "helpers.py": "def grid():\n    return [1]\n",
    "tests/check.py": "def check():\n    return 1\n",
    "conf/limits.yaml": "max: 1\n",
}
ENVIRONMENT = environment()


def changed(path: str, old: str, new: str) -> dict[str, str]:
    assert old in CODE[path]
    return {**CODE, path: CODE[path].replace(old, new)}


def made(output: float, code: dict[str, str] = CODE, flow_files=(), env=ENVIRONMENT, **inputs: object) -> Run:
    run = Run(code=code, environment=env)
    run.step("positions", output, inputs=inputs or {"s": 1.0})
    run.flow_files = flow_files
    return run


def only_step(a: Run, b: Run) -> StepComparison:
    blobs = Blobs({**a.blobs, **b.blobs})
    records = [run.record(1.0, datasets=run.flow_files) for run in (a, b)]
    (step,) = compare_runs(*records, read=Blobs({**blobs, **a.blobs, **b.blobs}).read).steps
    return step


def said(step: StepComparison) -> str:
    return "; ".join(step.details)


def test_the_changed_method_of_an_object_that_was_passed_in_is_code_with_its_place_and_the_doubt():
    step = only_step(made(1.0), made(2.0, changed("lib/strategy.py", "return df", "return -df")))
    assert step.causes == ("code",)
    assert "code of `Momentum` (lib/strategy.py, lines 5) changed" in said(step)
    assert "not reachable by name from step positions" in said(step)


def test_a_module_that_is_found_by_its_name_as_text_is_named_but_not_one_that_only_tests_use():
    plugin = changed("lib/plugin.py", "return 1", "return 2")
    step = only_step(made(1.0), made(2.0, plugin))
    assert step.causes == ("code",)
    assert "`found_by_name` (lib/plugin.py" in said(step)
    step = only_step(made(1.0), made(2.0, {**changed("lib/strategy.py", "return df", "return -df"), **_check()}))
    assert "check.py" not in said(step), "what the flow imports stands before what it does not"


def _check() -> dict[str, str]:
    return {"tests/check.py": "def check():\n    return 2\n"}


def test_comments_and_the_functions_of_other_steps_are_not_blamed():
    text = CODE["lib/strategy.py"].replace("COST = 1", "COST = 1  # basis points")
    for code in (
        {**CODE, "lib/strategy.py": text},
        changed("lib/strategy.py", "\n        class", "\n\n\n        class"),
    ):
        assert only_step(made(1.0), made(2.0, code)).causes == ("unexplained",)
    a, b = Run(code=CODE), Run(code=changed("flow.py", "return x", "return -x"))
    for run, output in ((a, 1.0), (b, 2.0)):
        run.step("other", 5.0)
        run.step("positions", output)
    found = compare_runs(a.record(), b.record(), read=Blobs({**a.blobs, **b.blobs}).read)
    assert found.steps[1].causes == ("unexplained",)


def test_a_file_that_the_module_or_the_flow_read_is_an_input_of_a_step_that_nothing_else_explains():
    files = [(read("/desk/project/conf/cfg.json", text, via=("import",)),) for text in ("4", "5")]
    step = only_step(made(1.0, flow_files=files[0]), made(2.0, flow_files=files[1]))
    assert step.causes == ("inputs",)
    assert "file conf/cfg.json, which flow backtest or its module read, had other content" in said(step)


def test_a_changed_default_is_code_alone():
    code = changed("flow.py", "k=3", "k=33")
    step = only_step(made(1.0, k=3), made(2.0, code, k=33))
    assert step.causes == ("code",)
    assert "the default of `k` changed 3 → 33" in said(step)
    step = only_step(made(1.0, k=4), made(2.0, code, k=5))
    assert "unexplained" in step.causes, "the default was not used"


def test_an_input_that_the_flows_helper_made_is_code():
    code = changed("helpers.py", "return [1]", "return [2]")
    step = only_step(made(1.0, df=[1]), made(2.0, code, df=[2]))
    assert step.causes == ("code",)
    assert "code of `grid` (helpers.py" in said(step)


def test_what_nothing_explains_says_what_was_compared_and_what_was_not():
    text = said(only_step(made(1.0), made(2.0)))
    compared, _, rest = text.partition("not compared: ")
    for words in ("the code it reaches by name", "its inputs", "files", "environment"):
        assert words in compared
    for words in ("variables that are not recorded", "clock", "threads", "another run in the same process"):
        assert words in rest
    unkept = [made(output, {}, env=None) for output in (1.0, 2.0)]
    compared, _, rest = said(only_step(*unkept)).partition("not compared: ")
    assert "environment" not in compared
    assert "the project's other code" in rest
    assert "the environment" in rest


def test_a_file_that_is_no_code_and_differs_is_told_without_being_called_the_cause():
    step = only_step(made(1.0), made(2.0, changed("conf/limits.yaml", "1", "2")))
    assert step.causes == ("unexplained",)
    assert "conf/limits.yaml" in said(step)
    results = wrote("/desk/project/conf/limits.yaml", "2")
    other = made(2.0, changed("conf/limits.yaml", "1", "2"), flow_files=(results,))
    assert "limits.yaml" not in said(only_step(made(1.0), other)), "what a run wrote is no source"


SCRIPT = """\
from prefect import flow
import argparse

CONFIG = 1

if __name__ == "__main__":
    import json
    parser = argparse.ArgumentParser()
    args, rest = parser.parse_known_args()
    with open("x") as handle:
        CONFIG = 2
    def main(): ...
"""


def replayed(error: tuple[str, str], script: str = SCRIPT, **fields) -> StepComparison:
    a, b = Run(code=CODE), Run(code=CODE, strip="/tmp/lf-replay-x/w")
    a.step("positions", 1.0, **fields)
    b.step("positions", error=error)
    original: RunRecord = a.record()
    folders = Folders.of(original)
    judge = Judge(folders, Folders(folders.roots, b.strip, folders.scripts))
    code = ComparedCode(same=True, script=script)
    (step,) = compare_steps(original, b.record(), judge, code=code).steps
    return step


@pytest.mark.parametrize("name", ["args", "rest", "json", "handle", "main", "parser"])
def test_a_name_that_only_the_main_block_binds_is_said_to_be_that(name):
    step = replayed(("builtins.NameError", f"name '{name}' is not defined"))
    assert step.causes == ("code",)
    assert f"`{name}` is bound only in the `__main__` block of flow.py" in said(step)
    assert "pass it to the flow as a parameter" in said(step)
    assert "clock" not in said(step)


@pytest.mark.parametrize("name", ["CONFIG", "nothing", "argparse"])
def test_any_other_name_that_is_missing_is_not_put_down_to_the_main_block(name):
    assert "__main__" not in said(replayed(("NameError", f"name '{name}' is not defined")))


@pytest.mark.parametrize("path", ["/tmp/lf-replay-x/w/lib/cal.json", "cal.json", "/desk/project/cal.json"])
def test_a_file_that_no_record_knows_is_said_never_to_have_been_recorded(path):
    step = replayed(("builtins.FileNotFoundError", f"[Errno 2] No such file or directory: '{path}'"))
    assert step.causes == ("inputs",)
    assert "was never recorded" in said(step)
    assert "before Prefect was imported" in said(step)
    assert "lf-replay" not in step.details[0]


def test_a_file_that_the_original_touched_is_another_matter():
    step = replayed(
        ("FileNotFoundError", "[Errno 2] No such file or directory: 'out.csv'"),
        datasets=(wrote("/desk/project/out.csv", "x"),),
    )
    assert "never recorded" not in said(step)


def test_an_error_beside_another_cause_does_not_keep_the_environment_from_being_told():
    old, new = (
        made(1.0),
        Run(code=changed("flow.py", "return s.run(df)", "return 1 / 0"), environment=environment(python="3.12.1")),
    )
    new.step("positions", error=("builtins.ZeroDivisionError", "division by zero"), inputs={"s": 1.0})
    new.flow_files = ()
    assert only_step(old, new).causes == ("code", "environment")
