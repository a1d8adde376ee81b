"""Nothing that a value does may reach the flow; and what is said of it is what a reader expects."""

from __future__ import annotations

import dataclasses
import decimal
import io
import itertools
import json
import pathlib
import socket
import sys
import threading
import weakref

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint
from tests.content.corpus import Account, Plain, Point, Side, Trade


class Hostile:
    """Raises wherever it is touched."""

    def _raise(self, *_arguments, **_options):
        raise ValueError("touched")

    __reduce__ = __reduce_ex__ = __len__ = __iter__ = __eq__ = __hash__ = __repr__ = __str__ = _raise
    __bool__ = __getattr__ = __getstate__ = __contains__ = __getitem__ = __array__ = _raise

    @property
    def __class__(self):
        raise ValueError("touched")


class UnprintableError(Exception):
    def __str__(self):
        raise ValueError("touched")

    __repr__ = __str__


class RaisesUnprintableError:
    def __reduce_ex__(self, protocol):
        raise UnprintableError


def of_hostile_class():
    class Meta(type):
        def __getattribute__(cls, name):
            raise ValueError("touched")

    class OfHostileClass(metaclass=Meta):
        pass

    return OfHostileClass()


class Endless:
    def __reduce__(self):
        return Endless, (Endless(),)


class EndlessList(list):
    def __iter__(self):
        while True:
            yield 1


class EndlessDict(dict):
    def items(self):
        while True:
            yield 1, 2


class BadReduction:
    def __init__(self, made):
        self.made = made

    def __reduce_ex__(self, protocol):
        return self.made


class StaleName:
    """A class whose module says nothing usable."""


StaleName.__module__ = 5


class BadColumns(pd.DataFrame):
    @property
    def columns(self):
        raise ValueError("touched")


@dataclasses.dataclass
class Unset:
    value: int = dataclasses.field(init=False)


def hostile_array():
    found = np.empty(2, dtype=object)
    found[0] = Hostile()
    return found


class Predictor:
    def fit(self, x):
        self.coefficient = x
        return self

    def predict(self, x):
        return x * self.coefficient


WITHOUT_FINGERPRINT = {
    "hostile": Hostile,
    "unprintable error": RaisesUnprintableError,
    "endless": Endless,
    "no reduction": lambda: BadReduction(5),
    "short reduction": lambda: BadReduction((1,)),
    "bad items": lambda: BadReduction((list, (), None, 5)),
    "lock": threading.Lock,
    "socket": lambda: socket.socket(),
    "thread": threading.current_thread,
    "open file": lambda: pathlib.Path(__file__).open("rb"),
    "generator": lambda: (number for number in range(3)),
    "iterator": lambda: iter([1]),
    "zip": lambda: zip([1], [2], strict=True),
    "chain": lambda: itertools.chain([1]),
    "count": itertools.count,
    "weak reference": lambda: weakref.ref(Plain),
    "database": lambda: __import__("sqlalchemy").create_engine("sqlite://"),
    "client": lambda: __import__("boto3").client("s3", region_name="us-east-1"),
    "frame object": lambda: __import__("sys")._getframe(),
    "module-level lock in state": lambda: Plain(lock=threading.Lock()),
    "hostile frame": lambda: BadColumns({"a": [1]}),
    "hostile cells": lambda: pd.DataFrame({"a": pd.Series([Hostile()], dtype=object)}),
    "hostile array": lambda: hostile_array(),
    "of a hostile class": lambda: of_hostile_class(),
}


@pytest.mark.parametrize("title", WITHOUT_FINGERPRINT)
def test_a_value_that_has_none_gets_no_fingerprint_and_a_reason(title):
    value = WITHOUT_FINGERPRINT[title]()
    for holder in (value, [value], {"a": value}, Plain(state=value)):
        described = describe(holder)
        assert described.fingerprint is None
        assert described.rule == "none"
        assert described.note
        assert len(described.note) < 1000
        assert fingerprint(holder) is None
    json.dumps(described.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize("make", [Unset, StaleName, lambda: EndlessList([1]), lambda: EndlessDict(a=1)])
def test_odd_values_that_do_have_one(make):
    assert describe(make()).fingerprint == fingerprint(make()) is not None


def test_generators_are_not_consumed():
    numbers = (number for number in range(3))
    described = describe({"numbers": numbers, "map": map(str, [1])})
    assert described.fingerprint is None
    assert list(numbers) == [0, 1, 2]


def test_a_file_stays_where_it_is(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        describe([file])
        assert file.read() == b"abc"
    buffer = io.BytesIO(b"abc")
    buffer.seek(1)
    assert fingerprint(buffer) is not None
    assert buffer.read() == b"bc"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit])
