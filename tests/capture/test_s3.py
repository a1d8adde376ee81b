"""Objects in S3 (moto's server on loopback) as a step's datasets: through boto3, s3transfer's threads and s3fs."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import botocore.client
import botocore.exceptions
import pytest
import s3fs
from boto3.s3.transfer import TransferConfig

from lineage_flows.capture import adapters, seams
from lineage_flows.capture.adapters.s3 import S3Adapter
from lineage_flows.capture.files import Touched
from lineage_flows.content import fingerprint
from lineage_flows.records import DatasetRef
from tests.support import watched
from tests.support.dict_store import DictStore

pytestmark = pytest.mark.usefixtures("libraries_watched")

CAP = 1 << 20
MB = 1 << 20


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def s3(endpoint: str, request: pytest.FixtureRequest) -> Any:
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="desk")
    client.put_bucket_versioning(Bucket="desk", VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket="desk", Key="in/prices.csv", Body=b"a,b\n1,2\n")
    client.put_object(Bucket="desk", Key="big", Body=bytes(range(256)) * 4096 * 12)  # 12 MB
    return client


STORE = DictStore()


touched = partial(watched.touched, store=STORE, size_cap=CAP)


def only(found: Touched, direction: str = "read") -> DatasetRef:
    assert found.errors == ()
    (one,) = (item for item in found.datasets if item.direction == direction and item.namespace.startswith("s3:"))
    return one


READS: dict[str, Callable[[Any], object]] = {
    "read": lambda body: body.read(),
    "read in pieces": lambda body: list(iter(lambda: body.read(3), b"")),
    "iter_chunks": lambda body: list(body.iter_chunks(2)),
    "iter_lines": lambda body: list(body.iter_lines()),
    "for": lambda body: list(body),
    "readinto": lambda body: [body.readinto(bytearray(5)) for _ in range(3)],
    "readlines": lambda body: body.readlines(),
    "with": lambda body: body.__enter__().read(),
    "a wrapper around the raw stream": lambda body: io.TextIOWrapper(body._raw_stream).read(),
}


@pytest.mark.parametrize("way", READS)
def test_what_is_read_is_hashed_kept_and_named_by_its_version(s3: Any, way: str) -> None:
    plain = READS[way](s3.get_object(Bucket="desk", Key="in/prices.csv")["Body"])
    answers: list[Any] = []

    def step() -> None:
        answers.append(s3.get_object(Bucket="desk", Key="in/prices.csv"))
        answers.append(READS[way](answers[0]["Body"]))

    found = touched(step)
    one = only(found)
    assert answers[1] == plain
    assert (one.namespace, one.name, one.uri) == ("s3://desk", "in/prices.csv", "s3://desk/in/prices.csv")
    assert one.fingerprint == fingerprint(b"a,b\n1,2\n")
    assert one.size == 8
    assert one.blob is not None
    assert STORE.get(one.blob.digest) == b"a,b\n1,2\n"
    assert one.facts is not None
    assert (one.facts.version, one.facts.etag) == (answers[0]["VersionId"], answers[0]["ETag"].strip('"'))
    assert one.via == ("botocore.GetObject",)
    assert one.touched is not None
    assert one.note is None
    assert "object s3://desk/in/prices.csv" in found.unrestorable


def test_a_stream_that_is_left_half_read_is_known_by_its_etag(s3: Any) -> None:
    def step() -> None:
        body = s3.get_object(Bucket="desk", Key="in/prices.csv")["Body"]
        assert body.read(3) == b"a,b"
        body.close()

    one = only(touched(step))
    assert (one.fingerprint, one.blob, one.size) == (None, None, 8)
    assert one.facts is not None
    assert one.facts.etag
    assert one.note == "not fingerprinted: 3 of 8 bytes were read"


def test_what_is_read_after_the_step_is_over_does_not_count(s3: Any) -> None:
    bodies: list[Any] = []
    one = only(touched(lambda: bodies.append(s3.get_object(Bucket="desk", Key="in/prices.csv")["Body"])))
    assert bodies[0].read() == b"a,b\n1,2\n"
    assert one.note == "not fingerprinted: 0 of 8 bytes were read"


def test_ranges_in_any_order_make_the_whole(s3: Any) -> None:
    def part(first: int, last: int) -> None:
        s3.get_object(Bucket="desk", Key="in/prices.csv", Range=f"bytes={first}-{last}")["Body"].read()

    one = only(touched(lambda: [part(4, 7), part(0, 2), part(2, 5)]))
    assert one.fingerprint == fingerprint(b"a,b\n1,2\n")
    assert one.blob is not None
    one = only(touched(lambda: part(4, 7)))
    assert one.note == "not fingerprinted: 4 of 8 bytes were read"


def test_at_level_metadata_nothing_is_kept(s3: Any) -> None:
    one = only(touched(lambda: s3.get_object(Bucket="desk", Key="in/prices.csv")["Body"].read(), store=None))
    assert (one.fingerprint, one.blob, one.note) == (fingerprint(b"a,b\n1,2\n"), None, None)


def test_over_the_cap_it_is_hashed_where_it_is_read_in_a_row(s3: Any) -> None:
    one = only(touched(lambda: s3.get_object(Bucket="desk", Key="in/prices.csv")["Body"].read(), size_cap=7))
    assert one.fingerprint == fingerprint(b"a,b\n1,2\n")
    assert one.blob is None
    assert one.note == "not kept: 8 bytes are over the size cap of 7"


def test_an_object_that_is_not_there_raises_as_ever_and_the_record_says_so(s3: Any) -> None:
    def step() -> None:
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            s3.get_object(Bucket="desk", Key="none")
        assert raised.value.response["Error"]["Code"] == "NoSuchKey"

    found = touched(step)
    assert (found.datasets, found.errors) == ((), ())
    assert "object s3://desk/none: NoSuchKey" in found.unrestorable


def test_an_endpoint_that_refuses_raises_as_ever() -> None:
    config = botocore.client.Config(retries={"max_attempts": 0}, connect_timeout=1)
    client = boto3.client("s3", endpoint_url="http://127.0.0.1:9", config=config)

    def step() -> None:
        with pytest.raises(botocore.exceptions.EndpointConnectionError):
            client.get_object(Bucket="desk", Key="k")

    assert "object s3://desk/k: EndpointConnectionError" in touched(step).unrestorable


BODIES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: b"written",
    "bytearray": lambda _: bytearray(b"written"),
    "memory": lambda _: io.BytesIO(b"written"),
    "file": lambda path: path.open("rb"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_what_is_put_is_hashed(s3: Any, tmp_path: Path, kind: str) -> None:
    (tmp_path / "local").write_bytes(b"written")
    one = only(touched(lambda: s3.put_object(Bucket="desk", Key="out", Body=BODIES[kind](tmp_path / "local"))), "write")
    answer = s3.get_object(Bucket="desk", Key="out")
    assert answer["Body"].read() == b"written"
    assert (one.fingerprint, one.size, one.blob) == (fingerprint(b"written"), 7, None)
    assert one.facts is not None
    assert (one.facts.version, one.facts.etag) == (answer["VersionId"], answer["ETag"].strip('"'))


def test_what_the_step_wrote_itself_is_not_its_input(s3: Any) -> None:
    def step() -> None:
        s3.put_object(Bucket="desk", Key="own", Body=b"x")
        s3.get_object(Bucket="desk", Key="own")["Body"].read()

    assert [item.direction for item in touched(step).datasets] == ["write"]


def test_copies_and_deletions(s3: Any) -> None:
    s3.put_object(Bucket="desk", Key="a b", Body=b"x")
    found = touched(lambda: s3.copy_object(Bucket="desk", Key="c", CopySource="desk/a b"))
    assert [(item.direction, item.name) for item in found.datasets] == [("read", "a b"), ("write", "c")]
    found = touched(lambda: s3.delete_object(Bucket="desk", Key="c"))
    assert [(item.name, item.note) for item in found.datasets] == [("c", "deleted")]
    found = touched(lambda: s3.delete_objects(Bucket="desk", Delete={"Objects": [{"Key": "a b"}]}))
    assert [(item.name, item.note) for item in found.datasets] == [("a b", "deleted")]
    assert touched(lambda: s3.list_objects_v2(Bucket="desk")).datasets == ()


def test_the_threads_of_a_transfer_belong_to_the_step_that_started_them(s3: Any, tmp_path: Path) -> None:
    """Two steps at once: without the adapter, neither would be known to own these threads."""
    config = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=5 * MB, max_concurrency=3)
    whole = bytes(range(256)) * 4096 * 12
    source = tmp_path / "source"
    source.write_bytes(whole)
    both = threading.Barrier(2)

    def up() -> None:
        both.wait(30)
        s3.upload_file(str(source), "desk", "up", Config=config)
        both.wait(30)

    def down() -> None:
        both.wait(30)
        s3.download_file("desk", "big", str(tmp_path / "target"), Config=config)
        both.wait(30)

    with ThreadPoolExecutor(2) as pool:
        uploads = pool.submit(touched, up, size_cap=16 * MB)
        downloads = pool.submit(touched, down, size_cap=16 * MB)
    written, read = only(uploads.result(), "write"), only(downloads.result())
    assert (written.name, written.size, written.note) == ("up", len(whole), "not fingerprinted: it was sent in parts")
    assert written.facts is not None
    assert written.facts.etag == s3.head_object(Bucket="desk", Key="up")["ETag"].strip('"')
    assert (read.name, read.fingerprint) == ("big", fingerprint(whole))
    assert (tmp_path / "target").read_bytes() == whole
    local = {(item.direction, item.path) for item in uploads.result().datasets if item.namespace == "file"}
    assert local == {("read", str(source))}
    local = {(item.direction, item.path) for item in downloads.result().datasets if item.namespace == "file"}
    assert local == {("write", str(tmp_path / "target"))}


def test_the_resource_and_file_objects(s3: Any, endpoint: str) -> None:
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("desk")

    def step() -> None:
        bucket.upload_fileobj(io.BytesIO(b"from memory"), "memory")
        assert bucket.Object("in/prices.csv").get()["Body"].read() == b"a,b\n1,2\n"

    found = touched(step)
    assert only(found).fingerprint == fingerprint(b"a,b\n1,2\n")
    assert only(found, "write").size == len(b"from memory")


def test_s3fs(s3: Any, endpoint: str) -> None:
    filesystem = s3fs.S3FileSystem(endpoint_url=endpoint, key="testing", secret="testing", skip_instance_cache=True)

    def step() -> None:
        assert filesystem.cat_file("desk/in/prices.csv") == b"a,b\n1,2\n"
        with filesystem.open("desk/in/prices.csv", "rb") as file:
            assert file.read() == b"a,b\n1,2\n"
        with filesystem.open("desk/out.csv", "wb") as file:
            file.write(b"c\n3\n")

    found = touched(step)
    one, written = only(found), only(found, "write")
    assert (one.fingerprint, one.via) == (fingerprint(b"a,b\n1,2\n"), ("aiobotocore.GetObject",))
    assert one.blob is not None
    assert (written.name, written.fingerprint) == ("out.csv", fingerprint(b"c\n3\n"))


def test_an_error_in_recording_is_noted_and_the_call_goes_on(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(DictStore):
        def put(self, data: object) -> tuple[str, int]:
            raise OSError("the disk is gone")

    answers: list[bytes] = []
    found = touched(
        lambda: answers.append(s3.get_object(Bucket="desk", Key="in/prices.csv")["Body"].read()), store=Broken()
    )
    assert answers == [b"a,b\n1,2\n"]
    assert any("the disk is gone" in error for error in found.errors)


def test_a_version_without_the_seam_is_left_alone_and_the_record_says_so(s3: Any) -> None:
    adapters.uninstall()
    unknown = ModuleType("botocore.client")
    unknown.BaseClient = type("BaseClient", (), {"_make_api_call": lambda self, request: request})  # type: ignore[attr-defined]
    adapter = S3Adapter()
    with pytest.raises(seams.SeamMissingError, match="takes"):
        adapter.install(unknown)
    seams.disable(adapter.name, "botocore 99 has no BaseClient._make_api_call", "botocore")
    answers: list[bytes] = []
    fresh = boto3.client("s3", endpoint_url=s3.meta.endpoint_url)
    found = touched(lambda: answers.append(fresh.get_object(Bucket="desk", Key="in/prices.csv")["Body"].read()))
    assert answers == [b"a,b\n1,2\n"]
    assert found.datasets == ()
    assert found.errors == ()
    assert [item for item in seams.missing() if item.adapter == adapter.name] == [
        seams.Unwatched(adapter.name, "botocore 99 has no BaseClient._make_api_call", ("botocore", "boto3"))
    ]
    seams.forget(adapter.name)


def test_the_library_gets_its_own_functions_back() -> None:
    ours = botocore.client.BaseClient._make_api_call
    adapters.uninstall()
    assert botocore.client.BaseClient._make_api_call is not ours
    assert "lineage_flows" in ours.__code__.co_filename
    assert "lineage_flows" not in botocore.client.BaseClient._make_api_call.__code__.co_filename
