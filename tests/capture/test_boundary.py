"""The one boundary: errors of capture are counted, said once, and stay away from the flow."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lineage_flows.capture.boundary import Boundary
from lineage_flows.errors import CaptureError, HomeError


class RudeError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_errors_are_swallowed_counted_and_logged_once(caplog):
    boundary, errors = Boundary(strict=False), []
    with caplog.at_level(logging.WARNING, logger="lineage_flows"):
        for _ in range(3):
            with boundary.guard("hashing", errors):
                raise ValueError("bad\nvalue")
    assert boundary.counts == {"hashing": 3}
    assert errors == ["hashing: ValueError: bad value"] * 3
    assert len(caplog.records) == 1


def test_an_error_whose_text_raises_is_still_said():
    boundary, errors = Boundary(strict=False), []
    with boundary.guard("hashing", errors):
        raise RudeError
    assert errors == ["hashing: RudeError: (its message raised RuntimeError)"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_is_not_an_error_passes(stop):
    boundary = Boundary(strict=False)
    with pytest.raises(stop), boundary.guard("hashing"):
        raise stop
    assert not boundary.counts


def test_strict_lets_errors_through_with_their_cause():
    boundary = Boundary(strict=True)
    with pytest.raises(CaptureError, match="capture failed while hashing") as caught, boundary.guard("hashing"):
        raise HomeError("no room")
    assert isinstance(caught.value.__cause__, HomeError)
    assert boundary.counts == {"hashing": 1}


def test_a_long_list_of_errors_is_bounded():
    boundary, errors = Boundary(strict=False), []
    for number in range(200):
        with boundary.guard("hashing", errors):
            raise ValueError(number)
    assert len(errors) == 50
    assert boundary.counts["hashing"] == 200
