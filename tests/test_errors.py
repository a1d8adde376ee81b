"""Errors say what, why and what to do, on one line, and survive a trip to another process."""

from __future__ import annotations

import pickle

import pytest

from lineage_flows import errors
from lineage_flows.errors import LineageError

EXAMPLES = [
    LineageError("it stopped", why="the disk is full", fix="free some space"),
    errors.SettingsError("LEVEL", "x", "off or all"),
    errors.BlobMissingError("sha256:ab", "s3://b"),
    errors.BlobAlteredError("sha256:ab", "sha256:cd", "/tmp/x"),
    errors.UnknownReferenceError("abc"),
    errors.AmbiguousReferenceError("ab", tuple(f"run-{n}" for n in range(30))),
    errors.RecordFormatError(7, 1),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_one_line_with_the_remedy_and_the_data_survives_pickling(error):
    assert "\n" not in str(error)
    assert error.fix == "" or error.fix[1:] in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


def test_every_error_is_of_the_one_tree():
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), LineageError)


def test_many_matches_are_cut():
    assert len(EXAMPLES[5].matches) == 20
    assert "30 entities" in str(EXAMPLES[5])
