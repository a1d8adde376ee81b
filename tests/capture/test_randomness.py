from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture import generator_state, randomness
from lineage_flows.errors import BlobMissingError, ContentError
from lineage_flows.records import BlobRef, RandomStates


class Blobs:
    """Keeps states, and counts how many were put."""

    def __init__(self) -> None:
        self.by_digest: dict[str, bytes] = {}
        self.puts = 0

    def put(self, data: bytes) -> BlobRef:
        self.puts += 1
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.by_digest[digest] = data
        return BlobRef(digest=digest, size=len(data), format=generator_state.FORMAT)

    def read(self, digest: str) -> bytes:
        if digest not in self.by_digest:
            raise BlobMissingError(digest, "memory")
        return self.by_digest[digest]


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    """Leave the process's generators as they were."""
    python, legacy = random.getstate(), np.random.get_state(legacy=False)
    yield
    np.random.set_bit_generator(np.random.MT19937(0))
    random.setstate(python)
    np.random.set_state(legacy)
    randomness.uninstall()


# Every way to move the generators a step, among them those that leave half of a pair behind.
MOVES: dict[str, Callable[[], object]] = {
    "random": random.random,
    "gauss": lambda: random.gauss(0, 1),
    "getrandbits": lambda: random.getrandbits(100),
    "seed": lambda: random.seed("abc"),
    "np.normal": lambda: np.random.normal(),
    "np.rand": lambda: np.random.rand(700),
    "np.integers": lambda: np.random.randint(0, 5),
    "np.seed": lambda: np.random.seed(7),
}


def draw() -> tuple[object, ...]:
    return (
        random.random(),
        random.gauss(0, 1),
        random.gauss(0, 1),
        list(np.random.normal(size=3)),
        np.random.randint(1 << 30),
    )


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=8))
def test_what_is_restored_draws_the_same(moves: list[str]) -> None:
    blobs = Blobs()
    for move in moves:
        MOVES[move]()
    states = randomness.snapshot(blobs.put)
    expected = draw()
    MOVES["seed"]()
    MOVES["np.seed"]()
    randomness.restore(states, blobs.read)
    assert draw() == expected


@given(st.sampled_from(sorted(MOVES)))
def test_a_snapshot_sees_every_move_and_makes_none(move: str) -> None:
    blobs = Blobs()
    random.seed(1)
    np.random.seed(1)
    first = randomness.snapshot(blobs.put)
    assert randomness.snapshot(blobs.put) == first
    assert blobs.puts == 2
    python, legacy = random.getstate(), json.dumps(generator_state._encode(np.random.get_state(legacy=False)))
    randomness.snapshot(blobs.put)
    assert (random.getstate(), json.dumps(generator_state._encode(np.random.get_state(legacy=False)))) == (
        python,
        legacy,
    )
    MOVES[move]()
    second = randomness.snapshot(blobs.put)
    assert (second.numpy != first.numpy) == move.startswith("np.") or move == "np.seed"
    assert (second.python != first.python) == (not move.startswith("np."))
    assert blobs.puts <= 3


def test_the_second_number_of_a_pair_counts(blobs: Blobs) -> None:
    """Numpy's and Python's Gaussians come in pairs: taking the second moves nothing but a flag."""
    np.random.seed(1)
    np.random.normal()
    random.seed(1)
    random.gauss(0, 1)
    with_half = randomness.snapshot(blobs.put)
    expected = (np.random.normal(), random.gauss(0, 1))
    without = randomness.snapshot(blobs.put)
    assert without.numpy != with_half.numpy
    assert without.python != with_half.python
    randomness.restore(with_half, blobs.read)
    assert (np.random.normal(), random.gauss(0, 1)) == expected


@pytest.mark.parametrize("name", ["PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937"])
def test_another_bit_generator_in_place_of_numpys_own(blobs: Blobs, name: str) -> None:
    np.random.set_bit_generator(getattr(np.random, name)(5))
    np.random.normal(size=3)
    states = randomness.snapshot(blobs.put)
    expected = list(np.random.normal(size=5))
    assert randomness.snapshot(blobs.put).numpy != states.numpy
    np.random.set_bit_generator(np.random.MT19937(1))
    randomness.restore(states, blobs.read)
    assert list(np.random.normal(size=5)) == expected


