from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint
from lineage_flows.errors import ReplayError
from lineage_flows.replay.mirror import Places
from lineage_flows.replay.parameters import load_parameters, moved
from lineage_flows.replay.redirect import Redirector
from tests.compare.building import Run

REDIRECTOR = Redirector(
    Places(
        workspace="/w",
        roots=("/desk/project",),
        known=frozenset({"/data/prices.csv"}),
        readable=("/desk/project/.venv",),
    )
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/desk/project", "/w/desk/project"),
        ("/desk/project/a.csv", "/w/desk/project/a.csv"),
        ("/data/prices.csv", "/w/data/prices.csv"),
        ("/data/other.csv", "/data/other.csv"),
        ("/desk/project.txt", "/desk/project.txt"),
        ("/desk/project/.venv/lib/x", "/desk/project/.venv/lib/x"),
        ("relative/a.csv", "relative/a.csv"),
        ("see /desk/project/a.csv", "see /desk/project/a.csv"),
        ("/desk/project/a\n/desk/project/b", "/desk/project/a\n/desk/project/b"),
        (b"/desk/project/a", b"/w/desk/project/a"),
        (b"\xff\xfe", b"\xff\xfe"),
        (Path("/desk/project/a"), Path("/w/desk/project/a")),
        (PurePosixPath("/data/prices.csv"), PurePosixPath("/w/data/prices.csv")),
        (["/desk/project/a", 1, None], ["/w/desk/project/a", 1, None]),
        ({"a": ("/desk/project/a", {"/data/prices.csv"})}, {"a": ("/w/desk/project/a", {"/w/data/prices.csv"})}),
        (3.5, 3.5),
    ],
)
def test_paths_of_the_original_are_led_into_the_workspace_and_count_as_the_same_value(before, after):
    found = moved(before, REDIRECTOR)
    assert found == after
    assert type(found) is type(before)
    assert fingerprint(found, strip="/w") == fingerprint(before)


class Text(str):
    pass


def test_values_of_other_classes_are_left_alone():
    value = Text("/desk/project/a")
    assert moved(value, REDIRECTOR) is value


@given(
    st.recursive(
        st.text() | st.binary() | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=10
    )
)
def test_other_values_stay_as_they_are(value):
    assert moved(value, REDIRECTOR) == value


def flow(path, window=20, *rest, password="default", **more): ...


def parameters(run: Run, function=flow, **fields):
    return load_parameters(run.record(**fields), function, run.blobs.read, REDIRECTOR)


def kept(run: Run, **values):
    run.parameters = tuple(
        item.model_copy(update={"value": run.see(values[item.name], keep=True)}) for item in run.parameters
    )


def test_parameters_are_loaded_from_their_blobs():
    values = {"path": "/data/prices.csv", "window": 30, "rest": (1, 2), "more": {"a": [1.5]}}
    run = Run(**values)
    kept(run, **values)
    assert parameters(run) == {**values, "path": "/w/data/prices.csv"}


def test_a_parameter_that_was_not_kept_takes_its_default_or_is_an_error():
    run = Run(path="/data/prices.csv", window=30)
    kept(run, path="/data/prices.csv", window=30)
    path, window = run.parameters
    without = window.model_copy(update={"value": window.value.model_copy(update={"blob": None})})
    run.parameters = (path, without)
    assert parameters(run) == {"path": "/w/data/prices.csv"}
    run.parameters = (
        path.model_copy(update={"value": path.value.model_copy(update={"blob": None, "note": "cannot be pickled"})}),
    )
    with pytest.raises(ReplayError, match="`path` was not kept: cannot be pickled"):
        parameters(run)
    secret = describe("x").model_copy(update={"rule": "secret", "fingerprint": None, "preview": None})
    run.parameters = (path.model_copy(update={"value": secret}),)
    with pytest.raises(ReplayError, match="`path` is a secret"):
        parameters(run)
