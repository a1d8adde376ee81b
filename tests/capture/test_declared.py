"""What a flow declares, as its log notes it: names of URIs, arguments of any kind, and data that an adapter has seen as well."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture import files
from lineage_flows.capture.declared import declare
from lineage_flows.capture.files import FileLog, Touched
from lineage_flows.capture.naming import local_path_of, target_of_uri
from lineage_flows.capture.objects import Facts, Target
from lineage_flows.content import fingerprint
from lineage_flows.errors import CaptureError, LineageError, RecordingError
from tests.support.dict_store import DictStore

ARGUMENTS: dict[str, Any] = dict.fromkeys(
    ("version", "fingerprint", "rows", "size", "columns", "name", "namespace", "properties", "note")
)


@pytest.fixture(autouse=True)
def configured() -> None:
    files.configure()


def declared(uri: object, direction: Any = "read", log: FileLog | None = None, **given: object) -> Touched:
    log = log or FileLog(DictStore(), size_cap=1000, keep_written=True)
    declare(log, direction, uri, {**ARGUMENTS, "data": ..., **given})
    return log.close()


@pytest.mark.parametrize(
    ("uri", "namespace", "name", "canonical"),
    [
        ("s3://desk/in/a.csv", "s3://desk", "in/a.csv", "s3://desk/in/a.csv"),
        ("s3a://AK:SK@desk/in/a b?c#d.csv", "s3://desk", "in/a b?c#d.csv", "s3://desk/in/a b?c#d.csv"),
        ("gcs://desk/a", "gs://desk", "a", "gs://desk/a"),
        ("abfss://box@acc.dfs.core.windows.net/a/b", "abfss://box@acc.dfs.core.windows.net", "a/b", None),
        ("abfss://u:p@acc.dfs.core.windows.net/a", "abfss://acc.dfs.core.windows.net", "a", None),
        ("postgresql+psycopg2://u:p@DB:5433/prod/public/t", "postgres://db:5433", "prod.public.t", None),
        (
            "jdbc:mysql://db/prod/t?user=u&password=p",
            "mysql://db:3306",
            "prod.t",
            "mysql://db:3306/prod.t?user=u",
        ),
        ("snowflake://org-acc/db/s/t", "snowflake://org-acc", "db.s.t", None),
        ("postgres://dbtable", "postgres://dbtable", "/", "postgres://dbtable"),
        ("kafka://k1:9092/topic", "kafka://k1:9092", "topic", None),
        ("ftp://me:pw@host/a/b?token=x", "ftp://host", "a/b", None),
        (
            "https://u:p@api.desk/v1?api_key=x&d=1#f",
            "https://api.desk",
            "/v1?d=1",
            "https://api.desk/v1?d=1",
        ),
        ("custom://", "custom://", "/", "custom://"),
    ],
)
def test_uris_are_named_as_openlineage_names_them(uri: str, namespace: str, name: str, canonical: str | None) -> None:
    target = target_of_uri(uri)
    assert (target.namespace, target.name) == (namespace, name)
    assert target.uri == (canonical or f"{namespace}/{name}")


@given(st.text(), st.text())
def test_naming_raises_nothing_else_and_tells_no_password(scheme: str, rest: str) -> None:
    for uri in (f"{scheme}://{rest}", f"postgres://me:hunter2hunter2@{rest}", f"s3://me:hunter2hunter2@{rest}"):
        try:
            if local_path_of(uri) is None:
                target = target_of_uri(uri)
                assert "hunter2hunter2" not in target.uri + target.name + target.namespace
        except RecordingError:
            pass


def test_a_wrong_call_is_a_type_error_of_capture_and_says_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(RecordingError) as told:
        declared(tmp_path / "x", rows=True)
    assert isinstance(told.value, TypeError)
    assert isinstance(told.value, CaptureError)
    assert isinstance(told.value, LineageError)
    assert "rows of record_input or record_output is a whole number from 0, and not bool" in str(told.value)


class Hostile:
    def __reduce_ex__(self, _: Any) -> Any:
        raise RuntimeError("not me")

    def __str__(self) -> str:
        raise RuntimeError("not me")

    __repr__ = __str__


def test_data_that_cannot_be_looked_at_is_declared_all_the_same() -> None:
    (one,) = declared("bus://x", data=Hostile(), properties={"held": Hostile(), "bad": float("nan")}).datasets
    assert (one.fingerprint, one.blob) == (None, None)
    assert one.note is not None
    assert "not me" in one.note
    assert one.properties["bad"] == "nan"


def test_data_over_the_size_cap_is_known_by_its_fingerprint() -> None:
    data = b"x" * 2000
    (one,) = declared("bus://x", "write", data=data).datasets
    assert (one.fingerprint, one.size, one.blob) == (fingerprint(data), 2000, None)
    assert one.note == "not kept: 2000 bytes are over the size cap of 1000"


def test_the_same_said_again_is_one_dataset_and_another_version_another() -> None:
    log = FileLog(DictStore(), size_cap=1000)
    given = {**ARGUMENTS, "data": ...}
    for version in ("1", "1", "2"):
        declare(log, "read", "bus://x", {**given, "version": version})
    assert [item.facts.version for item in log.close().datasets if item.facts] == ["1", "2"]


def test_what_an_adapter_has_seen_as_well_is_one_dataset() -> None:
    log = FileLog(DictStore(), size_cap=1000)
    log.objects.read(Target("s3://desk", "a", "s3://desk/a"), "botocore.GetObject", Facts(etag="e", version="v"))
    (one,) = declared("s3://desk/a", log=log, rows=7, properties={"vendor": "x"}).datasets
    assert one.via == ("botocore.GetObject", "lineage_flows.record_input")
    assert one.facts is not None
    assert (one.facts.etag, one.rows, one.properties) == ("e", 7, {"vendor": "x"})


def test_what_was_written_and_is_read_back_is_no_input() -> None:
    log = FileLog(DictStore(), size_cap=1000)
    declare(log, "write", "bus://x", {**ARGUMENTS, "data": ..., "version": "1"})
    declare(log, "read", "bus://x", {**ARGUMENTS, "data": ..., "version": "1"})
    assert [item.direction for item in log.close().datasets] == ["write"]


def test_local_paths_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part").write_text("x")
    (tmp_path / "code.py").write_text("x = 1")
    (tmp_path / "id_rsa").write_text("secret")
    log = FileLog(DictStore(), size_cap=1000)
    for uri in (
        tmp_path / "folder",
        str(tmp_path / "code.py"),
        os.fsencode(tmp_path / "id_rsa"),
        f"file://{tmp_path}/none",
    ):
        declare(log, "read", uri, {**ARGUMENTS, "data": ..., "version": "v1"})
    found = log.close()
    assert {item.name.rpartition("/")[2]: item.fingerprint is not None for item in found.datasets} == {
        "folder": True,
        "code.py": True,
        "none": False,
    }
    assert all(item.properties == {"version": "v1"} for item in found.datasets)
    assert [item.rpartition("/")[2] for item in found.unrestorable] == [
        "id_rsa: its name says it holds secrets",
        "none: not fingerprinted: No such file or directory",
    ]


def test_an_output_that_is_not_there_says_so(tmp_path: Path) -> None:
    (one,) = declared(tmp_path / "none", "write", rows=3).datasets
    assert (one.fingerprint, one.rows, one.note) == (None, 3, "not fingerprinted: it was gone when the run ended")
