from __future__ import annotations

import os

import pytest

from lineage_flows.errors import GraphError
from lineage_flows.graph.neptune.publish import published


def write(folder):
    (folder / "a.csv").write_text("a\n")
    (folder / "b.csv").write_text("b\n")
    return 7


def test_a_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "out"
    seen = []

    def watched(folder):
        seen.append(target.exists())
        return write(folder)

    assert published(target, watched) == (str(target), 7)
    assert seen == [False]
    assert {path.name: path.read_text() for path in target.iterdir()} == {"a.csv": "a\n", "b.csv": "b\n"}
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_a_folder_may_be_named_by_a_url_and_has_the_rights_of_any(tmp_path):
    target = tmp_path / "a folder"
    before = os.umask(0o027)
    try:
        assert published(target.as_uri(), write) == (str(target), 7)
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o750


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    (tmp_path / "out").mkdir()
    published(tmp_path / "out", write)
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text("mine"), lambda path: (path.mkdir(), (path / "x").touch())]
)
def test_what_is_there_stays(tmp_path, make):
    make(tmp_path / "out")
    with pytest.raises(GraphError, match="is not empty"):
        published(tmp_path / "out", write)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_who_comes_second_does_not_write_into_what_the_first_wrote(tmp_path):
    def overtaken(folder):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").touch()
        return write(folder)

    with pytest.raises(GraphError, match="is not empty"):
        published(tmp_path / "out", overtaken)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(GraphError, match="cannot be written to"):
        published(tmp_path / "file" / "out", write)


def test_an_object_store_gets_all_or_nothing(s3):
    target = f"s3://{s3.bucket}/team/out"
    assert published(target, write) == (f"{target}/", 7)
    assert keys(s3) == ["team/out/a.csv", "team/out/b.csv"]
    with pytest.raises(GraphError, match="is not empty"):
        published(target, write)
    # A prefix that begins alike is another place.
    published(f"s3://{s3.bucket}/team/ou", write)
    assert len(keys(s3)) == 4


def test_what_was_put_goes_again_when_the_rest_cannot_be(s3, monkeypatch):
    import s3fs

    real = s3fs.S3FileSystem._put_file

    async def failing(self, lpath, rpath, *args, **kwargs):
        if rpath.endswith("b.csv"):
            raise OSError("the line is dead")
        return await real(self, lpath, rpath, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_put_file", failing)
    with pytest.raises(GraphError, match="the line is dead"):
        published(f"s3://{s3.bucket}/out", write)
    assert keys(s3) == []


def test_a_bucket_that_is_not_there_is_said(s3):
    with pytest.raises(GraphError, match=r"bucket does not exist\. Check the URL"):
        published("s3://no-such-bucket-at-all/out", write)


def keys(s3):
    return [item["Key"] for item in s3.list_objects_v2(Bucket=s3.bucket).get("Contents", [])]
