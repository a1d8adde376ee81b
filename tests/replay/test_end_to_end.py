"""Flows the package has not seen, captured in a process of their own and replayed from the home alone."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pandas as pd
import pytest

from lineage_flows.delivery import deliver_once
from lineage_flows.errors import (
    BlobAlteredError,
    BlobMissingError,
    CodeNotRestorableError,
    ReplayError,
    UnknownReferenceError,
)
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.runs import runs
from lineage_flows.replay import ReplayReport, replay_run
from lineage_flows.runtime import graph_path, open_spool, receivers
from lineage_flows.settings import Settings, load_settings

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

PYPROJECT = "[tool.prefect.plugins]\nenabled = true\n"


@dataclass
class Desk:
    """A project folder and a lineage home; flows are run as a user runs them."""

    folder: Path
    home: Path
    api: str

    @property
    def settings(self) -> Settings:
        return load_settings(home=self.home)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if name != "PREFECT_PLUGINS_ENABLED"},
            "PREFECT_API_URL": self.api,
            "LINEAGE_FLOWS_HOME": str(self.home),
            "PREFECT_LOCAL_STORAGE_PATH": f"{self.home}-results",
            **more,
        }

    def run(
        self, source: str, *, fails: bool = False, name: str = "flow.py", cwd: Path | None = None, **more: str
    ) -> str:
        """Run a flow's script; the id of the newest run of the graph."""
        path = self.write(name, source)
        self.write("pyproject.toml", PYPROJECT)
        done = subprocess.run(
            [sys.executable, str(path)],
            cwd=cwd or self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        assert "lineage:" not in done.stderr, done.stderr
        return self.newest()

    def newest(self) -> str:
        keeper = open_embedded(graph_path(self.settings), read_only=True)
        try:
            found = runs(keeper)
        finally:
            keeper.close()
        assert found, "nothing was captured"
        return found[0].run_id

    def replay(self, run: str, **options) -> ReplayReport:
        return replay_run(run, settings=self.settings, **options)

    def contents(self) -> dict[str, str]:
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(self.folder.rglob("*"))
            if "__pycache__" not in path.parts
        }


@pytest.fixture
def desk(tmp_path, prefect_server, monkeypatch) -> Desk:
    folder = tmp_path / "desk" / "project"
    folder.mkdir(parents=True)
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return Desk(folder, tmp_path / "home", prefect_server)


def verdicts(report: ReplayReport) -> dict[str, str]:
    return {f"{step.task}#{step.index}": step.verdict for step in report.steps}


def assert_identical(report: ReplayReport) -> None:
    assert report.verdict == "identical", report.model_dump_json(indent=1)
    assert report.report is not None, report.notes
    assert report.exit_code == 0
    assert report.first_divergence is None


PATHS = """
import json
import os
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import flow, task

HERE = Path(__file__).resolve().parent
CONFIG = json.loads((HERE / "config.json").read_text())
ABSOLUTE = "{absolute}"
SHARED = "{shared}"


@task
def by_file():
    return (HERE / "data" / "a.txt").read_text()


@task
def by_working_directory():
    with open("data/b.txt") as file:
        return file.read()


@task
def by_absolute_path():
    return pd.read_csv(ABSOLUTE), pd.read_parquet(SHARED + "/prices.parquet")


@task
def by_parameter(path: str, other: Path):
    return Path(path).read_text(), other.read_text(), str(other.parent), os.path.relpath(path, HERE)


@task
def listed():
    return sorted(name for name in os.listdir(SHARED)), sorted(p.name for p in (HERE / "data").glob("*.txt"))


@task
def read_all():
    return [open(os.path.join(SHARED, name), "rb").read() for name in sorted(os.listdir(SHARED))]


@task
def written(frame):
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    frame.to_parquet(out / "result.parquet")
    np.save(os.path.join(os.getcwd(), "out", "array.npy"), frame.to_numpy())
    Path(SHARED, "report.txt").write_text("made by the flow")
    with open("history.log", "a") as file:
        file.write("one more line\\n")
    return out / "result.parquet"


@task
def read_back(path):
    return pd.read_parquet(path), Path(SHARED, "report.txt").read_text(), Path("history.log").read_text().count("\\n")


@flow
def paths(path: str, other: Path, where: dict):
    a, b = by_file(), by_working_directory()
    frame, prices = by_absolute_path()
    by_parameter(path, other)
    listed()
    read_all()
    result = written(frame)
    read_back(result)
    return {{"result": result, "root": HERE, "config": CONFIG, "given": where}}


if __name__ == "__main__":
    paths(str(HERE / "data" / "a.txt"), Path(SHARED) / "c.txt", {{"folders": [str(HERE), SHARED]}})
"""


