"""Installs an environment's parts, in order: the interpreter, what was kept, what was pinned, what was local, this package.

Knows uv's arguments; must not know where environments lie, nor who else builds one.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.distributions import normalised
from lineage_flows.errors import LineageError, ReplayError
from lineage_flows.replay.uv import UvError, current_python, find_python, run_uv
from lineage_flows.replay.wanted import missing_here
from lineage_flows.replay.wheels import make_wheel

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.replay.wanted import Wanted

__all__ = ["Installer", "interpreter_for"]

_FACTS = """\
import json, platform, site, sys, sysconfig
paths = sysconfig.get_paths()
found = [path for name, path in paths.items() if name != "data"] + site.getsitepackages() + [sys.prefix]
print(json.dumps({"version": platform.python_version(), "paths": sorted(set(found)), "site": paths["purelib"]}))
"""
_CURRENT = "or use the packages that are installed here with `--env current`"


def interpreter_for(uv: str, version: str, implementation: str) -> tuple[str, str] | None:
    """An interpreter that is installed here: that very version, else another patch of it; its path and version. None without."""
    import platform

    if version == platform.python_version() and implementation == platform.python_implementation():
        return current_python(), version
    exact = find_python(uv, version, implementation)
    if exact is not None:
        return exact, version
    minor = ".".join(version.split(".")[:2])
    if minor == ".".join(platform.python_version_tuple()[:2]) and implementation == platform.python_implementation():
        return current_python(), platform.python_version()
    other = find_python(uv, minor, implementation)
    return (other, _version_of(other)) if other is not None else None


class Installer:
    """Fills one folder.

    Args:
        uv: the program.
        folder: where the environment is made; it is there, and empty.
        downloads: whether an interpreter may be downloaded.
        timeout: seconds that each call may take.
        lock: descriptor that uv inherits.
    """

    def __init__(self, uv: str, folder: Path, downloads: bool, timeout: float | None, lock: int) -> None:
        self._uv = uv
        self._folder = folder
        self._downloads = downloads
        self._timeout = timeout
        self._lock = lock
        self.python = folder / "env" / "bin" / "python"

    def make(self, wanted: Wanted) -> list[str]:
        """Make the environment, still empty; what is to be said about its interpreter.

        Raises:
            ReplayError: there is no interpreter of this minor version.
        """
        found = interpreter_for(self._uv, wanted.python, wanted.implementation)
        exact = found is not None and found[1] == wanted.python
        asked = found[0] if found is not None and (exact or not self._downloads) else None
        if asked is None and not self._downloads:
            raise ReplayError(
                "the environment cannot be rebuilt",
                why=f"no {wanted.implementation} {'.'.join(wanted.python.split('.')[:2])} is installed here",
                fix="install it, let uv download it with LINEAGE_FLOWS_PYTHON_DOWNLOADS=true, " + _CURRENT,
            )
        target = str(self._folder / "env")
        options = ["--no-project", "--python", asked or f"{wanted.implementation.lower()}@{wanted.python}"]
        self._run("venv", "--quiet", *options, target, downloads=self._downloads and asked is None)
        if exact or found is None or asked is None:
            return []
        return [f"Python {wanted.python} is not installed here: the environment was rebuilt on Python {found[1]}"]

    def install(self, wanted: Wanted, store: Store) -> None:
        """Install what was kept from its wheels alone, then what is pinned. Nothing is resolved: each version is the run's.

        Raises:
            ReplayError: a package cannot be installed; named, with uv's own words.
            ContentError: a wheel is missing or altered.
        """
        if wanted.kept:
            wheels = self._folder / "wheels"
            wheels.mkdir()
            for wheel in wanted.kept:
                store.fetch(wheel.blob.digest, wheels / Path(wheel.file).name)
            pins = [f"{wheel.name}=={wheel.version}" for wheel in wanted.kept]
            self._install(pins, "--offline", "--no-index", "--find-links", str(wheels))
        if wanted.pinned:
            self._install(wanted.pinned)

    def build(self, folders: Sequence[str]) -> None:
        """Build and install packages from folders of source.

        Raises:
            ReplayError: one cannot be built.
        """
        self._pip(["--no-deps", *folders], folders)

    def add_tool(self, wanted: Wanted) -> list[str]:
        """Put this package in, as it is here, with what it needs and the run did not have; what is to be said about that.

        Raises:
            ReplayError: what it needs cannot be installed beside what the run had.
        """
        tool = wanted.tool
        notes = list(tool.unfit)
        if tool.added:
            self._add_needs(wanted)
            notes.append(f"lineage-flows needs what the run did not have; added: {', '.join(tool.added)}")
        site = Path(self.facts()["site"])
        (site / "lineage_flows").symlink_to(tool.folder)
        if tool.metadata:
            (site / Path(tool.metadata).name).symlink_to(tool.metadata)
        return notes

    def _add_needs(self, wanted: Wanted) -> None:
        """As they are installed here, which asks no index; from one only where that does not do: on another minor of Python."""
        had = {_name(pin) for pin in wanted.pinned} | {wheel.name for wheel in wanted.kept}
        folder = self._folder / "needs"
        folder.mkdir()
        try:
            wheels = [str(make_wheel(item, folder)) for item in missing_here(wanted.tool.added, had)]
            self._pip(["--offline", "--no-deps", *wheels], wheels)
        except (LineageError, OSError, importlib.metadata.PackageNotFoundError):
            limits = self._folder / "constraints.txt"
            pins = [f"{wheel.name}=={wheel.version}" for wheel in wanted.kept]
            limits.write_text("\n".join([*(line for line in wanted.pinned if " @ " not in line), *pins]) + "\n")
            self._pip(["-c", str(limits), *wanted.tool.added], wanted.tool.added)

    def facts(self) -> dict[str, Any]:
        """What the environment's interpreter says of itself.

        Raises:
            ReplayError: it does not run.
        """
        done = subprocess.run(  # noqa: S603 - the interpreter just made
            [str(self.python), "-I", "-c", _FACTS], capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode != 0:
            raise ReplayError(
                "the environment cannot be rebuilt",
                why=f"its interpreter does not run: {' '.join(done.stderr.split())[-300:]}",
                fix="see that Python and uv work here, " + _CURRENT,
            )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _install(self, pins: Sequence[str], *options: str) -> None:
        file = self._folder / "requirements.txt"
        file.write_text("\n".join(pins) + "\n")
        self._pip(["--no-deps", *options, "-r", str(file)], pins)

    def _pip(self, arguments: Sequence[str], meant: Sequence[str]) -> None:
        try:
            self._run("pip", "install", "--quiet", "--python", str(self.python), *arguments)
        except UvError as error:
            named = _named(error.why, meant)
            subject = f"{', '.join(named)} cannot be installed" if named else "the environment cannot be rebuilt"
            raise ReplayError(
                subject,
                why=f"uv says: {error.why}",
                fix="keep wheels of what an index may lose with `lineage-flows wheels`, " + _CURRENT,
            ) from error

    def _run(self, *arguments: str, downloads: bool = False) -> str:
        return run_uv(self._uv, arguments, downloads=downloads, timeout=self._timeout, kept_open=(self._lock,))


def _named(said: str, meant: Sequence[str]) -> list[str]:
    """Which of the requirements the words name; the exact ones first."""
    lower = said.lower()
    exact = [text for text in meant if re.search(rf"(?<![\w.-]){re.escape(text.lower())}(?![\w])", lower)]
    if exact:
        return exact[:5]
    return [
        text for text in meant if (name := _name(text)) and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", lower)
    ][:5]


def _name(requirement: str) -> str:
    return normalised(re.split(r"[=<>!~@;\s\[]", requirement, maxsplit=1)[0])


def _version_of(python: str) -> str:
    program = "import platform; print(platform.python_version())"
    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=False)  # noqa: S603 - an interpreter that uv found
    return done.stdout.strip()
