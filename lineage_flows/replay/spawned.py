"""Makes an interpreter that a replayed flow starts (a process pool's worker, a script) a part of the replay.

Knows how the child itself enters the workspace. A ``sitecustomize`` that is first on the interpreter's path calls ``attach``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

from lineage_flows.replay.child import SPEC_VARIABLE, enter, start_capture

__all__ = ["attach", "write_site"]

_ENGINES = ("prefect.flow_engine", "prefect.task_engine")
_SITE = f"""\
# Every interpreter that this replay's flow starts sees the workspace, too. Written by lineage-flows; goes with the workspace.
import os
import sys

_folder = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _folder]
_spec = os.environ.get({SPEC_VARIABLE!r}, "")
if os.path.exists(_spec):
    try:
        from lineage_flows.replay.spawned import attach
    except ImportError:  # another interpreter, without this package
        pass
    else:
        attach(_spec)
sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize  # the one that this one stands before
except ImportError:
    pass
"""


def write_site(folder: Path) -> None:
    """Write the ``sitecustomize`` module into a folder that is to be first in ``PYTHONPATH``."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITE, encoding="utf-8")


def attach(path: str) -> None:
    """Enter the workspace, and have the steps that run here captured as the replay's as soon as Prefect's engine is imported.

    Args:
        path: of the JSON file that holds the ``ChildSpec``.
    """
    import wrapt

    raw = json.loads(Path(path).read_bytes())
    raw["alive"] = raw["progress"] = -1  # here, these numbers belong to other files
    redirector = enter(raw["folders"])
    begun = False

    def imported(module: ModuleType) -> None:
        nonlocal begun
        others = (sys.modules.get(name) for name in _ENGINES if name != module.__name__)
        if begun or any(other is not None and getattr(other.__spec__, "_initializing", False) for other in others):
            return
        begun = True
        from lineage_flows.replay.spec import ChildSpec

        start_capture(ChildSpec.model_validate(raw), redirector)

    for name in _ENGINES:
        wrapt.register_post_import_hook(imported, name)
