"""Values of every kind there is a rule for, by name; run as a script it prints their fingerprints as JSON.

As a script its classes belong to ``__main__``, imported to ``tests.content.corpus``: their fingerprints must be the same.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import json
import pathlib
import re
import sys
import types
import uuid
import zoneinfo

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytz
from scipy import sparse

BUILDERS = {}
UNSTABLE = set()
"""Names whose fingerprints belong to one version of Python or of a library: compared between processes, not with golden.json."""


def value(builder=None, *, unstable=False):
    if builder is None:
        return functools.partial(value, unstable=unstable)
    BUILDERS[builder.__name__] = builder
    if unstable:
        UNSTABLE.add(builder.__name__)
    return builder


def values(prefix, unstable=False, **builders):
    for title, builder in builders.items():
        BUILDERS[f"{prefix}.{title}"] = builder
        if unstable:
            UNSTABLE.add(f"{prefix}.{title}")


class Side(enum.Enum):
    BUY = 1
    SELL = "sell"


class Level(enum.IntEnum):
    LOW = 1


class Mood(enum.StrEnum):
    GOOD = "good"


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Trade:
    price: float
    tags: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    names: tuple


@attrs.define
class Order:
    quantity: int
    note: str = ""


class Settings(pydantic.BaseModel):
    rate: float
    names: list[str] = []


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    _private: int = 3


class Account(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


class Plain:
    def __init__(self, **state):
        self.__dict__.update(state)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a


class Tree:
    def __init__(self, title, parent=None):
        self.title, self.parent, self.children = title, parent, []
        if parent is not None:
            parent.children.append(self)


class Numbers(list):
    pass


class Names(set):
    pass


class Table(dict):
    pass


class Text(str):
    pass


class Derived(pd.DataFrame):
    _metadata = ["unit"]  # noqa: RUF012 - pandas asks for a list

    @property
    def _constructor(self):
        return Derived


class Lazy:
    def __init__(self):
        self.base = 2

    @functools.cached_property
    def square(self):
        return self.base**2


def factor(a, b=2, *, c=(1, 2)):
    """Words."""
    return (a * b in {"x", "y", "z"}, c)


def adder(amount):
    def add(x):
        return x + amount

    return add


values(
    "scalar",
    none=lambda: None,
    true=lambda: True,
    false=lambda: False,
    zero=lambda: 0,
    one=lambda: 1,
    minus_one=lambda: -1,
    byte=lambda: 127,
    two_bytes=lambda: 128,
    minus_129=lambda: -129,
    int64=lambda: 2**63 - 1,
    beyond=lambda: 2**63,
    huge=lambda: 3**5000,
    float_zero=lambda: 0.0,
    float_minus_zero=lambda: -0.0,
    float_one=lambda: 1.0,
    tenth=lambda: 0.1,
    nan=lambda: float("nan"),
    infinite=lambda: float("inf"),
    minus_infinite=lambda: float("-inf"),
    complex=lambda: 1 + 2j,
    empty_text=lambda: "",
    text=lambda: "Zürich 😀",
    surrogate=lambda: "a\ud800",
    long_text=lambda: "x" * 300,
    empty_bytes=lambda: b"",
    bytes=lambda: b"\x00abc",
    many_bytes=lambda: bytes(range(256)) * 8192,
    ellipsis=lambda: ...,
    not_implemented=lambda: NotImplemented,
    decimal=lambda: decimal.Decimal("1.50"),
    decimal_shorter=lambda: decimal.Decimal("1.5"),
    decimal_nan=lambda: decimal.Decimal("NaN"),
    fraction=lambda: fractions.Fraction(1, 3),
    uuid=lambda: uuid.UUID(int=5),
    path=lambda: pathlib.PurePosixPath("/a/b"),
    windows_path=lambda: pathlib.PureWindowsPath("c:/a"),
    address=lambda: ipaddress.ip_address("10.0.0.1"),
    pattern=lambda: re.compile("a+", re.IGNORECASE),
    range=lambda: range(1, 10, 2),
    slice=lambda: slice(1, None),
    exception=lambda: ValueError("no", 3),
)
values(
    "time",
    date=lambda: dt.date(2024, 2, 29),
    naive=lambda: dt.datetime(2024, 2, 29, 12, 30, 1, 5),
    utc=lambda: dt.datetime(2024, 2, 29, tzinfo=dt.UTC),
    paris=lambda: dt.datetime(2024, 2, 29, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    offset=lambda: dt.datetime(2024, 2, 29, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
    first_fold=lambda: dt.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    second_fold=lambda: dt.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"), fold=1),
    before_1970=lambda: dt.datetime(1900, 1, 1),
    clock=lambda: dt.time(12, 30),
    clock_utc=lambda: dt.time(12, 30, tzinfo=dt.UTC),
    delta=lambda: dt.timedelta(days=-1, microseconds=1),
    nanosecond=lambda: pd.Timestamp(1),
    nat=lambda: pd.NaT,
    na=lambda: pd.NA,
    far=lambda: np.datetime64("9999-12-31"),
    attoseconds=lambda: np.datetime64(5, "as"),
    months=lambda: np.timedelta64(5, "M"),
    unitless=lambda: np.timedelta64(5),
    period=lambda: pd.Period("2024-01", freq="M"),
    interval=lambda: pd.Interval(0, 1, closed="left"),
    zone=lambda: zoneinfo.ZoneInfo("Asia/Tokyo"),
)
values(
    "container",
    empty_list=list,
    empty_tuple=tuple,
    empty_dict=dict,
    empty_set=set,
    floats=lambda: [1.0, 2.0, float("nan"), -0.0],
    ints=lambda: [1, 2, 3],
    int_tuple=lambda: (1, 2, 3),
    large_ints=lambda: [1, 2**70],
    texts=lambda: ["a", "bc", "\ud800"],
    texts_split=lambda: ["ab", "c", "\ud800"],
    bools=lambda: [True, False],
    mixed=lambda: [1, 1.0, "1", True, None, b"1"],
    nested=lambda: [[1], [], [[2, {"a": (3,)}]]],
    mapping=lambda: {"b": 1, "a": [1.5, None], 3: "x", (1, 2): {}},
    number_keys=lambda: {1: "a", 1.5: "b", None: "c", False: "d"},
    set=lambda: {"b", "a", 3, (1, "x")},
    frozen_of_sets=lambda: frozenset({frozenset({"u", "v"}), frozenset()}),
    ordered=lambda: collections.OrderedDict([("b", 1), ("a", 2)]),
    ordered_otherwise=lambda: collections.OrderedDict([("a", 2), ("b", 1)]),
    default=lambda: collections.defaultdict(list, {"a": [1]}),
    counter=lambda: collections.Counter("banana"),
    deque=lambda: collections.deque([1, 2], maxlen=3),
    namespace=lambda: types.SimpleNamespace(a=1, b=[2]),
    list_subclass=lambda: Numbers([1, 2]),
    set_subclass=lambda: Names({"q", "r", "s"}),
    dict_subclass=lambda: Table(b=1, a=2),
    str_subclass=lambda: Text("abc"),
)


@value
def shared_and_deep():
    found = [0]
    for _ in range(40):
        found = [found, found]
    return found


@value
def contains_itself():
    found = [1]
    found.append(found)
    return found


@value
def two_in_a_circle():
    a, b = {"name": "a"}, {"name": "b"}
    a["to"], b["to"] = b, a
    return [a, b]


@value
def tree_with_parents():
    root = Tree("root")
    left, right = Tree("left", root), Tree("right", root)
    Tree("leaf", left)
    return {"all": [right, left, root], "set": {root}}


values(
    "record",
    enum=lambda: Side.BUY,
    other_member=lambda: Side.SELL,
    int_enum=lambda: Level.LOW,
    str_enum=lambda: Mood.GOOD,
    flags=lambda: Rights.READ | Rights.WRITE,
    named_tuple=lambda: Point(1, [2]),
    dataclass=lambda: Trade(1.5, {"k": {"v"}}),
    slotted_dataclass=lambda: Frozen(("a", 1)),
    attrs=lambda: Order(3),
    pydantic=lambda: Settings(rate=0.5, names=["a"]),
    pydantic_extra=lambda: Open(a=1, b={"x": 2}),
    holds_secret=lambda: Account(user="me", password="hunter2"),
    plain=lambda: Plain(a=1, b=[2]),
    slots=lambda: Slotted((1, 2)),
    lazy=Lazy,
)
values(
    "code",
    unstable=True,
    function=lambda: factor,
    closure=lambda: adder(3),
    other_closure=lambda: adder(4),
    local_lambda=lambda: lambda x: x + 1,
    partial_of_own=lambda: functools.partial(factor, 1, b=3),
    method=lambda: Plain(a=1).__init__,
    cached=lambda: functools.lru_cache(factor),
)
values(
    "name",
    builtin=lambda: len,
    builtin_method=lambda: "-".join,
    installed=lambda: json.dumps,
    own_class=lambda: Trade,
    installed_class=lambda: collections.OrderedDict,
    generic=lambda: list[int],
    module=lambda: json,
    partial=lambda: functools.partial(int, base=2),
    ufunc=lambda: np.add,
)
values(
    "array",
    floats=lambda: np.array([1.0, np.nan, -0.0, np.inf]),
    matrix=lambda: np.arange(12.0).reshape(3, 4),
    flat=lambda: np.arange(12.0),
    zero_dimensions=lambda: np.array(3.0),
    one_value=lambda: np.array([3.0]),
    no_rows=lambda: np.empty((0, 4)),
    no_columns=lambda: np.empty((4, 0)),
    bools=lambda: np.array([True, False]),
    **{
        code: functools.partial(np.arange, 5, dtype=code)
        for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
    },
    days=lambda: np.array(["2024-01-01", "NaT"], dtype="M8[D]"),
    far_days=lambda: np.array(["0001-01-01", "9999-12-31"], dtype="M8[D]"),
    picoseconds=lambda: np.array([1, 2], dtype="M8[ps]"),
    years=lambda: np.array(["1970", "2024"], dtype="M8[Y]"),
    deltas=lambda: np.array([1, 2], dtype="m8[s]"),
    month_deltas=lambda: np.array([1, 2], dtype="m8[M]"),
    texts=lambda: np.array(["a", "bcd", ""]),
    bytes=lambda: np.array([b"a", b"bcd"]),
    string_dtype=lambda: np.array(["a", "other"], dtype=np.dtypes.StringDType()),
    objects=lambda: np.array([1, "a", None, [2]], dtype=object),
    structured=lambda: np.array([(1, 2.5, "x")], dtype=np.dtype([("a", "i1"), ("b", "f8"), ("c", "U3")], align=True)),
    nested_structured=lambda: np.zeros(2, dtype=[("p", [("x", "f4"), ("y", "f4", (2,))])]),
    void=lambda: np.zeros(2, dtype="V3"),
    masked=lambda: np.ma.array([1, 2, 3], mask=[False, True, False]),
    np_matrix=lambda: np.asmatrix(np.eye(2)),
    dtype=lambda: np.dtype("f4"),
    float32=lambda: np.float32(0.1),
    complex64=lambda: np.complex64(1 + 2j),
    record=lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[0],
    big=lambda: np.arange(3_000_000, dtype="f8"),
    generator=lambda: np.random.default_rng(5),
    random_state=lambda: np.random.RandomState(5),
    csr=lambda: sparse.csr_matrix(np.diag([1.0, 0.0, 3.0])),
    coo_array=lambda: sparse.coo_array(([1, 2], ([0, 1], [1, 0])), shape=(3, 3)),
)


@value
def own_long_double():
    return np.array([1, 2, np.nan], dtype=np.longdouble)


def _days(count=3, **options):
    return pd.date_range("2024-01-30", periods=count, **options)


values(
    "frame",
    empty=pd.DataFrame,
    no_rows=lambda: pd.DataFrame({"a": pd.Series(dtype="f8"), "b": pd.Series(dtype=object)}),
    no_columns=lambda: pd.DataFrame(index=range(3)),
    numbers=lambda: pd.DataFrame({"a": [1, 2, 3], "b": [1.5, np.nan, -0.0], "c": [True, False, True]}),
    other_order=lambda: pd.DataFrame({"b": [1.5, np.nan, -0.0], "a": [1, 2, 3], "c": [True, False, True]}),
    small_ints=lambda: pd.DataFrame({"a": np.array([1, 2, 3], dtype="i4")}),
    texts=lambda: pd.DataFrame({"t": ["a", None, "Zürich"]}),
    surrogates=lambda: pd.DataFrame({"t": pd.Series(["a", "\ud800"], dtype=object)}),
    times=lambda: pd.DataFrame(
        {"t": _days(), "z": _days(tz="Europe/Paris"), "u": _days(tz="UTC"), "d": _days() - _days()[0]}
    ),
    times_missing=lambda: pd.DataFrame({"t": [pd.Timestamp("2024"), pd.NaT]}),
    categories=lambda: pd.DataFrame({"c": pd.Categorical(["b", None, "a"], categories=["b", "a"])}),
    categories_otherwise=lambda: pd.DataFrame({"c": pd.Categorical(["b", None, "a"], categories=["a", "b"])}),
    categories_ordered=lambda: pd.DataFrame(
        {"c": pd.Categorical(["b", None, "a"], categories=["b", "a"], ordered=True)}
    ),
    masked=lambda: pd.DataFrame(
        {"i": pd.array([1, None], dtype="Int64"), "b": pd.array([True, None], dtype="boolean")}
    ),
    masked_floats=lambda: pd.DataFrame({"f": pd.array([1.5, None], dtype="Float64")}),
    arrow_list=lambda: pd.DataFrame({"l": pd.Series([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}),
    arrow_time=lambda: pd.DataFrame({"l": pd.Series([dt.datetime(2024, 1, 1), None], dtype="timestamp[us][pyarrow]")}),
    periods=lambda: pd.DataFrame({"p": pd.period_range("2024-01", periods=2, freq="M")}),
    intervals=lambda: pd.DataFrame({"i": pd.interval_range(0, 2)}),
    sparse=lambda: pd.DataFrame({"s": pd.arrays.SparseArray([0.0, 0.0, 1.0], fill_value=0.0)}),
    cells=lambda: pd.DataFrame({"x": [[1, 2], {"a": {1}}, None]}),
    decimals=lambda: pd.DataFrame({"x": [decimal.Decimal("1.1"), None]}),
    dates=lambda: pd.DataFrame({"x": [dt.date(2024, 1, 1), None]}),
    mixed=lambda: pd.DataFrame({"x": [1, "a", None, 2.5]}),
    complex=lambda: pd.DataFrame({"x": [1j, 2.0]}),
    duplicate_names=lambda: pd.DataFrame([[1, 2.0]], columns=["a", "a"]),
    mixed_names=lambda: pd.DataFrame([[1, 2, 3]], columns=["a", 1, None]),
    int_names=lambda: pd.DataFrame([[1, 2]]),
    date_names=lambda: pd.DataFrame([[1, 2]], columns=_days(2)),
    tuple_names=lambda: pd.DataFrame(
        [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")], names=["u", None])
    ),
    named_columns=lambda: pd.DataFrame([[1]], columns=pd.Index(["a"], name="n")),
    named_index=lambda: pd.DataFrame({"a": [1]}, index=pd.Index([7], name="k")),
    text_index=lambda: pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
    multi_index=lambda: pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_product([["x"], [1, 2]], names=["p", "q"])
    ),
    time_index=lambda: pd.DataFrame({"a": [1, 2, 3]}, index=_days()),
    zoned_index=lambda: pd.DataFrame({"a": [1, 2, 3]}, index=_days(tz="America/New_York")),
    stepped_range=lambda: pd.DataFrame({"a": [1, 2, 3]}, index=pd.RangeIndex(10, 40, 10)),
    irregular_index=lambda: pd.DataFrame({"a": [1, 2, 3]}, index=[3, 1, 2]),
    subclass=lambda: Derived({"a": [1]}),
    wide=lambda: pd.DataFrame(np.arange(600.0).reshape(2, 300)),
)


@value
def frame_with_attrs():
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["source"] = "vendor"
    return frame


values(
    "series",
    floats=lambda: pd.Series([1.0, 2.0]),
    named=lambda: pd.Series([1.0, 2.0], name="x"),
    int_named=lambda: pd.Series([1.0, 2.0], name=3),
    texts=lambda: pd.Series(["a", "b"]),
    no_values=lambda: pd.Series(dtype="f8"),
    only_missing=lambda: pd.Series([None, None], dtype=object),
    metrics=lambda: pd.Series({"sharpe": 0.8, "drawdown": -0.3}),
    curve=lambda: pd.Series([1.0, 1.1, 1.2], index=_days(), name="equity"),
    index=lambda: pd.Index(["a", "b"], name="n"),
    range_index=lambda: pd.RangeIndex(5),
    multi=lambda: pd.MultiIndex.from_product([["x"], [1, 2]]),
    categorical=lambda: pd.Categorical(["a", "b"]),
    masked_array=lambda: pd.array([1, None], dtype="Int64"),
    numpy_array=lambda: pd.arrays.NumpyExtensionArray(np.array([1, 2])),
    offset=lambda: pd.offsets.MonthEnd(2),
)
values(
    "polars",
    empty=pl.DataFrame,
    frame=lambda: pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1], []], "d": [{"z": 1.5}, None]}),
    times=lambda: pl.DataFrame({"t": [dt.datetime(2024, 1, 1)], "d": [dt.date(2024, 1, 1)], "u": [dt.timedelta(1)]}),
    categorical=lambda: pl.Series("c", ["b", "a", None], dtype=pl.Categorical),
    enum=lambda: pl.Series("c", ["b", "a", None], dtype=pl.Enum(["a", "b"])),
    series=lambda: pl.Series("x", [1.0, float("nan"), None]),
    decimals=lambda: pl.Series("x", [decimal.Decimal("1.10")]),
    bytes=lambda: pl.Series("x", [b"a", None]),
)
values(
    "arrow",
    table=lambda: pa.table({"a": [1, None, 3], "t": ["x", None, "z"], "f": [0.5, float("nan"), None]}),
    nested=lambda: pa.table({"l": [[1, 2], None, []], "s": [{"a": 1}, None, {"a": None}]}),
    maps=lambda: pa.table({"m": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))}),
    times=lambda: pa.table(
        {
            "t": pa.array([1, None], pa.timestamp("us", "UTC")),
            "d": pa.array([1, 2], pa.date32()),
            "c": pa.array([1, 2], pa.time64("us")),
        }
    ),
    dictionary=lambda: pa.array(["b", "a", None]).dictionary_encode(),
    decimals=lambda: pa.array([decimal.Decimal("1.10"), None]),
    fixed=lambda: pa.array([b"ab", None], pa.binary(2)),
    bools=lambda: pa.array([True, None, False]),
    nulls=lambda: pa.nulls(3),
    half=lambda: pa.array(np.array([1, 2], dtype="f2")),
    union=lambda: pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
    scalar=lambda: pa.scalar(5, pa.int32()),
    view=lambda: pa.array(["a", "b"], pa.string_view()),
    buffer=lambda: pa.py_buffer(b"abc"),
    schema=lambda: pa.schema([("a", pa.int64())]),
)
UNSTABLE |= {
    "array.generator",
    "array.random_state",
    "series.offset",
    "arrow.schema",
    "own_long_double",
    "arrow.union",
    "time.zone",
}


def zones():
    """The same moment in zones of three libraries."""
    import dateutil.tz

    return [
        dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
        pytz.timezone("Europe/Paris").localize(dt.datetime(2024, 1, 1)),
        dt.datetime(2024, 1, 1, tzinfo=dateutil.tz.gettz("Europe/Paris")),
        pd.Timestamp("2024-01-01", tz="Europe/Paris"),
    ]


def fingerprints():
    from lineage_flows.content import fingerprint

    return {title: fingerprint(build()) for title, build in BUILDERS.items()}


if __name__ == "__main__":
    json.dump(fingerprints(), sys.stdout)
