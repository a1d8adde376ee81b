"""SageMaker's own SDK reads back what the keeper wrote of real runs: it knows nothing of this project, and sees only the endpoint.

A flow runs in a process of its own, whose courier delivers it into an account that has something of its data already. What the
SDK then finds there, by lists, queries and loads alone, is the graph that the embedded keeper has of the same events.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.lineage.action import Action as SdkAction
from sagemaker.core.lineage.artifact import Artifact as SdkArtifact
from sagemaker.core.lineage.association import Association as SdkAssociation
from sagemaker.core.lineage.context import Context as SdkContext
from sagemaker.core.lineage.query import (
    LineageEntityEnum,
    LineageFilter,
    LineageQuery,
    LineageQueryDirectionEnum,
    LineageSourceEnum,
)
from sagemaker.core.lineage.visualizer import LineageTableVisualizer

from lineage_flows.content import open_store
from lineage_flows.content.files import hash_file
from lineage_flows.delivery import deliver_once
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.events import Event
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.opening import held_back
from lineage_flows.runtime import open_spool, receivers
from lineage_flows.settings import load_settings
from tests.graph.kit import events_of, graph_of
from tests.graph.sagemaker.kit import Identity, identity, plain
from tests.support.flows import run_script
from tests.support.records import backtest_record, replay_record

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
from pathlib import Path

import pandas as pd
from prefect import flow, task
from sklearn.linear_model import LinearRegression


@task(tags=["preprocessing"])
def load(path):
    return pd.read_csv(path)

@task(tags=["training"])
def fit(prices):
    return LinearRegression().fit(prices[["day"]], prices["close"])

@task(tags=["postprocessing"])
def evaluate(model, prices):
    metrics = {"r2": float(model.score(prices[["day"]], prices["close"]))}
    Path("report.md").write_text(f"r2 {metrics['r2']:.3f}")
    return metrics

@task
def publish():
    raise OSError("the desk's share is away, " * 200 + "truly")

@flow
def desk(path: str = "prices.csv"):
    prices = load(path)
    metrics = evaluate(fit(prices), prices)
    publish(return_state=True)
    return metrics

desk()
"""
PRICES = "day,close\n" + "".join(f"{day},{100 + day * 0.5}\n" for day in range(30))
SAID_BEFORE = {f"desk.{number:02d}": f"what the desk says of it, {number}" for number in range(28)}
"""What somebody said of the prices in SageMaker before any flow read them; with ours there are more than thirty."""

MANAGED = {"managed-by": "lineage-flows", "team": "quant"}
LAID_ASIDE = "lineage-flows."
"""How properties begin that say what SageMaker has no place for; see docs/sagemaker.md."""


@dataclass
class Story:
    """What was done, and who looks at it."""

    endpoint: Endpoint
    session: Any
    events: list[Event]
    embedded: Keeper
    home: Path
    prices: str
    commit: str