@pytest.fixture
def with_paths(desk) -> tuple[Desk, str]:
    import pandas as pd

    shared = desk.folder.parent / "shared"
    shared.mkdir()
    (shared / "c.txt").write_text("c")
    pd.DataFrame({"close": [1.0, 2.0, 3.0]}).to_parquet(shared / "prices.parquet")
    desk.write("data/a.txt", "a")
    desk.write("data/b.txt", "b")
    desk.write("config.json", '{"window": 3}')
    desk.write("table.csv", "x,y\n1,2\n3,4\n")
    return desk, desk.run(PATHS.format(absolute=desk.folder / "table.csv", shared=shared))


def test_folders_move_and_every_way_to_find_data_still_finds_what_was_captured(with_paths):
    desk, run = with_paths
    shutil.rmtree(desk.folder.parent)
    report = desk.replay(run)
    assert_identical(report)
    assert report.run_id == run
    assert report.result == "identical"
    assert set(verdicts(report).values()) == {"identical"}
    assert not desk.folder.parent.exists()
    assert list(Path(tempfile.gettempdir()).iterdir()) == [], "the workspace was removed"


def test_a_replay_changes_nothing_on_the_desk_and_reads_nothing_of_it(with_paths):
    desk, run = with_paths
    shared = desk.folder.parent / "shared"
    desk.write("data/a.txt", "changed since")
    desk.write("config.json", "not even JSON")
    (desk.folder / "flow.py").write_text("raise SystemExit('the desk has moved on')")
    (shared / "new.txt").write_text("not there then")
    before, also = desk.contents(), sorted((p.name, p.read_bytes()) for p in shared.iterdir())
    assert_identical(desk.replay(run))
    assert desk.contents() == before
    assert sorted((p.name, p.read_bytes()) for p in shared.iterdir()) == also


FOLDERS = """
import glob
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
from prefect import flow, task

SHARED = "{shared}"


@task
def whole():
    return pd.read_parquet("ds"), pd.read_parquet(f"{{SHARED}}/ds", filters=[("s", "==", "A")])


@task
def filtered():
    return ds.dataset(f"{{SHARED}}/ds", partitioning="hive").to_table(filter=ds.field("v") > 1).to_pandas()


@task
def looked():
    names = sorted(glob.glob(f"{{SHARED}}/ds/*/*.parquet"))
    first = pd.read_parquet(names[0])
    return sorted(os.listdir(f"{{SHARED}}/ds")), names, first, len(list(Path("ds").rglob("*.parquet")))


@task
def added(frame):
    frame.to_parquet(Path(SHARED, "ds", "s=B", "new.parquet"))
    Path(glob.glob(f"{{SHARED}}/ds/s=A/*")[0]).unlink()
    return pd.read_parquet(f"{{SHARED}}/ds").shape


@task
def nested(frame):
    out = Path("results")
    out.mkdir()
    (out / "plots" / "deep").mkdir(parents=True)
    (out / "plots" / "deep" / "a.txt").write_text("1")
    shutil.copytree(out / "plots", out / "copied")
    shutil.copytree(out, "unfinished")
    os.rename("unfinished", "published")
    shutil.copytree(out, "unfinished")
    shutil.move("unfinished", "moved")
    frame.to_parquet("made", partition_cols=["s"])
    return sorted(str(path) for path in Path().rglob("*.txt")), pd.read_parquet("made").shape


@flow
def foldered():
    frame, _ = whole()
    filtered()
    looked()
    nested(frame)
    return added(frame)


if __name__ == "__main__":
    print(foldered())
"""


def test_folders_of_files_are_read_written_and_made_as_in_the_original(desk, tmp_path):
    shared = tmp_path / "shared"
    frame = pd.DataFrame({"s": list("AABB"), "v": [1.0, 2.0, 3.0, 4.0]})
    for folder in (shared / "ds", desk.folder / "ds"):
        frame.to_parquet(folder, partition_cols=["s"])
    run = desk.run(FOLDERS.format(shared=shared))
    shutil.rmtree(desk.folder)
    shutil.rmtree(shared)
    (shared / "ds" / "s=Z").mkdir(parents=True)
    shutil.copy(Path(__file__), shared / "ds" / "s=Z" / "not.parquet")
    before = sorted((path, path.stat().st_mtime_ns) for path in shared.rglob("*"))
    report = desk.replay(run)
    assert_identical(report)
    assert sorted((path, path.stat().st_mtime_ns) for path in shared.rglob("*")) == before
    assert not desk.folder.exists()


