"""QueryLineage and Search over boto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.endpoint import others
from lineage_flows.endpoint.faults import Faults
from lineage_flows.endpoint.search_pages import Ranking
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.project import project
from tests.endpoint.kit import client, refuses
from tests.graph.kit import events_of, output_of
from tests.support.records import backtest_record


def lineage(sagemaker: Any, start: str, **request: Any) -> tuple[list[dict[str, str]], set[tuple[str, str, str]], int]:
    """All vertices and edges, and in how many pages they came."""
    vertices: list[dict[str, str]] = []
    edges: list[tuple[str, str, str]] = []
    count = 0
    while True:
        answer = sagemaker.query_lineage(StartArns=[start], **request)
        vertices += answer["Vertices"]
        edges += [(edge["SourceArn"], edge["DestinationArn"], edge["AssociationType"]) for edge in answer["Edges"]]
        seen = {vertex["Arn"] for vertex in vertices}
        assert all(source in seen and destination in seen for source, destination, _ in edges)
        count += 1
        if "NextToken" not in answer:
            assert len(seen) == len(vertices)
            assert len(set(edges)) == len(edges)
            return vertices, set(edges), count
        request["NextToken"] = answer["NextToken"]


def arns(sagemaker: Any, start: str, **request: Any) -> list[str]:
    return [vertex["Arn"] for vertex in lineage(sagemaker, start, **request)[0]]


@pytest.fixture
def artifact(sagemaker: Any) -> Any:
    def make(name: str, type_: str = "DataSet", **members: Any) -> str:
        source = {"SourceUri": f"s3://desk/{name}"}
        return str(
            sagemaker.create_artifact(ArtifactName=name, Source=source, ArtifactType=type_, **members)["ArtifactArn"]
        )

    return make


@pytest.fixture
def link(sagemaker: Any) -> Any:
    def make(source: str, destination: str, kind: str = "ContributedTo") -> None:
        sagemaker.add_association(SourceArn=source, DestinationArn=destination, AssociationType=kind)

    return make


@pytest.fixture
def story(sagemaker: Any, artifact: Any, link: Any) -> dict[str, str]:
    """AWS's own example: image and data set into a training job, its model deployed."""
    uri = {"SourceUri": "arn:aws:sagemaker:local:000000000000:endpoint/live"}
    made = {
        "data": artifact("prices", Properties={"owner": "ann"}),
        "image": artifact("image", "Image"),
        "job": sagemaker.create_trial_component(
            TrialComponentName="fit-aws-training-job", Parameters={"depth": {"NumberValue": 3.0}}
        )["TrialComponentArn"],
        "model": artifact("model", "Model", Properties={"owner": "bob"}),
        "deploy": sagemaker.create_action(ActionName="deploy", Source=uri, ActionType="ModelDeployment")["ActionArn"],
        "live": sagemaker.create_context(ContextName="live", Source=uri, ContextType="Endpoint")["ContextArn"],
    }
    link(made["data"], made["job"])
    link(made["image"], made["job"])
    link(made["job"], made["model"], "Produced")
    link(made["model"], made["deploy"])
    link(made["deploy"], made["live"], "AssociatedWith")
    return made


def test_a_query_answers_in_the_words_of_the_service(sagemaker, story):
    vertices, edges, _ = lineage(sagemaker, story["model"], Direction="Ascendants", IncludeEdges=True)
    assert vertices == [
        {"Arn": story["model"], "LineageType": "Artifact", "Type": "Model"},
        {"Arn": story["job"], "LineageType": "TrialComponent", "Type": "TrainingJob"},
        *sorted(
            [
                {"Arn": story["data"], "LineageType": "Artifact", "Type": "DataSet"},
                {"Arn": story["image"], "LineageType": "Artifact", "Type": "Image"},
            ],
            key=lambda vertex: vertex["Arn"],
        ),
    ]
    assert edges == {
        (story["job"], story["model"], "Produced"),
        (story["data"], story["job"], "ContributedTo"),
        (story["image"], story["job"], "ContributedTo"),
    }


