"""Records what a run runs on: Python, packages, processor, numerical libraries, image, and the variables that may be seen.

Knows the operating system and the interpreter; imports no heavy library, and asks only those that are loaded.
"""

from __future__ import annotations

import fnmatch
import hashlib
import locale
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from pydantic import JsonValue

from lineage_flows.capture.active import unobserved
from lineage_flows.capture.disk_cache import disk_cache
from lineage_flows.capture.distributions import installed_packages
from lineage_flows.capture.kept_wheels import wheels_of
from lineage_flows.capture.paths import without_credentials
from lineage_flows.records import Environment
from lineage_flows.redaction import is_secret_variable, redact

__all__ = ["capture_environment", "environment_digest", "local_timezone"]

IMAGE_VARIABLES = (
    "CONTAINER_IMAGE",
    "SAGEMAKER_INTERNAL_IMAGE_URI",
    "JUPYTER_IMAGE_SPEC",
    "JUPYTER_IMAGE",
    "CI_JOB_IMAGE",
    "CODEBUILD_BUILD_IMAGE",
)
"""Variables in which SageMaker Studio, JupyterHub, GitLab and CodeBuild name the image they started.

``CONTAINER_IMAGE`` is this project's own wish: Prefect's workers tell a container nothing about its image, so a job template may.
"""

NUMERICAL = ("numpy", "scipy", "sklearn", "torch", "lightgbm", "xgboost", "numba", "tensorflow", "mkl")
"""Packages that bring BLAS or OpenMP along; while none of them is loaded there is nothing to ask."""

_IMAGE = re.compile(r"[A-Za-z0-9][\w.\-/:]*(@sha256:[0-9a-f]{64})?")

_captured: dict[tuple[object, ...], Environment] = {}


def capture_environment(variables: tuple[str, ...], cache: Path) -> Environment:
    """What this process runs on; found out once, and again when another numerical library was loaded since.

    Args:
        variables: patterns of the names of environment variables whose values are recorded; secrets' names never match.
        cache: folder in which the list of packages is remembered from process to process; it lies in the lineage home.
    """
    key = (variables, os.getpid(), tuple(sys.path), *(name in sys.modules for name in NUMERICAL))
    known = _captured.get(key)
    if known is not None:
        return known
    with unobserved():
        packages = installed_packages(disk_cache(cache))
        environment = Environment(
            python=platform.python_version(),
            implementation=platform.python_implementation(),
            platform=platform.platform(),
            machine=platform.machine(),
            cpu=_cpu(),
            cpu_features=_cpu_features(),
            cpu_count=_cpu_count(),
            packages=packages,
            wheels=wheels_of(packages, cache.parent),
            libraries=_libraries(),
            image=_image(),
            variables=_variables(variables),
            hash_seed=_hash_seed(),
            locale=locale.setlocale(locale.LC_ALL),
            timezone=local_timezone(),
        )
    _captured.clear()
    _captured[key] = environment
    return environment


def environment_digest(environment: Environment) -> str:
    """The identity of an environment: ``sha256:`` of its JSON, which is the digest of the blob that holds it."""
    return "sha256:" + hashlib.sha256(environment.model_dump_json().encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------- the machine


@lru_cache(maxsize=1)
def _cpu() -> str:
    """The processor's name; the machine's architecture when the system does not say."""
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    facts = _cpu_facts()
    for name in ("model name", "Hardware", "Processor", "cpu model", "cpu"):
        if facts.get(name):
            return facts[name]
    if "CPU part" in facts:  # Arm
        return f"{platform.machine()} implementer {facts.get('CPU implementer', '?')} part {facts['CPU part']}"
    return platform.machine()


def _cpu_facts() -> dict[str, str]:
    """What the kernel says of the first processor. Only the beginning is read: the whole takes milliseconds on large machines."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            text = file.read(4096).decode("utf-8", "replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _sysctl(name: str) -> str | None:
    try:
        done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=2, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _cpu_count() -> int | None:
    """Processors this process may use; numerical libraries start as many threads."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_features() -> tuple[str, ...]:
    """Instruction sets numpy chooses among at run time; empty while numpy is not loaded."""
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        module = sys.modules.get(name)
        features = getattr(module, "__cpu_features__", None)
        if isinstance(features, dict):
            return tuple(sorted(str(feature) for feature, present in features.items() if present))
    return ()


def _libraries() -> tuple[dict[str, JsonValue], ...]:
    """BLAS and OpenMP libraries that are loaded, with version, kernel and threads."""
    if not any(name in sys.modules for name in NUMERICAL):
        return ()
    import threadpoolctl  # type: ignore[import-untyped]

    found = []
    for info in threadpoolctl.threadpool_info():
        # The folder is the environment's place on this disk, and no property of the library.
        found.append({**info, "filepath": Path(str(info.get("filepath", ""))).name})
    return tuple(sorted(found, key=lambda item: str(item["filepath"])))


# ------------------------------------------------------------------------------------------------------- image and names


def _image() -> str | None:
    """The container image, where whoever started the container says which; None when nobody does, and outside of containers."""
    if not _in_container():
        return None
    for name in IMAGE_VARIABLES:
        value = os.environ.get(name, "").removeprefix("docker://")
        if value and _IMAGE.fullmatch(value):
            return value
    try:  # podman writes this file, with the name when the container may know it
        text = Path("/run/.containerenv").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r'^image="([^"]+)"', text, re.MULTILINE)
    return found[1] if found else None


def _in_container() -> bool:
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"))
    return any(mark.exists() for mark in marks) or "KUBERNETES_SERVICE_HOST" in os.environ or "container" in os.environ


def _variables(patterns: Iterable[str]) -> dict[str, str]:
    patterns = tuple(patterns)
    return {
        name: redact(without_credentials(value) if "://" in value else value)
        for name, value in sorted(os.environ.items())
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        and not is_secret_variable(name)
        and value.isprintable()
    }


def _hash_seed() -> str | None:
    """``PYTHONHASHSEED`` as it was when the interpreter started; None when strings are hashed with a random seed."""
    if sys.flags.ignore_environment:
        return None
    value = _initial_variable("PYTHONHASHSEED")
    if value is None or not value.isdecimal():
        return None
    # Set to 0, it turns randomisation off: the one seed that can be checked from inside.
    return value if (int(value) == 0) == (sys.flags.hash_randomization == 0) else None


def _initial_variable(name: str) -> str | None:
    """A variable as the process was given it: setting it from Python comes too late for the interpreter."""
    try:
        pairs = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ.get(name)
    prefix = name.encode() + b"="
    return next((os.fsdecode(pair[len(prefix) :]) for pair in pairs if pair.startswith(prefix)), None)


def local_timezone() -> str:
    """The name of the local time zone: TZ, else what the system's link names, else its abbreviations."""
    if os.environ.get("TZ"):
        return os.environ["TZ"]
    try:
        target = os.readlink("/etc/localtime")  # noqa: PTH115 - the link's text, not the file it leads to
    except OSError:
        return "/".join(time.tzname)
    _, found, name = target.partition("zoneinfo/")
    return name if found else "/".join(time.tzname)
