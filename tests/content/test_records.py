"""Values with named fields."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import threading
from collections import namedtuple

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint
from tests.content.corpus import Frozen, Lazy, Open, Order, Point, Settings, Trade


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_dataclass_is_its_fields(a, b):
    same = str(a) == str(b)
    assert (fingerprint(Trade(a)) == fingerprint(Trade(b))) == same
    assert (fingerprint(Settings(rate=a)) == fingerprint(Settings(rate=b))) == same
    assert (fingerprint(Point(a, 1)) == fingerprint(Point(b, 1))) == same


@pytest.mark.parametrize(
    "value", [Trade(1.5, {"a": 1}), Frozen(("a",)), Order(3), Settings(rate=1), Open(a=1), Point(1, 2)]
)
def test_records_are_canonical(value):
    assert describe(value).rule == "canonical"
    assert fingerprint(value) == fingerprint(pickle.loads(pickle.dumps(value)))


def test_the_type_counts_and_the_order_of_fields_does_not():
    one = dataclasses.make_dataclass("One", ["a", "b"])
    turned = dataclasses.make_dataclass("One", ["b", "a"])
    two = dataclasses.make_dataclass("Two", ["a", "b"])
    assert fingerprint(one(a=1, b=2)) == fingerprint(turned(a=1, b=2))
    plain = {"a": 1, "b": 2}
    others = [
        one(**plain),
        two(**plain),
        namedtuple("One", "a b")(1, 2),
        plain,
        pydantic.create_model("Pn", a=(int, 1), b=(int, 2))(),
    ]
    assert len({fingerprint(x) for x in others}) == 5


def test_what_a_dataclass_learned_beside_its_fields_counts():
    fitted, other = Trade(1.0), Trade(1.0)
    fitted.coefficient_ = 2.0
    assert fingerprint(fitted) != fingerprint(other)


def test_what_a_cached_property_derived_does_not():
    fresh, used = Lazy(), Lazy()
    assert used.square == 4
    assert fingerprint(fresh) == fingerprint(used)

    @dataclasses.dataclass
    class Area:
        side: int

        @functools.cached_property
        def area(self):
            return self.side**2

    area = Area(2)
    before = fingerprint(area)
    assert area.area == 4
    assert fingerprint(area) == before


def test_private_and_extra_fields_of_a_pydantic_model_count():
    a, b = Open(x=1), Open(x=1)
    b._private = 4
    assert fingerprint(a) != fingerprint(b)
    assert fingerprint(Open(x=1)) != fingerprint(Open(x=2)) != fingerprint(Open(y=2))
    assert fingerprint(Settings(rate=1)) == fingerprint(Settings(rate=1, names=[]))  # given or by default


def test_a_class_that_says_how_it_is_pickled_is_taken_at_its_word():
    @dataclasses.dataclass
    class Client:
        url: str
        lock: object = dataclasses.field(default_factory=threading.Lock)

        def __getstate__(self):
            return {"url": self.url}

    assert fingerprint(Client("a")) == fingerprint(Client("a")) is not None
    assert fingerprint(Client("a")) != fingerprint(Client("b"))
    assert describe(Client("a")).rule == "pickle"


def test_fields_are_read_past_code_that_computes_them():
    @dataclasses.dataclass
    class Loud:
        value: int

        def __getattribute__(self, name):
            raise AssertionError(name)

    assert fingerprint(Loud(1)) not in (None, fingerprint(Loud(2)))


def test_slots_that_were_never_set():
    @dataclasses.dataclass(slots=True)
    class Late:
        now: int
        later: int = dataclasses.field(init=False)

    late = Late(1)
    before = fingerprint(late)
    late.later = 2
    assert None is not before != fingerprint(late)


def test_attrs_without_slots():
    @attrs.define(slots=False)
    class Loose:
        a: int

    loose = Loose(1)
    before = fingerprint(loose)
    loose.b = 2
    assert fingerprint(loose) != before
