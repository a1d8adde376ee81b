"""What a secret is, and that none of them is left in a text, a record or an event."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineage_flows import redaction
from lineage_flows.capture import facts
from lineage_flows.capture.links import Links
from lineage_flows.capture.values import ValueObserver
from lineage_flows.content import describe, open_store
from lineage_flows.delivery import Spool
from lineage_flows.events import EventBuilder
from lineage_flows.records import AttemptRef, DatasetRef, FlowRecord, InputRef, StepRecord, ValueRef, record_json
from lineage_flows.redacted_documents import document
from lineage_flows.redaction import (
    MASK,
    holds_secret,
    is_secret_item,
    is_secret_name,
    may_hold_secret,
    redact,
    redact_name,
)
from tests.support.openlineage import check_event, strict
from tests.support.records import backtest_flow, backtest_steps
from tests.support.records import step as step_of


@pytest.fixture(autouse=True)
def forgotten():
    redaction.forget()
    yield
    redaction.forget()


# The first letter is in no name of ours: what is found of it is the secret.
_ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40)
ODD = _ANY.filter(lambda text: len(text.strip()) >= 6).map("Ǟ{}Ǟ".format)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "dbPassword",
        "PASSWORD",
        "secret",
        "client_secret",
        "token",
        "api_key",
        "apiKey",
        "API-KEY",
        "vendor.token",
        "private_key",
        "aws_secret_access_key",
        "credentials",
        "auth_token",
        "authorization",
        "connection_string",
        "dsn",
        "secret_value",
    ],
)
def test_names_that_say_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "tokens",
        "tokenizer",
        "max_tokens",
        "token_count",
        "key",
        "keys",
        "secret_name",
        "password_file",
        "author",
        "monkey",
        "passage",
        "bypass",
        "n_token_s",
    ],
)
def test_names_that_do_not(name):
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("password=hunter2", "password=***"),
        ("password = 'hun ter2', user='me'", "password = '***', user='me'"),
        ('{"api_key": "abc def", "n": 1}', '{"api_key": "***", "n": 1}'),
        (r"{\"token\": \"abcdef\"}", r"{\"token\": \"***\"}"),
        ("password='hunter2 and cut", "password='*** and cut"),
        (r"password='hun\'ter2', x=1", "password='***', x=1"),
        ("bad password: swordfish", "bad password: ***"),
        ("token: the one that the vendor gave", "token: the one that the vendor gave"),
        ("token: str", "token: str"),
        ("tokens=5, tokenizer=fast", "tokens=5, tokenizer=fast"),
        ("Authorization: Basic bWU6cHc=", "Authorization: ***"),
        ("sent Bearer abc123def456", "sent Bearer ***"),
        ("basic calculations of bearer bonds", "basic calculations of bearer bonds"),
        ("at postgres://me:hun/ter2@db/prices", "at postgres://***@db/prices"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("see https://token@git.desk/x", "see https://***@git.desk/x"),
        ("key AKIAIOSFODNN7EXAMPLE was", "key *** was"),
        ("a eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl b", "a *** b"),
        ("x ghp_" + "a1B2" * 9 + " y", "x *** y"),
        ("xoxb-1234567890-abcdef", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nend", "***\nend"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut", "***"),
        ("https://h/x?user=me&sig=abc%2Fdef&x=1", "https://h/x?user=me&sig=***&x=1"),
    ],
)
def test_secrets_by_look(text, said):
    assert redact(text) == said
    assert redact(said) == said


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_text_can_be_redacted_twice_with_the_same_result(text):
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "text", ["y" * 200_000, "token" * 40_000, "password=" * 20_000, "://" * 60_000, 'a="' * 60_000, "@:" * 90_000]
)
@pytest.mark.timeout(20)
def test_no_text_takes_long(text):
    redact(text)


@given(ODD)
@settings(deadline=None)
def test_a_secret_that_was_met_is_found_however_it_is_written(secret):
    redaction.forget()
    redaction.remember(secret)
    for text in (f"a {secret} b", repr({"x": secret}), json.dumps([secret]), json.dumps(secret, ensure_ascii=False)):
        assert secret not in redact(text)
        assert json.dumps(secret)[1:-1] not in redact(text)


def test_short_texts_and_plain_fields_are_not_remembered():
    redaction.remember("short")
    redaction.remember({"user": "postgres", "host": "localhost", "password": "hunter22", "more": ["abcdefg", 1234567]})
    assert (
        redact("short postgres localhost hunter22 abcdefg 1234567") == f"short postgres localhost {MASK} {MASK} {MASK}"
    )


def test_variables_that_hold_secrets_are_remembered(monkeypatch):
    monkeypatch.setenv("VENDOR_API_KEY", "k-5e6f7a8b")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "sometimes")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN", "/var/run/secrets/x")
    redaction.remember_environment()
    assert redact("k-5e6f7a8b sometimes /var/run/secrets/x") == f"{MASK} sometimes /var/run/secrets/x"


def test_the_users_own_patterns_count():
    redaction.configure([r"ACC-\d{6}"])
    assert redact("account ACC-123456") == f"account {MASK}"
    assert holds_secret("ACC-123456")
    assert b"ACC-123456" not in document(b'{"message":"of ACC-123456"}')


def test_data_is_data_whatever_it_is_called():
    import pandas as pd

    assert not is_secret_item("token", pd.DataFrame({"a": [1]}))
    assert not is_secret_item("token", 5)
    assert is_secret_item("password", 12345678)


# ------------------------------------------------------------------------------------------------------------ values


def test_equal_fingerprints_whatever_the_secret():
    first, second = ({"db": {"host": "h", "password": word}, "n": 1} for word in ("hunter2", "swordfish"))
    assert (
        describe(first).fingerprint
        == describe(second).fingerprint
        != describe({"db": {"host": "h"}, "n": 1}).fingerprint
    )
    assert describe(first).secrets == 1
    assert not any("password" in part.path for part in describe(first).parts)


@given(secret=ODD, where=st.integers(0, 7))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_name_or_type_says_to_be_secret_is_neither_kept_nor_fingerprinted(tmp_path_factory, secret, where):
    import dataclasses

    import pydantic

    login = dataclasses.make_dataclass("Login", ["user", "password"])

    class Config(pydantic.BaseModel):
        host: str
        api_key: str

    class Vault(pydantic.BaseModel):
        held: pydantic.SecretStr

    value = (
        {"password": secret},
        {"a": [{"b": {"api_key": secret}}]},
        [login("me", secret)],
        Config(host="h", api_key=secret),
        {"v": Vault(held=secret)},
        pydantic.SecretStr(secret),
        {"token": [secret, secret]},
        {"credentials": {"user": "me", "x": secret}},
    )[where]
    folder = tmp_path_factory.mktemp("blobs")
    observer = ValueObserver(open_store(str(folder)), size_cap=1 << 20)
    ref = observer.keep(value, observer.see(value))
    assert ref.blob is None
    assert ref.note is not None
    assert ref.rule == "secret" or "holds a secret" in ref.note
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert describe(secret).fingerprint not in {part.fingerprint for part in ref.parts}


def test_a_secret_that_was_opened_and_passed_on_as_text_is_not_kept(tmp_path):
    redaction.remember("hunter2-and-more")
    observer = ValueObserver(open_store(str(tmp_path)), size_cap=1 << 20)
    for value in (
        "hunter2-and-more",
        "postgres://u:hunter2-and-more@h",
        {"a": ["hunter2-and-more"]},
        b"x hunter2-and-more",
    ):
        ref = observer.keep(value, observer.see(value))
        assert ref.blob is None, value
    assert observer.see("hunter2-and-more").fingerprint is None
    (item,) = observer.inputs({"api_key": "plain"}, Links(), lambda _: ())
    assert (item.value.rule, item.value.fingerprint, item.value.preview) == ("secret", None, None)


# ------------------------------------------------------------------------------------------- events, records, databases


def _error(secret):
    try:
        raise ValueError(f"cannot log in with {secret}")
    except ValueError as error:
        return facts.error_of(error)


def _records(secret) -> tuple[FlowRecord, StepRecord]:
    value = ValueRef(fingerprint=None, type="str", preview=f"x {secret}", note=f"not kept: {secret}")
    mapping = ValueRef(fingerprint=None, type="dict", preview={secret: 1, "inside": {"a": [secret]}})
    read = DatasetRef(
        namespace="https://h", name=f"/get/{secret}", uri="https://h/get", path="https://h/get", direction="read",
        fingerprint=None, note=f"said {secret}",
    )  # fmt: skip
    error = _error(secret)
    said = {
        "tags": (f"a:{secret}", secret),
        "run_name": f"run {secret}",
        "error": error,
        "attempts": (AttemptRef(attempt=1, state="Retrying", error=error),),
        "datasets": (read,),
        "capture_errors": (f"failed: {secret}",),
        "state": "Failed",
        "state_type": "FAILED",
        "ended": "2026-01-31T16:00:01.000000Z",
    }
    flow = backtest_flow().model_copy(update={**said, "parameters": (InputRef(name="p", value=value),)})
    step = step_of(0, "load").model_copy(
        update={
            **said,
            "inputs": (InputRef(name="p", value=value), InputRef(name="m", value=mapping)),
            "output": mapping,
            "unrestorable": (f"ran: curl -u {secret}",),
        }
    )
    return flow, step


@given(secret=ODD)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_known_secret_reaches_an_event_a_record_or_the_spool(tmp_path_factory, secret):
    redaction.forget()
    redaction.remember(secret)
    flow, step = _records(secret)
    folder = tmp_path_factory.mktemp("spool")
    spool, builder = Spool(folder / "spool.db"), EventBuilder("prefect")
    events = [builder.flow_event("FAIL", flow), builder.step_event("FAIL", step, flow)]
    for event, record in zip(events, (flow, step), strict=True):
        spool.accept(event, record)
    read = spool.records(flow.root_run_id)
    spool.close()
    written = b"".join(path.read_bytes() for path in folder.iterdir()) + b"".join(event.payload for event in events)
    for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]):
        assert form.encode() not in written
    assert len(read) == 2
    for event in events:
        assert list(check_event(strict(event.payload))) == []


WORDS = [
    "preprocessing",
    "processing",
    "training",
    "metadata",
    "inputs",
    "canonical",
    "sha256",
    "Failed",
    "FAILED",
    "fingerprint",
    "run_id",
    "runId",
    "namespace",
    "inmemory",
    "inmemory://",
    "prefect",
    "prefect://prefect",
    "PREFECT",
    "COMPLETE",
    "direction",
    "DataSet",
    "Metrics",
    "openlineage.io",
    "https://openlineage.io",
    "eventType",
    "parameters",
    "content",
    "state_type",
    "git-bundle",
    "2026-01-30T21:30:00.000000Z",
    "lineageFlows_flowRun",
    "identical",
    "attempts",
    "preview",
    "backtest",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_secret_that_is_a_word_of_ours_breaks_nothing(tmp_path, word):
    redaction.remember(word)
    flow, step = _records("x")
    builder = EventBuilder("prefect")
    spool = Spool(tmp_path / "spool.db")
    for event, record in ((builder.flow_event("FAIL", flow), flow), (builder.step_event("FAIL", step, flow), step)):
        assert list(check_event(strict(event.payload))) == []
        spool.accept(event, record)
    found = spool.records(flow.root_run_id)
    spool.close()
    assert [record.run_id for record in found] == [flow.run_id, step.run_id]
    assert FlowRecord.model_validate_json(record_json(flow)).run_id == flow.run_id
    assert StepRecord.model_validate_json(record_json(step)).kind == step.kind


PIECES = st.sampled_from(
    [
        *(
            "sk-",
            "ask-",
            "task-",
            "ta",
            "\ta",
            "\t",
            "\n",
            "\x1f",
            " ",
            "'",
            '"',
            "\\",
            "é",
            "a1B2c3D4e5F6g7H8i9J0k1L2m3",
        ),
        *(
            "://",
            "https",
            "lake",
            "user",
            ":",
            "@",
            "/",
            "?",
            "8080",
            "db",
            "token=",
            "PASSWORD: ",
            "Bearer ",
            "eyJ",
            ".",
        ),
    ]
)


@given(pieces=st.lists(PIECES, max_size=8))
@settings(max_examples=1500, deadline=None)
def test_a_document_is_looked_through_wherever_a_text_of_it_changes(pieces):
    text = "".join(pieces)
    changes = redact(text) != text or redact_name(text) != text
    for written in (orjson.dumps([text]), json.dumps([text]).encode(), json.dumps([text], ensure_ascii=False).encode()):
        assert may_hold_secret(written) or not changes


@given(secret=_ANY.filter(lambda text: len(text.strip()) >= 6), around=st.lists(PIECES, max_size=4))
@settings(max_examples=400, deadline=None)
@example(secret="ends with a comma,", around=[])
@example(secret='"begins with a quotation mark', around=[","])
@example(secret='holds both,"in the middle', around=["x"])
def test_a_document_is_looked_through_for_a_secret_that_was_met_since(secret, around):
    redaction.forget()
    text = "".join([*around, secret, *around])
    document = orjson.dumps({"message": text, "other": [',"', secret]})
    may_hold_secret(document)  # what was harmless then
    redaction.remember(secret)
    assert may_hold_secret(document)
    assert may_hold_secret(json.dumps([text]).encode())


def test_an_ordinary_task_run_has_nothing_that_is_taken_for_a_secret():
    """Else each of its documents would be read, looked through and written again: half of what capture costs."""
    flow, builder = backtest_flow(), EventBuilder("prefect")
    for number, record in enumerate(backtest_steps()):
        record = record.model_copy(update={"url": f"http://127.0.0.1:4200/runs/task-run/{record.run_id}"})
        for kind in ("START", "COMPLETE"):
            event = builder.step_event(
                kind, record, flow, source=f"@task\ndef step_{number}(prices):\n    return prices\n"
            )
            assert b"/task-run/" in event.payload
            assert b"@task" in event.payload
            assert not may_hold_secret(event.payload)
        assert not may_hold_secret(record_json(record, exclude_defaults=True))
        assert not may_hold_secret(record_json(record))


def test_a_document_without_secrets_is_the_same_bytes():
    data = record_json(step_of(0, "load"))
    assert document(data) is data
