"""Which pandas object was made from which: what is carried, what is not touched by it, and what becomes of it in a real flow."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture import seams
from lineage_flows.capture.adapters import pandas_objects
from lineage_flows.capture.adapters.pandas_objects import PandasAdapter
from lineage_flows.capture.derivation import UNKNOWN, Derivation, Holder, Mark, components, table
from lineage_flows.capture.links import Links
from lineage_flows.content import describe
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.model import Action
from lineage_flows.graph.query import downstream, upstream
from tests.graph.kit import arns
from tests.support.flows import Ran, run_script

A, B = Mark(), Mark()


@pytest.fixture
def watched() -> Iterator[PandasAdapter]:
    adapter = PandasAdapter()
    adapter.install(pd)
    yield adapter
    adapter.uninstall()
    seams.forget(adapter.name)


def frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Made by A, by B, and by nobody known."""
    a = pd.DataFrame({"k": [1, 2, 3], "v": [1.0, 2.0, 3.0]})
    b = pd.DataFrame({"k": [1, 2, 3], "w": [4.0, 5.0, 6.0]})
    c = pd.DataFrame({"k": [1, 2, 3], "x": [7.0, 8.0, 9.0]})
    table.put(a, frozenset({A}))
    table.put(b, frozenset({B}))
    return a, b, c


FROM_A = {
    "copy": lambda a: a.copy(),
    "deepcopy": copy.deepcopy,
    "mask": lambda a: a[a["v"] > 1],
    "query": lambda a: a.query("v > 1"),
    "loc": lambda a: a.loc[1:],
    "iloc": lambda a: a.iloc[:2],
    "column": lambda a: a["v"],
    "columns": lambda a: a[["v"]],
    "assign": lambda a: a.assign(z=1),
    "times": lambda a: a * 2,
    "ufunc": np.log,
    "sort": lambda a: a.sort_values("v"),
    "rename": lambda a: a.rename(columns={"v": "q"}),
    "astype": lambda a: a.astype(str),
    "set_index": lambda a: a.set_index("k"),
    "group": lambda a: a.groupby("k").sum(),
    "named aggregation": lambda a: a.groupby("k").agg(total=("v", "sum")),
    "transform": lambda a: a.groupby("k")["v"].transform("mean"),
    "pivot": lambda a: a.pivot(index="k", columns="v", values="v"),
    "pivot_table": lambda a: a.pivot_table(index="k", values="v"),
    "melt": lambda a: a.melt(),
    "rolling": lambda a: a.rolling(2).mean(),
    "ewm": lambda a: a["v"].ewm(2).mean(),
    "resample": lambda a: a.set_index(pd.date_range("2026", periods=3)).resample("D").sum(),
    "apply": lambda a: a.apply(lambda row: row * 2, axis=1),
    "transpose": lambda a: a.T,
    "values": lambda a: a.values,
    "to_numpy": lambda a: a.to_numpy(),
    "values of a column": lambda a: a["v"].values,
    "to_numpy of a column": lambda a: a["v"].to_numpy(),
}
FROM_BOTH = {
    "merge": lambda a, b: a.merge(b, on="k"),
    "merge with suffixes": lambda a, b: a.merge(b.rename(columns={"w": "v"}), on="k", suffixes=("_a", "_b")),
    "join": lambda a, b: a.join(b.set_index("k"), on="k"),
    "concat": lambda a, b: pd.concat([a, b]),
    "concat of columns": lambda a, b: pd.concat([a, b], axis=1),
    "plus": lambda a, b: a["v"] + b["w"],
    "chain": lambda a, b: a.query("v > 0").merge(b, on="k").groupby("k").sum().reset_index()[["w"]],
}


@pytest.mark.parametrize("name", FROM_A)
def test_what_is_made_from_one_object_is_told(watched: PandasAdapter, name: str) -> None:
    a, _, _ = frames()
    assert table.of(FROM_A[name](a)) == {A}


@pytest.mark.parametrize("name", FROM_BOTH)
def test_what_is_made_from_two_objects_is_told(watched: PandasAdapter, name: str) -> None:
    a, b, _ = frames()
    assert table.of(FROM_BOTH[name](a, b)) == {A, B}


