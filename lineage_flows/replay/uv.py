"""Calls uv, which makes environments: where it is, which Pythons there are, and what it said when it could not.

Knows one program; must not know what is installed, nor why.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from lineage_flows.errors import ReplayError
from lineage_flows.redaction import redact

__all__ = ["NO_UV", "UvError", "find_python", "find_uv", "run_uv"]

NO_UV = "uv is not installed"
_OTHERS = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONPATH",
    "PYTHONHOME",
    "UV_PYTHON",
    "UV_PROJECT_ENVIRONMENT",
)
"""Variables by which an active environment would be taken for the one that is meant."""
_FRAME = re.compile(r"[×╰─▶├│]+")
_MOST_WORDS = 900


class UvError(ReplayError):
    """uv could not do what it was asked for; ``why`` is what it said itself."""


def find_uv() -> str | None:
    """The program: that of the package ``uv`` beside this one, else the first on PATH; None when there is none."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, OSError):
        return shutil.which("uv")


def find_python(uv: str, version: str, implementation: str = "CPython") -> str | None:
    """An installed interpreter of that version (``3.11.7``, or ``3.11`` for any patch); None when there is none."""
    asked = f"{implementation.lower()}@{version}"
    try:
        found = run_uv(uv, ["python", "find", "--system", "--no-python-downloads", asked])
    except UvError:
        return None
    path = found.strip().splitlines()[-1:] or [""]
    return path[0] if Path(path[0]).is_file() else None


def run_uv(
    uv: str,
    arguments: Sequence[str],
    *,
    downloads: bool = False,
    timeout: float | None = None,
    kept_open: Iterable[int] = (),
) -> str:
    """Run uv to its end; what it wrote to stdout. Index, cache and proxies are those of its own configuration.

    Args:
        uv: the program.
        arguments: its own.
        downloads: whether it may download an interpreter.
        timeout: seconds; it is ended then.
        kept_open: descriptors it inherits: a lock that it holds with us, until it has ended, too.

    Raises:
        UvError: it ended with a failure, or not in time.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OTHERS}
    environment |= {
        "UV_PYTHON_DOWNLOADS": "automatic" if downloads else "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
    }
    what = f"uv {' '.join(arguments[:2])} failed"
    try:
        done = subprocess.run(  # noqa: S603 - uv, with arguments of ours
            [uv, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=timeout,
            check=False,
            pass_fds=tuple(kept_open),
        )
    except subprocess.TimeoutExpired:
        raise UvError(what, why=f"it took longer than {timeout:g} seconds") from None
    except OSError as error:
        raise UvError(what, why=f"{uv}: {error.strerror or error}") from error
    if done.returncode != 0:
        raise UvError(what, why=_words(done.stderr or done.stdout))
    return done.stdout


def current_python() -> str:
    """The interpreter this process runs on, outside of its environment."""
    base = getattr(sys, "_base_executable", None)
    return base if isinstance(base, str) and base else sys.executable


def _words(said: str) -> str:
    """What it said as one line, without frames, warnings about other interpreters, and secrets."""
    lines, skipping = [], False
    for line in said.splitlines():
        if line.strip():
            more = line.startswith(" ") and not line.lstrip().startswith("×")  # an error begins so
            skipping = line.startswith("warning:") or (skipping and more)
            if not skipping:
                lines.append(_FRAME.sub(" ", line))
    return redact(" ".join(" ".join(lines).split()))[:_MOST_WORDS].rstrip(".") or "it said nothing"
