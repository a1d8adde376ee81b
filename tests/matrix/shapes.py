"""The shapes of work: one flow each, run as a script by ``places.py``, in whatever place its tasks are sent to.

Run as ``python shapes.py OUT PLACE SHAPE...``; for each shape one line of JSON goes to ``OUT``: the ids of the root flow runs
that it made, in order, and what came of it. Nothing here knows of lineage.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path

import pandas as pd
from prefect import allow_failure, flow, get_client, pause_flow_run, serve, suspend_flow_run, tags, task, unmapped
from prefect.cache_policies import DEFAULT, INPUTS
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.runtime import flow_run, task_run
from prefect.states import Cancelled, Completed
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from prefect.task_worker import serve as serve_tasks
from prefect.transactions import transaction
from prefect.utilities.annotations import quote

FOLDER = Path(os.environ.get("MATRIX_FOLDER", "."))
CALLED = os.environ.get("MATRIX_CALLED") == "1"
"""Whether steps are called one after the other, and not submitted to a task runner."""

ROOTS: list[str] = []


def begun() -> None:
    """Remember the root flow run that is going on."""
    ROOTS.append(str(FlowRunContext.get().flow_run.id))


def go(one, *arguments, **keywords):
    """Call a task, or submit it, as the place wants it."""
    return one(*arguments, **keywords) if CALLED else one.submit(*arguments, **keywords)


def value(made):
    return made if CALLED else made.result()


# ------------------------------------------------------------------------------------------------------------- tasks


@task
def make(rows):
    return pd.DataFrame({"a": [1000.5 + i for i in range(rows)]})


@task
def total(frame, folder):
    factor = float((Path(folder) / "factor.txt").read_text())
    result = float(frame["a"].sum()) * factor
    (Path(folder) / f"total-{task_run.id}.txt").write_text(str(result))
    return result


@task
def double(x):
    return x * 2


@task
def gather(values):
    return {"sum": sum(values), "count": len(values)}


@task
def takes(x):
    return f"took {x}"


@task
def plus(x, y):
    return x + y


@task(retries=1)
def flaky(x):
    if task_run.run_count < 2:
        raise ValueError("the first attempt")
    return x + 0.8125


@task
def doomed(x):
    raise KeyError("nothing here")


@task
def mends(x):
    return f"mended {type(x).__name__}"


@task(cache_policy=INPUTS, persist_result=True)
def slow(x):
    return x * 1000.25


@task
def outer(x):
    return double(x) + 1


@task
async def waits(x):
    await asyncio.sleep(0.001)
    return f"waited for {x}"


@task(timeout_seconds=0.5)
def endless(x):
    while True:
        time.sleep(0.01)


@task
def numbers(n):
    for i in range(n):
        (FOLDER / f"number-{i}.txt").write_text(str(i))
        yield 1000.5 + i


@task
async def later(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield 2000.5 + i


@task
def writes(x):
    (FOLDER / "kept.txt").write_text(f"{x}")
    return x


@writes.on_rollback
def unwrite(txn):
    (FOLDER / "kept.txt").unlink()


@task(cache_policy=None)
def dies(x):
    (FOLDER / "dying.txt").write_text("here")
    if not (FOLDER / "died.txt").exists():
        (FOLDER / "died.txt").write_text("once")
        os.kill(os.getpid(), 9)
    return x + 0.125


# ------------------------------------------------------------------------------------------------- flows for every place


@flow
def chain(rows=6):
    begun()
    frame = go(make, rows)
    return value(go(total, frame, str(FOLDER)))


@flow
def mapped():
    begun()
    doubled = double.map([1.25, 2.25, 3.25])
    return value(go(gather, doubled.result() if CALLED else doubled))


@flow
def quoted():
    begun()
    added = plus.map([1.25, 2.25], unmapped(100.8125)).result()
    return [*added, value(go(takes, quote(pd.DataFrame({"q": added}))))]


@flow
def waited():
    begun()
    first = go(double, 10.25)
    return value(go(takes, "after", wait_for=[first]))


@flow
def retried():
    begun()
    return value(go(flaky, 7.25))


@flow
def failing():
    begun()
    bad = doomed.submit(1.25)
    try:
        takes.submit(bad).wait()
    except Exception:
        bad.wait()
    return Completed(message="one failed, one was never ready")


@flow
def cached():
    begun()
    first = value(go(slow, 7.125))
    second = value(go(slow, 7.125))
    return value(go(plus, second, first))


@flow
def nested():
    begun()
    return value(go(outer, 4.25))


@flow
def child(frame):
    return value(go(total, frame, str(FOLDER)))


@flow
def parent(rows=5):
    begun()
    frame = value(go(make, rows))
    return value(go(double, child(frame)))


@flow
async def achild(x):
    return await waits(x)


@flow
async def asynchronous():
    begun()
    first = (await waits("one")) if CALLED else waits.submit("one").result()
    second = await achild(first)
    return value(go(takes, second))


@flow
def timed():
    begun()
    return go(endless, 1, return_state=True) if CALLED else endless.submit(1).wait()


@flow
def optioned():
    begun()
    renamed = double.with_options(name="renamed", tags=["training"], task_run_name="by-{x}")
    with tags("desk"):
        return value(go(renamed, 8.25))


@flow
def returning():
    begun()
    return [double.submit(10.375), double.submit(20.375)]


@flow
def stated():
    begun()
    return double(50.375, return_state=True)


# ------------------------------------------------------------------------------------------ flows for some places only


@flow
def allowed():
    begun()
    bad = doomed.submit(1.25)
    return mends.submit(allow_failure(bad)).result()


@flow
def generating():
    begun()
    return [takes(number) for number in numbers(2)]


@flow
async def agenerating():
    begun()
    return [takes(number) async for number in later(2)]


@flow
def submitting():
    begun()
    return [takes(number) for number in numbers.submit(3).result()]


@flow
def rolled():
    begun()
    try:
        with transaction():
            kept = writes(3.25)
            doomed(kept)
    except KeyError:
        return "rolled back"


class Desk:
    """Flows and tasks that are methods."""

    def __init__(self, factor):
        self.factor = factor

    @task
    def scaled(self, x):
        return x * self.factor

    @flow
    def method(self, x):
        begun()
        return self.scaled(x)

    @flow
    @staticmethod
    def static(x):
        begun()
        return double(x)


@flow
def twice(x):
    begun()
    return value(go(double, x))


@flow
def cancelling():
    begun()
    made = double(6.75)
    return Cancelled(message=f"enough after {made}")


@flow
def crashing():
    begun()
    double(6.25)
    raise KeyboardInterrupt


@flow
def pausing():
    begun()
    before = double(3.75)
    run_id = flow_run.id

    def resume():
        with get_client(sync_client=True) as client:
            while client.read_flow_run(run_id).state.name != "Paused":
                time.sleep(0.05)
            client.resume_flow_run(run_id)

    threading.Thread(target=resume, daemon=True).start()
    pause_flow_run(timeout=60, poll_interval=0.1)
    return takes(before)


@flow
def killed():
    begun()
    return dies.submit(2.125).result()


@flow(persist_result=True)
def alone(x=1.375):
    begun()
    return double(double(x))


@flow
def ordering(name):
    begun()
    first = double(3.1875)
    ordered = run_deployment(name, parameters={"x": first}, timeout=120, poll_interval=0.2)
    return takes(ordered.state.result())


@flow
def delaying():
    begun()
    first = double.delay(5.1875).result(timeout=60)
    return takes(first)


@flow
def suspending():
    begun()
    before = slow.with_options(name="before", cache_policy=DEFAULT)(9.1875)
    if flow_run.run_count < 2:
        suspend_flow_run(timeout=300)
    return takes(before)


@flow
def hanging():
    begun()
    make(3)
    held(1.4375)


@task
def held(x):
    (FOLDER / "holding.txt").write_text("here")
    while True:
        time.sleep(0.05)


CELL = """
from prefect import flow, task

