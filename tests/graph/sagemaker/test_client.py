"""How SageMaker is called: pages, configuration, and that nothing of boto3 is loaded before."""

from __future__ import annotations

import ast
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lineage_flows
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.sagemaker.client import Client, _method
from tests.graph.sagemaker.double import Double

ROOT = Path(lineage_flows.__file__).parent


def test_all_pages_are_read_as_they_are_asked_for() -> None:
    double = Double()
    for number in range(250):
        double.create_context(ContextName=f"c{number}", Source={"SourceUri": f"x:{number}"}, ContextType="Flow")
    client = Client(lambda: double)
    listed = client.listed("ListContexts", "ContextSummaries")
    next(listed)
    assert client.calls["ListContexts"] == 1
    assert len({item["ContextArn"] for item in client.listed("ListContexts", "ContextSummaries")}) == 250
    assert client.calls["ListContexts"] == 4


@pytest.mark.parametrize(
    ("operation", "method"), [("CreateArtifact", "create_artifact"), ("ListAssociations", "list_associations")]
)
def test_an_operation_has_boto3s_name(operation: str, method: str) -> None:
    assert _method(operation) == method


def test_region_and_endpoint_are_those_of_the_environment(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Client().place == f"eu-central-1 at {endpoint.url}"
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert Client().place == f"us-east-1 at {endpoint.url}"


def test_one_region_is_one_place_whichever_way_it_is_called_and_a_stand_in_is_another(endpoint: Endpoint) -> None:
    double = Double()
    assert Client(lambda: double).home == "eu-central-1"
    double.meta.endpoint_url = "https://vpce-1.api.sagemaker.eu-central-1.vpce.amazonaws.com"
    assert Client(lambda: double).home == "eu-central-1"
    assert Client().home == f"eu-central-1 at {endpoint.url}"


def test_a_forked_child_calls_over_connections_of_its_own(endpoint: Endpoint) -> None:
    client = Client()
    assert client.call("ListContexts", "*")["ContextSummaries"] == []

    def ask() -> None:
        os._exit(0 if client.call("ListContexts", "*")["ContextSummaries"] == [] else 1)

    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert client.call("ListContexts", "*")["ContextSummaries"] == []


def test_boto3_is_loaded_by_the_first_call_and_by_no_import() -> None:
    code = """
import sys, lineage_flows.graph.sagemaker, lineage_flows.graph.opening, lineage_flows.api
assert not {"boto3", "botocore"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_of_the_keeper_one_module_imports_boto3() -> None:
    importing = set()
    for path in (ROOT / "graph" / "sagemaker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in {"boto3", "botocore"} for name in names):
                importing.add(path.relative_to(ROOT).as_posix())
    assert importing == {"graph/sagemaker/client.py"}
