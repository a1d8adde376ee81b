from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.compare.calls import Sources, own_definition, reachable

FILES = {
    "flow.py": """
        import numpy as np
        from prefect import flow, task
        from helpers import clean as tidy, WINDOW
        from lib import stats
        import lib.deep.inner as inner
        from shared import *

        LIMIT = 3
        np.random.seed(0)

        @task
        def load(path):
            return tidy(path)

        @task
        def fit(frame):
            from lazy import late
            return stats.mean(frame) * LIMIT + inner.go() + starred(frame) + late()

        @task
        def lonely():
            return np.zeros(3)

        class Model:
            def run(self):
                return helper(self)

        def helper(x):
            return recursive(x)

        def recursive(x):
            return helper(x)

        square = task(lambda x: x * LIMIT)

        @flow
        def main():
            return fit(load("a"))

        if __name__ == "__main__":
            main(window=20)
        main(window=21)
        """,
    "helpers.py": "WINDOW = 3\n\ndef clean(path):\n    return open(path)\n\ndef unused():\n    return 1\n",
    "lib/__init__.py": "from .stats import mean\n",
    "lib/stats.py": "from . import deep\n\ndef mean(x):\n    return deep.helper(x)\n\ndef other():\n    return 2\n",
    "lib/deep/__init__.py": "def helper(x):\n    return x\n",
    "lib/deep/inner.py": "def go():\n    return 1\n",
    "shared.py": "def starred(x):\n    return x\n\ndef unstarred():\n    return 0\n",
    "lazy.py": "def late():\n    return 1\n",
    "broken.py": "def (:\n",
}
FILES = {path: dedent(text) for path, text in FILES.items()}


def reached(qualname: str, line: int | None = None, files: dict[str, str] = FILES) -> set[tuple[str, str]]:
    return {(path, name) for path, name in reachable(Sources(files), "flow.py", qualname, line) if name}


def test_what_a_step_calls_is_found_through_imports_of_every_kind():
    assert reached("load") == {("flow.py", "load"), ("helpers.py", "clean")}
    assert reached("fit") == {
        ("flow.py", "fit"),
        ("flow.py", "LIMIT"),
        ("lib/stats.py", "mean"),
        ("lib/deep/__init__.py", "helper"),
        ("lib/deep/inner.py", "go"),
        ("shared.py", "starred"),
        ("lazy.py", "late"),
    }
    assert reached("lonely") == {("flow.py", "lonely")}


def test_recursion_methods_and_lambdas():
    assert reached("Model.run") == {("flow.py", "Model"), ("flow.py", "helper"), ("flow.py", "recursive")}
    line = FILES["flow.py"].splitlines().index("square = task(lambda x: x * LIMIT)") + 1
    assert reached("<lambda>", line) == {("flow.py", "square"), ("flow.py", "LIMIT")}


def test_statements_run_for_their_effect_belong_to_all_but_the_scripts_own_calls_do_not():
    found = reachable(Sources(FILES), "flow.py", "lonely")
    effects = found["flow.py", ""].code
    assert "seed" in effects
    assert "20" not in effects
    assert "21" not in effects


def test_what_cannot_be_read_is_not_found():
    assert reached("nobody") == set()
    assert reachable(Sources({"broken.py": FILES["broken.py"]}), "broken.py", "f") == {}
    assert reachable(Sources({}), "absent.py", "f") == {}


def test_layout_and_comments_do_not_count():
    moved = {**FILES, "helpers.py": "# a comment\n" + FILES["helpers.py"].replace("    return", "\n\n    return")}
    a = reachable(Sources(FILES), "flow.py", "load")
    b = reachable(Sources(moved), "flow.py", "load")
    assert a["helpers.py", "clean"].code == b["helpers.py", "clean"].code
    assert a["helpers.py", "clean"].first_line != b["helpers.py", "clean"].first_line


def test_the_definition_of_a_method_is_its_class():
    found = own_definition(Sources(FILES), "flow.py", "Model.run")
    assert found is not None
    assert FILES["flow.py"].splitlines()[found.first_line - 1] == "class Model:"
    decorated = own_definition(Sources(FILES), "flow.py", "load")
    assert FILES["flow.py"].splitlines()[decorated.first_line - 1] == "@task"


@pytest.mark.parametrize("layout", ["src/pkg/mod.py", "pkg/mod.py"])
def test_source_roots(layout):
    files = {"flow.py": "from pkg.mod import f\ndef step():\n    return f()\n", layout: "def f():\n    return 1\n"}
    found = reachable(Sources(files, ("", "src")), "flow.py", "step")
    assert (layout, "f") in found


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text):
    reachable(Sources({"flow.py": text}), "flow.py", "step", 1)