def test_what_is_no_ordinary_error_passes(error):
    class Raises:
        def __reduce_ex__(self, protocol):
            raise error

    with pytest.raises(error):
        describe(Raises())


def test_the_parts_that_can_be_seen_are_seen_beside_one_that_cannot():
    frame = pd.DataFrame({"a": [1, 2]})
    described = describe({"frame": frame, "lock": threading.Lock()})
    assert described.fingerprint is None
    assert [(part.path, part.fingerprint) for part in described.parts] == [("/frame", fingerprint(frame))]


# Secrets


class Vault:
    def __init__(self, secret):
        self.secret = secret


@pytest.mark.parametrize(
    "secret", [pydantic.SecretStr("hunter2"), pydantic.SecretBytes(b"hunter2"), pydantic.Secret[int](5)]
)
def test_a_secret_is_never_looked_at(secret):
    described = describe(secret)
    assert (described.fingerprint, described.rule) == (None, "secret")
    assert fingerprint(secret) is None
    assert "hunter2" not in described.model_dump_json()


def test_prefect_secrets_are_known_by_name():
    from prefect.blocks.system import Secret
    from prefect.types import SecretDict

    assert describe(Secret(value="hunter2")).rule == "secret"
    assert describe(SecretDict({"a": "hunter2"})).rule == "secret"


@pytest.mark.parametrize(
    "hold",
    [lambda s: [s], lambda s: {"a": 1, "s": s}, lambda s: {1, s}, Vault, lambda s: Account(user="u", password=s)],
)
def test_what_holds_a_secret_has_a_fingerprint_that_does_not_depend_on_it(hold):
    first, second = (describe(hold(pydantic.SecretStr(text))) for text in ("hunter2", "swordfish"))
    assert first.fingerprint == second.fingerprint is not None
    assert "hunter2" not in first.model_dump_json()
    assert all(part.path not in ("/s", "/password") for part in first.parts)


def test_holding_a_secret_is_not_holding_nothing():
    assert fingerprint([pydantic.SecretStr("a")]) not in (fingerprint([None]), fingerprint([]), fingerprint(["a"]))


# What is shown


@pytest.mark.parametrize(
    ("value", "preview"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (2**60, str(2**60)),
        pytest.param(10**5000, None, id="huge"),
        (0.5, 0.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("short", "short"),
        ("x" * 201, None),
        ("a\ud800", None),
        (np.float64(0.5), 0.5),
        (np.int32(3), 3),
        (np.float32(0.5), 0.5),
        (np.True_, True),
        (decimal.Decimal("1.50"), "1.50"),
        (pathlib.PurePosixPath("/a"), "/a"),
        (Side.BUY, "BUY"),
        (pd.Timestamp("2024-01-01"), "2024-01-01 00:00:00"),
        ([1, 2], None),
        ({"sharpe": 0.8, "n": 3}, {"sharpe": 0.8, "n": 3}),
        ({"sharpe": np.float32(0.5), "bad": float("nan")}, {"sharpe": 0.5, "bad": "nan"}),
        ({"sharpe": 0.8, "ok": True}, None),
        ({f"m{n}": n for n in range(33)}, None),
    ],
)
def test_preview(value, preview):
    shown = describe(value).preview
    assert shown == preview
    assert type(shown) is type(preview)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (5, "Value"),
        ([1.0, 2.0], "Value"),
        ({}, "Value"),
        ({"a": 1.0}, "Metrics"),
        ({1: 1.0}, "Value"),
        ({"a": "x"}, "Value"),
        ({str(n): n for n in range(1001)}, "Value"),
        (Trade(1.0), "Value"),
        (dataclasses.make_dataclass("M", ["sharpe", "n"])(0.5, 3), "Metrics"),
        (Point(1, 2), "Metrics"),
        (pydantic.create_model("P", a=(float, 1.0))(), "Metrics"),
        (pd.Series({"a": 1.0, "b": 2}), "Metrics"),
        (pd.Series({"a": True}), "Value"),
        (pd.Series([1.0, 2.0]), "DataSet"),
        (pd.Series([1.0], index=pd.date_range("2024", periods=1)), "TimeSeries"),
        (pd.DataFrame({"a": [1]}, index=pd.date_range("2024", periods=1)), "TimeSeries"),
        (pd.DataFrame({"a": [1]}), "DataSet"),
        (np.zeros(2), "DataSet"),
        (np.zeros(1), "Value"),
        (np.array(1.0), "Value"),
        (Predictor(), "Model"),
        (Predictor, "Value"),
    ],
)
def test_kind(value, kind):
    assert describe(value).kind == kind


