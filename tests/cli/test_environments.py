from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineage_flows.replay.environments import Rebuilder
from lineage_flows.replay.uv import find_uv
from tests.compare.building import Blobs
from tests.replay.tiny import wanted


@pytest.fixture
def built(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    found = []
    for seed in ("one", "two"):
        what = wanted(tree=seed)
        with Rebuilder(home, find_uv() or "uv").environment(what, None, Blobs()) as environment:
            found.append(environment)
    os.utime(Path(found[0].python).parents[2] / "ready.json", (1, 1))
    return found


def test_without_any_it_says_so(call, home) -> None:
    said = call("environments")
    assert (said.code, said.out.strip()) == (0, "There are none: no replay has needed one.")


def test_they_are_listed_with_their_size_the_last_used_first(call, built) -> None:
    listed = call("environments", "--json").document["environments"]
    assert [item["digest"] for item in listed] == [built[1].digest, built[0].digest]
    assert all(item["size"] > 0 for item in listed)
    said = call("environments")
    assert said.code == 0
    assert built[0].digest[:12] in said.out
    assert "1970-01-01 00:00:01" in said.out


def test_one_is_removed_by_the_start_of_its_name(call, built) -> None:
    said = call("environments", "--remove", built[0].digest[:10], "--json")
    assert (said.code, said.document["removed"]) == (0, [built[0].digest])
    assert not Path(built[0].python).exists()
    assert Path(built[1].python).exists()
    assert call("environments", "--remove", "zzz").code == 2
    said = call("environments", "--remove-all")
    assert said.code == 0
    assert "1 environment removed" in said.out


def test_a_start_that_fits_two_is_refused_and_one_in_use_is_kept(call, built, home) -> None:
    said = call("environments", "--remove", "", "--json")
    assert (said.code, len(said.document["error"]["matches"])) == (2, 2)
    with Rebuilder(home, find_uv() or "uv").environment(wanted(tree="one"), None, Blobs()):
        said = call("environments", "--remove", built[0].digest)
        assert said.code == 2
        assert "a replay is using it" in said.err
        said = call("environments", "--remove-all", "--json")
        assert (said.code, said.document["removed"]) == (0, [built[1].digest])
