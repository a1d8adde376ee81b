"""What SageMaker makes itself of what a flow started there, and how it is joined to the steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import boto3
import pytest

from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.model import Action
from lineage_flows.graph.query import downstream, upstream
from lineage_flows.graph.sagemaker import SageMakerKeeper, awaited, joins, open_sagemaker
from lineage_flows.graph.sagemaker.discarding import discard, discarded, left
from lineage_flows.records import RunRecord
from tests.graph.jobs import IMAGE, PLACE, arn_of, preparing, s3, scoring, thing, training
from tests.graph.kit import events_of, graph_of, output_of, record_of
from tests.graph.sagemaker.double import Double, refusal
from tests.graph.sagemaker.kit import deliver, keeper_over, new_cache
from tests.support.records import at, backtest_record, step

MODEL = "s3://desk/models/Nightly-1/output/model.tar.gz"
BEGUN, OVER = (datetime.fromisoformat(at(14_000 + seconds)) for seconds in (6, 600))


class WithComponents(Double):
    """A SageMaker that has trial components."""

    def __init__(self) -> None:
        super().__init__()
        self.components: dict[str, dict[str, Any]] = {}

    def run(self, job: str, *, reads: Any = (), writes: Any = (), status: str = "Completed", name: str = "") -> str:
        """Do what SageMaker does of its own accord when a job runs."""
        kind = job.rpartition(":")[2].partition("/")[0]
        name = name or f"{job.rpartition('/')[2]}-aws-{kind}"
        arn = f"{self.account}:experiment-trial-component/{name}"
        source = {"SourceArn": job, "SourceType": f"SageMaker{kind.removesuffix('-job').capitalize()}Job"}
        self.components[arn] = {
            "TrialComponentArn": arn, "TrialComponentName": name, "Source": source, "Status": {"PrimaryStatus": status},
            "StartTime": BEGUN, "EndTime": OVER, "CreationTime": OVER,
            "Parameters": {"depth": {"NumberValue": 5.0}, "password": {"StringValue": "hush"}},
        }  # fmt: skip
        self.entities.setdefault(arn, {"kind": "TrialComponent", "Source": {"SourceUri": job}, "CreationTime": OVER})
        for uri in reads:
            self.edges[self.own(uri), arn] = "ContributedTo"
        for uri in writes:
            self.edges[arn, self.own(uri)] = "Produced"
        return arn

    def own(self, uri: str, kind: str = "Artifact", number: str = "") -> str:
        """SageMaker's own artifact of a URI, or context, or action: that without source types, if it is there already."""
        for arn, item in self.entities.items():
            source = item["Source"]
            if not number and (item["kind"], source["SourceUri"], source.get("SourceTypes")) == (kind, uri, None):
                return arn
        key = number if number else json.dumps([uri, []])
        arn = f"{self.account}:{kind.lower()}/{abs(hash(key)):032x}"
        self.entities[arn] = {
            "kind": kind, f"{kind}Arn": arn, f"{kind}Type": "Own", "Source": {"SourceUri": uri}, "CreationTime": OVER,
            "Name": None, f"{kind}Name": f"own-{kind}",
        }  # fmt: skip
        return arn

    def _answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        if operation == "ListTrialComponents":
            found = [item for item in self.components.values() if item["Source"]["SourceArn"] == given["SourceArn"]]
            return {"TrialComponentSummaries": [{**item, "TrialComponentSource": item["Source"]} for item in found]}
        if operation == "DescribeTrialComponent":
            if given["TrialComponentName"] not in self.components:
                raise refusal("ResourceNotFound", "no such component")
            return self.components[given["TrialComponentName"]]
        return super()._answer(operation, given)

    def lists(self) -> dict[str, int]:
        """The calls that look for something, by operation."""
        return {name: number for name, number in self.calls.items() if name.startswith(("List", "Describe"))}


def day() -> list[RunRecord]:
    return [preparing(1), training(1), scoring(1, 1)]


def bring(keeper: SageMakerKeeper, *records: RunRecord) -> None:
    for record in records:
        deliver(keeper, events_of(record))


def above(keeper: SageMakerKeeper, record: RunRecord) -> dict[str, str]:
    """Upstream of what the first step of a run gave out: URIs and types."""
    walk = upstream(keeper, output_of_step(keeper, record))
    return {node.entity.source_uri: node.entity.type for node in walk.nodes}


