"""Registering outside of flows: which model is meant, what is written and said, once; and how it is refused before that."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from sklearn.linear_model import Ridge

import lineage_flows
from lineage_flows import lineage, register_model
from lineage_flows.content import describe, dump_value, open_store
from lineage_flows.delivery import Spool
from lineage_flows.errors import (
    AmbiguousReferenceError,
    AwsError,
    BlobMissingError,
    LineageError,
    PermissionDeniedError,
    RegistrationError,
    UnknownReferenceError,
)
from lineage_flows.model_registry.client import Registry
from lineage_flows.model_registry.registered import RegisteredModel
from lineage_flows.records import BlobRef, RunRecord
from lineage_flows.replay.child import SPEC_VARIABLE
from lineage_flows.settings import Settings, load_settings
from tests.support.cloud import ACCOUNT, REGION, Cloud
from tests.support.graphs import keep_run
from tests.support.iam import statements
from tests.support.openlineage import check
from tests.support.records import backtest_record, fingerprint

MODEL = Ridge(alpha=2.0).fit([[1.0], [2.0], [3.0]], [1.0, 2.5, 2.9])
IMAGE = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/ridge:1"
OTHER_ID = "01935c4e-7a10-7c3e-9d1a-5b6f0a4c1e00"
MODELS = "s3://models-of-desk/team"


def with_model(record: RunRecord, blob: BlobRef | None = None) -> RunRecord:
    """A run whose model is a real one."""
    made = describe(MODEL).fingerprint
    assert made is not None
    record = RunRecord.model_validate_json(record.model_dump_json().replace(fingerprint("model 20"), made))
    steps = [
        step.model_copy(update={"output": step.output.model_copy(update={"blob": blob})})
        if step.output is not None and step.output.kind == "Model"
        else step
        for step in record.steps
    ]
    return record.model_copy(update={"steps": tuple(steps)})


@pytest.fixture
def group(request: pytest.FixtureRequest) -> str:
    """A group of the test's own."""
    return f"g-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


@pytest.fixture
def settings(tmp_path: Path, cloud: Cloud) -> Settings:
    return load_settings(home=tmp_path / "home", sagemaker_models_url=MODELS)


@pytest.fixture
def kept(settings: Settings) -> RunRecord:
    """A run whose model was kept."""
    data, format_ = dump_value(MODEL)
    digest, size = open_store(settings.blobs_url).put(data)
    record = with_model(backtest_record(), BlobRef(digest=digest, size=size, format=format_))
    keep_run(settings.home, record)
    return record


@pytest.fixture(autouse=True)
def as_administrator(cloud: Cloud) -> Iterator[None]:
    cloud.use({})
    yield
    cloud.use({})


def described(cloud: Cloud, done: RegisteredModel) -> dict[str, Any]:
    return dict(cloud.client("sagemaker").describe_model_package(ModelPackageName=done.arn))


def nothing_was_written(cloud: Cloud, group: str) -> bool:
    groups = cloud.client("sagemaker").list_model_package_groups(NameContains=group)["ModelPackageGroupSummaryList"]
    return groups == []


def payloads(settings: Settings) -> list[bytes]:
    with closing(Spool(settings.home / "spool.db")) as spool:
        return [item.event.payload for item in spool.pending("nobody", 1_000)]


@pytest.mark.parametrize("by", ["run", "step", "uri", "object", "entity"])
def test_a_model_is_meant_by_what_made_it_by_its_names_or_by_itself(
    by: str, cloud: Cloud, settings: Settings, kept: RunRecord, group: str
) -> None:
    fit = next(step for step in kept.steps if step.task_name == "fit_model")
    uri = f"prefect://prefect/task-run/{fit.run_id}/result"
    with lineage(settings) as graph:
        (entity,) = graph.resolve(uri)
    meant = {"run": kept.flow.run_id, "step": fit.run_id, "uri": uri, "object": MODEL, "entity": entity}[by]
    done = register_model(meant, group=group, settings=settings)
    assert (done.version, done.created, done.source_uri) == (1, True, uri)
    assert (done.run_id, done.step_id, done.content) == (kept.flow.run_id, fit.run_id, describe(MODEL).fingerprint)
    found = described(cloud, done)
    assert found["CustomerMetadataProperties"]["lineage-flows.commit"] == kept.flow.code.commit  # type: ignore[union-attr]
    assert found["MetadataProperties"]["CommitId"] == kept.flow.code.commit  # type: ignore[union-attr]
    assert "InferenceSpecification" not in found
    with lineage(settings) as graph:
        above = graph.upstream(f"{group}/1")
        uris = {node.entity.source_uri for node in above.nodes}
        assert uri in uris
        (data,) = [one for one in uris if one.endswith("prices.parquet")]
        assert [item.source_uri for item in graph.registered(of=data)] == [done.arn]
        (action,) = graph.resolve(str(done.registered_by))
        assert action.properties["jobType"] == "REGISTRATION"  # type: ignore[union-attr]
    assert check(payloads(settings)) == []


