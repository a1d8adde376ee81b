"""The store in S3 (moto's server on loopback, through s3fs) and in whatever else fsspec knows."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
import uuid

import pytest
from botocore.exceptions import ClientError

from lineage_flows.content import fingerprint, open_store
from lineage_flows.errors import BlobAlteredError, BlobMissingError, ContentError
from tests.support.s3 import fresh_bucket, moto_server


def name_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def key_of(digest):
    name = digest.partition(":")[2]
    return f"team/blobs/{name[:2]}/{name[2:4]}/{name}"


@pytest.fixture(scope="module")
def endpoint():
    with moto_server() as url:
        yield url


@pytest.fixture
def s3(endpoint, monkeypatch):
    """A client of a fresh bucket."""
    return fresh_bucket(endpoint, monkeypatch)


@pytest.fixture
def store(s3):
    return open_store(f"s3://{s3.bucket}/team/blobs")


def keys(s3):
    return [item["Key"] for item in s3.list_objects_v2(Bucket=s3.bucket).get("Contents", [])]


def test_what_is_put_is_got(store, s3, tmp_path):
    for data in (b"", b"prices", os.urandom(1 << 20) * 12):
        digest, size = store.put(data)
        assert (digest, size) == (name_of(data), len(data)) == store.put(iter([data[:3], memoryview(data)[3:]]))
        assert store.has(digest)
        assert store.get(digest) == data
        store.fetch(digest, tmp_path / "deep" / "copy")
        assert (tmp_path / "deep" / "copy").read_bytes() == data
        assert s3.get_object(Bucket=s3.bucket, Key=key_of(digest))["Body"].read() == data
    assert len(keys(s3)) == 3


def test_the_same_bytes_are_uploaded_once(store, s3):
    digest, _ = store.put(b"prices")
    before = s3.head_object(Bucket=s3.bucket, Key=key_of(digest))["LastModified"]
    s3.put_object(Bucket=s3.bucket, Key=key_of(digest), Body=b"PRICES")  # same length: not written over
    store.put(b"prices")
    assert s3.get_object(Bucket=s3.bucket, Key=key_of(digest))["Body"].read() == b"PRICES"
    assert before


def test_put_file(store, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 1_000_000)
    data = path.read_bytes()
    expected = (name_of(data), len(data), fingerprint(data))
    assert store.put_file(path, expect=expected[2]) == store.put_file(path, expect=expected[0]) == expected
    assert store.get(expected[0]) == data
    with pytest.raises(ContentError, match="it changed"):
        store.put_file(path, expect=fingerprint(b"other"))
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "nothing")


def test_missing_and_altered(store, s3, tmp_path):
    digest = name_of(b"prices")
    assert not store.has(digest)
    for read in (lambda: store.get(digest), lambda: store.fetch(digest, tmp_path / "a")):
        with pytest.raises(BlobMissingError):
            read()
    store.put(b"prices")
    for damage in (b"pricez", b"pric", b""):
        s3.put_object(Bucket=s3.bucket, Key=key_of(digest), Body=damage)
        for read in (lambda: store.get(digest), lambda: store.fetch(digest, tmp_path / "a")):
            with pytest.raises(BlobAlteredError):
                read()
    assert list(tmp_path.iterdir()) == []
    store.put(b"prices")
    assert store.get(digest) == b"prices"


def test_what_another_process_put_a_moment_ago_is_seen(store, s3):
    digest = name_of(b"late")
    assert not store.has(digest)
    s3.put_object(Bucket=s3.bucket, Key=key_of(digest), Body=b"late")
    assert store.has(digest)
    s3.delete_object(Bucket=s3.bucket, Key=key_of(digest))
    assert not store.has(digest)


def test_check(store, s3):
    store.check()
    assert keys(s3) == []


def test_a_writer_that_fails_midway_leaves_no_object(store, s3):
    def pieces():
        yield b"x" * 20_000_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put(pieces())
    assert keys(s3) == []


def test_no_such_bucket(s3, tmp_path):
    store = open_store(f"s3://nothing-{uuid.uuid4().hex}")
    (tmp_path / "a").write_bytes(b"x")
    for use in (
        store.check,
        lambda: store.put(b"x"),
        lambda: store.put([b"x"]),
        lambda: store.put_file(tmp_path / "a"),
    ):
        with pytest.raises(ContentError) as refused:
            use()
        assert "nothing-" in str(refused.value)
        assert "Check LINEAGE_FLOWS_STORE_URL" in str(refused.value)


def test_an_endpoint_that_is_not_there(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    store = open_store(f"s3://{s3.bucket}/elsewhere")
    for use in (
        store.check,
        lambda: store.put(b"x"),
        lambda: store.get(name_of(b"x")),
        lambda: store.has(name_of(b"x")),
    ):
        with pytest.raises(ContentError, match="cannot .* the store s3://"):
            use()


def test_many_threads(store, s3):
    results = []

    def work():
        results.append([store.get(store.put(b"%d" % number)[0]) for number in range(8)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[b"%d" % number for number in range(8)]] * 4
    assert len(keys(s3)) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_a_connection_of_its_own(s3):
    code = (
        "import os, sys; from lineage_flows.content import open_store\n"
        "store = open_store(sys.argv[1]); store.put(b'parent')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    import signal; signal.alarm(60)\n"
        "    assert store.get(store.put(b'child')[0]) == b'child'\n"
        "    os._exit(0)\n"
        "sys.exit(os.waitpid(child, 0)[1])\n"
    )
    subprocess.run([sys.executable, "-c", code, f"s3://{s3.bucket}/team/blobs"], check=True)
    assert set(keys(s3)) == {key_of(name_of(b"parent")), key_of(name_of(b"child"))}


def test_other_file_systems(tmp_path):
    store = open_store(f"memory://{uuid.uuid4().hex}/blobs")
    store.check()
    digest, _ = store.put([b"a", b"b"])
    assert store.get(digest) == b"ab"
    store.fetch(digest, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"ab"
    with pytest.raises(BlobMissingError):
        store.get(name_of(b""))


def test_a_url_that_nothing_serves():
    for use in (lambda s: s.check(), lambda s: s.put(b"x"), lambda s: s.has(name_of(b""))):
        with pytest.raises(ContentError, match="cannot .* the store gopher://"):
            use(open_store("gopher://x/y"))


def test_a_library_that_is_not_installed_is_named():
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from lineage_flows.content import open_store; from lineage_flows.errors import ContentError\n"
        "try: open_store('s3://bucket/x').put(b'x')\n"
        "except ContentError as error: print(error)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'lineage-flows[aws]'" in made.stdout


def test_opening_loads_no_remote_library():
    code = (
        "import sys; from lineage_flows.content import open_store; open_store('s3://bucket/x'); open_store('/tmp/x');"
        "print([name for name in ('s3fs', 'botocore', 'boto3', 'aiobotocore') if name in sys.modules])"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"


def test_a_name_that_was_taken_a_moment_ago_is_not_written_over(store, s3, monkeypatch, tmp_path):
    s3.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    digest, _ = store.put(b"prices")
    monkeypatch.setattr(type(store), "_size", staticmethod(lambda fs, key: None))  # as it was when it was looked for
    path = tmp_path / "prices"
    path.write_bytes(b"prices")
    assert store.put(b"prices")[0] == store.put(iter([b"prices"]))[0] == store.put_file(path)[0] == digest
    assert len(s3.list_object_versions(Bucket=s3.bucket)["Versions"]) == 1


def test_a_store_that_does_not_know_the_condition_is_written_without(store):
    asked = []

    def put(**how):
        asked.append(how)
        if how:
            raise OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented")

    store._write(put, taken=False)
    assert asked == [{"mode": "create"}, {}]
    asked.clear()
    store._write(put, taken=True)
    assert asked == [{}]


@pytest.mark.parametrize("second", [None, FileExistsError("taken")])
def test_a_write_that_met_another_is_tried_again(store, second):
    asked = []

    def put(**how):
        asked.append(how)
        if len(asked) == 1:
            answer = {"Error": {"Code": "ConditionalRequestConflict"}}
            raise OSError(errno.EIO, "conflict") from ClientError(answer, "PutObject")
        if second is not None:
            raise second

    store._write(put, taken=False)
    assert asked == [{"mode": "create"}] * 2


@pytest.mark.parametrize("raised", [FileExistsError, lambda text: OSError(errno.EINVAL, text)])
def test_a_name_that_is_taken_is_no_failure_whatever_s3fs_makes_of_it(store, raised):
    asked = []

    def put(**how):
        asked.append(how)
        raise raised("taken") from ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")

    store._write(put, taken=False)
    assert asked == [{"mode": "create"}]


def test_a_write_that_always_meets_another_fails(store):
    asked = []

    def put(**how):
        asked.append(how)
        raise OSError(errno.EIO, "conflict") from ClientError(
            {"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject"
        )

    with pytest.raises(OSError, match="conflict"):
        store._write(put, taken=False)
    assert len(asked) == 3


def test_another_failure_is_not_tried_again(store):
    def put(**how):
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        store._write(put, taken=False)


@pytest.fixture
def write_once(monkeypatch):
    """The bucket denies every write that does not ask for a free name, as that of infra/ does by its policy."""
    import s3fs

    call = s3fs.S3FileSystem._call_s3

    async def guarded(self, method, *parts, **more):
        asked = {key for part in (*parts, more) if isinstance(part, dict) for key in part}
        if method in {"put_object", "complete_multipart_upload"} and "IfNoneMatch" not in asked:
            answer = {"Error": {"Code": "AccessDenied", "Message": "explicit deny in a resource-based policy"}}
            raise PermissionError("Access Denied") from ClientError(answer, "PutObject")
        return await call(self, method, *parts, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", guarded)


@pytest.mark.parametrize("how", ["put", "pieces", "file"])
def test_a_damaged_blob_that_may_not_be_written_over_is_said_to_be_one(store, s3, write_once, tmp_path, how):
    path = tmp_path / "prices"
    path.write_bytes(b"prices")
    write = {
        "put": lambda: store.put(b"prices"),
        "pieces": lambda: store.put(iter([b"pri", b"ces"])),
        "file": lambda: store.put_file(path),
    }[how]
    digest = write()[0]
    assert store.get(digest) == b"prices"
    s3.put_object(Bucket=s3.bucket, Key=key_of(digest), Body=b"pric")
    with pytest.raises(ContentError) as caught:
        write()
    said = str(caught.value)
    assert digest in caught.value.what
    assert "damaged" in caught.value.what
    assert "4 bytes" in caught.value.why
    assert "6" in caught.value.why
    assert "delete" in caught.value.fix
    assert "pruner" in caught.value.fix
    assert "credentials" not in said, "they are not what is wrong"
    s3.delete_object(Bucket=s3.bucket, Key=key_of(digest))
    assert write()[0] == digest
    assert store.get(digest) == b"prices"


@pytest.mark.parametrize("damaged", [False, True])
def test_a_writer_that_may_not_write_at_all_is_told_so(store, s3, monkeypatch, damaged):
    import s3fs

    call = s3fs.S3FileSystem._call_s3
    if damaged:
        s3.put_object(Bucket=s3.bucket, Key=key_of(name_of(b"prices")), Body=b"pric")

    async def refuse(self, method, *parts, **more):
        if method == "put_object":
            answer = {"Error": {"Code": "AccessDenied", "Message": "no identity-based policy allows it"}}
            raise PermissionError("Access Denied") from ClientError(answer, "PutObject")
        return await call(self, method, *parts, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", refuse)
    with pytest.raises(ContentError, match="cannot write the store") as caught:
        store.put(b"prices")
    assert "s3:PutObject" in caught.value.fix


def test_a_store_in_which_nothing_may_be_deleted_is_sound(store, s3, monkeypatch):
    import s3fs

    def refuse(self, path):
        raise PermissionError("Forbidden")

    monkeypatch.setattr(s3fs.S3FileSystem, "rm_file", refuse)
    store.check()
    assert [key.rpartition("/")[0] for key in keys(s3)] == ["team/blobs/tmp"]
