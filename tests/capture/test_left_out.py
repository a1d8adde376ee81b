"""What rules leave out of a run, and what is taken note of when a secret is opened."""

from __future__ import annotations

import contextlib
import threading

import pydantic
import pytest

from lineage_flows import redaction
from lineage_flows.capture import files, selection
from lineage_flows.capture.adapters.http import Asked
from lineage_flows.capture.adapters.s3 import _Call
from lineage_flows.capture.adapters.secret_values import SecretAdapter
from lineage_flows.capture.declared import declare
from lineage_flows.capture.left_out import LeftOut
from lineage_flows.capture.objects import Facts, Target
from lineage_flows.capture.selection import Candidate, select
from lineage_flows.content import open_store
from lineage_flows.policy import Rule, decide
from lineage_flows.redaction import MASK, redact

_ARGUMENTS = ("version", "fingerprint", "rows", "size", "columns", "name", "namespace", "properties", "note")


@pytest.fixture(autouse=True)
def forgotten():
    redaction.forget()
    yield
    redaction.forget()


def left_out(**said):
    return LeftOut(decide([Rule(origin="r", **said)], "f", task=None, tags=(), level="all", size_cap=1 << 20))


def test_files_that_are_left_out_are_neither_kept_nor_named(tmp_path):
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text(f"content of {name}")
    rule = left_out(exclude_datasets=("*/a.csv", "file://*/c.csv"))
    store = tmp_path / "store"
    log = files.FileLog(open_store(str(store)), size_cap=1 << 20, keep_written=True, left_out=rule)
    for name in ("a.csv", "b.csv"):
        log.read(str(tmp_path / name), "open")
    log.write(str(tmp_path / "c.csv"), "open")
    (tmp_path / "c.csv").write_text("content of c.csv, changed")
    touched = log.close()
    assert [dataset.path for dataset in touched.datasets] == [str(tmp_path / "b.csv")]
    kept = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert b"a.csv" not in kept
    assert b"c.csv" not in kept
    assert b"content of b.csv" in kept
    ref = rule.ref()
    assert ref is not None
    assert (ref.datasets, ref.rules) == (2, ("r",))
    assert rule.unrestorable == ("1 dataset left out by policy",)


def test_objects_that_are_left_out_are_neither_kept_nor_named(tmp_path):
    rule = left_out(exclude_datasets=("s3://pii/*",))
    log = files.FileLog(open_store(str(tmp_path)), size_cap=1 << 20, keep_written=True, left_out=rule).objects
    hidden = log.read(Target("s3://pii", "x", "s3://pii/x"), "boto3", Facts(etag="1"))
    assert log.stream(hidden) is None
    log.received(hidden, b"named person")
    log.write(Target("s3://pii", "y", "s3://pii/y"), "boto3", Facts(etag="2"), data=b"named person")
    shown = log.read(Target("s3://open", "x", "s3://open/x"), "boto3", Facts(etag="1"))
    log.received(shown, b"seen")
    assert [dataset.uri for dataset in log.close()] == ["s3://open/x"]
    assert b"named person" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert rule.ref().datasets == 2


def test_of_the_source_tree_only_what_is_no_code_and_not_versioned_is_left_out():
    selection.configure(lambda path: path.startswith("/tree/private/"))
    try:
        found = select(
            [Candidate("private/a.csv", 1), Candidate("private/b.py", 1), Candidate("private/c.csv", 1, tracked=True),
             Candidate("d.csv", 1)],
            100, "/tree",
        )  # fmt: skip
    finally:
        selection.configure(lambda _path: False)
    assert found.kept == ("d.csv", "private/b.py", "private/c.csv")
    assert found.left_out == ("1 file left out by policy",)


