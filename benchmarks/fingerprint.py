"""How fast ``fingerprint`` is, in GB/s, beside raw blake3, joblib and pandas' own hash, on three data sets in one run.

    python benchmarks/fingerprint.py [--scale 1.0] [--rounds 5]

Rounds are interleaved, so that a busy machine slows all alike; the best round of each counts, and the ratios are what to look at.
Nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from blake3 import blake3

from lineage_flows.content import fingerprint


@dataclass(frozen=True)
class DataSet:
    """A value, and its bytes: what a hash has to get through at the least."""

    name: str
    value: object
    buffers: tuple[memoryview, ...]

    @property
    def size(self) -> int:
        """Bytes in all buffers."""
        return sum(buffer.nbytes for buffer in self.buffers)


def data_sets(scale: float) -> list[DataSet]:
    """An array, a wide float frame, and a frame as desks have them: times, tickers, numbers, categories."""
    random = np.random.default_rng(7)
    rows = int(1_000_000 * scale)
    array = random.standard_normal(50 * rows)
    floats = pd.DataFrame({f"f{number}": random.standard_normal(10 * rows) for number in range(8)})
    tickers = np.array([f"TICK{number:04}" for number in range(500)])[random.integers(0, 500, rows)]
    mixed = pd.DataFrame(
        {
            "time": pd.date_range("2000-01-03", periods=rows, freq="min"),
            "ticker": pd.Series(tickers, dtype="str"),
            "sector": pd.Categorical(random.choice(["energy", "banks", "health"], rows)),
            "price": random.standard_normal(rows),
            "volume": random.integers(0, 10**6, rows),
            "return": np.where(random.random(rows) < 0.01, np.nan, random.standard_normal(rows)),
            "note": pd.Series([None if number % 7 else f"note {number}" for number in range(rows)], dtype="str"),
        }
    )
    return [
        DataSet("array of float64", array, (_bytes(array),)),
        DataSet("frame of 8 float64 columns", floats, tuple(_bytes(floats[name].to_numpy()) for name in floats)),
        DataSet("frame of mixed columns", mixed, tuple(_column_bytes(mixed[name]) for name in mixed)),
    ]


def _bytes(values: np.ndarray) -> memoryview:
    return np.ascontiguousarray(values).view(np.uint8).data


def _column_bytes(column: pd.Series) -> memoryview:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _bytes(column.cat.codes.to_numpy())
    if column.dtype.kind == "O":
        return memoryview("".join(column.dropna()).encode())
    return _bytes(column.to_numpy())


def _raw(data: DataSet) -> object:
    running = blake3(max_threads=blake3.AUTO)
    for buffer in data.buffers:
        running.update(buffer)
    return running.digest()


def _pandas_hash(data: DataSet) -> object:
    value = data.value
    if isinstance(value, np.ndarray):
        return pd.util.hash_array(value)
    return pd.util.hash_pandas_object(value)


METHODS: dict[str, Callable[[DataSet], object]] = {
    "fingerprint": lambda data: fingerprint(data.value),
    "raw blake3": _raw,
    "joblib.hash": lambda data: joblib.hash(data.value),
    "pandas hash": _pandas_hash,
}


def measure(data: DataSet, rounds: int) -> dict[str, float]:
    """GB/s of each method: the best of the rounds, in which all take turns."""
    best = dict.fromkeys(METHODS, float("inf"))
    for _ in range(rounds):
        for name, method in METHODS.items():
            begun = time.perf_counter()
            method(data)
            best[name] = min(best[name], time.perf_counter() - begun)
    return {name: data.size / seconds / 1e9 for name, seconds in best.items()}


def main() -> None:
    """Print a table of GB/s, and how ``fingerprint`` compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of the data, 1.0 being 400 MB, 640 MB and about 60 MB"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'GB/s':28}{'MB':>8}" + "".join(f"{name:>14}" for name in METHODS))
    for data in data_sets(options.scale):
        speeds = measure(data, options.rounds)
        print(f"{data.name:28}{data.size / 1e6:8.0f}" + "".join(f"{speed:14.2f}" for speed in speeds.values()))
        ratios = (f"{speeds['fingerprint'] / speed:13.2f}x" for speed in speeds.values())
        print(f"{'  fingerprint is':36}" + "".join(ratios))


if __name__ == "__main__":
    main()
