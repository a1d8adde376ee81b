from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.capture import disk_cache as module
from lineage_flows.capture.disk_cache import DiskCache, disk_cache


@given(st.text(max_size=20), st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_was_put_is_got(tmp_path: Path, key: str, value: str) -> None:
    cache = disk_cache(tmp_path / "cache")
    cache.put("kind", key, value)
    assert cache.get("kind", key) == value
    assert cache.get("other", key) is None
    cache.put("kind", key, value + "!")
    assert cache.get("kind", key) == value + "!"


def test_other_processes_see_it(tmp_path: Path) -> None:
    disk_cache(tmp_path).put("kind", "key", "value")
    text = (
        "import sys, pathlib\nfrom lineage_flows.capture.disk_cache import disk_cache\n"
        "print(disk_cache(pathlib.Path(sys.argv[1])).get('kind', 'key'))"
    )
    done = subprocess.run([sys.executable, "-c", text, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "value"


@pytest.mark.parametrize("obstacle", ["garbage", "folder", "file above", "empty"])
def test_a_cache_that_cannot_be_used_is_an_empty_one(tmp_path: Path, obstacle: str) -> None:
    folder = tmp_path / "cache"
    if obstacle == "file above":
        folder.write_text("")
    else:
        folder.mkdir()
        if obstacle == "folder":
            (folder / "capture.db").mkdir()
        else:
            (folder / "capture.db").write_bytes(b"no database at all" * 200 if obstacle == "garbage" else b"")
    cache = DiskCache(folder)
    cache.put("kind", "key", "value")
    assert cache.get("kind", "key") in {None, "value"}
    if obstacle == "garbage":  # thrown away, so that the next process has a cache
        again = DiskCache(folder)
        again.put("kind", "key", "value")
        assert again.get("kind", "key") == "value"


def test_a_cache_that_somebody_locks(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put("kind", "key", "value")
    other = sqlite3.connect(tmp_path / "capture.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    cache.put("kind", "second", "lost")
    other.execute("ROLLBACK")
    other.close()
    cache.put("kind", "third", "value")
    assert [cache.get("kind", key) for key in ("key", "second", "third")] == ["value", None, "value"]


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 10)
    monkeypatch.setattr(module, "_PUTS_BETWEEN_PRUNES", 20)
    cache = DiskCache(tmp_path)
    for number in range(40):
        cache.put("kind", f"{number:02}", "x")
    assert [cache.get("kind", f"{number:02}") is not None for number in range(40)] == [False] * 30 + [True] * 10


def test_threads_and_forks(tmp_path: Path) -> None:
    cache = disk_cache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: cache.put("kind", str(number), str(number)), range(100)))
    child = os.fork()
    if child == 0:
        cache.put("kind", "child", "x")
        os._exit(0 if cache.get("kind", "7") == "7" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache.get("kind", "99") == "99"
    assert cache.get("kind", "child") == "x"
