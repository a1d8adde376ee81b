"""Capture travels with Prefect's packed context, changes nothing of it, and needs nothing where it arrives."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

from lineage_flows import runtime
from lineage_flows.capture.travel import Packed, home_identity
from lineage_flows.delivery import Spool

CONTEXT = {"flow_run_context": {}, "tags_context": {"current_tags": ["a"]}, "deployment_id": None}


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(runtime, "arrive", told.append)
    return told


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_it_is_prefects_dictionary_wherever_it_was_pickled(pickler, arrivals):
    packed = Packed(CONTEXT, "carried")
    again = pickle.loads(pickler.dumps(pickle.loads(pickler.dumps(packed))))
    assert dict(again) == CONTEXT
    assert not arrivals, "Dask's scheduler unpickles too, and runs nothing"
    assert again.get("tags_context") == {"current_tags": ["a"]}
    assert arrivals == ["carried"]
    assert again.get("no such thing", 7) == 7


def test_without_this_package_it_is_a_plain_dictionary(tmp_path):
    (tmp_path / "packed").write_bytes(pickle.dumps(Packed(CONTEXT, "carried")))
    code = f"""
import pickle, sys
sys.modules["lineage_flows"] = None  # as if it were not installed
packed = pickle.loads(open({str(tmp_path / "packed")!r}, "rb").read())
assert type(packed) is dict, type(packed)
assert packed == {CONTEXT!r}
assert not hasattr(sys, "_lineage_flows_arriving")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


ARRIVING = """
import json, pickle, sys
packed = pickle.loads(open(sys.argv[1], "rb").read())
from lineage_flows import runtime
assert runtime.active() is None, "unpickling alone turns nothing on"
packed.get("flow_run_context")
found = runtime.active()
print(json.dumps(found and [str(found.settings.home), found.settings.level]))
runtime.stop()
"""


def arrive(folder: Path, carried: dict[str, object], **environment: str) -> list[str] | None:
    (folder / "packed").write_bytes(pickle.dumps(Packed(CONTEXT, json.dumps(carried))))
    (folder / "nobody").mkdir(exist_ok=True)
    bare = {"HOME": str(folder / "nobody"), "PYTHONPATH": str(Path(runtime.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", ARRIVING, str(folder / "packed")],
        cwd=folder / "nobody",
        env={**bare, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "nobody" / ".lineage-flows").exists()
    return json.loads(done.stdout)


def test_where_the_flows_home_is_capture_is_as_it_is_there(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    Spool(home / "spool.db").close()
    settings = {"home": str(home), "level": "all"}
    carried = {"home": home_identity(home), "pid": -1, "settings": settings}
    assert arrive(tmp_path, carried) == [str(home), "all"]
    assert arrive(tmp_path, {**carried, "home": "another machine:1:2"}) is None, "a home of that name is not that home"
    assert not (tmp_path / "absent").exists()


def test_what_cannot_be_read_turns_nothing_on(tmp_path):
    assert arrive(tmp_path, {"of": "another version"}) is None


def test_a_home_without_a_spool_has_no_identity(tmp_path):
    assert home_identity(tmp_path) is None
