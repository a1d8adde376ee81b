from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lineage_flows.capture import audit
from lineage_flows.capture.stack import Origin, origin

# Flow and tasks are watched as the engine's recorder does it: a log around the call of the user's function.
FLOW = """
    import asyncio, functools, json, pathlib, socket, sys
    from lineage_flows import runtime
    from lineage_flows.capture import audit, files, io_adapters
    runtime.decline()  # capture itself stays off: this looks at its parts
    folder = pathlib.Path(sys.argv[1])
    audit.install()
    io_adapters.install()
    from prefect import flow, task
    from prefect.artifacts import create_markdown_artifact
    from prefect.utilities.asyncutils import run_coro_as_sync
    from prefect.variables import Variable
    import prefect.task_engine, prefect.flow_engine
    files.configure()
    import pandas as pd

    found = {}

    def watch(engine, name, label):
        original = getattr(engine, name)
        if asyncio.iscoroutinefunction(original):
            @functools.wraps(original)
            async def call(self, *args, **kwargs):
                log = files.FileLog(None, size_cap=1 << 30)
                try:
                    with files.activate(log):
                        return await original(self, *args, **kwargs)
                finally:
                    found.setdefault(label(self), []).append(log.close())
        else:
            @functools.wraps(original)
            def call(self, *args, **kwargs):
                log = files.FileLog(None, size_cap=1 << 30)
                try:
                    with files.activate(log):
                        return original(self, *args, **kwargs)
                finally:
                    found.setdefault(label(self), []).append(log.close())
        setattr(engine, name, call)

    for engine in (prefect.task_engine.SyncTaskRunEngine, prefect.task_engine.AsyncTaskRunEngine):
        watch(engine, "call_task_fn", lambda self: "task " + self.task.name)
    for engine in (prefect.flow_engine.FlowRunEngine, prefect.flow_engine.AsyncFlowRunEngine):
        watch(engine, "call_flow_fn", lambda self: "flow " + self.flow.name)

    server = socket.create_server(("127.0.0.1", 0))

    @task(persist_result=True)
    def reads(name):
        return len((folder / name).read_text())

    @task(retries=1)
    def reports():
        create_markdown_artifact("nothing")
        Variable.set("lineage", "1", overwrite=True)
        print("printed")

    @task
    def connects():
        socket.create_connection(server.getsockname()).close()

    @task
    async def areads():
        text = await asyncio.to_thread((folder / "c").read_text)
        await Variable.aset("lineage", "2", overwrite=True)
        return text

    @task
    async def aconnects():
        _, writer = await asyncio.open_connection(*server.getsockname())
        writer.close()

    @task
    async def gathers():
        # Coroutines of a library, run by tasks of the loop that Prefect runs: no line of the user's is between.
        opened = asyncio.open_connection(*server.getsockname()), asyncio.to_thread((folder / "e").read_text)
        (_, writer), _ = await asyncio.gather(*opened)
        writer.close()

    library = task(pd.read_csv, name="library")

    @flow
    def below():
        (folder / "d").read_text()
        return reads("d")

    @flow
    async def abelow():
        await areads()
        await aconnects()

    @flow
    async def deployed():
        await gathers()

    @flow(log_prints=True, persist_result=True)
    def main():
        (folder / "out").write_text("result")
        [future.result() for future in reads.map(["a", "b"])]
        reports()
        connects()
        library(folder / "table.csv")
        below()

    main()
    asyncio.run(abelow())
    run_coro_as_sync(deployed())  # as prefect.engine runs an async flow of a deployment
    print(json.dumps({
        key: sorted(
            [f"{item.direction} {pathlib.Path(item.path).name}" for touched in each for item in touched.datasets]
            + [what.replace(str(server.getsockname()[1]), "PORT") for touched in each for what in touched.unrestorable]
            + [error for touched in each for error in touched.errors]
        )
        for key, each in found.items()
    }))
"""


@pytest.mark.server
@pytest.mark.usefixtures("prefect_server")
def test_what_prefect_does_for_itself_is_not_the_flows(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / name).write_text(name)
    (tmp_path / "table.csv").write_text("x\n1\n")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(FLOW))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_LOGGING_LEVEL": "ERROR"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "task reads": ["read a", "read b", "read d"],
        "task reports": [],
        "task connects": ["network 127.0.0.1:PORT"],
        "task library": ["read table.csv"],
        "task areads": ["read c"],
        "task aconnects": ["network 127.0.0.1:PORT"],
        "task gathers": ["network 127.0.0.1:PORT", "read e"],
        "flow main": ["write out"],
        "flow below": ["read d"],
        "flow abelow": [],
        "flow deployed": [],
    }


@pytest.mark.parametrize(
    ("mode", "flags", "expected"),
    [
        ("r", 0, (True, False)),
        ("rb+", 0, (True, True)),
        ("w", 0, (False, True)),
        ("wb+", 0, (False, True)),
        ("xb", 0, (False, True)),
        ("ab", 0, (True, True)),
        (None, os.O_RDONLY, (True, False)),
        (None, os.O_RDONLY | os.O_DIRECTORY, (False, False)),
        (None, os.O_WRONLY | os.O_CREAT, (False, True)),
        (None, os.O_WRONLY | os.O_APPEND, (True, True)),
        (None, os.O_RDWR, (True, True)),
        (None, os.O_RDWR | os.O_CREAT | os.O_EXCL, (False, True)),
        (None, os.O_RDWR | os.O_CREAT | os.O_TRUNC, (False, True)),
        (None, None, (False, False)),
    ],
)
def test_intents(mode: str | None, flags: int | None, expected: tuple[bool, bool]) -> None:
    assert audit.intent(mode, flags) == expected


def test_the_stack_tells_the_flow_from_a_library_that_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "some_library.py").write_text(
        "from lineage_flows.capture.stack import origin\nAT_IMPORT = origin()\ndef call():\n    return origin()\n"
    )
    monkeypatch.syspath_prepend(str(library))
    import some_library  # type: ignore[import-not-found]

    assert some_library.AT_IMPORT is Origin.TOOL
    assert some_library.call() is Origin.FLOW
    assert origin() is Origin.FLOW


def test_behind_an_event_loop_only_the_context_can_tell(tmp_path: Path) -> None:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "some_library.py").write_text(
        "from lineage_flows.capture.stack import origin\ndef call(found):\n    found.append(origin().value)\n"
    )
    text = """
        import asyncio, sys
        sys.path.insert(0, sys.argv[1])
        import some_library

        async def main():
            found = []
            some_library.call(found)
            asyncio.get_running_loop().call_soon(some_library.call, found)
            await asyncio.to_thread(some_library.call, found)
            print(*found)

        asyncio.run(main())
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(text))
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "site-packages")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["flow", "unknown", "unknown"]


def test_names_are_generated_code_or_the_users(tmp_path: Path) -> None:
    text = "from lineage_flows.capture.stack import origin\nprint(origin().value)\nexec('print(origin().value)')"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["flow", "flow"]
