"""How what is written over the API ranks among what events claim, and which handle ties the two together.

The graph is a merge of claims: of two to one fact, the one with the greater stamp wins (``graph.keeper``). A write over the API is
a claim like the others, and has to behave as SageMaker's do: it takes back whatever was there before, and whatever comes later
takes it back. An event that is delivered again, or that is older than one that was seen, is not later.

So its stamp is the greatest that the entity has, followed by ``!`` and a counter. It is greater than that of every event that
was seen, and less than that of every event whose own stamp is greater than theirs: ``!`` comes before every digit.
"""

from __future__ import annotations

import re

from lineage_flows.graph.identity import value_name
from lineage_flows.graph.keeper import GIVEN, Layers, run_handle

__all__ = ["action_handle", "artifact_handle", "next_stamp", "run_of"]

_RUN_NAME = re.compile(r".*-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def next_stamp(layers: Layers) -> str:
    """The stamp of a write over the API to an entity in a state."""
    base, _, counter = (layers[-1][0] if layers else "").partition(GIVEN)
    return f"{base}{GIVEN}{int(counter or 0) + 1:010d}"


def run_of(action: str) -> str | None:
    """The id of the run that an action is called after; None when it is called otherwise."""
    match = _RUN_NAME.fullmatch(action)
    return match[1] if match else None


def action_handle(name: str, *, run_is_taken: bool) -> str:
    """What ties an action that was made over the API to events of the same run, which may come before or after.

    Args:
        name: the action's.
        run_is_taken: another action stands for the run already; there can be but one.
    """
    run = run_of(name)
    return f"api:{name}" if run is None or run_is_taken else run_handle(run)


def artifact_handle(source_uri: str) -> str | None:
    """The same for an artifact: the value that its URI names, if it is one."""
    value = value_name(source_uri)
    return None if value is None else value.handle
