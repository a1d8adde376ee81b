from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.errors import AmbiguousReferenceError, UnknownReferenceError
from lineage_flows.graph.reference import resolve, resolve_one, resolve_run
from lineage_flows.records import DatasetRef
from tests.graph.kit import action_of, events_of, graph_of, new_graph, output_of
from tests.support.records import at, backtest_record, fingerprint, prices_file, replay_record

ONE = backtest_record("01935c2e-7a10-7c3e-9d1a-5b6f0a4c1e00")
TWO = backtest_record("01935c2e-7a10-7c3e-9d1a-5b6f0a4c2e00", run_name="calm-heron")
OTHER = backtest_record(
    "beefc2e0-7a10-7c3e-9d1a-5b6f0a4c3e00",
    run_name="bold-lynx",
    code=ONE.flow.code.model_copy(update={"commit": "9f2caaaa"}),  # type: ignore[union-attr]
)
REPLAY = replay_record(ONE)
KEEPER = graph_of(event for record in (ONE, TWO, OTHER, REPLAY) for event in events_of(record))


def found(reference: str) -> str | None:
    entity = resolve_one(KEEPER, reference)
    return getattr(entity, "source_id", None) or entity.arn


@pytest.mark.parametrize(
    "reference",
    [
        ONE.flow.run_id,
        ONE.flow.run_id.upper(),
        ONE.flow.run_id.replace("-", ""),
        f" {ONE.flow.run_id}\n",
        ONE.flow.run_id[:-3],
        ONE.flow.run_id[:-3].replace("-", ""),
        f"prefect://prefect/flow-run/{ONE.flow.run_id}",
        f"backtest-{ONE.flow.run_id}",
        action_of(KEEPER, ONE.flow.run_id).arn,
    ],
)
def test_a_run_is_found_by_whatever_names_it(reference):
    assert resolve_run(KEEPER, reference).source_id == ONE.flow.run_id


def test_a_run_is_found_by_its_own_name():
    assert found("calm-heron") == TWO.flow.run_id
    assert found("replay-brave-otter") == REPLAY.flow.run_id


def test_a_start_means_the_flow_run_rather_than_its_steps():
    assert found("beef") == OTHER.flow.run_id
    assert found("beefc2e0-") == OTHER.flow.run_id
    step = OTHER.steps[2].run_id
    assert found(step) == step
    assert found(step[:-1]) is not None


def test_a_start_that_fits_several_says_which():
    with pytest.raises(AmbiguousReferenceError) as caught:
        resolve(KEEPER, "01935c2e")
    assert caught.value.matches == (ONE.flow.run_id, TWO.flow.run_id)
    with pytest.raises(AmbiguousReferenceError) as caught:
        resolve(KEEPER, "0193")
    assert len(caught.value.matches) == 3


def test_a_name_that_several_runs_bear_says_which():
    keeper = graph_of(event for record in (ONE, backtest_record(TWO.flow.run_id)) for event in events_of(record))
    with pytest.raises(AmbiguousReferenceError) as caught:
        resolve(keeper, "brave-otter")
    assert caught.value.matches == (ONE.flow.run_id, TWO.flow.run_id)
    assert resolve_run(keeper, caught.value.matches[0]).source_id == ONE.flow.run_id


@pytest.mark.parametrize(
    "reference",
    [
        "",
        " ",
        "0",
        "019",
        "ffff",
        "no such run",
        "arn:aws:sagemaker:local:000000000000:action/x",
        "s3://bucket/key",
        "file:///absent",
        "commit:",
        "commit:9f2",
        "commit:ffff",
        "./absent",
        "prefect://prefect/flow-run/ffffffff-0000-0000-0000-000000000000",
        "a\0b",
        "%",
        "0193%",
        "'",
        "0" * 40,
        "01935c2e7a107c3e9d1a5b6f0a4c1e0000",
    ],
)
def test_what_means_nothing_is_an_error_with_a_fix(reference):
    with pytest.raises(UnknownReferenceError) as caught:
        resolve(KEEPER, reference)
    assert caught.value.reference.strip() == reference.strip()
    assert caught.value.fix


def test_too_short_a_start_says_how_long_it_must_be():
    with pytest.raises(UnknownReferenceError, match="4 characters"):
        resolve(KEEPER, "019")
    with pytest.raises(UnknownReferenceError, match="4 characters"):
        resolve(KEEPER, "commit:9f")


def test_a_commit_means_all_its_runs():
    runs = resolve(KEEPER, "commit:9f2c1ab0")
    assert {run.source_id for run in runs if hasattr(run, "source_id")} == {
        ONE.flow.run_id,
        TWO.flow.run_id,
        REPLAY.flow.run_id,
    }
    assert resolve(KEEPER, "commit:9F2C1AB0") == runs
    assert found("commit:9f2caaaa") == OTHER.flow.run_id
    with pytest.raises(AmbiguousReferenceError) as caught:
        resolve(KEEPER, "commit:9f2c")
    assert caught.value.matches == (f"commit:{ONE.flow.code.commit}", "commit:9f2caaaa")  # type: ignore[union-attr]
    with pytest.raises(AmbiguousReferenceError):
        resolve_one(KEEPER, "commit:9f2c1ab0")


