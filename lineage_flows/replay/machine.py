"""Says as variables what a run took from its machine without anybody setting it: the time zone, and how many threads to start.

Knows the recorded environment; must not know the process that gets the variables.
"""

from __future__ import annotations

import os
import zoneinfo
from typing import TYPE_CHECKING

from lineage_flows.capture.environment import local_timezone

if TYPE_CHECKING:
    from lineage_flows.records import Environment

__all__ = ["machine_variables"]

_THREADS = {
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "blis": "BLIS_NUM_THREADS",
    "openmp": "OMP_NUM_THREADS",
}
"""What ``threadpoolctl`` calls a library -> the variable that says how many threads it starts."""


def machine_variables(recorded: Environment) -> dict[str, str]:
    """Variables that were not set in the run and have to be here, since this machine is another one; none on the same.

    A numerical library starts as many threads as there are processors, and sums in as many parts: with another number the last
    bits differ. One whose threads the code had limited itself is left alone: the code will again.

    Args:
        recorded: what the run ran on.
    """
    found: dict[str, str] = {}
    zone = recorded.timezone
    if zone and "TZ" not in recorded.variables and zone != local_timezone() and _is_zone(zone):
        found["TZ"] = zone
    count = recorded.cpu_count
    if count is None or count == _processors() or "OMP_NUM_THREADS" in recorded.variables:
        return found
    for library in recorded.libraries:
        variable = _THREADS.get(str(library.get("internal_api")))
        if variable is not None and variable not in recorded.variables and library.get("num_threads") == count:
            found[variable] = str(count)
    return found


def _processors() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True
