"""The private server ends with its block, says why it did not start, and meets nothing of the user's own Prefect."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from demo.server import ServerError, isolated_environment, private_server


def stand_in(folder: Path, program: str) -> Path:
    """An interpreter that runs ``program`` in place of Prefect; the port is its last argument."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(0o755)
    return path


SERVER = """
import http.server, os, pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("pids").write_text(f"{os.getpid()} {child.pid}")
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), Healthy).serve_forever()
"""


def pids(home: Path) -> list[int]:
    return [int(pid) for pid in (home / "pids").read_text().split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie waits for whoever reaps orphans; it runs no more.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def ended(home: Path) -> bool:
    """Whether all processes end; a killed one needs a moment until the kernel is done with it."""
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids(home)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_server_and_its_children_end_with_the_block(tmp_path, error):
    home = tmp_path / "home"

    def work() -> None:
        with private_server(home, python=stand_in(tmp_path, SERVER)) as url:
            assert url.startswith("http://127.0.0.1:")
            assert all(alive(pid) for pid in pids(home))
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(error):
            work()
    assert ended(home)


def test_a_server_that_ends_at_once_is_tried_again_and_then_its_words_are_told(tmp_path):
    program = "import pathlib, sys\npathlib.Path('tries').open('a').write('x')\nsys.exit('no such option')\n"
    with (
        pytest.raises(ServerError, match="no such option"),
        private_server(tmp_path, python=stand_in(tmp_path, program)),
    ):
        pass
    assert (tmp_path / "tries").read_text() == "xxx"


def test_a_server_that_never_answers_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.server.START_SECONDS", 1.0)
    program = "import os, pathlib, signal\npathlib.Path('pids').write_text(str(os.getpid()))\nsignal.pause()\n"
    with (
        pytest.raises(ServerError, match="did not answer"),
        private_server(tmp_path, python=stand_in(tmp_path, program)),
    ):
        pass
    assert ended(tmp_path)


def test_a_server_that_ignores_the_polite_signal_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.server.STOP_SECONDS", 0.5)
    stubborn = f"import signal\nsignal.signal({int(signal.SIGTERM)}, signal.SIG_IGN)\n{SERVER}"
    home = tmp_path / "home"
    with private_server(home, python=stand_in(tmp_path, stubborn)):
        assert all(alive(pid) for pid in pids(home))
    assert ended(home)


def test_the_users_own_settings_do_not_reach_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "https://cloud.example/api")
    monkeypatch.setenv("LINEAGE_FLOWS_LEVEL", "off")
    monkeypatch.setenv("OPENLINEAGE_URL", "https://collector.example")
    monkeypatch.setenv("no_proxy", "intranet.example")
    environment = isolated_environment(tmp_path, PREFECT_LOGGING_LEVEL="WARNING")
    assert not {"PREFECT_API_URL", "LINEAGE_FLOWS_LEVEL", "OPENLINEAGE_URL"} & environment.keys()
    assert environment["PREFECT_HOME"] == str(tmp_path)
    assert environment["PREFECT_LOGGING_LEVEL"] == "WARNING"
    assert environment["no_proxy"] == environment["NO_PROXY"] == "127.0.0.1,localhost,intranet.example"
    assert environment["PATH"] == os.environ["PATH"]
