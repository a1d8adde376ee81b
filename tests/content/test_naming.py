"""A class is called the same wherever its code stands."""

from __future__ import annotations

import collections
import importlib.util
import subprocess
import sys

import pandas as pd
import pydantic
import pytest

from lineage_flows.content.naming import is_secret, shown_name, type_name

SCRIPT = """
import dataclasses, enum, json, sys

class Model:
    def __init__(self): self.weights = [1.5]

class Side(enum.Enum):
    BUY = 1

@dataclasses.dataclass
class Trade:
    side: Side

def rule(x): return x + 1

def fingerprints():
    from lineage_flows.content import describe
    values = [Model(), Side.BUY, Trade(Side.BUY), rule, Model, lambda x: x, {"m": [Model()]}]
    return [(d.fingerprint, d.type) for d in map(describe, values)]

if __name__ == "__main__":
    json.dump(fingerprints(), sys.stdout)
"""


def load(path, name):
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def test_script_imported_loaded_by_prefect_and_moved_are_the_same(tmp_path, monkeypatch):
    first, second = tmp_path / "one" / "flow.py", tmp_path / "two" / "src" / "flow.py"
    for path in (first, second):
        path.parent.mkdir(parents=True)
        path.write_text(SCRIPT)
    import json

    made = subprocess.run([sys.executable, str(first)], capture_output=True, text=True, check=True)
    as_script = [tuple(pair) for pair in json.loads(made.stdout)]
    assert all(fingerprint for fingerprint, _ in as_script)
    for title in ("flow_under_test", "__prefect_loader_1__", "pack.age.flow"):
        monkeypatch.setitem(sys.modules, title, None)
        assert load(second, title).fingerprints() == as_script


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (int, "builtins.int"),
        (collections.OrderedDict, "collections.OrderedDict"),
        (pd.DataFrame, "pandas.DataFrame"),
        (type("Own", (), {"__module__": "__main__"}), "Own"),
        (type("Own", (), {"__module__": "__mp_main__"}), "Own"),
        (type("Own", (), {"__module__": "json"}), "json.Own"),
        (type("Own", (), {"__module__": "nowhere.at.all"}), "Own"),
        (type("Own", (), {"__module__": None}), "Own"),
    ],
)
def test_type_name(cls, name):
    assert type_name(cls) == name
    assert shown_name(cls) == name.removeprefix("builtins.")


def test_a_user_module_that_shadows_the_standard_library_is_the_users(tmp_path, monkeypatch):
    path = tmp_path / "statistics.py"
    path.write_text("class Mean: pass")
    monkeypatch.setitem(sys.modules, "statistics", None)
    assert type_name(load(path, "statistics").Mean) == "Mean"


@pytest.mark.parametrize(
    "cls",
    [
        pydantic.SecretStr,
        pydantic.SecretBytes,
        pydantic.Secret,
        type("Secret", (), {}),
        type("ApiKey", (pydantic.SecretStr,), {}),
    ],
)
def test_secrets(cls):
    assert is_secret(cls)


@pytest.mark.parametrize("cls", [str, pydantic.BaseModel, type("SecretaryProblem", (), {})])
def test_no_secrets(cls):
    assert not is_secret(cls)
