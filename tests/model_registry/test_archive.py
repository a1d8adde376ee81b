"""A model's bytes as ``model.tar.gz``."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.model_registry.archive import model_archive
from lineage_flows.model_registry.client import archive_uri, split_uri


@given(st.binary(max_size=2_000), st.sampled_from(["pickle", "json", "npy", "arrow", "text", "bytes", "file", "other"]))
def test_the_same_bytes_give_the_same_archive_with_them_in_it(data: bytes, format: str) -> None:
    archive = model_archive(data, format)
    assert archive == model_archive(data, format)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        (member,) = tar.getmembers()
        content = tar.extractfile(member)
        assert content is not None
        assert content.read() == data
    assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
    assert member.name.startswith("model.")


def test_its_place_is_its_hash() -> None:
    one, other = archive_uri(b"a", "s3://bucket/team/"), archive_uri(b"b", "s3://bucket/team")
    assert one != other
    assert one.endswith("/model.tar.gz")
    assert split_uri(one)[0] == "bucket"
    assert split_uri(one)[1].startswith("team/ca/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb/")