def test_directions_depth_and_what_is_left_out_without_edges(sagemaker, story):
    up = {"Direction": "Ascendants"}
    down = {"Direction": "Descendants"}
    assert set(arns(sagemaker, story["model"], **up)) == {story["job"], story["data"], story["image"]}
    assert arns(sagemaker, story["model"], **down) == [story["deploy"], story["live"]]
    assert set(arns(sagemaker, story["model"])) == set(story.values()) - {story["model"]}
    assert arns(sagemaker, story["model"], MaxDepth=1, **up) == [story["job"]]
    assert arns(sagemaker, story["model"], MaxDepth=0) == []
    answer = sagemaker.query_lineage(StartArns=[story["model"]], Direction="Ascendants")
    assert answer["Edges"] == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"Types": ["DataSet", "Endpoint"]}, {"data", "live"}),
        ({"LineageTypes": ["TrialComponent", "Action"]}, {"job", "deploy"}),
        ({"Types": ["TrainingJob"], "LineageTypes": ["TrialComponent"]}, {"job"}),
        ({"Types": ["DataSet"], "LineageTypes": ["Action"]}, set()),
        ({"Properties": {"owner": "ann"}}, {"data"}),
        ({"Properties": {"owner": "ann", "depth": "3"}}, {"data", "job"}),
        ({"CreatedAfter": datetime.now(UTC) + timedelta(days=1)}, set()),
        ({"CreatedBefore": datetime.now(UTC) + timedelta(days=1), "Types": ["Image"]}, {"image"}),
        ({"ModifiedAfter": datetime.now(UTC) - timedelta(days=1), "Types": ["Image"]}, {"image"}),
        ({"ModifiedBefore": datetime.now(UTC) - timedelta(days=1)}, set()),
    ],
)
def test_filters(sagemaker, story, filters, expected):
    assert set(arns(sagemaker, story["model"], Filters=filters)) == {story[name] for name in expected}


def test_with_edges_come_the_ways_to_what_matches(sagemaker, story):
    vertices, edges, _ = lineage(sagemaker, story["data"], IncludeEdges=True, Filters={"Types": ["Model"]})
    assert {vertex["Arn"] for vertex in vertices} == {story["data"], story["job"], story["model"]}
    assert edges == {(story["data"], story["job"], "ContributedTo"), (story["job"], story["model"], "Produced")}


def test_what_is_refused(sagemaker, story):
    gone = story["model"][:-3] + "000"
    with refuses("ResourceNotFound", gone):
        sagemaker.query_lineage(StartArns=[gone])
    for request in (
        {},
        {"StartArns": []},
        {"StartArns": [story["model"], story["data"]]},
        {"StartArns": ["arn:aws:s3:::bucket"]},
        {"StartArns": [story["model"]], "MaxDepth": 11},
        {"StartArns": [story["model"]], "MaxDepth": -1},
        {"StartArns": [story["model"]], "MaxResults": 51},
        {"StartArns": [story["model"]], "MaxResults": 0},
        {"StartArns": [story["model"]], "Direction": "Sideways"},
        {"StartArns": [story["model"]], "NextToken": "forged"},
        {"StartArns": [story["model"]], "Filters": {"Types": list("abcdef")}},
        {"StartArns": [story["model"]], "Filters": {"LineageTypes": ["Experiment"]}},
        {"StartArns": [story["model"]], "Filters": {"Properties": {str(number): "" for number in range(6)}}},
    ):
        with refuses("ValidationException"):
            sagemaker.query_lineage(**request)


def test_an_experiment_can_be_a_start_and_is_never_an_answer(sagemaker, story):
    experiment = sagemaker.create_experiment(ExperimentName="exp")["ExperimentArn"]
    sagemaker.add_association(SourceArn=story["job"], DestinationArn=experiment)
    assert arns(sagemaker, experiment, IncludeEdges=True) == []
    assert experiment not in arns(sagemaker, story["job"], IncludeEdges=True)
    with refuses("ResourceNotFound"):
        sagemaker.query_lineage(StartArns=[experiment + "x"])