LACKING = """
import argparse
import os

from prefect import flow, task


@task
def by_a_global(n):
    return args.scale * n


@task
def only_looked_at():
    return os.path.getsize(".cache/prices.bin")


@flow
def lacking():
    by_a_global(2, return_state=True)
    only_looked_at(return_state=True)
    return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=int, default=3)
    args = parser.parse_args()
    lacking()
"""


def test_what_a_replay_cannot_have_is_said_in_place_of_guessing(desk):
    desk.write(".cache/prices.bin", "x")
    report = desk.replay(desk.run(LACKING))
    of_global, of_file = report.steps
    assert (of_global.verdict, of_global.causes) == ("different", ("code",))
    assert "`args` is bound only in the `__main__` block of flow.py" in of_global.details[0]
    assert (of_file.verdict, of_file.causes) == ("different", ("inputs",))
    assert f"{desk.folder}/.cache/prices.bin was never recorded" in of_file.details[0]
    assert not any("clock" in detail for step in report.steps for detail in step.details)


RANDOM = """
import asyncio
import random
import uuid

import numpy as np
from prefect import flow, task

@task
def python_draw(n):
    return [random.random() for _ in range(n)]


@task
def numpy_draw(n):
    return np.random.rand(n)


@task
def own_generator(n):
    return np.random.default_rng().normal(size=n), np.random.RandomState().rand(2)


@task
async def awaited(n):
    await asyncio.sleep(0)
    return np.random.default_rng().integers(0, 1000, n), random.random()


@task
def seeded(seed):
    return np.random.default_rng(seed).random(3)


@task
def shuffled(values):
    values = list(values)
    random.shuffle(values)
    return values


@flow
def inner(n):
    return numpy_draw(n), random.random()


@flow
async def draws(n: int = 4):
    first = random.random()
    a = python_draw(n)
    b = numpy_draw(n)
    c = own_generator(n)
    d = await awaited(n)
    e = [future.result() for future in seeded.map(range(5))]
    own = np.random.default_rng().random()
    f = shuffled(a)
    g = inner(2)
    h = inner(3)
    return first, own, random.random(), np.random.rand(), f


if __name__ == "__main__":
    asyncio.run(draws())
"""


def test_random_numbers_are_drawn_again(desk):
    run = desk.run(RANDOM)
    shutil.rmtree(desk.folder)
    report = desk.replay(run)
    assert_identical(report)
    assert len(report.steps) == 12


AT_IMPORT = """
import random
from prefect import flow, task
import numpy as np

DRAWN = random.random(), np.random.rand(), np.random.default_rng().random()
READ = open("{outside}").read()


@task
def at_import():
    return DRAWN, READ


@flow
def early():
    return at_import()


if __name__ == "__main__":
    early()
"""


