"""The verb ``pin``: starts a program so that its numbers repeat on another machine, or prints the variables that do it."""

from __future__ import annotations

import importlib
import os
import platform
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer
from lineage_flows.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pin", "pinned_variables"]

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_KERNELS = {"x86_64": "Haswell", "amd64": "Haswell", "aarch64": "ARMV8", "arm64": "ARMV8"}
"""OpenBLAS' kernels for AVX2 on x86-64, and for every 64-bit Arm: what newer machines run as well."""


def pin(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- PROGRAM ARGUMENT...]",
            help="What to start; without it the variables are printed, for eval, a Dockerfile or a work pool.",
            show_default=False,
        ),
    ] = None,
) -> Answer:
    """Start a program with a fixed hash seed, one thread for numerical libraries, and kernels that most machines have.

    A run that was made so is recorded with these variables, and its replay gets them. The exit code is the program's.
    """
    variables = pinned_variables()
    if not command:
        return Answer(variables, lambda: _shown(variables), as_json=False)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, {**os.environ, **variables})  # noqa: S606 - the user's own command
    except OSError as error:
        raise LineageError(f"{command[0]} cannot be started", why=error.strerror or str(error)) from error


def pinned_variables() -> dict[str, str]:
    """The profile: what has to be set before an interpreter starts so that its numbers do not depend on the machine.

    Threads change the order of sums, kernels and instruction sets change their rounding, the hash seed the order of sets.
    """
    found = {"PYTHONHASHSEED": "0", **dict.fromkeys(_ONE_THREAD, "1")}
    kernel = _KERNELS.get(platform.machine().lower())
    if kernel is not None:
        found["OPENBLAS_CORETYPE"] = kernel
    found["MKL_CBWR"] = "COMPATIBLE"
    features = _features()
    if features:
        found["NPY_DISABLE_CPU_FEATURES"] = " ".join(features)
    return found | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "TF_DETERMINISTIC_OPS": "1"}


def _features() -> list[str]:
    """Instruction sets that the installed numpy chooses at run time and that not every machine has; it refuses unknown names."""
    try:
        module = importlib.import_module("numpy._core._multiarray_umath")
    except ImportError:
        return []
    chosen = getattr(module, "__cpu_dispatch__", [])
    return [name for name in chosen if name == "X86_V4" or name.startswith("AVX512")]


def _shown(variables: dict[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        yield f"export {name}={shlex.quote(value)}"
