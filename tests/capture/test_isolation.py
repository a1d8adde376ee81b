from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lineage_flows.capture import isolation

# Draws of every function of `random` are counted by who made them, and the state is compared at the flow's two ends.
FLOW = """
    import random, sys, time, collections, traceback
    if "isolated" in sys.argv:
        from lineage_flows import runtime
        from lineage_flows.capture import randomness
        runtime.decline()  # capture itself stays off: this looks at a part of it
        randomness.install()

    draws = collections.Counter()
    shared = random.getstate.__self__
    def traced(name, function):
        def draw(*arguments, **named):
            frames = [frame for frame in traceback.extract_stack()[:-1] if not frame.filename.endswith("random.py")]
            draws[f"{name} by {frames[-1].filename.rpartition('site-packages/')[2]}"] += 1
            return function(*arguments, **named)
        return draw
    for name in dir(random):
        function = getattr(random, name)
        if getattr(function, "__self__", None) is shared and name not in {"getstate", "setstate", "seed"}:
            setattr(random, name, traced(name, function))

    from prefect import flow, task
    from prefect.artifacts import create_markdown_artifact
    from prefect.events import emit_event
    import prefect.task_engine, prefect.flow_engine
    import websockets.asyncio.connection as connection

    pinged = []
    ping = connection.Connection.ping
    async def watched(self, *arguments, **named):
        pinged.append(1)
        return await ping(self, *arguments, **named)
    connection.Connection.ping = watched

    tries = []

    @task(retries=2, retry_delay_seconds=0.01, retry_jitter_factor=0.5)
    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("again")

    @task
    def waits():
        deadline = time.monotonic() + 60
        while not pinged and time.monotonic() < deadline:
            emit_event("test.beat", {"prefect.resource.id": "test"})
            time.sleep(0.05)

    @flow
    def below():
        waits()

    @flow
    def main():
        draws.clear()
        random.seed(0)
        state = random.getstate()
        flaky()
        create_markdown_artifact("nothing")
        waits.submit().result()
        below()
        return state == random.getstate()

    same = main()
    print("pinged" if pinged else "silent", "same" if same else "moved", sorted(draws))
"""


def run(text: str, tmp_path: Path, *arguments: str) -> str:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "PREFECT_LOGGING_LEVEL": "ERROR"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.server
@pytest.mark.usefixtures("prefect_server")
def test_prefect_leaves_a_flows_generator_alone(tmp_path: Path) -> None:
    bare = run(FLOW, tmp_path)
    assert bare.startswith("pinged moved")
    assert "prefect/utilities/math.py" in bare
    assert "websockets/asyncio/connection.py" in bare
    assert run(FLOW, tmp_path, "isolated") == "pinged same []"


def test_names_and_ports_are_drawn_apart(tmp_path: Path) -> None:
    text = """
        import random
        from lineage_flows.capture import randomness
        randomness.install()
        import prefect.server.api.server as server
        from prefect.utilities.names import generate_slug
        from prefect.utilities.math import bounded_poisson_interval
        import coolname
        random.seed(0)
        state = random.getstate()
        names = {generate_slug(2) for _ in range(20)}
        server.SubprocessASGIServer().find_available_port()
        bounded_poisson_interval(1, 2)
        print(random.getstate() == state, len(names) > 10)
        coolname.generate(2)
        print(random.getstate() != state)
        randomness.uninstall()
        generate_slug(2)
        random.seed(0)
        bounded_poisson_interval(1, 2)
        print(random.getstate() != state)
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "True", "True", "True"], done.stderr


def test_what_draws_while_it_is_imported_is_loaded_before_any_run(tmp_path: Path) -> None:
    text = """
        import sys
        from prefect import flow
        print(*[name in sys.modules for name in ("coolname", "rich.style")])
    """
    assert run(text, tmp_path) == "True True"


def test_a_private_random_has_all_that_the_module_has() -> None:
    private = isolation._private_random()
    assert {name for name in dir(random) if not name.startswith("_")} <= set(dir(private))
    random.seed(0)
    state = random.getstate()
    private.seed(1)
    first = private.random()
    private.shuffle([1, 2, 3])
    private.choice([1, 2])
    assert random.getstate() == state
    private.seed(1)
    assert private.random() == first
    assert private.Random is random.Random
