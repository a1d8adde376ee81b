"""The manual's page of the endpoint says what is so."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from lineage_flows.endpoint import assumptions, errors
from lineage_flows.endpoint.faults import Faults
from lineage_flows.endpoint.service import OPERATIONS
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.project import project
from lineage_flows.graph.query import upstream
from tests.graph.kit import events_of
from tests.support.records import backtest_record

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "endpoint.md").read_text()


def test_its_example_runs(endpoint, fast_home, monkeypatch):
    keeper = open_embedded(fast_home / "graph.db")
    project(events_of(backtest_record()), keeper)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", endpoint.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anything")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    example = next(text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "boto3" in text)
    names: dict[str, object] = {}
    exec(example, names)
    assert names["model"]["ArtifactArn"] in {node.entity.arn for node in upstream(keeper, names["report"]).nodes}
    keeper.close()


def test_it_names_every_fault_and_every_error():
    for field in fields(Faults):
        assert f"`{field.name}`" in PAGE, field.name
    text = inspect.getsource(errors)
    codes = set(re.findall(r'ServiceError\("([A-Za-z]+)"', text)) | {"ServiceUnavailable", "InternalFailure"}
    assert {"ResourceNotFound", "ConflictException"} <= codes
    for code in codes:
        assert code in PAGE, code


def test_it_names_every_operation():
    for operation in OPERATIONS:
        verb = re.match("[A-Z][a-z]+", operation)[0]
        assert operation in PAGE or verb in PAGE, operation


def test_what_is_assumed_stands_in_one_module_with_its_degree():
    for name in assumptions.__all__:
        thing = getattr(assumptions, name)
        said = inspect.getdoc(thing) if callable(thing) else inspect.getsource(assumptions).split(f"{name} = ")[1]
        assert re.search(r"(^|\")[IU]: ", said), name