def test_a_secret_that_is_opened_is_known_from_then_on():
    adapter = SecretAdapter()
    adapter.install(pydantic.types)
    try:
        assert redact("hunter2-and-more") == "hunter2-and-more"
        assert pydantic.SecretStr("hunter2-and-more").get_secret_value() == "hunter2-and-more"
        assert redact("a hunter2-and-more") == f"a {MASK}"
        from prefect.blocks.system import Secret

        assert Secret(value={"user": "postgres", "password": "swordfish-1"}).get() == {
            "user": "postgres",
            "password": "swordfish-1",
        }
        assert redact("postgres swordfish-1") == f"postgres {MASK}"
        assert pydantic.SecretBytes(b"byte-secret").get_secret_value() == b"byte-secret"
        assert redact("byte-secret") == MASK
    finally:
        adapter.uninstall()
    assert pydantic.types._SecretBase.get_secret_value.__module__ == "pydantic.types"
    pydantic.SecretStr("never-met").get_secret_value()
    assert redact("never-met") == "never-met"


def test_opening_a_secret_gives_what_it_gave_whatever_it_holds():
    class Odd(dict):
        def items(self):
            raise RuntimeError

    adapter = SecretAdapter()
    adapter.install(pydantic.types)
    try:
        odd = Odd()
        assert pydantic.Secret[object](odd).get_secret_value() is odd
    finally:
        adapter.uninstall()


def test_many_threads_may_meet_secrets_at_once():
    threads = [
        threading.Thread(target=lambda n=n: [redaction.remember(f"secret-{n}-{i}") for i in range(20)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redact(" ".join(f"secret-{n}-{i}" for n in range(8) for i in range(20))) == " ".join([MASK] * 160)


def test_what_is_left_out_is_not_named_where_it_is_said_what_a_replay_cannot_serve(tmp_path):
    rule = left_out(exclude_datasets=("s3://pii/*", "https://vendor.example/private*", "postgres://*", "lake://pii/*"))
    log = files.FileLog(open_store(str(tmp_path)), size_cap=1 << 20, left_out=rule)
    calls = {"Bucket": "pii", "Key": "people.csv"}
    _Call(log, "botocore", "GetObject", calls).failed(OSError("no"))
    _Call(log, "botocore", "GetObject", {**calls, "Bucket": "open"}).failed(OSError("no"))
    for url in ("https://vendor.example/private/people", "https://vendor.example/open"):
        with contextlib.suppress(OSError), Asked(log, "requests", "GET", url):
            raise OSError("no")
    declare(log, "read", "lake://pii/people", dict.fromkeys(_ARGUMENTS) | {"data": ...})
    log.cannot_restore("query not repeatable: reads postgres://db:5432/people", "postgres://db:5432/people")
    touched = log.close()
    said = [*touched.unrestorable, *touched.errors, *(dataset.uri for dataset in touched.datasets)]
    assert [one for one in said if "people" in one and "open" not in one] == []
    assert sum("open" in one for one in touched.unrestorable) == 4
    assert rule.unrestorable == ("4 datasets left out by policy",)


@pytest.mark.parametrize(
    "written",
    [
        "postgres://desk:hunter2@db/pii/people",
        "postgresql+psycopg://db/pii/people",
        "jdbc:postgresql://DB/pii/people",
        "s3a://pii/people",
        "lake://pii/people",
    ],
)
def test_a_rule_may_name_declared_data_as_the_flow_wrote_it(tmp_path, written):
    rule = left_out(exclude_datasets=("postgres*://db/pii/*", "jdbc:postgresql://DB/pii/*", "s3a://pii/*", "lake://*"))
    log = files.FileLog(open_store(str(tmp_path)), size_cap=1 << 20, left_out=rule)
    for direction in ("read", "write"):
        declare(log, direction, written, dict.fromkeys(_ARGUMENTS) | {"data": ...})
        declare(log, direction, "mysql://db/open/desks", dict.fromkeys(_ARGUMENTS) | {"data": ...})
    touched = log.close()
    assert {dataset.uri for dataset in touched.datasets} == {"mysql://db:3306/open.desks"}
    assert touched.unrestorable == ("input mysql://db:3306/open.desks",)
    assert rule.unrestorable == ("1 dataset left out by policy",)
