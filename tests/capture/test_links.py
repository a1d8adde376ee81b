"""Which output became which input: by Prefect's ids, by content, and what must not be linked."""

from __future__ import annotations

import math
import sqlite3

import numpy as np
import pytest

from lineage_flows.capture.links import Links
from lineage_flows.content import describe
from lineage_flows.records import Part, ValueRef


def frame(fingerprint: str, *parts: str) -> ValueRef:
    return ValueRef(
        fingerprint=fingerprint,
        type="pandas.DataFrame",
        kind="DataSet",
        parts=tuple(Part(path=f"/{n}", fingerprint=part) for n, part in enumerate(parts)),
    )


def scalar(value: object, fingerprint: str) -> ValueRef:
    return ValueRef(fingerprint=fingerprint, type=type(value).__name__, preview=value)


def found(links: Links, value: ValueRef, *tracked: str, safe: bool = True) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {s.run_id: (s.part, s.known_by) for s in links.sources(value, tracked, identity_is_safe=safe)}


def test_both_ways_of_knowing_are_said():
    links = Links()
    links.produced("a", "uri:a", frame("f1"))
    assert found(links, frame("f1")) == {"a": ("", ("content",))}
    assert found(links, frame("f1"), "a") == {"a": ("", ("content", "prefect"))}
    assert found(links, frame("changed"), "a") == {"a": ("", ("prefect",))}


def test_equal_contents_of_two_producers_are_told_apart_by_prefect():
    links = Links()
    links.produced("a", "uri:a", frame("same"))
    links.produced("b", "uri:b", frame("same"))
    assert set(found(links, frame("same"), "b")) == {"b"}
    assert set(found(links, frame("same"))) == {"a", "b"}


def test_parts_link_in_both_directions():
    links = Links()
    links.produced("split", "uri:split", frame("whole", "train", "test"))
    links.produced("a", "uri:a", frame("fa"))
    assert found(links, frame("train")) == {"split": ("/0", ("content",))}
    assert set(found(links, frame("list of both", "fa", "test"))) == {"a", "split"}


def test_a_known_whole_is_not_also_taken_apart():
    links = Links()
    links.produced("make", "uri:make", frame("whole", "part"))
    links.produced("other", "uri:other", frame("part"))
    assert set(found(links, frame("whole", "part"))) == {"make"}


def test_trivial_values_do_not_link_by_content():
    links = Links()
    for number, value in enumerate([None, True, 3, 2.0, "ok", []]):
        links.produced(f"run{number}", f"uri:{number}", scalar(value, f"t{number}"))
        assert found(links, scalar(value, f"t{number}")) == {}
        assert set(found(links, scalar(value, f"t{number}"), f"run{number}")) == {f"run{number}"}


def test_a_recycled_address_of_a_dict_is_not_believed():
    links = Links()
    links.produced(
        "old", "uri:old", ValueRef(fingerprint="d1", type="dict", parts=(Part(path="/x", fingerprint="p1"),))
    )
    new = ValueRef(fingerprint="d2", type="dict", parts=(Part(path="/x", fingerprint="p2"),))
    assert found(links, new, "old", safe=False) == {}
    grown = ValueRef(
        fingerprint="d3", type="dict", parts=(Part(path="/x", fingerprint="p1"), Part(path="/y", fingerprint="p9"))
    )
    assert set(found(links, grown, "old", safe=False)) == {"old"}


def test_the_order_is_that_of_the_run_ids():
    links = Links()
    for run in ("c", "a", "b"):
        links.produced(run, f"uri:{run}", frame("same"))
    assert list(found(links, frame("same"))) == ["a", "b", "c"]


def test_a_run_nobody_recorded_is_no_source():
    assert found(Links(), frame("f"), "unknown") == {}


def test_a_parameter_of_a_flow_is_its_run_s_and_no_result():
    links = Links()
    links.produced("flow", "uri:flow/parameter/prices", frame("p"), is_result=False)
    links.produced("flow", "uri:flow/parameter/other", frame("q"), is_result=False)
    (source,) = links.sources(frame("p"), (), identity_is_safe=True)
    assert (source.run_id, source.uri) == ("flow", "uri:flow/parameter/prices")
    assert not links.knows("flow")
    both = links.sources(frame("a list of them", "p", "q"), (), identity_is_safe=True)
    assert [source.uri for source in both] == ["uri:flow/parameter/other", "uri:flow/parameter/prices"]


def test_a_flow_that_prefect_names_is_meant_by_its_result():
    links = Links()
    links.produced("flow", "uri:parameter", frame("p"), is_result=False)
    links.produced("flow", "uri:result", frame("r"))
    assert [source.uri for source in links.sources(frame("changed"), ["flow"], identity_is_safe=True)] == ["uri:result"]


@pytest.mark.parametrize(
    "common", [5.0, 100_000.0, math.nan, math.inf, "train", np.float64(2.0), np.int64(7), [1, 2], (None, True), {3}]
)
def test_common_parts_do_not_link_by_content_but_by_prefect(common):
    links = Links()
    links.produced("a", "uri:a", describe([common, 1.25]))
    assert found(links, describe([common, "another"]), safe=False) == {}
    assert found(links, describe([common, "another"]), "a", safe=False) == {"a": ("", ("prefect",))}
    assert found(links, describe(common), safe=False) == {}
    assert found(links, describe([1.25]), safe=False) == {"a": ("/1", ("content",))}


def test_what_nobody_can_fingerprint_is_believed_of_a_run_that_gave_out_the_like():
    connection, lines = describe(sqlite3.connect(":memory:")), describe(iter([1]))
    assert connection.fingerprint is lines.fingerprint is None
    links = Links()
    links.produced("opens", "uri:opens", connection)
    links.produced("pairs", "uri:pairs", describe((zip([1], [2], strict=True), map(str, [1]))))
    links.produced("plain", "uri:plain", describe({"price": 1.25}))
    assert found(links, connection, "opens", safe=False) == {"opens": ("", ("prefect",))}
    assert found(links, connection, safe=False) == {}
    assert found(links, lines, "opens", safe=False) == {}
    assert found(links, connection, "plain", safe=False) == {}
    assert found(links, describe((zip([1], strict=True),)), "pairs", safe=False) == {"pairs": ("", ("prefect",))}
    assert found(links, describe(map(str, [1])), "pairs", safe=False) == {"pairs": ("", ("prefect",))}
    assert found(links, describe({"x": 2.5}), "pairs", safe=False) == {}