def test_shape_columns_and_size_of_a_frame():
    described = describe(pd.DataFrame({"a": [1, 2, 3], "t": ["x", "y", None]}))
    assert described.shape == (3, 2)
    assert [column.name for column in described.columns] == ["a", "t"]
    assert described.columns[0].type == "int64"
    assert described.size >= 24


def test_the_size_of_a_frame_does_not_grow_by_looking_things_up():
    frame = pd.DataFrame({"a": range(1000)}, index=[f"k{n}" for n in range(1000)])
    before = describe(frame)
    frame.loc["k5"]
    assert describe(frame) == before


def test_type_is_named_with_its_module_only_when_installed():
    assert describe(5).type == "int"
    assert describe(pd.DataFrame()).type == "pandas.DataFrame"
    assert describe(Plain()).type == "Plain"


# Parts


def test_parts_have_the_fingerprints_of_the_values_themselves():
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    value = {"train": frame, "deep": [{"x": (frame, "abc")}], "a/b~c": 1000, 5: "five"}
    parts = {part.path: part.fingerprint for part in describe(value).parts}
    assert parts == {
        "/train": fingerprint(frame),
        "/deep": fingerprint(value["deep"]),
        "/deep/0": fingerprint(value["deep"][0]),
        "/deep/0/x": fingerprint((frame, "abc")),
        "/a~1b~0c": fingerprint(1000),
        "/5": fingerprint("five"),
    }


def test_parts_of_dataclasses_and_models():
    assert [part.path for part in describe(Trade(1.5, {"k": "vvv"})).parts] == ["/price", "/tags", "/tags/k"]
    assert [part.path for part in describe(Account(user="abc", password="x")).parts] == ["/user"]


def test_trivial_parts_are_left_out():
    value = [None, True, -5, 256, "ab", "", [], (), {}, set(), b"", 257, -6, "abc", 0.0]
    assert [part.path for part in describe(value).parts] == ["/11", "/12", "/13", "/14"]


def test_parts_are_bounded_and_shallow_ones_come_first():
    described = describe([[float(n)] for n in range(1000)])
    assert len(described.parts) == 256
    assert described.parts[-1].path == "/255"
    assert describe([[float(n)] for n in range(10)], parts=False).parts == ()
    assert len(describe([[[[float(n)]]] for n in range(4)]).parts) == 12


def test_parts_of_a_container_that_holds_itself_end():
    value = ["abc"]
    value.append(value)
    assert len(describe(value).parts) < 10


# Strange shapes


def test_deep_nesting_is_walked_without_recursion():
    def nest(depth):
        value = 1
        for _ in range(depth):
            value = [value]
        return value

    assert fingerprint(nest(5000)) == fingerprint(nest(5000)) is not None
    assert fingerprint(nest(5000)) != fingerprint(nest(5001))


def test_a_shared_part_is_walked_once():
    value = [1.5]
    for _ in range(200):  # walked each time it is met, this would take longer than the universe has
        value = [value, value]
    assert fingerprint(value) is not None


def test_many_threads_agree():
    values = [{"a": [pd.DataFrame({"x": np.arange(n)}), Plain(n=n)]} for n in range(50)]
    expected = [fingerprint(value) for value in values]
    results = []

    def work():
        results.append([fingerprint(value) for value in values])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(2**20_000), st.just("\ud800"))
)
@pytest.mark.parametrize("strip", ["", "/a/b"])
def test_the_short_way_of_plain_values_says_what_the_long_way_says(strip, value):
    long_way = sys.modules["lineage_flows.content.describe"]
    short = describe(value, strip=strip)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_way, "_PLAIN", {})
        assert describe(value, strip=strip) == short
