"""The store in a folder: many writers, killed writers, full disks, damaged blobs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.content import dump_value, fingerprint, open_store
from lineage_flows.errors import BlobAlteredError, BlobMissingError, ContentError, HomeError


def name_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*") if path.is_file())


def blob(root, digest):
    return next(path for path in pathlib.Path(root).rglob(digest.partition(":")[2]))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def store(root):
    return open_store(str(root))


@given(st.lists(st.binary(max_size=2000), max_size=5))
@settings(max_examples=40, deadline=None)
def test_what_is_put_is_got(tmp_path_factory, pieces):
    root = tmp_path_factory.mktemp("blobs")
    store = open_store(str(root))
    data = b"".join(pieces)
    put = store.put(piece for piece in pieces)
    assert (
        put
        == store.put(data)
        == store.put(memoryview(data))
        == store.put(map(memoryview, pieces))
        == (name_of(data), len(data))
    )
    assert store.get(put[0]) == data
    assert store.has(put[0])
    digest = put[0].partition(":")[2]
    assert files(root) == [f"{digest[:2]}/{digest[2:4]}/{digest}"]


def test_the_name_is_what_sha256sum_says(store, root):
    digest, _ = store.put(b"prices")
    path = blob(root, digest)
    said = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True).stdout.split()[0]
    assert digest == f"sha256:{said}"
    assert path.name == said
    assert not path.stat().st_mode & 0o222  # nothing writes into a blob by mistake


def test_values_go_in_and_come_out(store):
    import numpy as np

    data, _ = dump_value(np.arange(100_000.0))
    digest, size = store.put(data)
    assert len(store.get(digest)) == size > 800_000


def test_nothing_is_touched_before_it_is_needed(store, root):
    assert not store.has(name_of(b""))
    with pytest.raises(BlobMissingError):
        store.get(name_of(b""))
    assert not root.exists()


@pytest.mark.parametrize("url", ["file://{}", "{}"])
def test_folder_urls(tmp_path, url):
    store = open_store(url.format(tmp_path / "a b"))
    digest, _ = store.put(b"x")
    assert blob(tmp_path / "a b", digest).read_bytes() == b"x"
    assert store.url == url.format(tmp_path / "a b")


def test_a_file_url_is_unquoted_and_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    digest, _ = open_store("~/blobs").put(b"x")
    assert open_store(f"file://{tmp_path}/blo%62s").has(digest)


@pytest.mark.parametrize("url", ["", "  ", "://x"])
def test_no_store(url):
    with pytest.raises(ContentError, match="is no store"):
        open_store(url)


# Damage


@pytest.mark.parametrize("damage", [b"", b"pricez", b"prices and more"])
def test_an_altered_blob_is_never_used_and_putting_it_again_mends_it(store, root, tmp_path, damage):
    digest, _ = store.put(b"prices")
    path = blob(root, digest)
    path.chmod(0o644)
    path.write_bytes(damage)
    with pytest.raises(BlobAlteredError) as altered:
        store.get(digest)
    assert altered.value.found == name_of(damage)
    with pytest.raises(BlobAlteredError):
        store.fetch(digest, tmp_path / "copy")
    assert files(tmp_path / "blobs") == files(root)
    assert not (tmp_path / "copy").exists()
    store.put(b"prices")
    assert store.get(digest) == b"prices"


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256:",
        "sha256:abc",
        "md5:" + "0" * 64,
        "sha256:" + "A" * 64,
        "sha256:../../../etc/passwd",
        "0" * 64,
        "sha256:" + "0" * 64 + "\n",
    ],
)
def test_what_is_no_digest_never_becomes_a_path(store, digest, tmp_path):
    for ask in (store.get, store.has, lambda d: store.fetch(d, tmp_path / "x")):
        with pytest.raises(ContentError, match="no blob's name"):
            ask(digest)


def test_fetch(store, tmp_path):
    digest, _ = store.put([b"a" * 10_000_000, b"end"])
    store.fetch(digest, tmp_path / "deep" / "copy.bin")
    assert hashlib.sha256((tmp_path / "deep" / "copy.bin").read_bytes()).hexdigest() == digest.partition(":")[2]
    assert (tmp_path / "deep" / "copy.bin").stat().st_mode & 0o200  # the copy may be changed
    store.fetch(digest, tmp_path / "deep" / "copy.bin")  # again, over what is there
    with pytest.raises(BlobMissingError):
        store.fetch(name_of(b"other"), tmp_path / "missing")
    assert files(tmp_path / "deep") == ["copy.bin"]


# Files


@pytest.mark.parametrize("size", [0, 5, 40 << 20])
def test_put_file(store, root, tmp_path, size):
    data = os.urandom(min(size, 1 << 20)) * max(1, size >> 20)
    path = tmp_path / "prices.parquet"
    path.write_bytes(data)
    expected = (name_of(data), len(data), fingerprint(data))
    assert store.put_file(path) == expected
    assert store.put_file(str(path), expect=expected[0]) == store.put_file(path, expect=expected[2]) == expected
    assert store.get(expected[0]) == data
    assert len(files(root)) == 1


@pytest.mark.parametrize("size", [5, 40 << 20])
def test_put_file_that_is_not_as_expected_keeps_nothing(store, root, tmp_path, size):
    path = tmp_path / "prices"
    path.write_bytes(b"x" * size)
    with pytest.raises(ContentError, match="it changed"):
        store.put_file(path, expect=fingerprint(b"older"))
    assert not root.exists() or files(root) == []


def test_put_file_that_is_not_there(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        store.put_file(tmp_path / "pipe")


def test_a_file_that_is_written_to_meanwhile_is_stored_as_it_was_hashed(store, tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a" * (1 << 20))
    stop = threading.Event()

    def write():
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                file.seek(0)
                file.write(os.urandom(1 << 16))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            digest, size, made = store.put_file(path)
            kept = store.get(digest)
            assert (len(kept), fingerprint(kept)) == (size, made)
    finally:
        stop.set()
        writer.join()


# Many writers


WRITER = """
import sys, hashlib
from lineage_flows.content import open_store
store = open_store(sys.argv[1])
sys.stdin.readline()
for number in range(30):
    data = (b"%d" % (number % 5)) * 300_000
    digest, size = store.put(iter([data[:100_000], data[100_000:]]) if number % 2 else data)
    assert store.get(digest) == data
