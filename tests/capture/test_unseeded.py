"""Entropy that no recorded state gives back: named by what the code called, the same numbers drawn as ever."""

from __future__ import annotations

import os
import pickle
import random
import secrets
import tempfile
import uuid
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from lineage_flows.capture import before_runs, unseeded
from lineage_flows.capture.files import FileLog
from tests.support.ledgers import gaps, ledger, tally, texts, watching


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    with watching():
        yield


@pytest.mark.parametrize(
    ("draw", "source"),
    [
        (lambda: os.urandom(8), "os.urandom"),
        (uuid.uuid4, None),
        (lambda: uuid.uuid4(), "uuid.uuid4"),
        (lambda: secrets.token_hex(), "secrets.token_hex"),
        (lambda: secrets.token_bytes(4), "secrets.token_bytes"),
        (lambda: secrets.randbelow(2**64 - 1), "secrets.randbelow"),
        (lambda: random.SystemRandom().random(), "random.SystemRandom"),
        (lambda: random.Random(), "random.Random() without a seed"),
        (lambda: random.seed(), "random.seed() without a seed"),
        (lambda: random.seed(None), "random.seed() without a seed"),
        (lambda: random.Random(1).seed(), "Random.seed() without a seed"),
        (lambda: open("/dev/urandom", "rb").close(), None),
    ],
)
def test_a_draw_is_named(draw: Callable[[], object], source: str | None) -> None:
    found = ledger(lambda: draw())
    if source is not None:
        assert [(gap.kind, gap.what, gap.consequence) for gap in gaps(found)] == [
            ("entropy", f"draws from {source}", "differs on each run")
        ]
    assert tally(found, "entropy") == (1, 0)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: random.seed(1),
        lambda: random.Random(1),
        lambda: random.seed(a="x"),
        lambda: random.random(),
        lambda: random.shuffle([1, 2]),
        lambda: np.random.default_rng(1).random(),
        lambda: tempfile.mkstemp(),
        lambda: uuid.uuid5(uuid.NAMESPACE_URL, "x"),
    ],
)
def test_what_a_state_gives_back_and_mere_names_are_no_gaps(draw: Callable[[], object]) -> None:
    assert texts(ledger(draw), "entropy") == []


def test_the_numbers_are_the_same() -> None:
    def drawn() -> list[object]:
        random.seed(7)
        own = random.Random("seed")
        return [random.random(), own.random(), random.Random(x=3).random(), own.getstate() == own.getstate()]

    unseeded.uninstall()
    plain = drawn()
    unseeded.install()
    found: list[object] = []
    ledger(lambda: found.extend(drawn()))
    assert found == plain
    assert len(os.urandom(16)) == 16
    with pytest.raises(TypeError):
        random.seed([1])


def test_a_subclass_of_random_goes_on_working() -> None:
    class Own(random.Random):
        def seed(self, a: object = None, version: int = 2) -> None:
            super().seed(5)

    plain = random.Random(5).random()
    found: list[float] = []
    assert texts(ledger(lambda: found.append(Own().random()))) == []
    assert found == [plain]


def test_functions_can_be_pickled() -> None:
    for function in (os.urandom, random.seed, random.Random.seed):
        assert pickle.loads(pickle.dumps(function)) is function


def test_what_a_module_draws_as_it_is_imported_is_the_flows() -> None:
    exec(compile("import uuid\nRUN = uuid.uuid4()", "users_module.py", "exec"), {"__name__": "users_module"})
    log = FileLog(None, size_cap=1)
    before_runs.adopt(log)
    found = log.ledger.close(lambda _: "")
    assert found is not None
    assert texts(found) == ["draws from uuid.uuid4, before the run"]


def test_pythons_own_functions_come_back() -> None:
    unseeded.uninstall()
    assert type(os.urandom).__name__ == "builtin_function_or_method"
    assert random._urandom is os.urandom  # type: ignore[attr-defined]
    assert random.seed.__self__ is random._inst  # type: ignore[attr-defined]
    assert "lineage_flows" not in random.Random.seed.__code__.co_filename
