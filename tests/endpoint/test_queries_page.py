"""The manual's page of queries says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from lineage_flows.endpoint import query_lineage, search_pages, searching
from lineage_flows.endpoint.search_properties import RESOURCES
from tests.endpoint.test_documents import job

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "endpoint-queries.md").read_text()


def test_its_queries_find_what_they_are_for(sagemaker, endpoint):
    path = "s3://bucket/out/model.tar.gz"
    endpoint.keep("TrainingJob", [job(ModelArtifacts={"S3ModelArtifacts": path})])
    (model,) = sagemaker.list_artifacts(SourceUri=path)["ArtifactSummaries"]
    query, find, _ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {"client": sagemaker, "model_arn": model["ArtifactArn"]}
    walked = eval(query, names)
    assert sorted({vertex["Type"] for vertex in walked["Vertices"]}) == ["DataSet", "Model", "TrainingJob"]
    (result,) = eval(find, names)["Results"]
    assert result["TrainingJob"]["TrainingJobName"] == "fit-1"


def test_its_figures_are_those_of_the_code():
    assert f"at most {query_lineage.MAX_DEPTH}, which is the default" in PAGE
    assert f"at most {query_lineage.MAX_RESULTS}, which is the default" in PAGE
    assert (
        f"{searching.MOST_ELEMENTS} elements an expression, {searching.MOST_CONDITIONS} conditions altogether" in PAGE
    )
    assert search_pages.MAX_RESULTS == 10
    assert "Ten a page" in PAGE
    assert len(RESOURCES) == 6
