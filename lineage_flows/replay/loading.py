"""Imports the flow to be replayed from the workspace, under the name it was pickled with, without running the script it stands in.

Knows Prefect's flow class; must not know what is done with the flow.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lineage_flows.compare.absent import NEVER_RECORDED, unrecorded_file
from lineage_flows.compare.names import Folders
from lineage_flows.errors import ReplayError
from lineage_flows.records import EntryPoint, RunRecord

if TYPE_CHECKING:
    from prefect import Flow

__all__ = ["import_paths", "load_flow", "module_name"]

_MAIN = ("__main__", "__mp_main__", "__prefect_loader_")
_STARTS = ("__call__", "serve", "deploy")


def load_flow(record: RunRecord, workspace: str) -> Flow[..., Any]:
    """The flow of a run, from the code in the workspace.

    Args:
        record: the run to execute again.
        workspace: the folder that mirrors the original's file system.

    Raises:
        ReplayError: the module cannot be imported, or does not define the flow when it is imported.
    """
    entry, name = record.flow.entry, record.flow.flow_name
    assert entry.path is not None  # checked when the plan was made
    with _failing(record, workspace):
        module, stopped = _import(entry, f"{workspace}{entry.path}")
    flow = _find(module, entry.qualname, name)
    if flow is None:
        raise ReplayError(
            f"flow {name} is not there when {entry.path} is imported",
            why=_why_missing(stopped),
            fix="define the flow at the top of its module",
        )
    return flow if flow.name == name else flow.with_options(name=name)


def import_paths(entry: EntryPoint, code_root: str, workspace: str, present: list[str]) -> list[str]:
    """``sys.path`` of the replay: the user's folders of the original, in the workspace; then what is installed.

    A folder that this interpreter adds by itself (an editable install, ``PYTHONPATH``) stays at its place, in the workspace's
    copy. Compiled modules are not captured: for these, such a folder also follows last as it is, unless it is the project's own.
    """
    roots = [root.rstrip("/") or "/" for root in entry.import_roots]
    present = [path.rstrip("/") for path in present if path]
    first = [f"{workspace}{root}" for root in roots if root not in present]
    rest = [f"{workspace}{path}" if path in roots else path for path in present]
    project = (code_root.rstrip("/"), entry.working_directory.rstrip("/"))
    last = [path for path in present if path in roots and not any(_under(path, folder) for folder in project if folder)]
    return [*first, *rest, *last]


def _under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def module_name(entry: EntryPoint) -> str:
    """The name the flow's module is imported under: its own; for a script, the file's stem unless that is another module's."""
    if not entry.module.startswith(_MAIN):
        return entry.module
    stem = Path(entry.path or "").stem
    if not stem.isidentifier():
        return "replayed_flow"
    return f"replayed_{stem}" if stem in sys.modules or stem in sys.stdlib_module_names else stem


def _package_names(entry: EntryPoint) -> list[str]:
    """The names a script has as a part of a package: it may have been run with ``python -m pkg.flow``."""
    path = Path(entry.path or "")
    found = []
    for root in entry.import_roots:
        if path.is_relative_to(root):
            parts = path.relative_to(root).with_suffix("").parts
            if len(parts) > 1 and all(part.isidentifier() for part in parts):
                found.append(".".join(parts))
    return found


def _import(entry: EntryPoint, path: str) -> tuple[ModuleType, BaseException | None]:
    """Import the flow's module; what stopped it on the way, if anything did."""
    names = [module_name(entry), *(_package_names(entry) if entry.module.startswith(_MAIN) else [])]
    for name, following in zip(names, [*names[1:], None], strict=True):
        try:
            return _execute(entry, name, path)
        except ImportError as error:
            if following is None or "relative import" not in str(error):
                raise
    raise AssertionError(names)


def _execute(entry: EntryPoint, name: str, path: str) -> tuple[ModuleType, BaseException | None]:
    """Execute the flow's module under a name, as far as its first call of a flow."""
    parent, _, child = name.rpartition(".")
    inside = [str(Path(path).parent)] if Path(path).name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    if parent:
        importlib.import_module(parent)
    known = sys.modules.get(name)
    module = known or importlib.util.module_from_spec(spec)
    # What was pickled in a script names its classes ``__main__.X``.
    aliases = {name, entry.module, *(["__main__"] if entry.module == "__mp_main__" else [])}
    before = {alias: sys.modules.get(alias) for alias in aliases}
    sys.modules.update(dict.fromkeys(aliases, module))
    stopped: BaseException | None = None
    try:
        if known is None:
            with _no_flow_starts():
                spec.loader.exec_module(module)
    except _FlowStarted as started:
        stopped = started
    except BaseException:
        for alias, other in before.items():
            if other is None:
                del sys.modules[alias]
            else:
                sys.modules[alias] = other
        raise
    if parent:
        setattr(sys.modules[parent], child, module)
    return module, stopped


class _FlowStarted(BaseException):
    """The module runs a flow while it is imported. No error: what it has defined so far is what the original run had."""


@contextmanager
def _no_flow_starts() -> Iterator[None]:
    """While a module is imported, let its script part come no further than to the first start of a flow."""
    from prefect import Flow

    originals = {name: inspect.getattr_static(Flow, name) for name in _STARTS}

    def started(flow: object, *arguments: object, **named: object) -> None:
        raise _FlowStarted(getattr(flow, "name", ""))

    for name in _STARTS:
        setattr(Flow, name, started)
    try:
        yield
    finally:
        for name in _STARTS:
            setattr(Flow, name, originals[name])


@contextmanager
def _failing(record: RunRecord, workspace: str) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:  # foreign code: any error of it is told as one
        what = f"{record.flow.entry.path} cannot be imported"
        folders = Folders((), workspace)
        lost = unrecorded_file(str(error), record, folders) if isinstance(error, FileNotFoundError) else None
        if lost is not None:
            raise ReplayError(
                what,
                why=f"it needs the file {lost}, which was never recorded: {NEVER_RECORDED}",
                fix="import prefect before the module that reads the file, and run the flow again",
            ) from error
        missing = isinstance(error, ImportError)
        raise ReplayError(
            what,
            why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            fix="see that the packages it imports are installed here, in the versions of the original"
            if missing
            else "run the replay again with --keep to look into its workspace",
        ) from error


def _find(module: ModuleType, qualname: str, name: str) -> Flow[..., Any] | None:
    """The flow that has the function's qualified name and the flow's own name; else one that has either."""
    from prefect import Flow

    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    flows = [*([found] if isinstance(found, Flow) else []), *_flows(module, module.__name__, 0)]
    named = [flow for flow in flows if flow.name == name]
    same = [flow for flow in flows if getattr(flow.fn, "__qualname__", None) == qualname]
    return next(iter([*(flow for flow in named if flow in same), *same, *named]), None)


def _flows(holder: object, module: str, depth: int) -> Iterator[Flow[..., Any]]:
    """The flows among the attributes of a module, and of the classes it defines."""
    from prefect import Flow

    for name, value in list(vars(holder).items()):
        inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(inner, Flow):
            yield getattr(holder, name)
        elif isinstance(value, type) and depth < 3 and value.__module__ == module:
            yield from _flows(value, module, depth + 1)


def _why_missing(stopped: BaseException | None) -> str:
    if stopped is not None:
        return f"the module starts flow {stopped} before it defines this one"
    return 'it may be defined inside a function or in the `if __name__ == "__main__":` block'
