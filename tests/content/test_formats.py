"""What is stored comes back exactly; the safe formats first; nothing secret, and no pickle that is not asked for."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lineage_flows.content import dump_value, fingerprint, load_value
from lineage_flows.errors import ContentError
from tests.content.corpus import Account, Plain
from tests.content.test_arrays import ANY
from tests.content.test_containers import VALUES, bits


def stored(value):
    data, form = dump_value(value)
    return (data if isinstance(data, bytes) else b"".join(bytes(piece) for piece in data)), form


def there_and_back(value):
    data, form = stored(value)
    return load_value(data, form, trust_pickle=form == "pickle"), form


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


@given(JSON_VALUES | VALUES)
@settings(max_examples=400, deadline=None)
def test_values_come_back_exactly(value):
    again, form = there_and_back(value)
    assert type(again) is type(value)
    assert bits(again) == bits(value)
    if isinstance(value, dict):
        assert list(map(repr, again)) == list(map(repr, value))  # the order of its keys too
    assert form in ("text", "bytes", "json", "pickle")


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, "json"),
        (2**53 + 1, "json"),
        (10**4000, "json"),
        (-0.0, "json"),
        ({"b": [1, {"a": None}], "a": 5e-324}, "json"),
        ("Zürich", "text"),
        ("", "text"),
        (b"\xff", "bytes"),
        (np.arange(3), "npy"),
        (pd.DataFrame({"a": [1]}), "arrow"),
        (pd.Series([1.0]), "arrow"),
    ],
)
def test_readable_formats(value, form):
    assert stored(value)[1] == form


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        {"a": math.inf},
        "a\ud800",
        ["\ud83d\ude00"],
        (1, 2),
        [(1,)],
        {1: "a"},
        {True: 1},
        [np.float64(1.0)],
        {"a": np.int64(1)},
        [[]] * 2,
        10**5000,
        [b"x"],
        bytearray(b"x"),
        np.float64(1),
        np.array([None]),
        np.array([1, 2]).view(np.matrix),
        pd.DataFrame({"a": [{1}]}),
        pd.Series([1], name=("a", 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_readable_formats_would_change_is_pickled(value):
    again, form = there_and_back(value)
    assert form == "pickle"
    assert type(again) is type(value)
    assert fingerprint(again) == fingerprint(value)


def test_parts_that_are_shared_stay_shared():
    part = [1]
    again, _ = there_and_back([part, part])
    assert again[0] is again[1]


@given(ANY)
@settings(max_examples=200, deadline=None)
def test_arrays_come_back_exactly(value):
    for form in (value, np.array(value, order="F"), value[..., ::2] if value.ndim else value):
        data, name = stored(form)
        again = load_value(data, name)
        assert name == "npy"
        assert (again.dtype, again.shape, again.tobytes()) == (form.dtype, form.shape, form.tobytes())
        assert np.load(__import__("io").BytesIO(data)).tobytes() == form.tobytes()  # readable without this package
        assert again.flags.writeable


@given(hnp.arrays(hnp.array_dtypes(), hnp.array_shapes(max_dims=2, max_side=3)))
@settings(max_examples=50, deadline=None)
def test_structured_arrays_come_back_exactly(value):
    again, form = there_and_back(value)
    assert fingerprint(again) == fingerprint(value)
    assert form == "npy"


def test_a_large_array_is_not_copied():
    value = np.zeros(1_000_000)
    pieces, _ = dump_value(value)
    assert np.shares_memory(np.frombuffer(list(pieces)[-1], dtype="f8"), value)


@pytest.mark.parametrize(
    "value",
    [
        pydantic.SecretStr("hunter2"),
        [pydantic.SecretStr("hunter2")],
        {"a": (1, {"b": pydantic.SecretBytes(b"hunter2")})},
        Account(user="u", password="hunter2"),
        Plain(deep=Plain(secret=pydantic.SecretStr("hunter2"))),
        pd.DataFrame({"a": [pydantic.SecretStr("hunter2")]}),
        np.array([pydantic.SecretStr("hunter2")], dtype=object),
        lambda: pydantic.SecretStr,
    ],
    ids=lambda value: type(value).__name__,
)
def test_secrets_are_refused_wherever_they_sit(value):
    if callable(value):
        value = closing_over(pydantic.SecretStr("hunter2"))  # pickled by value
    with pytest.raises(ContentError, match="secret") as refused:
        dump_value(value)
    assert "hunter2" not in str(refused.value)


def closing_over(secret):
    return lambda: secret


class Raises:
    def __init__(self, error):
        self.error = error

    def __reduce_ex__(self, protocol):
        raise self.error


def _deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(),
        (number for number in range(3)),
        [1, threading.Lock()],
        Raises(ValueError("no")),
        Raises(ZeroDivisionError()),
        Raises(type("Own", (Exception,), {})()),
        _deep(100_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_says_so(value):
    with pytest.raises(ContentError, match="cannot be stored"):
        dump_value(value)


def test_lambdas_and_local_classes_are_stored_by_their_code():
    class Local:
        def __init__(self, x):
            self.x = x

    again, form = there_and_back({"f": lambda x: x + 1, "o": Local(3)})
    assert form == "pickle"
    assert again["f"](1) == 2
    assert again["o"].x == 3


def test_a_pickle_is_loaded_only_when_it_is_trusted(tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "boom"), "w")

    data, form = stored(Bomb())
    with pytest.raises(ContentError, match="runs code"):
        load_value(data, form)
    assert not (tmp_path / "boom").exists()


def test_large_pickles_are_compressed_and_small_ones_plain():
    small, large = stored((1, 2))[0], stored(("x" * 100_000,))[0]
    assert pickle.loads(small) == (1, 2)
    assert large[:4] == b"\x28\xb5\x2f\xfd"
    assert len(large) < 5_000
    assert load_value(large, "pickle", trust_pickle=True) == ("x" * 100_000,)


@pytest.mark.parametrize("form", ["text", "json", "npy", "arrow", "pickle"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"\x28\xb5\x2f\xfd broken",
        b"\x93NUMPY\x01\x00",
        b"ARROW1\x00\x00",
        b"[1,",
        b"[" * 100_000,
        b"\x80\x05.",
    ],
)
def test_damaged_bytes_give_a_clear_error(form, data):
    if form == "text" and data.isascii():
        assert load_value(data, form) == data.decode()
    else:
        with pytest.raises(ContentError, match="stored"):
            load_value(data, form, trust_pickle=True)


def test_unknown_formats_are_named():
    with pytest.raises(ContentError, match="'feather'"):
        load_value(b"", "feather")


def test_an_npy_blob_never_runs_a_pickle(tmp_path):
    path = tmp_path / "evil.npy"
    np.save(path, np.array([Plain()], dtype=object), allow_pickle=True)
    with pytest.raises(ContentError):
        load_value(path.read_bytes(), "npy", trust_pickle=True)


SCRIPT = """
import sys
class DeskModel:
    def __init__(self, x): self.x = x
class DeskOuter:
    class Inner:
        pass
if __name__ == "__main__":
    from lineage_flows.content import dump_value
    sys.stdout.buffer.write(dump_value([DeskModel(3), DeskOuter.Inner()])[0])
"""


def test_a_scripts_classes_are_found_again_under_another_modules_name(tmp_path, monkeypatch):
    path = tmp_path / "flow_of_the_desk.py"
    path.write_text(SCRIPT)
    data = subprocess.run([sys.executable, str(path)], capture_output=True, check=True).stdout
    with pytest.raises(ContentError):
        load_value(data, "pickle", trust_pickle=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    import importlib

    module = importlib.import_module("flow_of_the_desk")
    try:
        model, inner = load_value(data, "pickle", trust_pickle=True)
        assert type(model) is module.DeskModel
        assert model.x == 3
        assert type(inner) is module.DeskOuter.Inner
    finally:
        sys.modules.pop("flow_of_the_desk")


def test_json_is_json():
    assert json.loads(stored({"a": [1, "ü"]})[0]) == {"a": [1, "ü"]}