def test_memory_and_the_public_functions_agree(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    random.gauss(0, 1)
    np.random.normal()
    assert generator_state._python_offset() is not None
    assert generator_state._numpy_places() is not None
    fast = [write(read()) for read, write in (generator_state.READERS[name] for name in ("python", "numpy"))]
    monkeypatch.setattr(generator_state, "_python_offset", lambda: None)
    monkeypatch.setattr(generator_state, "_numpy_places", lambda: None)
    assert fast == [write(read()) for read, write in (generator_state.READERS[name] for name in ("python", "numpy"))]


def test_states_are_kept_once_per_store(blobs: Blobs) -> None:
    other = Blobs()
    states = randomness.snapshot(blobs.put)
    assert randomness.snapshot(other.put) == states
    assert other.puts == blobs.puts == 2


def test_nothing_is_kept_at_a_level_that_keeps_nothing() -> None:
    assert randomness.snapshot(None) == RandomStates()


def test_snapshots_while_other_threads_draw(blobs: Blobs) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            np.random.standard_normal(10_000)
            random.random()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            randomness.restore(randomness.snapshot(blobs.put), blobs.read)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_torch_when_it_is_loaded(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with torch's own functions: torch is too large to install for this."""
    state = {"cpu": np.frombuffer(bytes(range(16)), dtype=np.uint8), "cuda": [np.zeros(4, np.uint8)]}

    class Tensor:
        def __init__(self, values: np.ndarray) -> None:
            self.values = values

        def cpu(self) -> Tensor:
            return self

        def numpy(self) -> np.ndarray:
            return self.values

    torch = types.ModuleType("torch")
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True,
        is_available=lambda: True,
        device_count=lambda: 1,
        get_rng_state_all=lambda: [Tensor(item) for item in state["cuda"]],
        set_rng_state_all=lambda items: state.update(cuda=[item.values for item in items]),
    )
    for name, value in {
        "get_rng_state": lambda: Tensor(state["cpu"]),
        "set_rng_state": lambda item: state.update(cpu=item.values),
        "frombuffer": lambda data, dtype: Tensor(np.frombuffer(data, dtype=dtype)),
        "uint8": np.uint8,
        "cuda": cuda,
    }.items():
        setattr(torch, name, value)
    monkeypatch.setitem(sys.modules, "torch", torch)
    states = randomness.snapshot(blobs.put)
    assert states.torch is not None
    state.update(cpu=np.zeros(16, np.uint8), cuda=[np.ones(4, np.uint8)])
    assert randomness.snapshot(blobs.put).torch != states.torch
    randomness.restore(states, blobs.read)
    assert bytes(state["cpu"]) == bytes(range(16))
    assert [bytes(item) for item in state["cuda"]] == [bytes(4)]


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"generator": "dice"}', b'{"generator": "python", "words": "00"}', b"\xff"]
)
def test_what_is_no_state_is_refused(data: bytes) -> None:
    before = random.getstate()
    with pytest.raises(ContentError):
        generator_state.set_state(data)
    assert random.getstate() == before


def test_a_missing_state_is_said(blobs: Blobs) -> None:
    states = randomness.snapshot(blobs.put)
    with pytest.raises(BlobMissingError):
        randomness.restore(states, Blobs().read)


# --------------------------------------------------------------------------------------------------------------- entropy

SOURCES: dict[str, Callable[[], object]] = {
    "default_rng": lambda: np.random.default_rng().normal(size=3).tolist(),
    "PCG64": lambda: np.random.Generator(np.random.PCG64()).random(2).tolist(),
    "Philox": lambda: np.random.Generator(np.random.Philox()).random(2).tolist(),
    "RandomState": lambda: np.random.RandomState().rand(2).tolist(),
    "SeedSequence": lambda: np.random.SeedSequence().generate_state(4).tolist(),
    "spawned": lambda: [g.random() for g in np.random.default_rng().spawn(2)],
    "seed()": lambda: (np.random.seed(), np.random.rand())[1],
}


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_entropy_is_recorded_and_fed_back(blobs: Blobs, source: str) -> None:
    randomness.install()
    start = randomness.snapshot(blobs.put)
    with randomness.entropy() as draws:
        first = [SOURCES[source]() for _ in range(3)]
    assert len(draws.drawn) == 3
    assert first[0] != first[1]
    states = draws.complete(start, blobs.put)
    assert states is not None
    randomness.restore(states, blobs.read)
    with randomness.entropy() as again:
        assert [SOURCES[source]() for _ in range(3)] == first
        assert SOURCES[source]() not in first
    assert again.drawn[:3] == draws.drawn
    with randomness.entropy() as fresh:
        assert SOURCES[source]() not in first
    assert fresh.drawn[0] not in draws.drawn


def test_seeded_generators_draw_no_entropy() -> None:
    randomness.install()
    with randomness.entropy() as draws:
        assert np.random.default_rng(5).integers(1 << 30) == np.random.default_rng(5).integers(1 << 30)
    assert draws.drawn == []


def test_nested_runs_have_their_own(blobs: Blobs) -> None:
    randomness.install()
    mine: list[str] = []
    with randomness.entropy(mine) as outer:
        np.random.default_rng()
        with randomness.entropy() as inner:
            np.random.default_rng()
            np.random.default_rng()
        np.random.default_rng()
    assert (len(outer.drawn), len(inner.drawn)) == (2, 2)
    assert outer.drawn is mine


def test_a_pool_of_threads_belongs_to_the_only_run() -> None:
    randomness.install()
    with randomness.entropy() as flow, randomness.entropy() as step, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: np.random.default_rng(), range(20)))
    assert (len(flow.drawn), len(step.drawn)) == (0, 20)


