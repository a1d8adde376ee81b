from __future__ import annotations

import functools
import gc
import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.capture import functions
from lineage_flows.capture.functions import function_ref
from lineage_flows.errors import HomeError
from tests.support.dict_store import DictStore


def plain(x: int) -> int:
    return x + 1


def decorate(fn: Any) -> Any:
    @functools.wraps(fn)
    def inner(*args: Any) -> Any:
        return fn(*args)

    return inner


@decorate
def decorated(x: int) -> int:
    return x


class Model:
    def fit(self, x: int) -> int:
        return x

    @classmethod
    def load(cls) -> Model:
        return cls()

    @staticmethod
    def helper() -> None:
        return None

    def __call__(self, x: int) -> int:
        return x * 2


class Tricky:
    """Says it has every attribute."""

    def __getattr__(self, name: str) -> object:
        return lambda *_: self

    def __call__(self) -> None:
        return None


@pytest.mark.parametrize(
    ("fn", "name", "first_line"),
    [
        (plain, "plain", "def plain"),
        (functools.partial(functools.partial(plain, 1)), "plain", "def plain"),
        (decorated, "decorated", "@decorate"),
        (Model().fit, "Model.fit", "def fit"),
        (Model.load, "Model.load", "@classmethod"),
        (Model.helper, "Model.helper", "@staticmethod"),
        (Model(), "Model.__call__", "def __call__"),
        (Tricky(), "Tricky.__call__", "def __call__"),
        (Model, "Model", "class Model"),
        (functools.lru_cache(plain), "plain", "def plain"),
    ],
)
def test_what_is_called_is_named_with_its_source(fn: Any, name: str, first_line: str) -> None:
    store = DictStore()
    ref = function_ref(fn, store)
    assert (ref.name, ref.module, ref.path) == (name, __name__, __file__)
    assert ref.blob is not None
    source = store.get(ref.blob.digest).decode()
    assert source.startswith(first_line)
    assert Path(__file__).read_text().splitlines()[(ref.line or 0) - 1].strip() == source.splitlines()[0]
    assert ref.digest is not None
    assert ref.digest.startswith("sha256:")


@pytest.mark.parametrize("fn", [len, "abc".upper, dict, print, functools.reduce, int.__add__])
def test_what_has_no_source_is_named_too(fn: Any) -> None:
    ref = function_ref(fn, DictStore())
    assert ref.digest
    assert ref.blob is None
    assert ref.path is None
    assert function_ref(fn, None) == ref


def test_lambdas() -> None:
    one, two = lambda x: x + 1, lambda x: x + 2
    store = DictStore()
    ref = function_ref(one, store)
    assert ref.name.endswith("<lambda>")
    assert ref.blob is not None
    assert b"x + 1" in store.get(ref.blob.digest)
    assert function_ref(two, store).digest


def load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_digest_is_of_the_function_alone(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(x):\n    return x + 1\n")
    (tmp_path / "b.py").write_text("import os\n\nclass C:\n    def f(x):\n        return x + 1\n")
    (tmp_path / "c.py").write_text("def f(x):\n    return x + 2\n")
    a, b, c = (load(tmp_path / f"{name}.py", name) for name in "abc")
    refs = [function_ref(fn, None) for fn in (a.f, b.C.f, c.f)]
    assert refs[0].digest == refs[1].digest != refs[2].digest
    assert [ref.line for ref in refs] == [1, 4, 1]


def test_equal_code_in_two_files_is_kept_apart(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.py").write_text("def f(x):\n    return x\n")
    a, b = (load(tmp_path / f"{name}.py", name) for name in "ab")
    assert a.f.__code__ == b.f.__code__
    assert [Path(function_ref(fn, None).path or "").name for fn in (a.f, b.f)] == ["a.py", "b.py"]


def test_a_file_that_was_edited_since_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "edited.py"
    path.write_text("\n\ndef f(x):\n    return x\n")
    module = load(path, "edited")
    path.write_text("def g():\n    pass\n\n\n")
    store = DictStore()
    ref = function_ref(module.f, store)
    assert ref.blob is None
    path.write_text("\n\ndef f(x):\n    return x\n")
    again = load(path, "edited")
    fresh = function_ref(again.f, store)
    assert fresh.blob is not None
    assert fresh.digest != ref.digest


@pytest.mark.parametrize("text", ["'''never closed\n", "def f(\n", "    x\n  y\n", "\0"])
def test_a_file_that_became_nonsense(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nonsense.py"
    path.write_text("def f(x):\n    return x\n")
    module = load(path, "nonsense")
    path.write_text(text)
    assert function_ref(module.f, DictStore()).digest


def test_code_that_was_typed_in_has_the_same_digest_in_every_process() -> None:
    text = """
        from lineage_flows.capture.functions import function_ref
        names = {}
        exec("def f(x):\\n  y = {1, 'b', 2.5, None, (1, 'z')}\\n  return lambda: x in {'a', 'b', 'c', 'd'} or y", names)
        print(function_ref(names["f"], None).digest)
    """
    found = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(text)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


def test_the_source_is_kept_once_and_forgotten_with_the_function(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(x):\n    return x\n")
    module = load(tmp_path / "m.py", "m")
    store = DictStore()
    first = function_ref(module.f, None)
    assert first.blob is None
    second = function_ref(module.f, store)
    function_ref(module.f, store)
    assert store.puts == 1
    assert second.digest == first.digest
    gc.collect()
    known = len(functions._sources)
    del module
    sys.modules.pop("m", None)
    gc.collect()
    assert len(functions._sources) == known - 1


def test_a_full_store_is_said() -> None:
    store = DictStore()
    store.full = True
    with pytest.raises(HomeError):
        function_ref(test_a_full_store_is_said, store)