def output_of_step(keeper: SageMakerKeeper, record: RunRecord) -> str:
    return output_of(keeper, record.steps[0]).arn


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time that waiting goes by; seconds since 1970."""
    now = [OVER.timestamp() + 3600.0]
    monkeypatch.setattr(joins.time, "time", lambda: now[0])
    return now


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_from_a_score_to_the_job_that_sagemaker_knows_and_on_to_who_wrote_its_data(
    first: str, endpoint: Endpoint
) -> None:
    description = {
        "TrainingJobName": "Nightly-1", "TrainingJobArn": arn_of("Nightly-1"), "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed", "HyperParameters": {"depth": "5"},
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": "s3://desk/train"}}}],
        "OutputDataConfig": {"S3OutputPath": "s3://desk/models"}, "ModelArtifacts": {"S3ModelArtifacts": MODEL},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60}, "CreationTime": OVER,
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "TrainingStartTime": BEGUN, "TrainingEndTime": OVER, "LastModifiedTime": OVER,
    }  # fmt: skip
    records = day()
    keeper = open_sagemaker(new_cache())
    try:
        if first == "theirs":
            endpoint.keep("TrainingJob", [description])
        bring(keeper, *records)
        if first == "ours":
            endpoint.keep("TrainingJob", [description])
            keeper.deliver()
        found = above(keeper, records[2])
        assert found[arn_of("Nightly-1")] in {"Job", "TrainingJob"}
        assert {"file:///desk/raw_1_0", "s3://desk/train/part-0.csv", "s3://desk/train", IMAGE, MODEL} <= set(found)
        walk = upstream(keeper, output_of_step(keeper, records[2]))
        (component,) = [node.entity for node in walk.nodes if "trial-component" in node.entity.arn]
        assert isinstance(component, Action)
        assert (component.type, component.status, component.name) == (
            "TrainingJob", "Completed", "Nightly-1-aws-training-job",
        )  # fmt: skip
        edges = {(edge.source_arn, edge.destination_arn): edge.association_type for edge in walk.edges}
        (job,) = keeper.list_artifacts(source_uri=arn_of("Nightly-1"))
        (made,) = [item for item in keeper.list_artifacts(source_uri=MODEL) if not item.source_types]
        (read,) = [item for item in keeper.list_artifacts(source_uri=MODEL) if item.source_types]
        assert edges[job.arn, component.arn] == "ContributedTo"
        assert edges[component.arn, made.arn] == "Produced"
        assert edges[made.arn, read.arn] == "SameAs"
        (raw,) = keeper.list_artifacts(source_uri="file:///desk/raw_1_0")
        assert output_of_step(keeper, records[2]) in {node.entity.arn for node in downstream(keeper, raw.arn).nodes}
        assert keeper.parked() == []
        calls = endpoint.calls
        bring(keeper, *records)
        assert endpoint.calls == calls, "what is joined is not looked for again"
        # Whoever asks SageMaker itself comes to the step as well.
        sagemaker = boto3.client("sagemaker", endpoint_url=endpoint.url, region_name="eu-central-1")
        answer = sagemaker.query_lineage(StartArns=[read.arn], Direction="Ascendants", IncludeEdges=True)
        assert {component.arn, job.arn} <= {vertex["Arn"] for vertex in answer["Vertices"]}
    finally:
        keeper.close()


def test_a_flow_that_starts_nothing_there_costs_no_call_and_no_table(clock: list[float]) -> None:
    double = WithComponents()
    keeper = keeper_over(double)
    bring(keeper, backtest_record(), preparing(1))
    assert double.lists() == {}
    assert _rows(keeper, "SELECT name FROM sqlite_schema WHERE name = 'awaited'") == []


def test_a_component_that_comes_late_is_found_by_a_later_delivery_and_looked_for_ever_less_often(
    clock: list[float],
) -> None:
    double = WithComponents()
    keeper = keeper_over(double)
    records = day()
    looks = 0
    for _ in range(40):
        bring(keeper, *records)
        looks = double.calls["ListTrialComponents"]
        clock[0] += 300
    assert 5 <= looks <= 9, "a minute, two, four …"
    arn = double.run(arn_of("Nightly-1"), reads=["s3://desk/train", IMAGE], writes=[MODEL])
    clock[0] += 5 * 3600
    bring(keeper, records[1])
    assert {"file:///desk/raw_1_0", MODEL, IMAGE} <= set(above(keeper, records[2]))
    (job,) = keeper.list_artifacts(source_uri=arn_of("Nightly-1"))
    assert double.edges[job.arn, arn] == "ContributedTo"
    double.calls.clear()
    for _ in range(10):
        clock[0] += 36_000
        bring(keeper, *records)
    assert double.lists() == {}, "the job is over, and no more is to come"


def test_while_a_job_runs_it_is_looked_at_again_and_what_it_leaves_is_joined_when_it_is_over(
    clock: list[float],
) -> None:
    double = WithComponents()
    keeper = keeper_over(double)
    double.run(arn_of("Nightly-1"), reads=["s3://desk/train"], status="InProgress")
    records = day()
    for _ in range(30):
        bring(keeper, records[1])
        clock[0] += 600
    assert double.calls["ListTrialComponents"] == 30, "ten minutes apart at most"
    double.run(arn_of("Nightly-1"), writes=[MODEL], status="Completed")
    clock[0] += 600
    bring(keeper, records[2])
    (read,) = [item for item in keeper.list_artifacts(source_uri=MODEL) if item.source_types]
    assert double.edges[double.own(MODEL), read.arn] == "SameAs"


def test_a_component_that_never_comes_is_given_up_and_looked_for_when_told_to(clock: list[float]) -> None:
    double = WithComponents()
    keeper = keeper_over(double)
    bring(keeper, training(1))
    for _ in range(10):
        clock[0] += 86400
        bring(keeper, training(1))
    (given_up,) = keeper.parked()
    assert arn_of("Nightly-1") in given_up.what
    assert "7 days" in given_up.reason
    double.calls.clear()
    clock[0] += 86400
    bring(keeper, training(1))
    assert double.lists() == {}
    double.run(arn_of("Nightly-1"), reads=["s3://desk/train"])
    keeper.deliver()
    assert keeper.parked() == []
    assert len([pair for pair in double.edges if "trial-component" in "".join(pair)]) == 2


def test_a_model_that_is_read_long_after_the_job_is_joined_without_a_look(clock: list[float]) -> None:
    double = WithComponents()
    keeper = keeper_over(double)
    double.run(arn_of("Nightly-1"), reads=["s3://desk/train"], writes=[MODEL])
    bring(keeper, preparing(1), training(1))
    clock[0] += 40 * 86400
    double.calls.clear()
    bring(keeper, scoring(2, 1))
    assert double.lists() == {}
    (read,) = [item for item in keeper.list_artifacts(source_uri=MODEL) if item.source_types]
    assert double.edges[double.own(MODEL), read.arn] == "SameAs"


def test_artifacts_of_sagemakers_own_beside_ours_of_the_same_uri_are_said_to_be_the_same(clock: list[float]) -> None:
    """Should SageMaker not take ours for its own (that it does is inferred), or make several."""
    double = WithComponents()
    keeper = keeper_over(double)
    arn = double.run(arn_of("Nightly-1"))
    own = [double.own("s3://desk/train", number=number) for number in ("one", "two")]
    for each in own:
        double.edges[each, arn] = "ContributedTo"
    mine = double.own("s3://desk/train", number="of another version")
    double.entities[mine]["Source"]["SourceTypes"] = [{"SourceIdType": "Custom", "Value": "x"}]
    double.edges[mine, arn] = "ContributedTo"
    bring(keeper, preparing(1), training(1))
    (ours,) = [item.arn for item in keeper.list_artifacts(source_uri="s3://desk/train") if item.arn not in {*own, mine}]
    assert {pair for pair, kind in double.edges.items() if kind == "SameAs"} == {(ours, each) for each in own}
    walk = upstream(keeper, arn)
    assert "file:///desk/raw_1_0" in {node.entity.source_uri for node in walk.nodes}


def denying(operation: str) -> Callable[[str, dict[str, Any]], None]:
    """What refuses an operation for want of a permission; of associations those with trial components."""

    def before(called: str, given: dict[str, Any]) -> None:
        if called == operation and (called != "AddAssociation" or "trial-component" in given["DestinationArn"]):
            raise refusal("AccessDeniedException", f"not authorized to perform: sagemaker:{operation}")

    return before


@pytest.mark.parametrize("operation", ["ListTrialComponents", "ListAssociations", "AddAssociation"])
def test_what_is_denied_is_put_aside_with_its_reason_and_holds_back_no_run(operation: str, clock: list[float]) -> None:
    double = WithComponents()
    double.run(arn_of("Nightly-1"), reads=["s3://desk/train"], writes=[MODEL])

    double.before = denying(operation)
    keeper = keeper_over(double)
    bring(keeper, *day())
    assert keeper.backlog() == (0, 0)
    assert operation in keeper.parked()[0].reason
    role = "reader" if operation == "ListAssociations" else "writer"  # the one that may least and has it
    assert f"role `{role}`" in keeper.parked()[0].reason
    double.calls.clear()
    clock[0] += 86400
    bring(keeper, backtest_record())
    assert double.lists() == {}
    double.before = lambda called, given: None
    keeper.deliver()
    assert keeper.parked() == []
    assert "TrainingJob" in {node.entity.type for node in upstream(keeper, output_of_step(keeper, scoring(1, 1))).nodes}


@pytest.mark.parametrize("operation", ["ListTrialComponents", "AddAssociation"])
def test_what_was_put_aside_can_be_given_up_and_stays_so(operation: str, clock: list[float]) -> None:
    double = WithComponents()
    double.run(arn_of("Nightly-1"), reads=["s3://desk/train"], writes=[MODEL])

    double.before = denying(operation)
    keeper = keeper_over(double)
    bring(keeper, *day())
    cache = keeper._cache
    assert cache is not None
    (first, *others) = left(cache)
    assert first.id.startswith("join/")
    assert {item.id for item in keeper.parked()} == {first.id, *(item.id for item in others)}
    (gone,) = discard(cache, [first], "risk")
    assert (gone.what, gone.who) == (first.what, "risk")
    assert operation in gone.reason
    assert discard(cache, [first], "risk") == [], "it is gone"
    discard(cache, others, "risk")
    assert keeper.parked() == []
    assert len(discarded(cache)) == 1 + len(others)
    double.before = lambda called, given: None
    double.calls.clear()
    keeper.deliver()
    assert double.calls[operation] == 0, "what was given up is not tried again"


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure", "ExpiredTokenException"])
def test_an_outage_of_the_look_is_no_failure_of_the_delivery(code: str, clock: list[float]) -> None:
    double = WithComponents()

    def before(called: str, given: dict[str, Any]) -> None:
        if called == "ListTrialComponents":
            raise refusal(code, "no", status=500 if code == "InternalFailure" else 400)

    double.before = before
    keeper = keeper_over(double)
    bring(keeper, *day(), training(2))
    assert keeper.backlog() == (0, 0)
    assert keeper.parked() == []
    double.before = lambda called, given: None
    arns = [double.run(arn_of(f"Nightly-{number}")) for number in (1, 2)]
    clock[0] += 3600
    bring(keeper, backtest_record())
    assert set(arns) <= {destination for _, destination in double.edges}


def test_killed_at_any_call_the_next_delivery_goes_on(clock: list[float]) -> None:
    double = WithComponents()
    double.run(arn_of("Nightly-1"), reads=["s3://desk/train", IMAGE], writes=[MODEL])
    path = new_cache()
    failed: set[str] = set()

    def once(operation: str, given: dict[str, Any]) -> None:
        if (key := f"{operation} {given}") not in failed:
            failed.add(key)
            raise KeyboardInterrupt

    double.after = once
    for _ in range(500):
        keeper = keeper_over(double, path)
        try:
            bring(keeper, *day())
            break
        except KeyboardInterrupt:
            continue
        finally:
            keeper.close()
    double.after = lambda operation, given: None
    calm = WithComponents()
    calm.run(arn_of("Nightly-1"), reads=["s3://desk/train", IMAGE], writes=[MODEL])
    bring(keeper_over(calm), *day())
    assert sorted(double.edges.values()) == sorted(calm.edges.values())
    assert above(keeper_over(double, path), scoring(1, 1)) == above(keeper_over(calm), scoring(1, 1))


def test_what_a_component_of_another_job_says_is_not_this_jobs(clock: list[float]) -> None:
    double = WithComponents()
    double.run(arn_of("somebody-elses"), name="nightly-1-aws-training-job", reads=["s3://desk/train"])
    keeper = keeper_over(double)
    bring(keeper, training(1))
    assert not [pair for pair, kind in double.edges.items() if kind == "ContributedTo" and "artifact" not in pair[0]]
    (job,) = keeper.list_artifacts(source_uri=arn_of("Nightly-1"))
    assert not [pair for pair in double.edges if pair[0] == job.arn]


def test_a_component_is_known_by_its_job_whatever_it_is_called(clock: list[float]) -> None:
    double = WithComponents()
    arn = double.run(arn_of("Nightly-1"), name="a-name-that-was-cut")
    keeper = keeper_over(double)
    bring(keeper, training(1))
    (job,) = keeper.list_artifacts(source_uri=arn_of("Nightly-1"))
    assert double.edges[job.arn, arn] == "ContributedTo"


def test_at_the_detail_runs_the_way_leads_from_run_to_run(clock: list[float]) -> None:
    double = WithComponents()
    double.run(arn_of("Nightly-1"), reads=["s3://desk/train", IMAGE], writes=[MODEL])
    keeper = keeper_over(double, detail="runs")
    bring(keeper, *day())
    (model,) = [item for item in keeper.list_artifacts(source_uri=MODEL) if item.source_types]
    walk = upstream(keeper, model.arn)
    types = {node.entity.type for node in walk.nodes}
    assert {"TrainingJob", "Job", "FlowRun", "Image"} <= types
    assert "file:///desk/raw_1_0" in {node.entity.source_uri for node in walk.nodes}
    assert keeper.backlog() == (0, 0)


def test_a_job_of_another_region_is_not_looked_for(clock: list[float]) -> None:
    double = WithComponents()
    arn = arn_of("x").replace("eu-central-1", "us-east-1")
    record = record_of(step(0, "start", started=at(1), ended=at(3), datasets=(thing(arn, "write", 2),)))
    bring(keeper_over(double), record)
    assert double.lists() == {}


@pytest.mark.parametrize("kind", ["processing", "transform"])
def test_processing_and_transform_jobs_lead_from_their_data_to_what_is_read_of_their_output(
    kind: str, clock: list[float]
) -> None:
    double = WithComponents()
    arn = arn_of("clean", kind)
    double.run(arn, reads=["s3://desk/train"], writes=["s3://desk/clean"])
    started = record_of(
        step(
            0, "start", started=at(14_000), ended=at(14_009),
            datasets=(
                s3("s3://desk/train", "read", 14_005, input="raw"),
                s3("s3://desk/clean", "write", 14_005, output="clean"),
                thing(arn, "write", 14_005),
            ),
        ),
        started=at(14_000),
    )  # fmt: skip
    reading = scoring(1, 1)
    (read,) = reading.steps
    of_clean = (s3("s3://desk/clean/a.csv", "read", 19_002, "clean-1"),)
    reading = reading.model_copy(update={"steps": (read.model_copy(update={"datasets": of_clean}),)})
    keeper = keeper_over(double)
    bring(keeper, preparing(1), started, reading)
    found = above(keeper, reading)
    assert {"file:///desk/raw_1_0", "s3://desk/train/part-0.csv", "s3://desk/clean"} <= set(found)
    components = [
        node.entity for node in upstream(keeper, output_of_step(keeper, reading)).nodes if node.entity.source_uri == arn
    ]
    assert {entity.type for entity in components} == {"Job", f"{kind.capitalize()}Job"}


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("endpoint/live", "Context", "Endpoint"),
        ("pipeline/nightly/execution/abc123", "Context", "Job"),
        ("pipeline/nightly/execution/abc123", "Action", "Job"),
        ("feature-group/prices", "Context", "DataSet"),
        ("model-package/models/3", "Artifact", "Model"),
    ],
)
def test_what_sagemaker_knows_by_an_arn_is_the_same_thing(name: str, kind: str, what: str, clock: list[float]) -> None:
    double = WithComponents()
    arn = f"{PLACE}:{name}"
    record = record_of(step(0, "make", started=at(1), ended=at(3), datasets=(thing(arn, "write", 2, what),)))
    keeper = keeper_over(double)
    bring(keeper, record)
    theirs = double.own(arn, kind)
    clock[0] += 3600
    bring(keeper, record)
    (ours,) = [item.arn for item in keeper.list_artifacts(source_uri=arn) if item.arn in double.tags]
    if kind == "Artifact":
        assert theirs == ours, "SageMaker takes what has its URI and no source types for its own"
    else:
        assert double.edges[ours, theirs] == "SameAs"
        assert "make" in {node.entity.label for node in upstream(keeper, theirs).nodes}
        assert theirs in {node.entity.arn for node in downstream(keeper, ours).nodes}
    double.calls.clear()
    for _ in range(10):
        clock[0] += 86400
        bring(keeper, record)
    assert keeper.parked() == [], "that SageMaker makes something of every such thing is not documented"


def test_a_model_package_that_sagemaker_made_first_is_taken_for_ours(clock: list[float]) -> None:
    double = WithComponents()
    arn = f"{PLACE}:model-package/models/3"
    theirs = double.own(arn)
    group = double.own(f"{PLACE}:model-package-group/models", "Context")
    double.edges[theirs, group] = "AssociatedWith"
    keeper = keeper_over(double)
    record = record_of(step(0, "register", started=at(1), ended=at(3), datasets=(thing(arn, "write", 2, "Model"),)))
    bring(keeper, record)
    (found,) = keeper.list_artifacts(source_uri=arn)
    assert found.arn == theirs
    assert "register" in {node.entity.label for node in upstream(keeper, theirs).nodes}


def test_secrets_among_the_parameters_of_a_component_are_not_shown(clock: list[float]) -> None:
    double = WithComponents()
    arn = double.run(arn_of("Nightly-1"))
    component = keeper_over(double).get([arn])[arn]
    assert "hush" not in str(component)
    assert '"depth":5.0' in component.properties["parameters"]
    assert keeper_over(double).get([f"{double.account}:experiment-trial-component/none"]) == {}


def test_who_may_not_look_at_a_component_still_sees_that_it_is_there() -> None:
    double = WithComponents()
    arn = double.run(arn_of("Nightly-1"))

    def before(called: str, given: dict[str, Any]) -> None:
        if called == "DescribeTrialComponent":
            raise refusal("AccessDeniedException", "no")

    double.before = before
    assert keeper_over(double).get([arn])[arn].name == "nightly-1-aws-training-job"


def test_what_sagemaker_made_first_and_we_may_not_change_is_nothing_to_complain_of(clock: list[float]) -> None:
    """The role writer may not update what has not our tag."""
    double = WithComponents()
    double.run(arn_of("Nightly-1"), reads=["s3://desk/train", IMAGE], writes=["s3://desk/models", MODEL])

    def before(called: str, given: dict[str, Any]) -> None:
        if called == "UpdateArtifact" and given["ArtifactArn"] not in double.tags:
            raise refusal("AccessDeniedException", "not authorized to perform: sagemaker:UpdateArtifact")

    double.before = before
    keeper = keeper_over(double)
    bring(keeper, *day())
    assert keeper.parked() == []
    assert keeper.backlog() == (0, 0)
    assert "file:///desk/raw_1_0" in above(keeper, scoring(1, 1))
    updates = double.calls["UpdateArtifact"]
    bring(keeper, *day(), training(2))
    bring(keeper, backtest_record())
    assert double.calls["UpdateArtifact"] <= updates + 3, "it is not tried again by every delivery"
    assert keeper.parked() == []


def test_both_keepers_have_the_same_joins(clock: list[float]) -> None:
    from tests.graph.sagemaker.kit import plain

    records = [*day(), preparing(2), training(2), scoring(2, 2), preparing(1, 2, late=True)]
    keeper = keeper_over(WithComponents())
    bring(keeper, *records)
    assert plain(keeper) == plain(graph_of(event for record in records for event in events_of(record)))


def _rows(keeper: SageMakerKeeper, query: str) -> list[tuple[Any, ...]]:
    with awaited.opened(keeper._written().path) as store:
        return store._connection.execute(query).fetchall()
