"""One contract, both keepers: from the same events the same graph, and the same answers where SageMaker can give them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Entity
from lineage_flows.graph.query import downstream, upstream
from lineage_flows.graph.reference import resolve_one
from lineage_flows.graph.runs import runs
from lineage_flows.graph.sagemaker import open_sagemaker
from tests.graph.kit import _folder, events_of, graph_of, new_graph
from tests.graph.sagemaker.kit import deliver, identity, new_cache, plain, said
from tests.graph.stories import stories
from tests.support.records import FLOW_ID, backtest_record, replay_record


@contextmanager
def keepers(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """An empty keeper of a kind; that of SageMaker over HTTP to an endpoint of its own."""
    if kind == "embedded":
        yield new_graph()
        return
    served = Endpoint(Path(tempfile.mkdtemp(dir=_folder.name)))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", served.url)
    keeper = open_sagemaker(new_cache(), namespace="quant")
    try:
        yield keeper
    finally:
        keeper.close()
        served.close()


@pytest.fixture(params=["embedded", "sagemaker"])
def keeper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    with keepers(request.param, monkeypatch) as found:
        yield found


@given(first=stories(run=1), second=stories(run=2), data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_events_in_any_order_and_repetition_give_the_same_graph(
    first: Any, second: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [*events_of(first), *events_of(second)]
    shuffled = data.draw(st.permutations(events))
    with keepers("sagemaker", monkeypatch) as keeper:
        deliver(keeper, [*shuffled, *shuffled[:5]], data.draw(st.integers(1, 40)))
        assert plain(keeper) == plain(graph_of(events))


def test_what_is_asked_of_a_run_is_answered_alike(keeper: Keeper) -> None:
    record = backtest_record()
    deliver(keeper, [*events_of(record), *events_of(replay_record(record))])
    embedded = graph_of([*events_of(record), *events_of(replay_record(record))])
    assert [run.run_id for run in runs(keeper, kind="run")] == [run.run_id for run in runs(embedded, kind="run")]
    assert {run.run_id for run in runs(keeper, flow="backtest")} == {
        run.run_id for run in runs(embedded, flow="backtest")
    }
    assert runs(keeper, flow="another") == []
    for reference in (FLOW_ID, FLOW_ID[:8], record.flow.run_name, "/desk/data/prices.parquet"):
        try:
            expected = identity(resolve_one(embedded, reference))
        except Exception as error:
            with pytest.raises(type(error)):
                resolve_one(keeper, reference)
        else:
            assert identity(resolve_one(keeper, reference)) == expected


@pytest.mark.parametrize("walk", [upstream, downstream])
def test_walks_meet_the_same_things(keeper: Keeper, walk: Any) -> None:
    record = backtest_record()
    deliver(keeper, events_of(record))
    embedded = graph_of(events_of(record))
    for start in embedded.list_artifacts(artifact_types=["Model", "DataSet", "Metrics"]):
        here = next(
            item for item in keeper.list_artifacts(source_uri=start.source_uri) if identity(item) == identity(start)
        )
        found = {(identity(node.entity), node.depth) for node in walk(keeper, here.arn).nodes}
        assert found == {(identity(node.entity), node.depth) for node in walk(embedded, start.arn).nodes}


def test_lists_meet_every_condition_that_is_given(keeper: Keeper) -> None:
    record = backtest_record()
    deliver(keeper, events_of(record))
    embedded = graph_of(events_of(record))
    action = embedded.list_actions(run_id=FLOW_ID)[0]
    for conditions in (
        {"run_id": FLOW_ID},
        {"run_id": FLOW_ID[:8]},
        {"run_id": "ffff"},
        {"action_types": ["FlowRun", "Replay"]},
        {"action_types": ["Training"]},
        {"flow": "backtest"},
        {"run_name": action.properties["name"]},
        {"commit": (action.metadata.commit_id or "")[:6]},
        {"name": action.name},
        {"name": "nobody"},
        {"roots_only": True},
    ):
        found: dict[str, Any] = conditions
        assert _all(keeper.list_actions(**found)) == _all(embedded.list_actions(**found)), conditions
    assert len(keeper.list_actions(limit=2)) == 2
    assert _all(keeper.list_contexts(name=embedded.list_contexts()[0].name)) == _all(embedded.list_contexts())
    assert _all(keeper.list_artifacts(artifact_types=["Model", "Figure"])) == _all(
        embedded.list_artifacts(artifact_types=["Model", "Figure"])
    )
    for text in ("flow-run", "FIT-model", "prices.parquet dataset", "nothing-like-it"):
        found = keeper.search(text)
        assert _all(entity for entity in found if _in_its_list(entity, text)) == _all(
            entity for entity in embedded.search(text) if _in_its_list(entity, text)
        ), "SageMaker's lists know name, URI, type and source id"
    assert len(keeper.search("flow-run", limit=2)) == 2


def _in_its_list(entity: Entity, text: str) -> bool:
    listed = "\n".join(
        part for part in (entity.name, entity.type, entity.source_uri, getattr(entity, "source_id", None)) if part
    ).casefold()
    return all(word in listed for word in text.casefold().split())


def test_what_is_not_there_is_left_out(keeper: Keeper) -> None:
    deliver(keeper, events_of(backtest_record()))
    assert keeper.get(["arn:aws:sagemaker:eu-central-1:123456789012:artifact/none", "no arn"]) == {}
    assert keeper.associations(sources=["arn:aws:sagemaker:eu-central-1:123456789012:artifact/none"]) == []
    assert keeper.list_artifacts(source_uri="file:///nowhere") == []


def _all(entities: Any) -> dict[Any, Any]:
    return {identity(entity): said(entity) for entity in entities}
