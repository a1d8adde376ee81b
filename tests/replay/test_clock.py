"""The clock of a replay: what the flow's code sees, and what nobody else does."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from textwrap import dedent

import pytest

from lineage_flows import lineage
from tests.replay.test_end_to_end import Desk, assert_identical, desk  # noqa: F401 - a fixture

FLOW = """
import os
if os.environ.get("DESK_DAY"):  # not among what lineage records: the replay lives in the present
    import time_machine
    time_machine.travel(os.environ["DESK_DAY"]).start()

import logging
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone

import pandas as pd
from prefect import flow, get_run_logger, task


def day():
    return datetime.fromtimestamp(time.time(), timezone.utc).date().isoformat()


@task
def days():
    get_run_logger().info("looking at the calendar")
    with ThreadPoolExecutor(2) as pool:
        threads = list(pool.map(lambda _: date.today().isoformat(), range(2)))
    return [day(), date.today().isoformat(), pd.Timestamp.now().date().isoformat(), time.strftime("%Y-%m-%d"), *threads]


@task
async def days_async(given):
    return given, datetime.now(timezone.utc).date().isoformat()


@task
def mapped(number):
    return number, day()


@flow
def calendar():
    return days(), mapped.map([1, 2, 3]).result(), date.today().isoformat()


if __name__ == "__main__":
    calendar()
"""


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_of_another_day_is_identical_by_its_own_clock_alone(desk: Desk) -> None:  # noqa: F811
    run = desk.run(FLOW, DESK_DAY="2026-01-30T16:30Z")
    present = desk.replay(run)
    assert present.verdict == "different", "a replay shows the present unless it is told"
    for clock in ("captured", "frozen"):
        report = desk.replay(run, clock=clock)
        assert_identical(report)
        assert any("the code saw the original's time" in note for note in report.notes)
        with lineage(desk.settings) as graph:
            started = graph.run(report.replay_run_id or "").started
        assert datetime.fromisoformat(started or "") > datetime.now(UTC) - timedelta(hours=1), "it ran now"


def in_a_process_of_its_own(body: str) -> dict[str, object]:
    """The clock of a process is patched for good, so each test has one."""
    program = dedent(
        """
        import datetime, json, random, threading, time, uuid
        from lineage_flows import runtime
        runtime.decline()
        from lineage_flows.capture import files
        from lineage_flows.replay.clock import Clock
        said = {}
        log = files.FileLog(None, size_cap=0)
        THEN = "2020-02-29T12:00:00.250000Z"
        """
    ) + dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", program + "\nprint(json.dumps(said))"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_only_code_of_the_flow_sees_the_original_time() -> None:
    said = in_a_process_of_its_own(
        """
        clock = Clock("captured")
        clock.install()
        said["before"] = datetime.datetime.now().year
        clock.anchor(THEN)
        said["outside"] = datetime.datetime.now().year
        with files.activate(log):
            said["inside"] = datetime.datetime.now(datetime.UTC).isoformat()[:19]
            said["whole"] = time.time_ns() // 10**9, int(time.time())
            begun = time.time()
            until = time.monotonic() + 0.3
            while time.monotonic() < until: pass
            said["goes_on"] = 0.25 < time.time() - begun < 5
            import logging
            said["log"] = time.localtime(logging.makeLogRecord({}).created).tm_year
            with __import__("lineage_flows.capture.active", fromlist=["x"]).unobserved():
                said["unobserved"] = datetime.datetime.now().year
            asked = []
            thread = threading.Thread(target=lambda: asked.append(datetime.date.today().year))
            thread.start(); thread.join()
            said["thread"] = asked[0]
        said["after"] = datetime.datetime.now().year
        """
    )
    present = datetime.now(UTC).year
    assert said["before"] == said["outside"] == said["after"] == said["unobserved"] == said["log"] == present
    assert str(said["inside"]).startswith("2020-02-29T12:00:0")
    then = int(datetime(2020, 2, 29, 12, tzinfo=UTC).timestamp())
    assert all(then <= moment < then + 30 for moment in said["whole"])  # type: ignore[attr-defined]
    assert said["goes_on"] is True
    assert said["thread"] == 2020


def test_who_asks_by_way_of_another_library_is_shown_what_is_his() -> None:
    said = in_a_process_of_its_own(
        """
        import email.utils
        import pendulum
        from prefect.states import Running
        from prefect.types._datetime import now
        clock = Clock("captured")
        clock.install()
        clock.anchor(THEN)
        with files.activate(log):
            said["flow"] = [pendulum.now("UTC").year, pendulum.today().year, int(email.utils.formatdate().split()[3])]
            said["prefect"] = [now("UTC").year, Running().timestamp.year]
        """
    )
    assert said["flow"] == [2020, 2020, 2020]
    assert said["prefect"] == [datetime.now(UTC).year] * 2


def test_a_frozen_clock_stands_still_to_the_microsecond() -> None:
    said = in_a_process_of_its_own(
        """
        clock = Clock("frozen")
        clock.install()
        clock.anchor(THEN)
        with files.activate(log):
            said["first"] = datetime.datetime.now(datetime.UTC).isoformat()
            time.sleep(0.01)
            said["second"] = datetime.datetime.now(datetime.UTC).isoformat()
        """
    )
    assert said["first"] == said["second"] == "2020-02-29T12:00:00.250000+00:00"


def test_a_turned_clock_draws_no_random_numbers_and_now_changes_nothing() -> None:
    said = in_a_process_of_its_own(
        """
        now = Clock("now")
        now.install()
        now.anchor(THEN)
        with files.activate(log):
            said["now"] = datetime.datetime.now().year
        import sys
        said["loaded"] = "time_machine" in sys.modules
        clock = Clock("captured")
        clock.install()
        clock.anchor(None)
        with files.activate(log):
            said["unknown"] = datetime.datetime.now().year
        clock.anchor(THEN)
        random.seed(1)
        with files.activate(log):
            uuid.uuid1()
        said["drawn"] = random.random()
        random.seed(1)
        said["expected"] = random.random()
        """
    )
    present = datetime.now(UTC).year
    assert said["now"] == said["unknown"] == present
    assert said["loaded"] is False
    assert said["drawn"] == said["expected"]