def test_pages_of_one_query_are_those_of_one_answer_whatever_is_written_in_between(sagemaker, artifact, link, endpoint):
    hub = artifact("hub")
    first = {artifact(f"a{number}") for number in range(12)}
    for arn in first:
        link(hub, arn)
    request = {"StartArns": [hub], "IncludeEdges": True, "MaxResults": 5}
    answer = sagemaker.query_lineage(**request)
    found = [vertex["Arn"] for vertex in answer["Vertices"]]
    edges = list(answer["Edges"])
    late = 0
    while "NextToken" in answer:
        link(hub, artifact(f"late{late}"))
        late += 1
        answer = sagemaker.query_lineage(**{**request, "MaxResults": 4}, NextToken=answer["NextToken"])
        found += [vertex["Arn"] for vertex in answer["Vertices"]]
        edges += answer["Edges"]
    assert sorted(found) == sorted({hub, *first})
    assert len(edges) == 12
    token = sagemaker.query_lineage(**request)["NextToken"]
    for other in ({"IncludeEdges": False}, {"Filters": {"Types": ["Model"]}}, {"Direction": "Ascendants"}):
        with refuses("ValidationException", "NextToken"):
            sagemaker.query_lineage(**{**request, **other}, NextToken=token)


def test_another_endpoint_over_the_graph_goes_on_where_the_first_one_was(sagemaker, artifact, link, start):
    hub = artifact("hub")
    first = {artifact(f"a{number}") for number in range(9)}
    for arn in first:
        link(hub, arn)
    request = {"StartArns": [hub], "IncludeEdges": True, "MaxResults": 4}
    answer = sagemaker.query_lineage(**request)
    found, edges = list(answer["Vertices"]), list(answer["Edges"])
    while "NextToken" in answer:
        link(hub, artifact(f"late{len(found)}"))
        answer = client(start().url).query_lineage(**request, NextToken=answer["NextToken"])
        found += answer["Vertices"]
        edges += answer["Edges"]
    arns_found = [vertex["Arn"] for vertex in found]
    assert len(arns_found) == len(set(arns_found))
    assert {hub, *first} <= set(arns_found)
    assert {(hub, arn) for arn in first} <= {(edge["SourceArn"], edge["DestinationArn"]) for edge in edges}


def test_a_recorded_run_is_walked_as_its_graph_has_it(sagemaker, fast_home, endpoint):
    """What the courier wrote is there at once, with its ARNs: an open endpoint, and a keeper that writes the same file."""
    record = backtest_record()
    keeper = open_embedded(fast_home / "graph.db")
    project(events_of(record), keeper)
    model = output_of(keeper, record.steps[2])
    graph = nx.DiGraph((edge.source_arn, edge.destination_arn) for edge in keeper.associations())
    reached = nx.single_source_shortest_path_length(graph.reverse(), model.arn, cutoff=10)
    vertices, edges, _ = lineage(sagemaker, model.arn, Direction="Ascendants", IncludeEdges=True)
    assert {vertex["Arn"] for vertex in vertices} == set(reached)
    types = {arn: found.type for arn, found in keeper.get(reached).items()}
    assert {vertex["Arn"]: vertex["Type"] for vertex in vertices} == types
    kinds = {edge[:2]: edge[2] for edge in edges}
    expected = {
        (edge.source_arn, edge.destination_arn): edge.association_type
        for edge in keeper.associations(destinations=list(reached))
        if reached[edge.destination_arn] < 10
    }
    assert kinds == expected
    (data,) = arns(sagemaker, model.arn, Direction="Ascendants", Filters={"Types": ["DataSet"]})
    assert sagemaker.describe_artifact(ArtifactArn=data)["Source"]["SourceUri"].endswith("prices.parquet")
    tasks = {"Types": ["Training"], "Properties": {"task": "fit_model"}}
    assert len(arns(sagemaker, model.arn, Direction="Ascendants", Filters=tasks)) == 1