def test_the_same_model_is_registered_once_unless_it_is_to_be_again(
    cloud: Cloud, settings: Settings, kept: RunRecord, group: str
) -> None:
    first = register_model(MODEL, group=group, settings=settings)
    before = len(payloads(settings))
    second = register_model(kept.flow.run_id, group=group, settings=settings)
    assert second == first.model_copy(update={"created": False})
    with lineage(settings) as graph:  # said again, under the same id: nothing new
        makers = graph._keeper.associations(destinations=[graph.resolve(first.arn)[0].arn], types=("Produced",))
    assert len(makers) == 1
    assert len(payloads(settings)) >= before
    third = register_model(MODEL, group=group, again=True, settings=settings)
    assert (third.version, third.created) == (2, True)
    served = register_model(MODEL, group=group, image=IMAGE, settings=settings)
    assert (served.version, served.created) == (3, True)
    assert register_model(MODEL, group=group, settings=settings).version == 2
    other = register_model(MODEL, group=f"{group[:50]}-other", settings=settings)
    assert (other.version, other.created) == (1, True)


def test_threads_that_register_the_same_model_at_once_make_one_version(
    cloud: Cloud, settings: Settings, kept: RunRecord, group: str
) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: register_model(MODEL, group=group, settings=settings), range(4)))
    assert {item.version for item in done} == {1}
    assert sorted(item.created for item in done) == [False, False, False, True]


def test_a_model_that_two_runs_have_made_alike_has_to_be_named(settings: Settings, kept: RunRecord, group: str) -> None:
    keep_run(settings.home, with_model(backtest_record(OTHER_ID, run_name="calm-heron")))
    with pytest.raises(AmbiguousReferenceError):
        register_model(MODEL, group=group, settings=settings)
    one = register_model(kept.flow.run_id, group=group, settings=settings)
    # The other run's is the same model, and made no version: it is told so, and the graph is not told that it did.
    other = register_model(OTHER_ID, group=group, settings=settings)
    assert (other.arn, other.created) == (one.arn, False)
    with lineage(settings) as graph:
        above = {node.entity.source_uri for node in graph.upstream(one.arn).nodes}
    assert str(one.source_uri) in above
    assert str(other.source_uri) not in above


def test_for_a_container_the_kept_model_is_put_into_s3_once(
    cloud: Cloud, settings: Settings, kept: RunRecord, group: str
) -> None:
    given: dict[str, Any] = {"content_types": ["text/csv"], "metrics": {"r2": 0.5}, "properties": {"desk": "rates 2"}}
    done = register_model(kept.flow.run_id, group=group, image=IMAGE, description="d", settings=settings, **given)
    assert done.model_data is not None
    assert done.model_data.startswith(f"{MODELS}/")
    again = register_model(kept.flow.run_id, group=group, image=IMAGE, again=True, settings=settings)
    assert again.model_data == done.model_data
    versions = cloud.client("s3").list_objects_v2(Bucket="models-of-desk")["Contents"]
    assert sum(item["Key"].endswith(done.model_data.rpartition("/team/")[2]) for item in versions) == 1
    found = described(cloud, done)
    assert found["InferenceSpecification"]["SupportedContentTypes"] == ["text/csv"]
    assert found["CustomerMetadataProperties"]["metric.r2"] == "0.5"
    assert found["CustomerMetadataProperties"]["desk"] == "rates 2"
    with lineage(settings) as graph:
        data = graph.resolve(done.model_data)[0]
        above = {node.entity.source_uri for node in graph.upstream(data.arn).nodes}
    assert f"prefect://prefect/task-run/{kept.steps[2].run_id}/result" in above


def test_data_that_lies_in_s3_already_is_named(cloud: Cloud, settings: Settings, kept: RunRecord, group: str) -> None:
    cloud.client("s3").put_object(Bucket="models-of-desk", Key="own/model.tar.gz", Body=b"x")
    uri = "s3://models-of-desk/own/model.tar.gz"
    done = register_model(kept.flow.run_id, group=group, image=IMAGE, artifact_uri=uri, settings=settings)
    assert done.model_data == uri
    assert described(cloud, done)["InferenceSpecification"]["Containers"] == [{"Image": IMAGE, "ModelDataUrl": uri}]