def test_what_the_module_drew_and_read_when_it_was_imported_is_the_same(desk, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("read on import")
    run = desk.run(AT_IMPORT.format(outside=outside))
    outside.unlink()
    shutil.rmtree(desk.folder)
    assert_identical(desk.replay(run))


FAILING = """
from dataclasses import dataclass
from prefect import flow, task


@dataclass
class Limits:
    low: float
    high: float


class OutOfRange(ValueError):
    pass


@task
def check(value, limits: Limits):
    if value > limits.high:
        raise OutOfRange(f"{value} is over {limits.high}")
    return value


@task(retries=2, retry_delay_seconds=0)
def flaky(path):
    import os
    tries = sorted(name for name in os.listdir(".") if name.startswith("try"))
    open(f"try{len(tries)}", "w").close()
    if len(tries) < 2:
        raise OSError("not yet")
    return len(tries)


@flow
def checked(limits: Limits):
    flaky("x")
    check(1.0, limits)
    check(9.0, limits)


if __name__ == "__main__":
    checked(Limits(0.0, 5.0))
"""


def test_how_a_flow_fails_is_part_of_what_is_replayed(desk):
    run = desk.run(FAILING, fails=True)
    shutil.rmtree(desk.folder)
    report = desk.replay(run)
    assert_identical(report)
    assert verdicts(report) == {"flaky#0": "identical", "check#0": "identical", "check#1": "identical"}


MODEL = """
import numpy as np
from prefect import flow, task

from library.numbers import scale

RATE = 0.5


@task(tags=["preprocessing"])
def features(n):
    return scale(np.arange(float(n)))


@task(tags=["training"])
def fit_model(x):
    return {"coefficient": float(x.sum()) * RATE}


@task(tags=["postprocessing"])
def evaluate(model):
    return {"score": model["coefficient"] + 1}


@flow
def modelling(n: int = 10):
    return evaluate(fit_model(features(n)))


if __name__ == "__main__":
    modelling()
"""


@pytest.fixture
def modelled(desk) -> tuple[Desk, str]:
    desk.write("library/__init__.py", "")
    desk.write("library/numbers.py", "def scale(x):\n    return x / 2\n")
    return desk, desk.run(MODEL)


def test_changed_code_is_named_down_to_file_and_lines(modelled, tmp_path):
    desk, run = modelled
    other = tmp_path / "other"
    shutil.copytree(desk.folder, other)
    (other / "flow.py").write_text(dedent(MODEL).replace("float(x.sum()) * RATE}", "float(x.sum()) * RATE * 2}"))
    report = desk.replay(run, code_path=other)
    assert (report.verdict, report.exit_code) == ("different", 1)
    first = report.steps[report.first_divergence]
    assert (first.task, first.causes) == ("fit_model", ("code",))
    assert first.details[0].startswith("code of step fit_model (flow.py, lines ")
    assert verdicts(report) == {"features#0": "identical", "fit_model#0": "different", "evaluate#0": "different"}
    assert report.steps[2].causes == ("inputs",)
    assert "fit_model" in report.summary


def test_a_changed_helper_and_a_changed_constant_are_named(modelled, tmp_path):
    desk, run = modelled
    other = tmp_path / "other"
    shutil.copytree(desk.folder, other)
    (other / "library" / "numbers.py").write_text("def scale(x):\n    return x / 4\n")
    first = (report := desk.replay(run, code_path=other)).steps[report.first_divergence]
    assert (first.task, first.causes) == ("features", ("code",))
    assert "`scale`" in first.details[0]
    shutil.copytree(desk.folder, other, dirs_exist_ok=True)
    (other / "flow.py").write_text(dedent(MODEL).replace("RATE = 0.5", "RATE = 0.7"))
    first = (report := desk.replay(run, code_path=other)).steps[report.first_divergence]
    assert (first.task, first.causes) == ("fit_model", ("code",))
    assert "`RATE`" in first.details[0]


def test_the_same_code_in_another_folder_is_identical_and_a_replay_can_be_replayed(modelled, tmp_path):
    desk, run = modelled
    other = tmp_path / "other"
    shutil.copytree(desk.folder, other)
    shutil.rmtree(desk.folder)
    report = desk.replay(run, code_path=other)
    assert_identical(report)
    again = desk.replay(report.replay_run_id)
    assert_identical(again)
    assert again.run_id == run
    assert any("itself a replay" in note for note in again.notes)


def test_two_replays_at_once_do_not_meet(modelled):
    desk, run = modelled
    shutil.rmtree(desk.folder)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: desk.replay(run), range(2)))
    for report in reports:
        assert_identical(report)
    assert len({report.replay_run_id for report in reports}) == 2


def test_progress_names_every_step_in_order(modelled):
    desk, run = modelled
    seen: list[tuple[str, int, int]] = []
    desk.replay(run, on_progress=lambda *what: seen.append(what))
    assert seen == [("features", 0, 3), ("fit_model", 1, 3), ("evaluate", 2, 3), ("", 3, 3)]


def test_a_kept_workspace_can_be_looked_into(modelled):
    desk, run = modelled
    report = desk.replay(run, keep=True)
    assert (Path(report.workspace) / str(desk.folder)[1:] / "flow.py").is_file()