def test_queries_lag_where_lists_do_and_descriptions_do_not(start):
    """An hour, so that nothing becomes visible while the test runs."""
    slow = client(start(faults=Faults(lag=1.0, lag_seconds=3600)).url)
    component = slow.create_trial_component(TrialComponentName="fit")["TrialComponentArn"]
    assert slow.describe_trial_component(TrialComponentName="fit")["TrialComponentArn"] == component
    assert slow.search(Resource="ExperimentTrialComponent")["Results"] == []
    assert slow.list_trial_components()["TrialComponentSummaries"] == []
    with refuses("ResourceNotFound"):
        slow.query_lineage(StartArns=[component])
    prompt = client(start().url)
    assert prompt.query_lineage(StartArns=[component], IncludeEdges=True)["Vertices"] != []


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12, unique=True),
    direction=st.sampled_from(["Ascendants", "Descendants", "Both"]),
    depth=st.integers(0, 4),
    size=st.integers(1, 5),
)
def test_any_graph_is_walked_as_networkx_walks_it(sagemaker, pairs, direction, depth, size):
    source = {"SourceUri": "s3://desk/x"}
    nodes = [item["ArtifactArn"] for item in sagemaker.list_artifacts()["ArtifactSummaries"]]
    if not nodes:
        for number in range(4):
            sagemaker.create_artifact(Source={"SourceUri": f"s3://desk/{number}"}, ArtifactType="DataSet")
        sagemaker.create_action(ActionName="action", Source=source, ActionType="Fit")
        sagemaker.create_context(ContextName="context", Source=source, ContextType="Flow")
        sagemaker.create_trial_component(TrialComponentName="component")
        nodes = [item["ArtifactArn"] for item in sagemaker.list_artifacts()["ArtifactSummaries"]]
    nodes = [
        *sorted(nodes),
        sagemaker.describe_action(ActionName="action")["ActionArn"],
        sagemaker.describe_context(ContextName="context")["ContextArn"],
        sagemaker.describe_trial_component(TrialComponentName="component")["TrialComponentArn"],
    ]
    for item in sagemaker.list_associations(MaxResults=100)["AssociationSummaries"]:
        sagemaker.delete_association(SourceArn=item["SourceArn"], DestinationArn=item["DestinationArn"])
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    for one, other in pairs:
        sagemaker.add_association(SourceArn=nodes[one], DestinationArn=nodes[other], AssociationType="DerivedFrom")
        graph.add_edge(nodes[one], nodes[other])
    seen = {"Ascendants": graph.reverse(), "Descendants": graph, "Both": graph.to_undirected()}[direction]
    for start in nodes:
        reached = nx.single_source_shortest_path_length(seen, start, cutoff=depth)
        request = {"Direction": direction, "MaxDepth": depth, "MaxResults": size}
        assert set(arns(sagemaker, start, **request)) == reached.keys() - {start}
        vertices, edges, _ = lineage(sagemaker, start, IncludeEdges=True, **request)
        assert {vertex["Arn"] for vertex in vertices} == set(reached)
        near = [arn for arn in reached if reached[arn] < depth]
        expected = set(seen.edges(near)) if direction != "Both" else set()
        if direction == "Ascendants":
            expected = {(destination, source_) for source_, destination in expected}
        if direction == "Both":
            expected = {edge for edge in graph.edges if edge[0] in near or edge[1] in near}
        assert {edge[:2] for edge in edges} == expected


# Search


def found(sagemaker: Any, resource: str, **request: Any) -> list[Any]:
    """All results of a search, as boto3's own paginator collects them."""
    results: list[Any] = []
    for page in sagemaker.get_paginator("search").paginate(Resource=resource, **request):
        results += page["Results"]
    return results


def equal(name: str, value: str) -> dict[str, Any]:
    return {"Filters": [{"Name": name, "Operator": "Equals", "Value": value}]}