REFUSED: list[tuple[object, dict[str, Any], type[LineageError], str]] = [
    ("no-such-run", {}, UnknownReferenceError, "no-such-run"),
    ("s3://nobody/knows/model.tar.gz", {}, UnknownReferenceError, "nobody"),
    ({"w": 1.0}, {}, RegistrationError, "not what lineage knows as a model"),
    (Ridge(alpha=3.0), {}, UnknownReferenceError, "fingerprint"),
    ("RUN", {"group": "not a name"}, RegistrationError, "modelPackageGroupName"),
    ("RUN", {"group": "g" * 64}, RegistrationError, "Correct it"),
    ("RUN", {"group": ""}, RegistrationError, "without a group"),
    ("RUN", {"description": "d" * 1025}, RegistrationError, "Correct it"),
    ("RUN", {"approval": "Perhaps"}, RegistrationError, "Correct it"),
    ("RUN", {"metrics": {"r2": float("nan")}}, RegistrationError, "finite"),
    ("RUN", {"properties": {"lineage-flows.run-id": "x"}}, RegistrationError, "lineage's own"),
    ("RUN", {"properties": {"a": "b" * 257}}, RegistrationError, "Correct it"),
    ("RUN", {"properties": {"a": "b#"}}, RegistrationError, "Correct it"),
    ("RUN", {"properties": {f"p{number}": "x" for number in range(60)}}, RegistrationError, "Correct it"),
    ("RUN", {"artifact_uri": "/desk/model.tar.gz"}, RegistrationError, "not in S3"),
    ("RUN", {"artifact_uri": "s3://models-of-desk/gone.tar.gz"}, RegistrationError, "is not there"),
    ("RUN", {"artifact_uri": "s3://models-of-desk/model.pkl", "image": IMAGE}, RegistrationError, "no model.tar.gz"),
    ("RUN", {"content_types": ["text/csv"]}, RegistrationError, "image"),
    ("prices.parquet", {}, RegistrationError, "is a DataSet"),
    ("LOAD", {}, RegistrationError, "gave out no model"),
]


@pytest.mark.parametrize(("model", "given", "error", "text"), REFUSED)
def test_what_cannot_be_registered_is_refused_before_anything_is_written(
    model: object,
    given: dict[str, Any],
    error: type[LineageError],
    text: str,
    cloud: Cloud,
    settings: Settings,
    kept: RunRecord,
    group: str,
) -> None:
    data = kept.steps[0].datasets[0].uri
    names = {"RUN": kept.flow.run_id, "LOAD": kept.steps[0].run_id, "prices.parquet": data}
    meant = names.get(model, model) if isinstance(model, str) else model
    with pytest.raises(error, match=text):
        register_model(meant, **{"group": group, "settings": settings, **given})
    assert nothing_was_written(cloud, group)


def test_a_content_that_was_not_kept_or_is_gone_is_said_where_it_is_needed(
    cloud: Cloud, settings: Settings, kept: RunRecord, group: str
) -> None:
    keep_run(settings.home, backtest_record(OTHER_ID, window=60, run_name="calm-heron"))
    with pytest.raises(RegistrationError, match="was not kept"):
        register_model(OTHER_ID, group=group, image=IMAGE, settings=settings)
    shutil.rmtree(settings.blobs_url)
    with pytest.raises(BlobMissingError):
        register_model(kept.flow.run_id, group=group, image=IMAGE, settings=settings)
    nowhere = load_settings(home=settings.home)
    with pytest.raises(RegistrationError, match="LINEAGE_FLOWS_SAGEMAKER_MODELS_URL"):
        register_model(kept.flow.run_id, group=group, image=IMAGE, settings=nowhere)
    assert nothing_was_written(cloud, group)
    assert register_model(kept.flow.run_id, group=group, settings=settings).created


def test_a_thing_of_another_kind_is_registered_when_it_is_said_to_be_a_model(
    settings: Settings, kept: RunRecord, group: str
) -> None:
    features = f"prefect://prefect/task-run/{kept.steps[1].run_id}/result"
    with pytest.raises(RegistrationError, match="any_kind"):
        register_model(features, group=group, settings=settings)
    assert register_model(features, group=group, any_kind=True, settings=settings).created
    with pytest.raises(RegistrationError, match="what SageMaker has already"):
        register_model(f"{group}/1", group=group, settings=settings)


