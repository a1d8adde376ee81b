"""Arrays: values, logical type and shape count; strides, byte order, padding and NaN payloads do not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lineage_flows.content import arrays, fingerprint

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.complex_number_dtypes(),
    hnp.datetime64_dtypes(min_period="D"),
    hnp.timedelta64_dtypes(min_period="D"),
    hnp.unicode_string_dtypes(),
    hnp.byte_string_dtypes(),
)
ANY = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))


@given(ANY)
@settings(max_examples=400, deadline=None)
def test_storage_does_not_count(value):
    expected = fingerprint(value)
    assert expected is not None
    forms = [
        np.array(value, order="F"),
        value.astype(value.dtype.newbyteorder(">")),
        value.astype(value.dtype.newbyteorder("<")),
        np.repeat(value[..., None], 2, axis=-1)[..., 0:1].reshape(value.shape),
        value.T.copy().T,
        np.flip(np.flip(value).copy()) if value.ndim else value,
    ]
    buffer = io.BytesIO()
    np.save(buffer, value)
    buffer.seek(0)
    forms.append(np.load(buffer))
    for form in forms:
        assert fingerprint(form) == expected


@given(ANY, ANY)
@settings(max_examples=400, deadline=None)
def test_different_arrays_differ(a, b):
    assert (fingerprint(a) == fingerprint(b)) == same(a, b)


@given(ANY.filter(lambda a: a.size), st.data())
@settings(max_examples=300, deadline=None)
def test_one_changed_element_is_seen(value, data):
    changed = value.copy()
    place = data.draw(st.integers(0, value.size - 1))
    changed.reshape(-1)[place] = data.draw(hnp.from_dtype(value.dtype))
    assert (fingerprint(changed) == fingerprint(value)) == same(changed, value)


def same(a, b):
    """The rule for arrays, said in another way."""
    if arrays.dtype_name(a.dtype) != arrays.dtype_name(b.dtype) or a.shape != b.shape:
        return False
    if a.dtype.kind in "fc":
        one, other = (x.astype(x.dtype.newbyteorder("=")) for x in (a, b))
        parts = [np.signbit(x.real) & ~np.isnan(x.real) for x in (one, other)] + [
            np.signbit(x.imag) & ~np.isnan(x.imag) for x in (one, other)
        ]
        close = all(np.array_equal(getattr(one, p), getattr(other, p), equal_nan=True) for p in ("real", "imag"))
        return close and np.array_equal(parts[0], parts[1]) and np.array_equal(parts[2], parts[3])
    if a.dtype.kind == "m" and len({np.datetime_data(x.dtype)[0] in {"Y", "M"} for x in (a, b)}) == 2:
        return False  # years and months are no number of days, not even when none is known
    if a.dtype.kind in "mM":
        # Python's integers, so that no unit overflows.
        return times(a) == times(b)
    return np.array_equal(a, b)


def times(value):
    if value.dtype.kind == "M" and np.datetime_data(value.dtype)[0] in {"Y", "M"}:
        value = value.astype("M8[D]")  # the first day of a year is that of its January
    unit, step = np.datetime_data(value.dtype)
    length = arrays.UNITS.get(unit, unit)
    found = []
    for item in value.reshape(-1).astype("i8").tolist():
        if item == -(2**63):
            found.append("NaT")
        else:
            found.append(item * step * length if isinstance(length, int) else (item * step, length))
    return found


def test_every_nan_is_the_same():
    bits = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF], dtype="u8").view(
        "f8"
    )
    assert len({fingerprint(bits[n : n + 1]) for n in range(4)} | {fingerprint(np.array([np.nan]))}) == 1
    half = np.array([0x7E00, 0xFE01], dtype="u2").view("f2")
    assert fingerprint(half[:1]) == fingerprint(half[1:])
    complex_nans = np.array([complex(np.nan, 1), complex(-np.nan, 1)])
    assert fingerprint(complex_nans[:1]) == fingerprint(complex_nans[1:])
    assert fingerprint(np.array([np.nan, 1.0])) != fingerprint(np.array([1.0, np.nan]))


def test_a_nan_anywhere_in_a_large_array_and_the_array_is_not_changed():
    value = np.zeros(3_000_000)
    payload = np.array([0xFFF8000000000001], dtype="u8").view("f8")[0]
    for place in (0, 524_287, 524_288, 2_999_999):
        odd, plain = value.copy(), value.copy()
        odd[place], plain[place] = payload, np.nan
        assert fingerprint(odd) == fingerprint(plain) != fingerprint(value)
        assert odd.view("u8")[place] == 0xFFF8000000000001


def test_a_signalling_nan_warns_nobody(recwarn):
    assert fingerprint(np.array([0x7FF0000000000001], dtype="u8").view("f8")) is not None
    assert not recwarn.list


def test_large_arrays_that_are_not_contiguous():
    value = np.random.default_rng(1).standard_normal((3, 1500, 400))
    expected = fingerprint(np.ascontiguousarray(value.transpose(2, 0, 1)))
    assert fingerprint(value.transpose(2, 0, 1)) == expected
    assert fingerprint(value[:, ::3, ::-1]) == fingerprint(value[:, ::3, ::-1].copy())
    wide = np.zeros((2, 2_000_000))
    assert fingerprint(wide[:, ::2]) == fingerprint(wide[:, ::2].copy())
    row = np.arange(4_000_000)
    assert fingerprint(row[::2]) == fingerprint(row[::2].copy())


def test_hashing_a_large_array_does_not_copy_it():
    import tracemalloc

    value = np.random.default_rng(1).standard_normal((2000, 4000))  # 64 MB
    tracemalloc.start()
    fingerprint(value)
    fingerprint(value.T)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_padding_of_structured_arrays_and_long_doubles_is_not_looked_at():
    dtype = np.dtype([("a", "i1"), ("b", "f8"), ("c", "f4", (2,)), ("d", "M8[s]")], align=True)
    raw = np.zeros(4 * dtype.itemsize, dtype="u1")
    dirty = np.full(4 * dtype.itemsize, 0xAA, dtype="u1")
    first, second = raw.view(dtype), dirty.view(dtype)
    second[:] = first
    for field in dtype.names:
        second[field] = first[field]
    assert fingerprint(first) == fingerprint(second) == fingerprint(first.view(np.recarray))
    packed = first.astype(np.dtype([(name, dtype[name]) for name in dtype.names]))
    assert fingerprint(packed) == fingerprint(first)
    values = np.array([1.5, np.nan], dtype=np.longdouble)
    dirty = np.full(2 * values.itemsize, 0xAA, dtype="u1").view(np.longdouble)
    dirty[:] = values
    assert fingerprint(dirty) == fingerprint(values) != fingerprint(values[::-1].copy())


def test_names_and_order_of_fields_count():
    a = np.zeros(2, dtype=[("x", "f8"), ("y", "f8")])
    assert (
        len({fingerprint(v) for v in (a, a.astype([("x", "f8"), ("z", "f8")]), a[["y", "x"]].copy(), a[["x"]], a["x"])})
        == 5
    )


def test_what_a_dtype_says_counts():
    codes = [
        "?",
        "i1",
        "i2",
        "i4",
        "i8",
        "u1",
        "u2",
        "u4",
        "u8",
        "f2",
        "f4",
        "f8",
        "c8",
        "c16",
        "O",
        "U1",
        "S1",
        "M8[s]",
        "m8[s]",
    ]
    values = [np.array([1, 0], dtype=code) for code in codes]
    assert len({fingerprint(v) for v in values}) == len(values)


def test_shape_counts():
    value = np.zeros(0)
    forms = [
        value,
        value.reshape(0, 1),
        value.reshape(1, 0),
        np.zeros(()),
        np.zeros(1),
        np.zeros((1, 1)),
        np.zeros((2, 3)),
        np.zeros((3, 2)),
    ]
    assert len({fingerprint(v) for v in forms}) == len(forms)


def test_width_of_texts_is_storage_and_their_ends_are_not():
    assert fingerprint(np.array(["a", "b"], dtype="U9")) == fingerprint(np.array(["a", "b"]))
    assert fingerprint(np.array(["ab", "c"])) != fingerprint(np.array(["a", "bc"]))
    assert fingerprint(np.array(["", ""])) != fingerprint(np.array([""]))
    assert fingerprint(np.array(["a", "b"], dtype=object)) == fingerprint(
        np.array(["a", "b"], dtype=np.dtypes.StringDType())
    )


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns"])
def test_units_of_time_do_not_count(unit):
    days = np.array(["2024-01-01", "NaT", "1950-06-01"], dtype="M8[D]")
    assert fingerprint(days.astype(f"M8[{unit}]")) == fingerprint(days)
    lengths = np.array([1, 5, -3], dtype="m8[D]")
    assert fingerprint(lengths.astype(f"m8[{unit}]")) == fingerprint(lengths) != fingerprint(days)


def test_objects_in_arrays():
    def make(*items, shape=(-1,)):
        found = np.empty(len(items), dtype=object)
        found[:] = items
        return found.reshape(shape)

    assert fingerprint(make(1, "a", (2, 3))) == fingerprint(make(1, "a", (2, 3))) != fingerprint(make(1, "a", (2, 4)))
    assert fingerprint(make(1, 2, shape=(2, 1))) != fingerprint(make(1, 2, shape=(1, 2)))
    assert fingerprint(make(1, 2)) != fingerprint(np.array([1, 2]))
    circle = make(None, 1)
    circle[0] = circle
    assert fingerprint(circle) is not None


def test_subclasses():
    class Metres(np.ndarray):
        pass

    value = np.array([1.0, 2.0])
    metres = value.view(Metres)
    metres.unit = "m"
    others = [
        value,
        metres,
        value.view(Metres),
        np.asmatrix(value),
        np.ma.array(value),
        np.ma.array(value, mask=[1, 0]),
    ]
    assert len({fingerprint(v) for v in others}) == len(others)
    hidden = np.ma.array([9.0, 2.0], mask=[1, 0])
    assert fingerprint(hidden) == fingerprint(np.ma.array([1.0, 2.0], mask=[1, 0]))


def test_memory_maps_are_arrays(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(5))
    assert fingerprint(np.load(path, mmap_mode="r")) == fingerprint(np.arange(5))


def test_random_generators_are_their_state():
    a, b = np.random.default_rng(1), np.random.default_rng(1)
    assert fingerprint(a) == fingerprint(b)
    b.random()
    assert fingerprint(a) != fingerprint(b)


def test_sparse_matrices():
    from scipy import sparse

    dense = np.array([[0, 1.5, 0], [2.0, 0, 0]])
    csr = sparse.csr_matrix(dense)
    messy = sparse.csr_matrix((np.array([1.0, 0.5, 2.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    assert fingerprint(csr) == fingerprint(messy)
    assert messy.nnz == 3  # it was not tidied up for its owner
    used = csr.copy()
    used.sum()
    _ = used.has_canonical_format
    assert fingerprint(used) == fingerprint(csr)
    others = [
        csr,
        csr.tocsc(),
        csr.tocoo(),
        sparse.csr_array(dense),
        sparse.csr_matrix(dense.T),
        csr.astype("f4"),
        dense,
    ]
    assert len({fingerprint(v) for v in others}) == len(others)
    assert fingerprint(csr.todok()) is not None
    assert fingerprint(csr.tolil()) is not None