def test_components_are_found_with_the_trials_they_belong_to(sagemaker):
    """What the SDK asks to get from an artifact to the trials that used it."""
    sagemaker.create_experiment(ExperimentName="exp", Tags=[{"Key": "team", "Value": "risk"}])
    for trial in ("t1", "t2"):
        sagemaker.create_trial(TrialName=trial, ExperimentName="exp")
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    arn = sagemaker.create_trial_component(
        TrialComponentName="fit-aws-training-job",
        StartTime=started,
        Parameters={"depth": {"NumberValue": 3.0}},
        Tags=[{"Key": "team", "Value": "risk"}],
    )["TrialComponentArn"]
    other = sagemaker.create_trial_component(TrialComponentName="other")["TrialComponentArn"]
    for trial in ("t1", "t2"):
        sagemaker.associate_trial_component(TrialComponentName="fit-aws-training-job", TrialName=trial)
    filters = [{"Name": "TrialComponentArn", "Operator": "Equals", "Value": value} for value in (arn, other)]
    results = found(sagemaker, "ExperimentTrialComponent", SearchExpression={"Filters": filters, "Operator": "Or"})
    by_name = {result["TrialComponent"]["TrialComponentName"]: result["TrialComponent"] for result in results}
    assert by_name.keys() == {"fit-aws-training-job", "other"}
    component = by_name["fit-aws-training-job"]
    assert component["Parents"] == [
        {"TrialName": "t1", "ExperimentName": "exp"},
        {"TrialName": "t2", "ExperimentName": "exp"},
    ]
    assert component["StartTime"] == started
    assert component["Source"]["SourceArn"].endswith(":training-job/fit")
    assert component["Tags"] == [{"Key": "team", "Value": "risk"}]
    (trial,) = found(sagemaker, "ExperimentTrial", SearchExpression=equal("TrialName", "t1"))
    (summary,) = trial["Trial"]["TrialComponentSummaries"]
    assert summary["TrialComponentArn"] == arn
    (experiment,) = found(sagemaker, "Experiment", SearchExpression=equal("Tags.team", "risk"))
    assert experiment["Experiment"]["ExperimentName"] == "exp"
    assert found(sagemaker, "ExperimentTrialComponent", SearchExpression=equal("Parents.TrialName", "t3")) == []