async def test_coroutines_at_once_do_not_mix() -> None:
    import asyncio

    randomness.install()

    async def run(count: int) -> list[str]:
        with randomness.entropy() as draws:
            for _ in range(count):
                np.random.default_rng()
                await asyncio.sleep(0)
        return draws.drawn

    found = await asyncio.gather(*(run(count) for count in range(6)))
    assert [len(item) for item in found] == list(range(6))


def test_the_patch_can_be_taken_back() -> None:
    bits = sys.modules["numpy.random.bit_generator"]
    original = bits.randbits
    randomness.install()
    randomness.install()
    assert bits.randbits is not original
    randomness.uninstall()
    assert bits.randbits is original
    randomness.install()
    with randomness.entropy() as draws:
        np.random.default_rng()
    assert len(draws.drawn) == 1


# ------------------------------------------------------------------------------------- numpy first imported inside a run


def run_python(text: str, tmp_path: Path, *arguments: str) -> str:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FIRST_IMPORT = """
    import hashlib, json, pathlib, sys
    from lineage_flows.capture import randomness
    from lineage_flows.records import BlobRef, RandomStates
    folder = pathlib.Path(sys.argv[1])
    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        (folder / digest).write_bytes(data)
        return BlobRef(digest=digest, size=len(data), format="x")
    read = lambda digest: (folder / digest).read_bytes()
    randomness.install()
    assert "numpy.random" not in sys.modules
    states = folder / "states.json"
    if states.exists():
        if "early" in sys.argv:
            import numpy.random
        randomness.restore(RandomStates.model_validate_json(states.read_text()), read)
    start = randomness.snapshot(put)
    with randomness.entropy() as draws:
        import numpy as np
        print(np.random.normal(), np.random.default_rng().normal())
    if not states.exists():
        found = draws.complete(start, put)
        assert found.numpy is None and found.numpy_import is not None and len(found.entropy) == 1
        states.write_text(found.model_dump_json())
"""


def test_numpy_first_imported_inside_a_run(tmp_path: Path) -> None:
    first = run_python(FIRST_IMPORT, tmp_path, str(tmp_path))
    assert run_python(FIRST_IMPORT, tmp_path, str(tmp_path)) == first
    # In a replay, something may have loaded numpy before.
    assert run_python(FIRST_IMPORT, tmp_path, str(tmp_path), "early") == first


def test_what_a_module_draws_while_it_is_imported(tmp_path: Path) -> None:
    text = """
        import hashlib, pathlib, sys
        from lineage_flows.capture import randomness
        from lineage_flows.records import BlobRef, RandomStates
        folder = pathlib.Path(sys.argv[1])
        def put(data):
            digest = hashlib.sha256(data).hexdigest()
            (folder / digest).write_bytes(data)
            return BlobRef(digest=digest, size=len(data), format="x")
        randomness.install()
        states = folder / "states.json"
        if states.exists():
            randomness.restore_module_states(
                RandomStates.model_validate_json(states.read_text()), lambda digest: (folder / digest).read_bytes()
            )
        import random
        import numpy as np
        GENERATOR = np.random.default_rng()
        print(random.random(), np.random.normal(), GENERATOR.normal())
        states.write_text(randomness.module_states(put).model_dump_json())
    """
    first = run_python(text, tmp_path, str(tmp_path))
    assert run_python(text, tmp_path, str(tmp_path)) == first


def test_prefects_own_import_lies_before_what_a_module_draws(tmp_path: Path) -> None:
    """In a replay Prefect is imported already, and draws nothing when the flow's module imports it."""
    text = """
        import hashlib, pathlib, random, sys
        from lineage_flows import runtime
        from lineage_flows.capture import randomness
        from lineage_flows.records import BlobRef, RandomStates
        runtime.decline()
        folder = pathlib.Path(sys.argv[1])
        def put(data):
            digest = hashlib.sha256(data).hexdigest()
            (folder / digest).write_bytes(data)
            return BlobRef(digest=digest, size=len(data), format="x")
        randomness.install()
        states = folder / "states.json"
        if states.exists():
            from prefect import flow
            randomness.restore_module_states(
                RandomStates.model_validate_json(states.read_text()), lambda digest: (folder / digest).read_bytes()
            )
        from prefect import flow
        print(random.random())
        states.write_text(randomness.module_states(put).model_dump_json())
    """
    first = run_python(text, tmp_path, str(tmp_path))
    assert run_python(text, tmp_path, str(tmp_path)) == first


def test_reading_loads_no_library(tmp_path: Path) -> None:
    text = """
        import sys
        from lineage_flows.capture import randomness
        randomness.install()
        randomness.snapshot(lambda data: __import__("lineage_flows.records").records.BlobRef(digest="d", size=1, format="x"))
        print(*[name for name in ("numpy", "torch", "pandas", "pyarrow", "prefect", "websockets") if name in sys.modules])
    """
    assert run_python(text, tmp_path) == ""