"""


def test_many_processes_write_the_same_blobs(root):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdin=subprocess.PIPE) for _ in range(4)]
    for writer in writers:
        writer.stdin.write(b"go\n")
        writer.stdin.close()
    assert [writer.wait(120) for writer in writers] == [0] * 4
    assert len(files(root)) == 5
    assert all(name_of((root / path).read_bytes()).endswith(pathlib.Path(path).name) for path in files(root))


def test_many_threads_write_the_same_blobs(store, root):
    errors = []

    def work():
        try:
            for number in range(50):
                data = b"%d" % (number % 7) * 1000
                assert store.get(store.put(iter([data]))[0]) == data
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(files(root)) == 7


KILLED = """
import sys
from lineage_flows.content import open_store
def pieces():
    yield b"half of it" * 1000
    print("half", flush=True)
    sys.stdin.readline()  # killed here
    yield b"the other half"
print(open_store(sys.argv[1]).put(pieces()), flush=True)
"""


def test_a_writer_that_is_killed_leaves_no_half_of_a_blob(root, store):
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"half\n"
    os.kill(writer.pid, signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    writer.stdin.close()
    writer.stdout.close()
    assert [path for path in files(root) if not path.startswith("tmp/")] == []
    assert len(files(root)) == 1  # the draft
    whole = b"half of it" * 1000 + b"the other half"
    digest, _ = store.put(whole)
    assert store.get(digest) == whole
    # A day later it is swept by whoever opens the store next and writes.
    (draft,) = (root / "tmp").iterdir()
    old = time.time() - 25 * 3600
    os.utime(draft, (old, old))
    open_store(str(root)).put(b"other")
    assert not draft.exists()


def test_a_writer_that_is_interrupted_cleans_up(store, root):
    def pieces():
        yield b"x"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put(pieces())
    assert files(root) == []


def test_drafts_of_others_that_are_at_work_are_left_alone(store, root):
    (root / "tmp").mkdir(parents=True)
    (root / "tmp" / "other").write_bytes(b"young")
    store.put(b"x")
    assert (root / "tmp" / "other").exists()


# Full disks and folders that cannot be written to


@contextlib.contextmanager
def small_disk(folder, size="128k"):
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount on this system")
def test_a_full_disk_gives_one_clear_line_and_leaves_nothing(tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk):
        store = open_store(str(disk))
        small, _ = store.put(b"small")
        source = tmp_path / "large"
        source.write_bytes(b"x" * 500_000)
        puts = [
            lambda: store.put(b"x" * 500_000),
            lambda: store.put([b"x" * 1000] * 500),
            lambda: store.put_file(source),
        ]
        for put in puts:
            with pytest.raises(HomeError) as full:
                put()
            assert "No space left on device" in str(full.value)
            assert "Free some space" in str(full.value)
            assert str(disk) in str(full.value)
            assert len(files(disk)) == 1
        assert store.get(small) == b"small"
        store.put(b"still works")
        with pytest.raises(HomeError):
            open_store(str(tmp_path / "other")).put(b"y" * 500_000)
            open_store(str(tmp_path / "other")).fetch(name_of(b"y" * 500_000), disk / "copy")
        assert not (disk / "copy").exists()
        (disk / "filler").write_bytes(b"z" * (shutil.disk_usage(disk).free))
        with pytest.raises(HomeError, match="No space left"):
            store.check()


def test_a_limit_on_the_size_of_files(root):
    code = (
        "import resource, sys; from lineage_flows.content import open_store; store = open_store(sys.argv[1]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "store.put(b'x' * 500_000)"
    )
    made = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=False)
    assert "HomeError" in made.stderr
    assert "Raise the limit on the size of files" in made.stderr
    assert files(root) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        store = open_store(str(root))
        for use in (lambda: store.put(b"x"), lambda: store.put([b"x"]), store.check):  # noqa: B023
            with pytest.raises(HomeError, match="file that is in the way"):
                use()
        assert not store.has(name_of(b"x"))
        with pytest.raises(BlobMissingError):
            store.get(name_of(b"x"))


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount on this system")
def test_a_store_on_a_disk_that_is_read_only_can_still_be_read(tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk):
        digest, _ = open_store(str(disk)).put(b"x")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        store = open_store(str(disk))
        assert store.get(digest) == b"x"
        assert store.put(b"x") == (digest, 1)  # is there already
        for use in (lambda: store.put(b"y"), store.check):
            with pytest.raises(HomeError, match="Read-only file system"):
                use()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_folder_without_permission(tmp_path):
    code = (
        "import os, sys; from lineage_flows.content import open_store; from lineage_flows.errors import HomeError\n"
        "os.setuid(65534)\n"
        "for use in ('check', 'put', 'get'):\n"
        "    store = open_store(sys.argv[1])\n"
        "    try: store.check() if use == 'check' else store.put(b'y') if use == 'put' else store.get('sha256:' + '0' * 64)\n"
        "    except HomeError as error: print(error)\n"
    )
    root = tmp_path / "blobs"
    root.mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if folder == folder.parent or folder.stat().st_mode & 0o001:
            continue
        folder.chmod(folder.stat().st_mode | 0o011)
    made = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    lines = made.stdout.splitlines()
    assert len(lines) == 3
    assert all("Permission denied" in line and "Make it readable and writable" in line for line in lines)


def test_check_leaves_nothing(store, root):
    store.check()
    assert files(root) == []
