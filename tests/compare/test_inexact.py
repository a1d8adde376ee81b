"""Runs that differ in the last bits: what is equal within tolerance, what derives from it, and what nobody can say."""

from __future__ import annotations

import numpy as np

from lineage_flows.compare import compare_runs
from lineage_flows.tolerances import tolerances_of_text
from tests.compare.building import Blobs, Run

CLEAN = np.linspace(1.0, 2.0, 5)


def chain(by: float, *, after: object = "array", derived: bool = True, keep: bool = True):
    """A step, glue code of the flow that makes something else of its output, and a step that takes that."""
    run = Run()
    made = run.step("features", CLEAN * by, keep=keep)
    output = CLEAN * by * 3 if after == "array" else after
    step = run.step("fit", output, keep=keep, inputs={"x": (CLEAN * by * 2, made)})
    if derived:
        (given,) = step.inputs
        sources = tuple(source.model_copy(update={"known_by": ("derivation",)}) for source in given.sources)
        run.steps[-1] = step.model_copy(update={"inputs": (given.model_copy(update={"sources": sources}),)})
    return run, run.record()


def compared(a, b, rules: str = ""):
    blobs = Blobs({**a[0].blobs, **b[0].blobs})
    return compare_runs(a[1], b[1], read=blobs.read, tolerances=tolerances_of_text(rules, "test"))


def verdicts(found) -> list[str]:
    return [step.verdict for step in found.steps]


def test_what_the_flow_computes_from_inexact_outputs_is_judged_by_what_comes_of_it():
    found = compared(chain(1.0), chain(1.0 + 1e-14))
    assert (found.verdict, verdicts(found)) == ("equivalent", ["equivalent", "equivalent"])
    assert (found.first_divergence, found.first_inexact) == (None, 0)
    assert found.steps[1].causes == ("inputs",)
    assert verdicts(compared(chain(1.0, after=1.5), chain(1.0 + 1e-14, after=1.5))) == ["equivalent", "equivalent"]
    assert verdicts(compared(chain(1.0, after=1.5), chain(1.0 + 1e-14, after=1.6))) == ["equivalent", "different"]


def test_a_step_that_leaves_nothing_behind_is_not_called_equal():
    found = compared(chain(1.0, after=None), chain(1.0 + 1e-14, after=None))
    assert verdicts(found) == ["equivalent", "not compared"]
    assert any("input x is not kept, and nothing shows what the step made of it" in note for note in found.notes)


def test_without_contents_another_fingerprint_is_different_and_how_far_is_unknown():
    found = compared(chain(1.0, keep=False), chain(1.0 + 1e-14, keep=False))
    assert (found.verdict, found.first_divergence) == ("different", 0)
    assert "how far they lie apart is not known" in found.steps[0].values[0].note


def test_a_rule_for_a_task_holds_for_that_task():
    a, b = chain(1.0), chain(1.001)
    assert verdicts(compared(a, b)) == ["different", "different"]
    assert verdicts(compared(a, b, "task=features:rel=0.01")) == ["equivalent", "different"]
    found = compared(a, b, "*:rel=0.01")
    assert verdicts(found) == ["equivalent", "equivalent"]
    assert found.tolerances == ("*:rel=0.01",)
    assert found.steps[0].values[0].parts[0].tolerance.rule == "*:rel=0.01 (test)"
