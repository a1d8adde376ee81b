from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage_flows.errors import BlobMissingError, CodeNotRestorableError, ContentError, ReplayError
from lineage_flows.records import BlobRef, ModuleFile, RandomStates
from lineage_flows.replay.plan import first_reads, make_plan
from tests.compare.building import Blobs, Run, read, wrote

CODE = {"flow.py": "def backtest(): ...\n", "sub/helpers.py": "X = 1\n"}


def kept(blobs: Blobs, path: str, content: str, order: int, **fields):
    return read(path, content, order, blob=blobs.keep(content.encode()), **fields)


def test_the_files_the_run_found_are_those_first_touched_by_a_read():
    run = Run(code=CODE)
    blobs = run.blobs
    run.step("one", datasets=(kept(blobs, "/d/in.csv", "a", 1), wrote("/d/out.csv", "b", 2)))
    run.step(
        "two",
        datasets=(kept(blobs, "/d/out.csv", "b", 3), wrote("/d/in.csv", "c", 4), kept(blobs, "/d/in.csv", "c", 5)),
    )
    run.step("three", datasets=(kept(blobs, "/d/late.csv", "d", 6),))
    record = run.record(datasets=(kept(blobs, "/d/import.txt", "e", 0, via=("import",)), wrote("/d/late.csv", "x", 7)))
    assert {path: item.blob.digest for path, item in first_reads(record).items()} == {
        "/d/in.csv": blobs.keep(b"a").digest,
        "/d/late.csv": blobs.keep(b"d").digest,
        "/d/import.txt": blobs.keep(b"e").digest,
    }
    assert set(make_plan(record, blobs).files) == {"/d/in.csv", "/d/late.csv", "/d/import.txt"}


def test_a_read_that_was_kept_by_another_step_is_kept():
    run = Run(code=CODE)
    run.step("one", datasets=(read("/d/in.csv", "a", 1),))
    run.step("two", datasets=(kept(run.blobs, "/d/in.csv", "a", 2),))
    assert set(make_plan(run.record(), run.blobs).files) == {"/d/in.csv"}


def test_all_blobs_are_asked_for_before_anything_runs():
    run = Run(code=CODE, window=20)
    blobs = run.blobs
    parameter = run.parameters[0]
    run.parameters = (parameter.model_copy(update={"value": run.see(20, keep=True)}),)
    states = RandomStates(python=blobs.keep(b"python state"), numpy=blobs.keep(b"numpy state"))
    run.step("load", 1.0, datasets=(kept(blobs, "/d/in.csv", "a", 1),), random=states)
    run.step("fetch", 2.0, keep=True, unrestorable=("example.com:443",))
    module = ModuleFile(path="/lib/m.py", root="/lib", blob=blobs.keep(b"module"))
    record = run.record(random=RandomStates(torch=blobs.keep(b"torch state")))
    record = record.model_copy(
        update={
            "flow": record.flow.model_copy(update={"code": record.flow.code.model_copy(update={"modules": (module,)})})
        }
    )
    plan = make_plan(record, blobs)
    needed = set(plan.blobs)
    for content in (
        b"python state",
        b"numpy state",
        b"torch state",
        b"a",
        b"module",
        CODE["flow.py"].encode(),
        CODE["sub/helpers.py"].encode(),
    ):
        assert blobs.keep(content).digest in needed
    assert record.steps[1].output.blob.digest in needed
    assert record.flow.code.blob.digest in needed
    for digest in needed:
        gone = Blobs({name: data for name, data in blobs.items() if name != digest})
        with pytest.raises(BlobMissingError) as error:
            make_plan(record, gone)
        assert error.value.digest == digest


def test_steps_that_read_what_cannot_be_served_are_substituted_when_their_result_was_kept():
    run = Run(code=CODE)
    fetched = run.step("fetch", [1.5], keep=True, unrestorable=("example.com:443",))
    cached = run.step("cached", [2.5], keep=True, cached=True)
    run.step("other", [3.5], keep=True)
    run.step("executed", [4.5], unrestorable=("example.com:443",))
    run.step("again", [5.5], cached=True)
    plan = make_plan(run.record(), run.blobs)
    assert plan.substitutes == {fetched.run_id: fetched.output.blob, cached.run_id: cached.output.blob}
    assert [note.split()[1] for note in plan.notes] == ["executed#0", "again#0"]


def test_a_file_that_was_not_kept_is_needed_only_by_what_is_executed():
    run = Run(code=CODE)
    run.step("big", 1, keep=True, unrestorable=("/d/big: over the size cap",), datasets=(read("/d/big", "x", 1),))
    assert make_plan(run.record(), run.blobs).unkept == {}
    run.step("again", datasets=(read("/d/big", "x", 2),))
    assert set(make_plan(run.record(), run.blobs).unkept) == {"/d/big"}


