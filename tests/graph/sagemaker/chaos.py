"""Deliveries through every fault at once, killed again and again, beside a calm one: the same graph, and no call too many.

A test runs a few runs of it. The whole is run by hand, and takes a while, since boto3 slows down where it is throttled::

    python -m tests.graph.sagemaker.chaos --runs 200 --kills 100
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lineage_flows.delivery import Spool
from lineage_flows.endpoint.backend import Quotas
from lineage_flows.endpoint.faults import Faults
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.opening import held_back, open_graph
from lineage_flows.records import RunRecord
from lineage_flows.settings import load_settings
from tests.graph.kit import events_of, graph_of
from tests.graph.sagemaker.kit import plain
from tests.support.records import backtest_record

ROOT = Path(__file__).resolve().parents[3]
UNBOUNDED = Quotas(actions=None, artifacts=None, associations=None, contexts=None)
FAULTS = Faults(
    throttle=0.3, server_error=0.05, conflict=0.02, reset=0.02, hang=0.01, hang_seconds=1.0, lag=0.3, lag_seconds=0.5
)
DELIVER = """
import sys
from lineage_flows import runtime
runtime.decline()
from lineage_flows.delivery import deliver_once
from lineage_flows.runtime import open_spool, receivers
from lineage_flows.settings import load_settings
settings = load_settings()
spool = open_spool(settings)
report = deliver_once(spool, receivers(settings), settings.home, timeout=float(sys.argv[1]))
sys.exit(0 if report.complete else 3)
"""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "LINEAGE_FLOWS_KEEPER": "sagemaker",
}


@dataclass(frozen=True)
class Chaos:
    """What came of it. ``calls`` are those that reached the endpoint, repetitions after a fault included."""

    kills: int
    deliveries: int
    seconds: float
    calls: Counter[str]
    faults: Counter[str]
    new: Counter[str]
    same: bool
    left: int


def chaos(
    folder: Path,
    *,
    runs: int,
    kills: int,
    steps: int | None = None,
    faults: Faults = FAULTS,
    seed: int = 1,
    seconds: float = 4 * 3600,
) -> Chaos:
    """Deliver ``runs`` runs of ``steps`` steps (all five by default) while the deliverer is killed at ``kills`` random calls.

    Raises:
        AssertionError: it does not end in time.
    """
    chance = random.Random(seed)
    events = [
        event
        for number in range(1, runs + 1)
        for event in events_of(_cut(backtest_record(f"{number:08x}-7a10-7c3e-9d1a-5b6f0a4c0000"), steps))
    ]
    home = folder / "home"
    home.mkdir(parents=True)
    with closing(Spool(home / "spool.db")) as spool:
        for event in events:
            spool.accept(event)
    begun = time.monotonic()
    killed = deliveries = 0
    with Endpoint(folder / "account", faults=faults, quotas=UNBOUNDED) as endpoint:
        environment = {**os.environ, **ENVIRONMENT, "LINEAGE_FLOWS_HOME": str(home), "PYTHONPATH": str(ROOT)}
        environment["AWS_ENDPOINT_URL_SAGEMAKER"] = endpoint.url
        calm = graph_of(events)
        expected = plain(calm)
        entities = Counter(f"Create{key[0]}" for key in expected[0])
        new = entities + Counter(AddAssociation=len(expected[1]))
        ended: int | None = 1
        while ended != 0:
            assert time.monotonic() - begun < seconds, f"{killed} kills in {deliveries} deliveries, and no end"
            # Spread over most of what is to be done, so that the last kills do not meet an end that is long over.
            until = sum(endpoint.calls.values()) + chance.randint(1, max(3 * sum(new.values()) // (2 * kills + 2), 2))
            child = subprocess.Popen([sys.executable, "-c", DELIVER, "30"], env=environment, stderr=subprocess.DEVNULL)
            deliveries += 1
            while child.poll() is None:
                if killed < kills and sum(endpoint.calls.values()) >= until:
                    child.kill()
                    child.wait()
                    killed += 1
                    break
                time.sleep(0.002)
            ended = child.returncode
        took = time.monotonic() - begun
        calls, made = endpoint.calls, endpoint.faults_made
    with Endpoint(folder / "account", quotas=UNBOUNDED) as endpoint, _configured(home, endpoint.url):
        settings = load_settings()
        with closing(open_graph(settings, read_only=True)) as account:
            same = plain(account) == expected
        held = held_back(settings)
    return Chaos(killed, deliveries, took, calls, made, new, same, len(held.parked) + held.undone)


def _cut(record: RunRecord, steps: int | None) -> RunRecord:
    return record.model_copy(update={"steps": record.steps[:steps]})


@contextmanager
def _configured(home: Path, url: str) -> Iterator[None]:
    """This process asks the endpoint."""
    ours = {**ENVIRONMENT, "LINEAGE_FLOWS_HOME": str(home), "AWS_ENDPOINT_URL_SAGEMAKER": url}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="steps of a run; all five by default")
    options = parser.parse_args(arguments)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=memory) as folder:
        found = chaos(Path(folder), runs=options.runs, kills=options.kills, steps=options.steps, seed=options.seed)
    print(found)
    sys.exit(0 if found.same and found.left == 0 else 1)


if __name__ == "__main__":
    main()