def test_nothing_is_told_of_what_is_not_made_from_it(watched: PandasAdapter) -> None:
    a, b, c = frames()
    assert table.of(c[c["x"] > 7]) == frozenset()
    assert table.of(pd.DataFrame({"v": [1.0, 2.0, 3.0]})) == frozenset()
    assert table.of(a.merge(c, on="k")) == {A, UNKNOWN}
    assert table.of(pd.concat([c, b])) == {B, UNKNOWN}
    a["w"] = b["w"]  # what is put into a frame is not told, and the frame stays what it was made from
    assert table.of(a) == {A}


@pytest.mark.parametrize("name", [*FROM_A, *FROM_BOTH])
def test_results_are_as_they_would_have_been(name: str) -> None:
    def results() -> tuple[object, object, list[str]]:
        a, b, _ = frames()
        a.attrs["source"] = "desk"
        b.attrs["source"] = "desk"
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            made = FROM_A[name](a) if name in FROM_A else FROM_BOTH[name](a, b)
        where = [f"{one.category.__name__} {one.filename}:{one.lineno}" for one in said]
        return made, (getattr(made, "attrs", None), pickle.dumps(made), vars(a).keys()), where

    plain, facts, said = results()
    adapter = PandasAdapter()
    adapter.install(pd)
    try:
        seen, same_facts, same_said = results()
    finally:
        adapter.uninstall()
    assert (same_facts, same_said) == (facts, said)
    if isinstance(plain, np.ndarray):
        assert isinstance(seen, np.ndarray)
        assert plain.flags.writeable == seen.flags.writeable
        np.testing.assert_array_equal(plain, seen)
    else:
        assert plain.equals(seen)  # type: ignore[attr-defined]


def test_a_chained_assignment_still_warns_in_the_user_s_line(watched: PandasAdapter) -> None:
    a, _, _ = frames()
    with pytest.warns(pd.errors.ChainedAssignmentError) as said:
        a["v"][0] = 5.0
    assert [Path(one.filename) for one in said] == [Path(__file__)]


def test_flags_and_errors_are_pandas_s_own(watched: PandasAdapter) -> None:
    a, b, _ = frames()
    strict = a.set_flags(allows_duplicate_labels=False)
    assert not strict.copy().flags.allows_duplicate_labels
    with pytest.raises(pd.errors.DuplicateLabelError):
        pd.concat([strict, strict])
    with pytest.raises(KeyError, match="nothing"):
        a.merge(b, on="nothing")


def test_subclasses_and_odd_columns_are_carried(watched: PandasAdapter) -> None:
    class Desk(pd.DataFrame):
        _metadata = ("owner",)

        @property
        def _constructor(self) -> type[Desk]:
            return Desk

    odd = {
        "subclass": Desk({"a": [1, 2]}),
        "duplicates": pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
        "levels": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])),
        "numbers": pd.DataFrame([[1, 2]], columns=[0, 1.5]),
        "lists": pd.DataFrame({"a": [[1], {"b": 2}]}),
        "empty": pd.DataFrame(),
        "category": pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
        "arrow": pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
        "wide": pd.DataFrame(np.zeros((1, 10_000))),
    }
    for name, frame in odd.items():
        table.put(frame, frozenset({A}))
        made = frame.copy().iloc[:1]
        assert table.of(made) == {A}, name
        assert type(made) is type(frame)


def test_objects_live_no_longer_than_they_would(watched: PandasAdapter) -> None:
    a, b, _ = frames()
    known = len(table._entries)
    made = a.merge(b, on="k")
    gone = weakref.ref(made)
    assert len(table._entries) > known
    del made
    gc.collect()
    assert gone() is None
    assert len(table._entries) == known


def test_an_address_that_is_used_again_says_nothing(watched: PandasAdapter) -> None:
    a, _, _ = frames()
    for _ in range(200):
        one = a.copy()
        assert table.of(one) == {A}
        del one
        assert table.of(pd.DataFrame({"a": [1]})) == frozenset()


def test_threads_do_not_disturb_each_other(watched: PandasAdapter) -> None:
    wrong: list[object] = []

    def work() -> None:
        mark = Mark()
        for _ in range(300):
            mine = pd.DataFrame({"a": [1, 2, 3]})
            table.put(mine, frozenset({mark}))
            made = pd.concat([mine[mine["a"] > 1], mine])
            if table.of(made) != {mark}:
                wrong.append(table.of(made))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pandas_gets_its_own_functions_back() -> None:
    before = {name: vars(owner)[name] for owner, name in PLACES}
    adapter = PandasAdapter()
    adapter.install(pd)
    adapter.install(pd)
    during = {name: vars(owner)[name] for owner, name in PLACES}
    assert all(during[name] is not before[name] for name in before)
    assert pd.DataFrame.to_numpy.__doc__ == before["to_numpy"].__doc__
    assert pd.DataFrame.values.__doc__ == before["values"].__doc__
    adapter.uninstall()
    assert {name: vars(owner)[name] for owner, name in PLACES} == before
    a, _, _ = frames()
    assert not table
    assert table.of(a.copy()) == frozenset()


