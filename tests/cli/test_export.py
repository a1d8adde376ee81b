from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.loader import ROLE, Loader
from tests.support.neptune import read_export
from tests.support.s3 import fresh_bucket, moto_server


@pytest.fixture
def s3(monkeypatch):
    with moto_server() as url:
        yield fresh_bucket(url, monkeypatch)


def test_the_whole_graph_goes_into_a_folder(call, filled, tmp_path) -> None:
    said = call("export", "--to", str(tmp_path / "out"), "--format", "opencypher")
    assert (said.code, said.err) == (0, "")
    assert str(tmp_path / "out") in said.out
    loaded = read_export(tmp_path / "out", "opencypher")
    document = call("export", "--to", str(tmp_path / "again"), "--format", "gremlin", "--json").document
    assert document["loaded"] is None
    counts = document["exported"]
    assert counts["entities"] + counts["places"] == len(loaded.vertices)
    assert (counts["target"], counts["format"], counts["start"]) == (str(tmp_path / "again"), "gremlin", None)


@pytest.mark.parametrize(("flag", "verb"), [("--up", "upstream"), ("--down", "downstream")])
def test_what_is_up_or_down_of_a_thing_is_what_the_verb_shows(call, filled, tmp_path, flag, verb) -> None:
    shown = call(verb, "/desk/out/equity.png" if flag == "--up" else "/desk/data/prices.parquet", "--json").document
    said = call("export", shown["start"], flag, "--to", str(tmp_path / "out"), "--format", "gremlin")
    assert said.code == 0
    vertices = read_export(tmp_path / "out", "gremlin").vertices
    assert {key for key, (label, _) in vertices.items() if label != "Place"} == {node["arn"] for node in shown["nodes"]}


def test_an_export_in_s3_is_loaded(call, filled, s3) -> None:
    with Loader(s3) as loader:
        target = f"s3://{s3.bucket}/lineage"
        said = call("export", "--to", target, "--format", "gremlin", "--load", loader.url, "--iam-role", ROLE, "--json")
        assert said.code == 0, said.err
        assert said.document["loaded"]["records"] > 100
        assert said.document["exported"]["target"] == f"{target}/"
        assert loader.graph is not None
        assert loader.started[0]["source"] == f"{target}/"


def test_a_load_that_fails_is_an_error_with_its_reason(call, filled, s3) -> None:
    with Loader(s3) as loader:
        loader.errors = [{"errorCode": "PARSING_ERROR", "errorMessage": "odd", "fileName": "f", "recordNum": 7}]
        said = call(
            *("export", "--to", f"s3://{s3.bucket}/x", "--format", "gremlin"),
            *("--load", loader.url, "--iam-role", ROLE),
        )
    assert said.code == 2
    assert "PARSING_ERROR in f, record 7: odd" in said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--up"], "nothing without a REFERENCE"),
        (["brave-otter"], "one of the two"),
        (["brave-otter", "--up", "--down"], "one of the two"),
        (["--load", "host"], "a prefix in S3"),
        (["--iam-role", ROLE], "an endpoint"),
        (["nothing-called-so", "--up"], "nothing in the graph"),
        (["--format", "rdf"], "rdf"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(call, filled, tmp_path, arguments, told) -> None:
    given = [*arguments, *([] if "--format" in arguments else ["--format", "gremlin"])]
    said = call("export", *given, "--to", str(tmp_path / "out"))
    assert said.code == 2
    assert told in said.err
    assert not Path(tmp_path / "out").exists()


def test_a_load_without_a_region_is_refused_before_anything_is_put(call, filled, s3, monkeypatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    target = f"s3://{s3.bucket}/x"
    said = call("export", "--to", target, "--format", "gremlin", "--load", "http://localhost", "--iam-role", ROLE)
    assert (said.code, "--region" in said.err) == (2, True)
    assert s3.list_objects_v2(Bucket=s3.bucket)["KeyCount"] == 0


def test_a_home_without_a_graph_has_nothing_to_export(call, home, tmp_path) -> None:
    said = call("export", "--to", str(tmp_path / "out"), "--format", "gremlin")
    assert said.code == 2
    assert "nothing to export" in said.err
    assert not (tmp_path / "out").exists()