@pytest.mark.parametrize("level", ["metadata", "off"])
def test_a_level_that_keeps_nothing_is_refused_with_the_level_that_is_needed(level):
    run = Run(code=CODE)
    with pytest.raises(ReplayError, match=rf"level {level}.*level inputs or all.*LINEAGE_FLOWS_LEVEL=inputs"):
        make_plan(run.record(level=level), run.blobs)


def test_code_that_was_not_kept_is_refused_unless_other_code_is_given(tmp_path: Path):
    run = Run(code=CODE)
    record = run.record()

    def flow(**update):
        return record.model_copy(update={"flow": record.flow.model_copy(update=update)})

    code = record.flow.code
    for broken, why in (
        (flow(code=None), "not kept"),
        (flow(code=code.model_copy(update={"blob": None, "note": "larger than the cap"})), "larger than the cap"),
        (flow(code=code.model_copy(update={"left_out": ("flow.py",)})), "left out"),
        (flow(code=code.model_copy(update={"root": "/elsewhere"})), "neither in the source tree"),
    ):
        with pytest.raises(CodeNotRestorableError, match=why):
            make_plan(broken, run.blobs)
        assert make_plan(broken, run.blobs, code_path=tmp_path).code_path == tmp_path
    notebook = record.flow.entry.model_copy(update={"path": None})
    with pytest.raises(CodeNotRestorableError, match="notebook"):
        make_plan(flow(entry=notebook), run.blobs, code_path=tmp_path)
    with pytest.raises(ReplayError, match="no folder"):
        make_plan(record, run.blobs, code_path=tmp_path / "absent")


def test_a_list_of_files_that_is_none_is_refused():
    run = Run(code=CODE)
    record = run.record()
    blob = run.blobs.keep(b"not json")
    code = record.flow.code.model_copy(update={"blob": BlobRef(digest=blob.digest, size=1, format="files")})
    record = record.model_copy(update={"flow": record.flow.model_copy(update={"code": code})})
    with pytest.raises(CodeNotRestorableError, match="list of its files"):
        make_plan(record, run.blobs)


def test_capture_errors_of_the_original_are_said():
    run = Run(code=CODE)
    run.step("one", capture_errors=("files: no",))
    plan = make_plan(run.record(capture_errors=("code: no",)), run.blobs, notes=("first",))
    assert plan.notes[0] == "first"
    assert plan.notes[1].startswith("2 capture errors")


def listing(blobs: Blobs, files: dict[str, str]) -> BlobRef:
    """A folder as capture keeps it: a list that names the blob of every file."""
    named = {
        name: {"digest": blobs.keep(content.encode()).digest, "size": len(content), "fingerprint": content}
        for name, content in files.items()
    }
    return blobs.keep(json.dumps({"files": named}).encode(), "folder")


def test_a_folder_that_was_read_is_every_file_in_it():
    run = Run(code=CODE)
    blobs = run.blobs
    blob = listing(blobs, {"s=A/1.parquet": "a", "s=B/2.parquet": "b"})
    run.step("load", datasets=(read("/d/ds", "x", 1, blob=blob), kept(blobs, "/d/ds/s=B/2.parquet", "later", 2)))
    plan = make_plan(run.record(), blobs)
    assert plan.folders == ("/d/ds",)
    assert {path: item.digest for path, item in plan.files.items()} == {
        "/d/ds/s=A/1.parquet": blobs.keep(b"a").digest,
        "/d/ds/s=B/2.parquet": blobs.keep(b"b").digest,
    }
    for digest in (blob.digest, blobs.keep(b"a").digest):
        with pytest.raises(BlobMissingError):
            make_plan(run.record(), Blobs({name: data for name, data in blobs.items() if name != digest}))


def test_what_the_run_wrote_into_a_folder_before_it_read_the_folder_is_not_restored():
    run = Run(code=CODE)
    blobs = run.blobs
    run.step("write", datasets=(wrote("/d/ds/new.parquet", "n", 1), wrote("/d/made", "m", 2)))
    run.step(
        "load",
        datasets=(
            read("/d/ds", "x", 3, blob=listing(blobs, {"old.parquet": "o", "new.parquet": "n"})),
            read("/d/made/s=A", "y", 4, blob=listing(blobs, {"1.parquet": "m"})),
        ),
    )
    assert set(make_plan(run.record(), blobs).files) == {"/d/ds/old.parquet"}


@pytest.mark.parametrize("names", ['{"files": {"../x": {"digest": "d", "size": 1}}}', '{"files": {"x": {}}}', "no"])
def test_a_folders_list_that_cannot_be_trusted_is_refused(names):
    run = Run(code=CODE)
    run.step("load", datasets=(read("/d/ds", "x", 1, blob=run.blobs.keep(names.encode(), "folder")),))
    with pytest.raises(ContentError, match="/d/ds"):
        make_plan(run.record(), run.blobs)