@task
def in_a_cell(x):
    return x + 0.5

@flow
def notebook(x):
    begun()
    return in_a_cell(x)

notebook(11.25)
"""


# -------------------------------------------------------------------------------------------------------------- running


def run(shape, runner):
    """One shape in one place; what came of it as text."""

    def at(one):
        return one if runner is None else one.with_options(task_runner=runner())

    if shape == "asynchronous":
        return asyncio.run(at(asynchronous)())
    if shape == "agenerating":
        return asyncio.run(agenerating())
    if shape == "twice":
        return [at(twice)(1.375), at(twice)(2.375)]
    if shape == "method":
        return Desk(3).method(2.625)
    if shape == "static":
        return Desk.static(2.875)
    if shape == "notebook":
        exec(compile(CELL, "<cell 1>", "exec"), {"begun": begun, "__name__": "__main__"})
        return None
    if shape == "outside":
        return double(9.875)
    if shape in {"timed", "cancelling"}:
        return str(at(globals()[shape])(return_state=True).name)
    return at(globals()[shape])()


def runners(place):
    """What makes the task runner of a place, and what is to be closed at the end."""
    if place in {"script", "threads", "serve"}:
        return (None if place == "script" else lambda: ThreadPoolTaskRunner(max_workers=4)), None
    if place == "processes":
        return lambda: ProcessPoolTaskRunner(max_workers=1), None
    if place == "ray":
        import ray
        from prefect_ray import RayTaskRunner

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="prefect")
        return RayTaskRunner, ray.shutdown
    from prefect_dask import DaskTaskRunner

    address = os.environ.get("MATRIX_SCHEDULER")
    if address:
        return lambda: DaskTaskRunner(address=address), None
    from distributed import LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    return lambda: DaskTaskRunner(address=cluster.scheduler_address), cluster.close


SERVED = (chain, parent, retried, failing, asynchronous, returning, alone, ordering, suspending, hanging)


def served(pool):
    """Offer flows as deployments: by this process, or of a work pool."""
    if not pool:
        serve(*(one.to_deployment(name="matrix") for one in SERVED), limit=4, pause_on_shutdown=False)
        return
    for one in SERVED:
        found = flow.from_source(source=str(FOLDER), entrypoint=f"shapes.py:{one.fn.__name__}")
        found.deploy(name=pool, work_pool_name=pool, print_next_steps=False)


def main():
    out, place, *shapes = sys.argv[1:]
    runner, close = runners(place)
    with open(out, "a") as answers:
        for shape in shapes:
            ROOTS.clear()
            start = time.monotonic()
            try:
                result, error = repr(run(shape, runner)), None
            except BaseException as caught:
                result, error = None, "".join(traceback.format_exception(caught))
            seconds = round(time.monotonic() - start, 2)
            line = {"shape": shape, "roots": ROOTS, "result": result, "error": error, "seconds": seconds}
            answers.write(json.dumps(line) + "\n")
            answers.flush()
    if close is not None:
        close()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        served(None)
    elif sys.argv[1] == "deploy":
        served(sys.argv[2])
    elif sys.argv[1] == "work":
        serve_tasks(double, make, total)
    else:
        main()
