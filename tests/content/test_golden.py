"""The rules over a corpus: frozen, equal in every process and after storing and loading, different for different values."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from lineage_flows.content import describe, dump_value, fingerprint, load_value
from tests.content import corpus

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "golden.json"

NOT_STORED = {"record.holds_secret", "code.cached"}
"""Refused: the first on purpose, the second because nothing can find the function that was wrapped."""


def stored(value):
    data, name = dump_value(value)
    return (data if isinstance(data, bytes) else b"".join(bytes(piece) for piece in data)), name


@pytest.fixture(scope="module")
def here():
    return corpus.fingerprints()


def test_rules_have_not_drifted(here):
    """A change of any of these needs a new prefix, for every fingerprint in every graph means something else then."""
    golden = json.loads(GOLDEN.read_text())
    assert {name: here[name] for name in golden} == golden
    assert golden.keys() == here.keys() - corpus.UNSTABLE


def test_everything_in_the_corpus_has_a_fingerprint(here):
    assert [name for name, made in here.items() if made is None] == []


def test_different_values_differ(here):
    by_fingerprint = {}
    for name, made in here.items():
        by_fingerprint.setdefault(made, []).append(name)
    assert [names for names in by_fingerprint.values() if len(names) > 1] == []


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_equal_in_another_process_as_a_script_with_another_hash_seed(here, seed):
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PREFECT_PLUGINS_ENABLED": "false"}
    made = subprocess.run(
        [sys.executable, str(HERE / "corpus.py")], env=environment, capture_output=True, text=True, check=True, cwd="/"
    )
    assert json.loads(made.stdout) == here


@pytest.mark.parametrize("name", sorted(corpus.BUILDERS.keys() - NOT_STORED))
def test_equal_after_storing_and_loading(name):
    value = corpus.BUILDERS[name]()
    before = fingerprint(value)
    data, form = stored(value)
    again = load_value(data, form, trust_pickle=True)
    assert fingerprint(again) == before == fingerprint(value)
    assert type(again) is type(value)


@pytest.mark.parametrize("name", sorted(corpus.BUILDERS))
def test_described_without_a_note_and_as_fingerprinted(name, here):
    described = describe(corpus.BUILDERS[name]())
    assert described.note is None
    assert described.fingerprint == here[name]
    json.dumps(described.model_dump(mode="json"), allow_nan=False)