def test_an_artifact_is_found_by_its_arn_and_its_uri():
    model = output_of(KEEPER, ONE.steps[2])
    assert resolve(KEEPER, model.arn) == (model,)
    assert resolve(KEEPER, model.source_uri) == (model,)
    (tree, *_) = KEEPER.list_artifacts(artifact_types=["SourceTree"])
    assert resolve(KEEPER, tree.source_uri) == (tree,)


def test_a_flow_is_found_by_the_name_and_uri_of_its_context():
    (flow,) = KEEPER.list_contexts()
    assert resolve(KEEPER, flow.name) == resolve(KEEPER, flow.source_uri) == (flow,)


def test_what_is_no_run_is_not_taken_for_one():
    with pytest.raises(UnknownReferenceError, match="is a Model and no flow run"):
        resolve_run(KEEPER, output_of(KEEPER, ONE.steps[2]).arn)
    with pytest.raises(
        UnknownReferenceError, match=f"is a Training and no flow run. Give its flow run {ONE.flow.run_id}"
    ):
        resolve_run(KEEPER, ONE.steps[2].run_id)


def test_of_several_versions_of_a_file_the_newest_is_meant():
    later = ONE.steps[0].model_copy(
        update={
            "run_id": "01935c2e-7a10-7c3e-9d1a-ffff0a4c1e01",
            "started": at(99),
            "ended": at(99),
            "datasets": (prices_file("2"),),
        }
    )
    records = (ONE, ONE.model_copy(update={"steps": (later,)}))
    keeper = graph_of(event for record in records for event in events_of(record))
    for reference in (
        "/desk/data/prices.parquet",
        "file:///desk/data/prices.parquet",
        "/desk/out/../data/prices.parquet",
    ):
        assert resolve_one(keeper, reference).fingerprint == fingerprint("prices 2")  # type: ignore[union-attr]


@pytest.mark.parametrize("versions", ["12", "21", "34", "43"])
def test_of_a_file_that_a_step_changes_in_place_what_it_made_is_meant(versions: str):
    before, after = versions
    changed = ONE.steps[0].model_copy(update={"datasets": (prices_file(before), prices_file(after, "write"))})
    keeper = graph_of(events_of(ONE.model_copy(update={"steps": (changed,)})))
    for reference in ("/desk/data/prices.parquet", "file:///desk/data/prices.parquet"):
        assert resolve_one(keeper, reference).fingerprint == fingerprint(f"prices {after}")  # type: ignore[union-attr]


def test_a_relative_path_is_taken_from_the_folder_it_is_said_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert resolve(KEEPER, "data/prices.parquet", folder=Path("/desk")) == resolve(KEEPER, "/desk/data/prices.parquet")
    assert resolve(KEEPER, "../desk/out/equity.png", folder=Path("/desk")) == resolve(
        KEEPER, "file:///desk/out/equity.png"
    )
    assert resolve(KEEPER, "prices.parquet", folder=Path("/desk/data"))
    monkeypatch.setenv("HOME", "/desk")
    assert resolve(KEEPER, "~/data/prices.parquet")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownReferenceError):
        resolve(KEEPER, "data/prices.parquet")


def test_a_path_through_a_link_finds_what_was_read_by_the_real_name(tmp_path: Path):
    real = tmp_path / "a b ü.csv"
    real.touch()
    link = tmp_path / "link.csv"
    link.symlink_to(real)
    uri = real.as_uri()
    read = DatasetRef(
        namespace="file",
        name=str(real),
        uri=uri,
        path=str(real),
        direction="read",
        fingerprint=fingerprint("x"),
        via=("open",),
    )
    record = ONE.model_copy(update={"steps": (ONE.steps[0].model_copy(update={"datasets": (read,)}),)})
    keeper = graph_of(events_of(record))
    for reference in (str(real), str(link), uri, f"file://{real}", os.fspath(real.relative_to(tmp_path))):
        assert resolve_one(keeper, reference, folder=tmp_path).source_uri == uri


def test_a_file_too_deep_to_be_named_whole_is_found_all_the_same():
    path = "/" + "x" * 3000
    deep = prices_file().model_copy(update={"uri": f"file://{path}", "path": path, "name": path})
    keeper = graph_of(
        events_of(ONE.model_copy(update={"steps": (ONE.steps[0].model_copy(update={"datasets": (deep,)}),)}))
    )
    assert resolve(keeper, path) == resolve(keeper, f"file://{path}")


def test_nothing_is_found_in_an_empty_graph():
    for reference in (ONE.flow.run_id, "brave-otter", "commit:9f2c1ab0", "/desk/data/prices.parquet"):
        with pytest.raises(UnknownReferenceError):
            resolve(new_graph(), reference)


@given(st.text(max_size=60) | st.text(alphabet="0123456789abcdef-", max_size=40))
def test_any_text_is_resolved_or_refused(text):
    try:
        assert resolve(KEEPER, text)
    except (UnknownReferenceError, AmbiguousReferenceError) as error:
        assert error.reference == text  # noqa: PT017 - one of three outcomes
