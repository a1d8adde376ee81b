"""Code as a value."""

from __future__ import annotations

import functools
import json
import operator

import pytest

from lineage_flows.content import describe, fingerprint


def compiled(source, name="f"):
    scope = {"__name__": "__main__"}
    exec(compile(source, "<a flow>", "exec"), scope)
    return scope[name]


def test_the_same_code_elsewhere_is_the_same_function():
    source = "def f(x, y=2, *, z=(3,)):\n    return [x + y + n for n in z if n in {'a', 'b', 'c'}]\n"
    assert fingerprint(compiled(source)) == fingerprint(compiled("\n\n\n" + source)) is not None


@pytest.mark.parametrize(
    "other",
    [
        "def f(x, y=2): return x - y",
        "def f(x, y=3): return x + y",
        "def f(x, *, y=2): return x + y",
        "def f(x, z=2): return x + z",
        "async def f(x, y=2): return x + y",
        "def f(x, y=2): return x + y + 0",
        "f = lambda x, y=2: x + y",
        "def g(x, y=2): return x + y\nf = g",
        "def f(x, y=2): return x + len(y)",
    ],
)
def test_other_code_is_another_function(other):
    assert fingerprint(compiled("def f(x, y=2): return x + y")) != fingerprint(compiled(other))


def test_a_closure_is_what_it_closed_over():
    make = compiled("def f(n):\n    def g(x): return x + n\n    return g")
    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))
    recursive = compiled("def f():\n    def g(x): return g(x - 1) if x else 0\n    return g")
    assert fingerprint(recursive()) == fingerprint(recursive()) is not None
    unset = compiled("def f():\n    def g(): return late\n    made = g\n    if 0: late = 1\n    return made")
    assert fingerprint(unset()) is not None


def test_installed_functions_go_by_their_names():
    assert len({fingerprint(x) for x in (json.dumps, json.loads, len, max, operator.add, str.upper)}) == 6
    assert describe(json.dumps).rule == "canonical"


def test_methods_partials_and_caches():
    class Own:
        def __init__(self, n):
            self.n = n

        def go(self):
            return self.n

    assert fingerprint(Own(1).go) == fingerprint(Own(1).go) != fingerprint(Own(2).go)
    add = compiled("def f(a, b): return a + b")
    partials = [
        functools.partial(add, 1),
        functools.partial(add, 2),
        functools.partial(add, b=1),
        functools.partial(add, a=1),
    ]
    assert len({fingerprint(x) for x in partials}) == 4
    assert fingerprint(functools.partial(add, b=1, a=2)) == fingerprint(functools.partial(add, a=2, b=1))
    assert fingerprint(functools.lru_cache(add)) == fingerprint(functools.lru_cache(maxsize=5)(add)) != fingerprint(add)


def test_a_used_cache_is_the_same_function():
    cached = functools.lru_cache(compiled("def f(a): return a"))
    before = fingerprint(cached)
    cached(5)
    assert fingerprint(cached) == before


def test_bound_builtin_methods_hold_their_owner():
    assert fingerprint([1].append) == fingerprint([1].append) != fingerprint([2].append)


def test_classes_and_modules_go_by_name(tmp_path, monkeypatch):
    import importlib
    import sys

    assert fingerprint(int) != fingerprint(float) != fingerprint(json)
    (tmp_path / "own_module.py").write_text("x = 1")
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("own_module")
    before = fingerprint(module)
    monkeypatch.setattr(module, "__name__", "__main__")
    assert fingerprint(module) == before != fingerprint(importlib.import_module("own_package"))
    for name in ("own_module", "own_package"):
        sys.modules.pop(name)