PLACES = [(pd.core.generic.NDFrame, "__finalize__"), (pd.DataFrame, "to_numpy"), (pd.DataFrame, "values")]


def test_a_pandas_that_hands_nothing_on_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pd.DataFrame, "merge", lambda *_args, **_named: pd.DataFrame({"k": [1, 2]}))
    adapter = PandasAdapter()
    adapter.install(pd)
    frame = pd.DataFrame({"k": [1, 2]})
    Links().derivation.gave_out(frame, "run", "uri", describe(frame))
    assert table.kinds == ()
    assert not table
    (lack,) = (one for one in seams.missing() if one.adapter == adapter.name)
    assert "the result of merge does not tell" in lack.why
    seams.forget(adapter.name)


PYARROW_FIRST = """
import sys
from lineage_flows.capture import adapters
adapters.install()
import pyarrow as pa
import pyarrow.compute as pc
assert "pandas" not in sys.modules
pc.equal(pa.array(["a", "b"]), "a")
print(pc.utf8_upper(pa.array(["a", "b"])).to_pylist(), pa.array([1.5]).to_pylist())
table = pa.table({"day": ["a", "b"]})
print(table.to_pandas()["day"].tolist(), "pandas" in sys.modules)
"""


def test_pyarrow_that_imports_pandas_amid_its_own_code_does_not_wait_for_itself() -> None:
    """With a lock held that pandas takes when a frame of texts is made."""
    done = subprocess.run([sys.executable, "-c", PYARROW_FIRST], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "['A', 'B'] [1.5]"), done.stderr
    assert done.stdout.split("\n")[1] == "['a', 'b'] True"


