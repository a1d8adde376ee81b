"""What slips past the redirector is refused. In a process of its own: an audit hook cannot be taken back."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

SLIPS = {
    "FileIO": "io.FileIO(desk + '/new.txt', 'w')",
    "FileIO append": "io.FileIO(desk + '/file.txt', 'a')",
    "bound before": "early_open(desk + '/new.txt', 'w')",
    "os.open bound before": "early_os_open(desk + '/file.txt', os.O_RDWR)",
    "remove": "os.remove(desk + '/file.txt')",
    "rename away": "os.rename(desk + '/file.txt', inside + '/x')",
    "rename to": "os.rename(inside + '/mine.txt', desk + '/x')",
    "mkdir": "os.mkdir(desk + '/folder')",
    "rmdir": "os.rmdir(desk + '/empty')",
    "link": "os.link(inside + '/mine.txt', desk + '/x')",
    "symlink": "os.symlink(inside + '/mine.txt', desk + '/x')",
    "chmod": "os.chmod(desk + '/file.txt', 0)",
    "utime": "os.utime(desk + '/file.txt', (0, 0))",
    "truncate": "os.truncate(desk + '/file.txt', 0)",
    "dir_fd": "os.remove('file.txt', dir_fd=os.open(desk, os.O_RDONLY))",
    "through a link": "open(inside + '/link/new.txt', 'w')",
    "bytes": "os.remove(os.fsencode(desk + '/file.txt'))",
    "relative": "(os.chdir(desk), open('new.txt', 'w'))",
}
WORKS = """
open(inside + '/new.txt', 'w').close()
os.rename(inside + '/new.txt', inside + '/newer.txt')
os.mkdir(inside + '/folder')
os.remove(inside + '/newer.txt')
os.remove(inside + '/link')
open('/dev/null', 'w').close()
open(desk + '/file.txt').close()
os.chdir(inside); open('relative.txt', 'w').close(); os.remove('relative.txt')
os.remove('mine.txt', dir_fd=os.open(inside, os.O_RDONLY))
import threading
thread = threading.Thread(name='lineage-flows-courier', target=lambda: open(desk + '/events.json', 'w').close())
thread.start(); thread.join(); assert os.path.exists(desk + '/events.json')
"""


def run(tmp_path, body: str) -> subprocess.CompletedProcess[str]:
    desk, inside = tmp_path / "desk", tmp_path / "inside"
    for folder in (desk, inside, desk / "empty"):
        folder.mkdir()
    (desk / "file.txt").write_text("desk")
    (inside / "mine.txt").write_text("mine")
    (inside / "link").symlink_to(desk)
    script = dedent(
        f"""
        import io, os
        early_open, early_os_open = open, os.open
        from lineage_flows.replay.guard import guard_writes
        desk, inside = {str(desk)!r}, {str(inside)!r}
        guard_writes((inside,))
        """
    )
    return subprocess.run([sys.executable, "-c", script + body], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("slip", SLIPS)
def test_a_write_outside_is_refused(tmp_path, slip):
    done = run(tmp_path, SLIPS[slip])
    assert "PermissionError" in done.stderr
    assert "outside its workspace" in done.stderr
    assert (tmp_path / "desk" / "file.txt").read_text() == "desk"
    assert sorted(path.name for path in (tmp_path / "desk").iterdir()) == ["empty", "file.txt"]


def test_everything_else_works(tmp_path):
    done = run(tmp_path, WORKS)
    assert done.returncode == 0, done.stderr
