"""How near an account is to its quotas, as far as this home knows.

Counts what this home put there; what others put into the same account it does not see, and AWS refuses what is too much
(ResourceLimitExceeded), which makes it wait and loses nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

__all__ = ["KINDS", "WARN_AT", "near_limits"]

_log = logging.getLogger("lineage_flows.graph")

KINDS: Final = {"actions": "Action", "artifacts": "Artifact", "associations": "Association", "contexts": "Context"}
"""Names of the quotas, and what each counts."""

WARN_AT: Final = 0.8

_warned: set[str] = set()


def near_limits(counts: Mapping[str, int], quotas: Mapping[str, int], *, warn: bool = True) -> list[str]:
    """The quotas of which four fifths are used, in words; with ``warn`` each is logged once a process."""
    near = []
    for name, quota in sorted(quotas.items()):
        number = counts.get(KINDS.get(name, ""), 0)
        if number < WARN_AT * quota:
            continue
        near.append(f"{number} of {quota} {name}")
        if warn and name not in _warned:
            _warned.add(name)
            _log.warning(
                "lineage: this home has put %d %s into SageMaker, and the quota of the account is %d: have it raised, prune old "
                "runs, or set LINEAGE_FLOWS_SAGEMAKER_DETAIL=runs",
                number,
                name,
                quota,
            )
    return near
