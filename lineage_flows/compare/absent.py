"""Recognises in an error that a replay lacks what the original had: a name, or a file that was never recorded.

Knows records and Python's own words for these errors; must not know how a step is judged.
"""

from __future__ import annotations

import os
import re

from lineage_flows.compare.calls import main_names
from lineage_flows.compare.inputs import touched
from lineage_flows.compare.names import Folders, short
from lineage_flows.records import ErrorRef, RunRecord

__all__ = ["NEVER_RECORDED", "only_in_main", "unrecorded_file"]

NEVER_RECORDED = (
    "a file is not seen when it is read before Prefect was imported, or by a library written in C; a folder that is only listed "
    "and a file that git ignores are not taken with the code"
)
_NAME = re.compile(r"name '(\w+)' is not defined")
_FILE = re.compile(r"No such file or directory: b?(?P<quote>['\"])(?P<path>.+?)(?P=quote)")


def only_in_main(error: ErrorRef | None, script: str | None, path: str | None) -> str | None:
    """Says that an error is of a name that only the script's ``__main__`` block binds, which a replay does not execute.

    Args:
        error: how the step or flow ended.
        script: the text of the flow's file.
        path: of that file.
    """
    if error is None or script is None or error.type.rpartition(".")[2] != "NameError":
        return None
    found = _NAME.search(error.message)
    if found is None or found[1] not in main_names(script):
        return None
    return (
        f"`{found[1]}` is bound only in the `__main__` block of {short(path)}, which is not executed in a replay "
        "(nor by a worker): pass it to the flow as a parameter"
    )


def unrecorded_file(message: str, record: RunRecord, folders: Folders) -> str | None:
    """The file that an error says is missing, as the original named it, when the original's record knows nothing of it.

    Args:
        message: of the error, in the replay.
        record: of the original.
        folders: of the replay.
    """
    found = _FILE.search(message)
    if found is None:
        return None
    named = folders.original(found["path"])
    path = os.path.normpath(os.path.join(record.flow.entry.working_directory, named))  # noqa: PTH118 - may name what is no path here
    known = {item.path for item in touched(record)}
    if any(path == item or item.startswith(f"{path}/") or path.startswith(f"{item}/") for item in known):
        return None
    return path