def test_prefect_s_start_waits_for_nothing_of_it() -> None:
    probe = (
        "import sys, lineage_flows.capture.adapters; "
        "print([name for name in ('pandas', 'numpy', 'polars', 'pyarrow', 'lineage_flows.content') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_operand_that_raises_turns_it_off_and_not_the_user_s_code(watched: PandasAdapter) -> None:
    a, _, _ = frames()

    class Odd:
        @property
        def input_objs(self) -> object:
            raise RuntimeError("no")

    pandas_objects._carry(a, Odd(), pd.DataFrame)
    assert not table
    assert any("which pandas object" in lack.adapter for lack in seams.missing())


# ------------------------------------------------------------------------------------------------------ what links make of it


def given_out(links: Links, run_id: str, value: object) -> None:
    ref = describe(value)
    links.produced(run_id, f"uri:{run_id}", ref)
    links.derivation.gave_out(value, run_id, f"uri:{run_id}", ref)


def sources(links: Links, value: object, *tracked: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    derived = links.derivation.origins(value)
    found = links.sources(describe(value), tracked, identity_is_safe=True, derived=derived)
    return {source.run_id: (source.part, source.known_by) for source in found}


def test_a_merge_of_two_outputs_has_two_sources(watched: PandasAdapter) -> None:
    links = Links()
    a, b, _ = frames()
    given_out(links, "a", a)
    given_out(links, "b", {"train": b})
    merged = a.merge(b, on="k")
    assert sources(links, merged) == {"a": ("", ("derivation",)), "b": ("/train", ("derivation",))}
    assert sources(links, [merged, 1]) == sources(links, merged)
    assert sources(links, a) == {"a": ("", ("content",))}


def test_two_components_of_one_output_are_its_whole(watched: PandasAdapter) -> None:
    links = Links()
    a, b, _ = frames()
    given_out(links, "split", {"train": a, "test": b})
    assert sources(links, pd.concat([a, b])) == {"split": ("", ("derivation",))}
    assert sources(links, a.iloc[:1]) == {"split": ("/train", ("derivation",))}


def test_a_child_process_is_not_held_up_by_a_lock_of_another_thread(watched: PandasAdapter) -> None:
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with table._lock:
            taken.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)
        a, _, _ = frames()
        os._exit(0 if table.of(a.copy()) == {A} else 1)
    _, status = os.waitpid(child, 0)
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0


def test_equal_outputs_are_told_apart_by_the_object(watched: PandasAdapter) -> None:
    links = Links()
    one, same = pd.DataFrame({"a": [1.5, 2.5]}), pd.DataFrame({"a": [1.5, 2.5]})
    given_out(links, "one", one)
    given_out(links, "same", same)
    assert sources(links, same) == {"same": ("", ("content",))}
    assert sources(links, same.copy()) == {"same": ("", ("content",))}
    assert sources(links, pd.DataFrame({"a": [1.5, 2.5]})).keys() == {"one", "same"}


def test_what_is_changed_in_place_is_derived_and_names_who_had_it(watched: PandasAdapter) -> None:
    links = Links()
    a, _, _ = frames()
    given_out(links, "a", a)
    objects = links.derivation
    for holder in ("ended", "reads", "mutates"):
        assert objects.taken(a, describe(a).fingerprint, Holder(holder, "frame")) == ()
        if holder == "ended":
            objects.ended(holder)  # and the next one saw that it had left it as it was
    a.loc[0, "v"] = -1.0
    assert {one.run_id for one in objects.taken(a, describe(a).fingerprint, Holder("next", "data"))} == {
        "reads",
        "mutates",
    }
    assert sources(links, a, "a") == {"a": ("", ("derivation", "prefect"))}
    a.loc[0, "v"] = -2.0
    assert objects.taken(a, describe(a).fingerprint, Holder("last", "data")) == (Holder("next", "data"),)
    assert objects.taken(a, describe(a).fingerprint, Holder("last", "data")) == ()


def test_an_attempt_does_not_blame_the_one_before_it(watched: PandasAdapter) -> None:
    objects = Derivation()
    a, _, _ = frames()
    assert objects.taken(a, "f1", Holder("me", "frame")) == ()
    assert objects.taken(a, "f2", Holder("me", "frame")) == ()


def test_another_run_s_objects_are_not_linked(watched: PandasAdapter) -> None:
    a, _, _ = frames()
    given_out(Links(), "yesterday", a)
    assert sources(Links(), a.copy()) == {}


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_containers_of_anything_can_be_looked_into(value: object) -> None:
    assert all(isinstance(item, int) for _, item in components(value, (int,)))


def test_a_container_in_itself_ends() -> None:
    loop: list[object] = [1.5]
    loop.append(loop)
    assert len(list(components(loop, (float,)))) < 10


# -------------------------------------------------------------------------------------------------------------- a real flow

SCRIPT = """
import numpy as np
import pandas as pd
from prefect import flow, task

@task
def prices(seed):
    return pd.DataFrame({"day": np.arange(20), "close": np.random.default_rng(seed).normal(size=20)})

@task
def sectors():
    return pd.DataFrame({"day": np.arange(20), "sector": [f"s{n % 3}" for n in range(20)]})

@task
def split(frame):
    return {"train": frame.iloc[:15], "test": frame.iloc[15:]}

@task
def fit(data, name=""):
    return float(np.asarray(data)[:, 1].astype(float).sum()) + 0.5

@task
def spoil(frame):
    frame.loc[0, "close"] = -1.0

@task
def plot(frame):
    return "a picture of it"

@task
def save(frame):
    frame.to_csv("kept.csv", index=False)

@task
def load():
    return pd.read_csv("kept.csv")

@flow
def inner(frame):
    return fit(frame[frame["close"] > 0], "in a subflow")

@flow(name="derived")
def derived():
    one, two, kinds = prices(1), prices(2), sectors()
    fit(one[one["close"] > -1], "filtered")
    fit(one.merge(kinds, on="day"), "merged")
    fit(pd.concat([one, two]), "concatenated")
    fit(one.groupby(one["day"] // 4).mean(), "grouped")
    fit(one.values, "values")
    fit(split(one)["train"].copy().iloc[2:], "part")
    fit(pd.DataFrame({"day": [1.0, 2.0], "close": [3.0, 4.0]}), "of nobody")
    inner(two)
    plot(two)
    spoil(two)
    fit(two, "spoilt")
    save(one[["day", "close"]])
    fit(load().head(), "from a file")

if __name__ == "__main__":
    derived()
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Ran:
    folder: Path = tmp_path_factory.mktemp("derived")
    result = run_script(
        SCRIPT, folder / "project", folder / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_STRICT="true"
    )
    assert result.code == 0, result.err
    assert not [line for step in result.steps() for line in step.capture_errors]
    return result


def fits(ran: Ran) -> dict[str, SimpleNamespace]:
    """The calls of ``fit`` by what they were called: the step, and the sources of its data by run id."""
    found = {}
    for step in ran.steps("fit"):
        data, name = step.inputs
        found[str(name.value.preview)] = SimpleNamespace(
            step=step, sources={one.run_id: (one.part, one.known_by) for one in data.sources}, data=data
        )
    return found


@pytest.mark.server
def test_what_the_flow_computes_between_tasks_links_to_the_steps_it_was_made_from(ran: Ran) -> None:
    one, two = (step.run_id for step in ran.steps("prices"))
    kinds, parts = ran.step("sectors").run_id, ran.step("split").run_id
    made, derived = fits(ran), ("", ("derivation",))
    assert made["filtered"].sources == {one: derived}
    assert made["merged"].sources == {one: derived, kinds: derived}
    assert made["concatenated"].sources == {one: derived, two: derived}
    assert made["grouped"].sources == {one: derived}
    assert made["values"].sources == {one: derived}
    assert made["part"].sources == {parts: ("/train", ("derivation",))}
    assert made["in a subflow"].sources.keys() == {two}
    assert made["of nobody"].sources == {}


@pytest.mark.server
def test_a_frame_that_a_step_changed_is_a_new_version_and_names_the_step(ran: Ran) -> None:
    _, two = ran.steps("prices")
    spoil, spoilt = ran.step("spoil"), fits(ran)["spoilt"]
    assert spoilt.data.value.fingerprint != two.output.fingerprint
    assert spoilt.sources == {
        two.run_id: ("", ("derivation", "prefect")),
        spoil.run_id: ("", ("mutation",)),
    }, "the step that drew it before had left it as it was"


@pytest.mark.server
def test_the_graph_walks_through_what_was_derived_and_what_was_changed(ran: Ran) -> None:
    made = fits(ran)
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as keeper:

        def action(run_id: str) -> str:
            (found,) = [one.arn for one in keeper.list_actions() if one.source_id == run_id]
            return found

        def known(name: str) -> set[str | None]:
            """Runs upstream by what is known alone, without what a walk infers."""
            walk = upstream(keeper, action(made[name].step.run_id), 3)
            near = {edge.source_arn for edge in walk.edges if edge.through is None}
            return {
                node.entity.source_id
                for node in walk.nodes
                if isinstance(node.entity, Action) and node.entity.arn in near
            }

        one, two = (step.run_id for step in ran.steps("prices"))
        kinds = ran.step("sectors").run_id
        assert known("merged") == {one, kinds}
        assert known("concatenated") == {one, two}
        assert {two, ran.step("spoil").run_id} <= known("spoilt")
        assert {one, ran.step("save").run_id, ran.step("load").run_id} <= {
            getattr(node.entity, "source_id", None)
            for node in upstream(keeper, action(made["from a file"].step.run_id)).nodes
        }, "derived, through a file, and derived"
        assert action(made["merged"].step.run_id) in arns(downstream(keeper, action(kinds)))
        entered = [
            node.entity for node in upstream(keeper, action(made["spoilt"].step.run_id), 1).nodes if node.depth == 1
        ]
        assert made["spoilt"].data.value.fingerprint in {getattr(entity, "fingerprint", None) for entity in entered}


@pytest.mark.server
def test_a_run_says_when_its_pandas_could_not_be_watched(tmp_path: Path, prefect_server: str) -> None:
    script = """
    import pandas as pd
    pd.DataFrame.merge = lambda *_, **__: pd.DataFrame({"k": [1, 2]})  # another pandas than is known
    from prefect import flow, task

    @task
    def make():
        return pd.DataFrame({"a": [1.5, 2.5]})

    @task
    def use(frame):
        return float(frame["a"].sum())

    @flow(name="unwatched")
    def unwatched():
        return use(make().iloc[:1])

    if __name__ == "__main__":
        assert unwatched() == 1.5
    """
    result = run_script(script, tmp_path / "project", tmp_path / "home", PREFECT_API_URL=prefect_server)
    assert result.code == 0, result.err
    (said,) = result.flows()["unwatched"].capture_errors
    assert said.startswith("which pandas object was made from which was not watched: in pandas")
    assert result.step("use").inputs[0].sources == ()