@pytest.mark.parametrize(("missing", "text"), [("AWS_REGION", "region"), ("AWS_ACCESS_KEY_ID", "credentials")])
def test_without_a_region_or_credentials(
    missing: str, text: str, settings: Settings, kept: RunRecord, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (missing, "AWS_DEFAULT_REGION" if missing == "AWS_REGION" else "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(AwsError, match=text):
        register_model(kept.flow.run_id, group=group, settings=settings)


def test_a_denied_call_names_the_role_and_the_registrar_may(
    cloud: Cloud, settings: Settings, kept: RunRecord, group: str
) -> None:
    everybody = f"arn:aws:iam::{ACCOUNT}:root"
    outputs = cloud.deploy(WriterPrincipals=everybody, RegistrarPrincipals=everybody)
    own = settings.model_copy(update={"sagemaker_models_url": f"s3://{outputs['BucketName']}/models"})
    cloud.play(outputs["WriterRoleArn"])
    with cloud.enforced():
        with pytest.raises(PermissionDeniedError, match="role registrar of infra/") as denied:
            register_model(kept.flow.run_id, group=group, image=IMAGE, settings=own)
        cloud.use({})
    assert denied.value.action == "sagemaker:DescribeModelPackageGroup"
    assert nothing_was_written(cloud, group)
    # Moto holds a call against the actions of policies alone, and a statement on some resources or under a condition fits none or
    # all: the same actions are put on everything for it. With resources and conditions tests/infra looks at them.
    documents = cloud.policies(outputs["RegistrarRoleArn"])
    allowed = [item for document in documents for item in statements(document) if item["Effect"] == "Allow"]
    wide = [{"Effect": "Allow", "Action": item["Action"], "Resource": "*"} for item in allowed]
    trust = {"Effect": "Allow", "Principal": {"AWS": everybody}, "Action": "sts:AssumeRole"}
    iam = cloud.client("iam")
    role = iam.create_role(RoleName="by-action", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]
    document = json.dumps({"Version": "2012-10-17", "Statement": wide})
    iam.put_role_policy(RoleName="by-action", PolicyName="wide", PolicyDocument=document)
    cloud.play(role["Arn"])
    with cloud.enforced():
        done = register_model(kept.flow.run_id, group=group, image=IMAGE, settings=own)
        assert (done.created, done.approval) == (True, "PendingManualApproval")
        assert not register_model(kept.flow.run_id, group=group, image=IMAGE, settings=own).created
        cloud.use({})


def test_what_is_said_waits_while_the_graph_is_away(
    cloud: Cloud, settings: Settings, kept: RunRecord, group: str
) -> None:
    """The keeper of another place cannot be reached; the version is there, and its lineage follows."""
    graph = settings.home / "graph.db"
    intact = graph.read_bytes()
    for name in ("graph.db-wal", "graph.db-shm"):
        (settings.home / name).unlink(missing_ok=True)
    done: list[RegisteredModel] = []
    original = Registry.create

    def create(self: Any, request: Any) -> str:
        arn = str(original(self, request))
        graph.write_bytes(b"no graph at all, for a moment" * 100)
        return arn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "create", create)
        done.append(register_model(kept.flow.run_id, group=group, settings=settings))
    graph.write_bytes(intact)
    from lineage_flows.cli import main

    assert main(["--home", str(settings.home), "deliver"]) == 0
    with lineage(settings) as found:
        assert [item.source_uri for item in found.registered(group)] == [done[0].arn]


def test_it_says_what_it_was_called_with_in_its_event(settings: Settings, kept: RunRecord, group: str) -> None:
    done = register_model(kept.flow.run_id, group=group, settings=settings)
    mine = [event for event in map(orjson.loads, payloads(settings)) if event["run"]["runId"] == done.registered_by]
    assert [event["eventType"] for event in mine] == ["START", "COMPLETE"]
    assert {event["job"]["name"] for event in mine} == {"lineage_flows.register_model"}
    (package,) = mine[1]["outputs"]
    assert f"{package['namespace']}:{package['name']}" == done.arn
    assert done.arn == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/{group.lower()}/1"
    facet = package["facets"]["lineageFlows_artifact"]
    assert (facet["sourceUri"], facet["artifactType"]) == (done.arn, "Model")
    assert facet["givenProperties"]["approval"] == "PendingManualApproval"
    assert "register_model" in lineage_flows.__all__


def test_a_script_that_a_replay_starts_registers_nothing(
    cloud: Cloud, settings: Settings, kept: RunRecord, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SPEC_VARIABLE, "a spec")
    with pytest.raises(RegistrationError, match="a replay registers no model"):
        register_model(kept.flow.run_id, group=group, settings=settings)
    assert nothing_was_written(cloud, group)