def test_a_search_is_in_pages_newest_first_and_counts_all_that_match(sagemaker):
    names = [f"c{number}" for number in range(13)]
    for number, name in enumerate(names):
        sagemaker.create_trial_component(TrialComponentName=name, Parameters={"n": {"NumberValue": number % 5}})
    first = sagemaker.search(Resource="ExperimentTrialComponent")
    assert len(first["Results"]) == 10
    assert first["TotalHits"] == {"Value": 13, "Relation": "EqualTo"}

    def listed(**request: Any) -> list[str]:
        results = found(sagemaker, "ExperimentTrialComponent", **request)
        return [result["TrialComponent"]["TrialComponentName"] for result in results]

    assert listed() == names[::-1]
    assert listed(SortOrder="Ascending", PaginationConfig={"PageSize": 4}) == names
    by_number = listed(SortBy="Parameters.n.NumberValue", PaginationConfig={"PageSize": 3})
    assert [int(name[1:]) % 5 for name in by_number] == sorted((number % 5 for number in range(13)), reverse=True)
    assert sorted(by_number) == sorted(names)
    for request in ({"SortOrder": "Ascending"}, {"SearchExpression": equal("DisplayName", "c1")}):
        with refuses("ValidationException", "NextToken"):
            sagemaker.search(Resource="ExperimentTrialComponent", NextToken=first["NextToken"], **request)
    with refuses("ValidationException", "NextToken"):
        sagemaker.search(Resource="ExperimentTrial", NextToken=first["NextToken"])


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read of experiments, components, jobs and the like, by ARN, in order."""
    read: list[str] = []
    real = others.Other

    def counted(arn: str, *rest: Any) -> others.Other:
        read.append(arn)
        return real(arn, *rest)

    monkeypatch.setattr(others, "Other", counted)
    return read


def test_only_the_first_page_of_a_search_reads_all_there_are(sagemaker, endpoint, reads):
    sagemaker.create_experiment(ExperimentName="exp")
    for number in range(40):
        trial, component = f"t{number:02d}", f"c{number:02d}-aws-training-job"
        sagemaker.create_trial(TrialName=trial, ExperimentName="exp")
        sagemaker.create_trial_component(TrialComponentName=component)
        sagemaker.associate_trial_component(TrialComponentName=component, TrialName=trial)
    request = {"Resource": "ExperimentTrialComponent", "MaxResults": 5, "SortBy": "TrialComponentName"}
    costs, names, token = [], [], {}
    while True:
        reads.clear()
        page = sagemaker.search(**request, **token)
        costs.append(len(reads))
        names += [item["TrialComponent"]["TrialComponentName"] for item in page["Results"]]
        assert all(len(item["TrialComponent"]["Parents"]) == 1 for item in page["Results"])
        assert page["TotalHits"]["Value"] == 40
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert names == [f"c{number:02d}-aws-training-job" for number in reversed(range(40))]
    assert costs[0] >= 40
    assert max(costs[1:]) <= 2 * 6, "a page's components and one that tells of another page, and the trial of each"
    # An endpoint that does not know the token's search any more finds it anew, once.
    first = sagemaker.search(**request)
    endpoint._backend.searched.keep(b"another", Ranking([(1, 0.0, "", "")] * 250_001, descending=True))
    reads.clear()
    second = sagemaker.search(**request, NextToken=first["NextToken"])
    assert len(reads) >= 40
    assert [item["TrialComponent"]["TrialComponentName"][:3] for item in second["Results"]] == [
        f"c{number}" for number in range(34, 29, -1)
    ]
    reads.clear()
    sagemaker.search(**request, NextToken=second["NextToken"])
    assert len(reads) <= 2 * 6


def test_pages_of_a_search_are_of_what_its_first_page_found_as_it_is_now(sagemaker):
    for number in range(9):
        sagemaker.create_experiment(ExperimentName=f"e{number}", Description="kept")
    request = {"Resource": "Experiment", "MaxResults": 3, "SortBy": "ExperimentName", "SortOrder": "Ascending"}
    kept = {"SearchExpression": equal("Description", "kept")}
    first = sagemaker.search(**request, **kept)
    sagemaker.create_experiment(ExperimentName="e9", Description="kept")
    sagemaker.delete_experiment(ExperimentName="e3")
    sagemaker.update_experiment(ExperimentName="e4", Description="dropped")
    sagemaker.update_experiment(ExperimentName="e5", DisplayName="fifth")
    second = sagemaker.search(**request, **kept, NextToken=first["NextToken"])
    assert [item["Experiment"]["DisplayName"] for item in second["Results"]] == ["fifth", "e6", "e7"]
    third = sagemaker.search(**request, **kept, NextToken=second["NextToken"])
    assert [item["Experiment"]["ExperimentName"] for item in third["Results"]] == ["e8"]
    assert "NextToken" not in third
    assert [page["TotalHits"]["Value"] for page in (first, second, third)] == [9, 9, 9]
    assert sagemaker.search(**request, **kept)["TotalHits"]["Value"] == 8


def test_what_search_refuses_and_what_it_does_not_have(sagemaker, endpoint):
    unchecked = client(endpoint.url, checks=False)
    for request in (
        {"Resource": "Artifact"},
        {"Resource": "Experiment", "SearchExpression": {}},
        {"Resource": "Experiment", "SearchExpression": equal("Depth", "3")},
        {"Resource": "Experiment", "SortBy": "Depth"},
        {"Resource": "Experiment", "MaxResults": 101},
        {"Resource": "Experiment", "SearchExpression": {"Filters": []}},
    ):
        with refuses("ValidationException"):
            unchecked.search(**request)
    sagemaker.create_experiment(ExperimentName="exp")
    assert sagemaker.search(Resource="Endpoint")["Results"] == []
    assert sagemaker.search(Resource="Experiment", CrossAccountFilterOption="CrossAccount")["TotalHits"]["Value"] == 0
    assert len(sagemaker.search(Resource="Experiment", CrossAccountFilterOption="SameAccount")["Results"]) == 1


def test_visibility(sagemaker):
    for name, team in (("one", "risk"), ("two", "sales")):
        sagemaker.create_experiment(ExperimentName=name, Tags=[{"Key": "team", "Value": team}])
    sagemaker.create_experiment(ExperimentName="three")
    results = found(sagemaker, "Experiment", VisibilityConditions=[{"Key": "Tags.team", "Value": "risk"}])
    assert sorted(result["Experiment"]["ExperimentName"] for result in results) == ["one", "three"]