def test_what_cannot_be_replayed_is_said_before_anything_runs(modelled, tmp_path):
    desk, run = modelled
    before = desk.newest()
    with pytest.raises(UnknownReferenceError):
        desk.replay("00000000")
    blobs = [path for path in (desk.home / "blobs").rglob("*") if path.is_file()]
    tree = next(
        path
        for path in blobs
        if b"flow.py" in path.read_bytes()
        and path.read_bytes().startswith(b"{")
        and b'"files"' in path.read_bytes()[:40]
    )
    kept = tree.read_bytes()
    tree.chmod(0o600)
    tree.write_bytes(kept + b" ")
    with pytest.raises(BlobAlteredError):
        desk.replay(run)
    tree.unlink()
    with pytest.raises(BlobMissingError):
        desk.replay(run)
    assert desk.newest() == before, "nothing was run"
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_a_run_at_level_metadata_says_which_level_is_needed(desk):
    desk.write("library/__init__.py", "")
    desk.write("library/numbers.py", "def scale(x):\n    return x / 2\n")
    run = desk.run(MODEL, LINEAGE_FLOWS_LEVEL="metadata")
    with pytest.raises(ReplayError, match=r"level metadata.*LINEAGE_FLOWS_LEVEL=inputs"):
        desk.replay(run)


def test_a_run_that_was_killed_has_no_end_to_replay(desk, tmp_path):
    desk.write("pyproject.toml", PYPROJECT)
    path = desk.write("flow.py", SLOW.format(stop=str(tmp_path / "never")))
    process = subprocess.Popen([sys.executable, str(path)], cwd=desk.folder, env=desk.environment())
    deadline = time.monotonic() + 120
    while not (desk.folder / "started").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    process.wait(timeout=60)
    spool = open_spool(desk.settings)
    try:
        deliver_once(spool, receivers(desk.settings), desk.home, timeout=60)
    finally:
        spool.close()
    with pytest.raises(ReplayError, match="its end is not recorded"):
        desk.replay(desk.newest())


def test_a_flow_inside_the_main_block_is_a_clear_error(desk):
    run = desk.run(
        """
        from prefect import flow

        if __name__ == "__main__":
            @flow
            def hidden():
                return 1

            hidden()
        """
    )
    with pytest.raises((ReplayError, CodeNotRestorableError), match="__main__"):
        desk.replay(run)


def test_a_script_that_runs_its_flow_on_import_is_replayed_once(desk):
    run = desk.run(
        """
        from prefect import flow, task

        @task
        def one(x):
            return x + 1

        @flow
        def unguarded(x):
            return one(x)

        unguarded(1)
        """
    )
    shutil.rmtree(desk.folder)
    assert_identical(desk.replay(run))


FETCHING = """
import sys
import urllib.request

from prefect import flow, task


@task
def fetch(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


@task
def length(text):
    return len(text)


@flow
def fetching(url):
    return length(fetch(url))


if __name__ == "__main__":
    fetching("{url}")
"""


def test_a_step_that_read_from_the_network_is_restored_and_not_executed(desk):
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"answer {len(asked)}".encode())

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        run = desk.run(FETCHING.format(url=f"http://127.0.0.1:{server.server_port}/prices"))
        shutil.rmtree(desk.folder)
        report = desk.replay(run)
    finally:
        server.shutdown()
    assert_identical(report)
    assert verdicts(report) == {"fetch#0": "restored", "length#0": "identical"}
    assert asked == ["/prices"]


POOL = """
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner

ABSOLUTE = "{absolute}"


def work(x):
    return x * float(open(ABSOLUTE).read()) + np.random.default_rng(x).random()


@task
def pooled(xs):
    with ProcessPoolExecutor(2, mp_context=get_context("{method}")) as pool:
        return list(pool.map(work, xs))


@task
def script(xs):
    code = "import sys; open(sys.argv[1], 'w').write('made'); print(open('" + ABSOLUTE + "').read())"
    out = Path(ABSOLUTE).with_name("by_script.txt")
    done = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=True)
    return done.stdout, out.read_text()


@task
def one(x):
    return work(x), os.path.exists(ABSOLUTE)


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def pools():
    a = pooled([1, 2, 3])
    b = script(a)
    return a, b, [future.result() for future in one.map([4, 5])]


if __name__ == "__main__":
    pools()
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_that_the_flow_starts_see_the_workspace(desk, method):
    data = desk.write("factor.txt", "2.5")
    run = desk.run(POOL.format(absolute=data, method=method))
    data.write_text("3.5")
    before = desk.contents()
    report = desk.replay(run)
    assert report.verdict == "identical", report.model_dump_json(indent=1)
    assert {step for step, verdict in verdicts(report).items() if verdict == "identical"} >= {"one#0", "one#1"}
    assert desk.contents() == before


def test_prefects_caches_do_not_answer_for_the_code(desk):
    source = """
        from prefect import flow, task
        from prefect.cache_policies import INPUTS

        @task(cache_policy=INPUTS, persist_result=True)
        def cached(x):
            with open("count", "a") as file:
                file.write(".")
            return x * 2

        @flow
        def caching(x):
            return cached(x) + cached(x)

        if __name__ == "__main__":
            caching(21)
        """
    run = desk.run(source)
    shutil.rmtree(desk.folder)
    report = desk.replay(run)
    assert report.verdict == "identical", report.model_dump_json(indent=1)
    assert verdicts(report)["cached#0"] == "identical", "the original's cache would have made it restored"
    assert verdicts(report)["cached#1"] in {"identical", "restored"}


SLOW = """
import subprocess
import sys
import time