@pytest.fixture(scope="module")
def story(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """An account, a person's artifact in it, a run that was delivered by its own process, and a replay by another delivery."""
    folder = tmp_path_factory.mktemp("witness")
    home, desk = folder / "home", folder / "desk"
    commit = _repository(desk)
    with pytest.MonkeyPatch.context() as patch, Endpoint(folder / "account") as endpoint:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        chosen = {
            "AWS_ENDPOINT_URL_SAGEMAKER": endpoint.url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "LINEAGE_FLOWS_KEEPER": "sagemaker",
            "LINEAGE_FLOWS_SAGEMAKER_TAGS": "team=quant",
            "LINEAGE_FLOWS_FLUSH_SECONDS": "120",
            "LINEAGE_FLOWS_HOME": str(home),
        }
        for name, value in chosen.items():
            patch.setenv(name, value)
        boto = boto3.Session(region_name="eu-central-1", aws_access_key_id="k", aws_secret_access_key="s")
        session = Session(boto_session=boto, sagemaker_client=boto.client("sagemaker", endpoint_url=endpoint.url))
        prices = SdkArtifact.create(
            artifact_name="prices-of-the-desk",
            source_uri=f"file://{desk}/prices.csv",
            source_types=[{"SourceIdType": "Custom", "Value": hash_file(desk / "prices.csv")[2]}],
            artifact_type="DataSet",
            properties=SAID_BEFORE,
            sagemaker_session=session,
        ).artifact_arn
        ran = run_script(SCRIPT, desk, home)
        assert ran.code == 0, ran.err
        settings = load_settings()
        spool = open_spool(settings)
        # The flow's own courier has delivered it; on a busy machine it gives up before a flow waits too long.
        assert deliver_once(spool, receivers(settings), home).complete
        record = backtest_record()
        for event in [*events_of(record), *events_of(replay_record(record))]:
            spool.accept(event)
        report = deliver_once(spool, receivers(settings), home)
        assert report.complete
        assert held_back(settings).parked == ()
        events = [item.event for item in spool.pending("nobody", 10_000)]
        spool.close()
        embedded = graph_of(events)
        yield Story(endpoint, session, events, embedded, home, prices, commit)
        embedded.close()


def _repository(folder: Path) -> str:
    """The desk's folder, as a repository; gives the commit."""
    folder.mkdir()
    (folder / "prices.csv").write_text(PRICES)
    (folder / "flow.py").write_text(SCRIPT)
    git = ["git", "-C", str(folder), "-c", "user.name=desk", "-c", "user.email=desk@example.com"]
    for step in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://git.example.com/desk/research.git"],
        ["add", "."],
        ["commit", "-qm", "first"],
    ):
        subprocess.run([*git, *step], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Witnessed:
    """What the SDK says of an entity: its ARN, and all that the embedded graph says, too."""

    arn: str
    key: Identity
    said: dict[str, Any]
    properties: dict[str, str]


def _witnessed(session: Any, arn: str) -> Witnessed:
    """Load an entity by its ARN. Own code: what the keeper reads back of itself would prove nothing."""
    kind = {"artifact": "Artifact", "action": "Action", "context": "Context"}[arn.split(":")[5].partition("/")[0]]
    if kind == "Artifact":
        loaded: Any = SdkArtifact.load(artifact_arn=arn, sagemaker_session=session)
    elif kind == "Action":
        loaded = SdkAction.load(action_name=arn, sagemaker_session=session)
    else:
        loaded = SdkContext.load(context_name=arn, sagemaker_session=session)
    held = dict(loaded.properties)
    properties = {key: value for key, value in held.items() if not key.startswith(LAID_ASIDE)}
    properties |= json.loads(held.get(f"{LAID_ASIDE}more", "{}"))
    metadata = {
        "commit_id": "CommitId",
        "repository": "Repository",
        "generated_by": "GeneratedBy",
        "project_id": "ProjectId",
    }
    told = getattr(loaded, "metadata_properties", None) or {}
    told = told if isinstance(told, dict) else vars(told)
    own = {key: properties.pop(f"{LAID_ASIDE}{key}", None) or held.get(f"{LAID_ASIDE}{key}") for key in metadata}
    said: dict[str, Any] = {
        "name": getattr(loaded, f"{kind.lower()}_name"),
        "type": held.get(f"{LAID_ASIDE}type") or getattr(loaded, f"{kind.lower()}_type"),
        "uri": loaded.source.source_uri,
        "properties": {key: value for key, value in properties.items() if not key.startswith(LAID_ASIDE)},
    }
    if kind != "Context":
        said["metadata"] = {key: own[key] or told.get(theirs) or told.get(key) for key, theirs in metadata.items()}
    pairs = sorted((item["SourceIdType"], item["Value"]) for item in getattr(loaded.source, "source_types", None) or ())
    key: Identity = (kind, said["name"])
    if kind == "Artifact":
        key = ("Artifact", said["uri"], *(f"{one}={value}" for one, value in pairs))
    if kind == "Action":
        said["status"] = loaded.status
    return Witnessed(arn, key, said, held)


def _expected(embedded: Keeper) -> dict[Identity, dict[str, Any]]:
    """The same of the embedded graph."""
    found = {}
    for entity in [*embedded.list_artifacts(), *embedded.list_actions(), *embedded.list_contexts()]:
        said: dict[str, Any] = {
            "name": entity.name,
            "type": entity.type,
            "uri": entity.source_uri,
            "properties": entity.properties,
        }
        if entity.lineage_type != "Context":
            said["metadata"] = entity.metadata.model_dump()
        if entity.lineage_type == "Action":
            said["status"] = entity.status
        found[identity(entity)] = said
    return found


def _listed(session: Any) -> set[str]:
    """Every entity, by lists in pages of seven."""
    page = {"max_results": 7, "sagemaker_session": session}
    return {
        *(item.artifact_arn for item in SdkArtifact.list(**page)),
        *(item.action_arn for item in SdkAction.list(**page)),
        *(item.context_arn for item in SdkContext.list(**page)),
    }


Edge = tuple[str, str, str]


def _queried(session: Any, start: str) -> tuple[set[str], set[Edge]]:
    """All that hangs together with an entity. The SDK never asks for a second page: so a step at a time, from each that was met."""
    met, todo, edges = {start}, [start], set()
    while todo:
        result = LineageQuery(session).query(
            start_arns=[todo.pop()], direction=LineageQueryDirectionEnum.BOTH, max_depth=1
        )
        assert len(result.vertices) < 50, "a page has room for no more"
        edges |= {(edge.source_arn, edge.association_type, edge.destination_arn) for edge in result.edges}
        new = {vertex.arn for vertex in result.vertices} - met
        met |= new
        todo += sorted(new)
    return met, edges


@pytest.fixture(scope="module")
def found(story: Story) -> dict[str, Witnessed]:
    """Every entity that the SDK lists, as it loads it."""
    return {arn: _witnessed(story.session, arn) for arn in _listed(story.session)}


def test_every_entity_is_there_as_the_embedded_graph_has_it(story: Story, found: dict[str, Witnessed]) -> None:
    before = story.endpoint.calls
    assert _listed(story.session) == found.keys()
    asked = story.endpoint.calls - before
    expected = _expected(story.embedded)
    kinds = Counter(key[0] for key in expected)
    assert {name: asked[f"List{name}s"] for name in kinds} == {name: -(-count // 7) for name, count in kinds.items()}
    assert min(asked["ListArtifacts"], asked["ListActions"]) > 1, "in pages"
    witnessed = {one.key: one.said for one in found.values()}
    assert len(witnessed) == len(found)
    prices = found[story.prices].key
    expected[prices]["properties"] = SAID_BEFORE | expected[prices]["properties"]
    assert witnessed.keys() == expected.keys()
    for key, said in expected.items():
        assert witnessed[key] == said, key


def test_every_association_is_there_however_it_is_asked_for(story: Story, found: dict[str, Witnessed]) -> None:
    listed = set()
    before = story.endpoint.calls
    for edge in SdkAssociation.list(max_results=9, sagemaker_session=story.session):
        listed.add((edge.source_arn, edge.association_type, edge.destination_arn))
        assert (edge.source_type, edge.destination_type) == (
            found[edge.source_arn].said["type"],
            found[edge.destination_arn].said["type"],
        )
    assert (story.endpoint.calls - before)["ListAssociations"] == -(-len(listed) // 9) > 1
    _, expected = plain(story.embedded)
    assert {(found[one].key, kind, found[other].key) for one, kind, other in listed} == expected
    assert {kind for _, kind, _ in listed} == {"ContributedTo", "Produced", "AssociatedWith", "DerivedFrom", "SameAs"}

    reached, walked = set[str](), set[Edge]()
    for arn in found:
        if arn not in reached:
            met, edges = _queried(story.session, arn)
            reached |= met
            walked |= edges
    assert reached == found.keys()
    assert walked == listed


def test_more_properties_than_there_is_room_for_share_one(story: Story, found: dict[str, Witnessed]) -> None:
    prices = found[story.prices]
    assert len(prices.properties) == 30
    packed = json.loads(prices.properties[f"{LAID_ASIDE}more"])
    assert packed
    assert packed.keys().isdisjoint(prices.properties)
    assert prices.said["properties"].items() >= SAID_BEFORE.items()
    assert prices.said["properties"].keys() > SAID_BEFORE.keys()


def test_what_was_cut_short_says_where_it_stands_whole(story: Story, found: dict[str, Witnessed]) -> None:
    (failed,) = [one for one in found.values() if one.said.get("status") == "Failed"]
    (cut,) = [key for key, value in failed.said["properties"].items() if value.endswith("…")]
    pointer = failed.properties[f"{LAID_ASIDE}whole"]
    assert cut in pointer
    (uri,) = re.findall(r"\S+/record", pointer)
    (record,) = [one for one in found.values() if one.said["type"] == "RunRecord" and one.said["uri"] == uri]
    kept = open_store(load_settings(home=story.home).blobs_url).get(record.properties["blob"])
    assert b"the desk's share is away, " * 200 + b"truly" in kept


def test_commit_repository_status_and_types_are_told(story: Story, found: dict[str, Witnessed]) -> None:
    actions = {one.key[1].partition("-")[0]: one.said for one in found.values() if one.key[0] == "Action"}
    assert (actions["load"]["type"], actions["load"]["status"]) == ("Preprocessing", "Completed")
    assert (actions["fit"]["type"], actions["fit"]["status"]) == ("Training", "Completed")
    assert (actions["evaluate"]["type"], actions["evaluate"]["status"]) == ("Postprocessing", "Completed")
    assert (actions["publish"]["type"], actions["publish"]["status"]) == ("Processing", "Failed")
    assert (actions["desk"]["type"], actions["desk"]["status"]) == ("FlowRun", "Completed")
    assert actions["desk"]["metadata"]["commit_id"] == story.commit
    assert "git.example.com/desk/research" in actions["desk"]["metadata"]["repository"]


def test_all_that_the_keeper_made_has_its_tags_and_what_it_found_keeps_its_own(
    story: Story, found: dict[str, Witnessed]
) -> None:
    for arn in found:
        tags = story.session.sagemaker_client.list_tags(ResourceArn=arn)["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == ({} if arn == story.prices else MANAGED)


def _the_model(found: dict[str, Witnessed]) -> Witnessed:
    """That of the flow, and not of the record."""
    models = [one for one in found.values() if one.said["type"] == "Model"]
    (model,) = [one for one in models if "LinearRegression" in str(one.said["properties"])]
    return model


def test_from_the_model_upstream_and_downstream(story: Story, found: dict[str, Witnessed]) -> None:
    model = _the_model(found)
    up = LineageQuery(story.session).query(
        start_arns=[model.arn],
        direction=LineageQueryDirectionEnum.ASCENDANTS,
        include_edges=False,
        query_filter=LineageFilter(entities=[LineageEntityEnum.ARTIFACT], sources=[LineageSourceEnum.DATASET]),
    )
    sources = [vertex.to_lineage_object().source.source_uri for vertex in up.vertices]
    assert any(uri.endswith("/prices.csv") for uri in sources)
    down = LineageQuery(story.session).query(start_arns=[story.prices], direction=LineageQueryDirectionEnum.DESCENDANTS)
    reached = {vertex.arn for vertex in down.vertices}
    assert model.arn in reached
    assert any(found[arn].said["uri"].endswith("/report.md") for arn in reached)
    table = LineageTableVisualizer(story.session).show(artifact_arn=model.arn)
    assert sorted(zip(table["Direction"], table["Type"], table["Association Type"], strict=True)) == [
        ("Input", "Training", "Produced"),
        ("Output", "Postprocessing", "ContributedTo"),
    ]


def test_the_example_of_the_article_shows_it(story: Story, found: dict[str, Witnessed]) -> None:
    """Asked of the account, and of an account that the example itself has the keeper fill from the home."""
    model = _the_model(found)
    waiting = _spooled(story.home)
    of_account = _example(story, model.arn)
    of_home = _example(story, model.arn, "--home", str(story.home), "--keeper", "sagemaker")
    assert _spooled(story.home) == waiting
    assert sorted(of_home.splitlines()) == sorted(of_account.splitlines())
    associations, upstream, downstream = re.split(r"Upstream|Downstream", of_account)
    rows = [tuple(cell.strip() for cell in line.strip("│").split("│")) for line in associations.splitlines()]
    (made,) = [row for row in rows if "Produced" in row]
    assert (made[1], made[3], made[4]) == ("Training", model.said["name"], "Model")
    (used,) = [row for row in rows if "ContributedTo" in row]
    assert (used[1], used[4]) == ("Model", "Postprocessing")
    assert "/prices.csv" in upstream
    assert "/report.md" in downstream


def test_the_example_says_when_there_is_nothing_to_write(story: Story, tmp_path: Path) -> None:
    done = _run_example(story, "--home", str(tmp_path), "--keeper", "sagemaker")
    assert done.returncode == 1
    assert "no flow has run with it" in done.stderr
    assert list(tmp_path.iterdir()) == []


def _example(story: Story, *arguments: str) -> str:
    done = _run_example(story, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run_example(story: Story, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {"AWS_ENDPOINT_URL_SAGEMAKER": story.endpoint.url, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "demo.associations", *arguments],
        cwd=ROOT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _spooled(home: Path) -> tuple[int, int]:
    spool = open_spool(load_settings(home=home))
    try:
        return spool.last(), spool.backlog("graph")
    finally:
        spool.close()