from prefect import flow, task


@task
def slow():
    open("started", "w").close()
    while not __import__("os").path.exists({stop!r}):
        time.sleep(0.05)


@flow
def waiting():
    slow()


if __name__ == "__main__":
    waiting()
"""


def test_a_replay_that_takes_too_long_is_stopped_and_leaves_nothing(desk, tmp_path):
    stop = tmp_path / "stop"
    stop.touch()
    run = desk.run(SLOW.format(stop=str(stop)))
    stop.unlink()
    with pytest.raises(ReplayError, match="longer than 15 seconds"):
        desk.replay(run, timeout=15)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_interrupting_a_replay_ends_its_process_and_removes_its_workspace(desk, tmp_path):
    stop = tmp_path / "stop"
    stop.touch()
    run = desk.run(SLOW.format(stop=str(stop)))
    stop.unlink()
    script = dedent(
        """
        import sys, tempfile
        from lineage_flows import runtime
        runtime.decline()
        from lineage_flows.replay import replay_run
        replay_run(sys.argv[1], on_progress=lambda *what: print(*what, flush=True))
        """
    )
    environment = desk.environment(TMPDIR=tempfile.gettempdir())
    process = subprocess.Popen(
        [sys.executable, "-c", script, run], env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout.readline().split()[0] == "slow"
    child = _child_of(process.pid)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert process.returncode != 0
    assert not Path(f"/proc/{child}").exists()
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_killing_the_parent_ends_the_child(desk, tmp_path):
    stop = tmp_path / "stop"
    stop.touch()
    run = desk.run(SLOW.format(stop=str(stop)))
    stop.unlink()
    script = (
        "import sys; from lineage_flows import runtime; runtime.decline()\n"
        "from lineage_flows.replay import replay_run\n"
        "replay_run(sys.argv[1], on_progress=lambda *what: print(*what, flush=True))\n"
    )
    environment = desk.environment(TMPDIR=tempfile.gettempdir())
    process = subprocess.Popen(
        [sys.executable, "-c", script, run], env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout.readline().split()[0] == "slow"
    child = _child_of(process.pid)
    watched = os.pidfd_open(child)
    process.kill()
    process.wait(timeout=60)
    import select

    assert select.select([watched], [], [], 60)[0], "the child lives on"
    os.close(watched)


def _child_of(pid: int) -> int:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        text.extend((thread / "children").read_text().split())
    return int(next(iter(text)))


def test_the_replay_flow_completes_or_fails_with_the_verdict(modelled, tmp_path):
    desk, run = modelled
    flow_file = Path(__file__).parents[2] / "flows" / "replay.py"
    other = tmp_path / "other"
    shutil.copytree(desk.folder, other)
    (other / "flow.py").write_text(dedent(MODEL).replace("RATE = 0.5", "RATE = 0.7"))
    script = dedent(
        f"""
        import importlib.util, json, sys
        spec = importlib.util.spec_from_file_location("replay_flow", {str(flow_file)!r})
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for code in (None, sys.argv[2]):
            state = module.replay(sys.argv[1], code=code, return_state=True)
            print(json.dumps([state.type.value, state.message]))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, run, str(other)],
        env=desk.environment(PREFECT_PLUGINS_ENABLED="true"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert first == ["COMPLETED", "identical: 3 of 3 steps identical"]
    assert second[0] == "FAILED"
    assert "first divergence at step fit_model#0" in second[1]
