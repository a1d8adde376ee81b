"""What a reader may call a thing, and the thing in the graph that is meant.

Knows the model, keepers by their protocol, and the names of local files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from lineage_flows.errors import AmbiguousReferenceError, UnknownReferenceError
from lineage_flows.graph.identity import fit_uri
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Action, Entity
from lineage_flows.graph.packages import named_package
from lineage_flows.graph.runs import RUN_TYPES

__all__ = ["resolve", "resolve_one", "resolve_run"]

SHORTEST_PREFIX = 4
"""Fewer characters of an id name nothing: they would fit too much by chance."""

_COMMIT = "commit:"
_FILE = "file://"
_HEX = re.compile(r"[0-9a-f-]+")
_RUN_URI = re.compile(r"prefect://[^/]+/(?:flow-run|task-run)/([0-9a-f-]{36})")
_GROUPS = (8, 12, 16, 20)
_MOST_AT_ONCE = 20


def resolve(keeper: Keeper, reference: str, *, folder: Path | None = None) -> tuple[Entity, ...]:
    """What a reference means; one entity, except that ``commit:SHA`` means every run of that commit.

    In this order: ``commit:SHA`` (or its start); an ARN; a URI (of several versions the newest); a run id; the name of a run, an
    action or a context; the start of a run id (a flow run before a step); ``GROUP/VERSION`` of a registered model; a path.

    Args:
        keeper: the graph.
        reference: as the reader gave it.
        folder: what a relative path is relative to; the working directory by default.

    Raises:
        UnknownReferenceError: it means nothing in the graph.
        AmbiguousReferenceError: it is a name or a start that fits more than one.
    """
    text = reference.strip()
    if text.startswith(_COMMIT):
        return _by_commit(keeper, text)
    for find in _WAYS:
        found = find(keeper, text)
        if len(found) == 1:
            return (found[0],)
        if found:
            raise AmbiguousReferenceError(reference, tuple(sorted(_id(entity) for entity in found)))
    for uri in _file_uris(text, folder):
        if newest := _newest(keeper, uri):
            return newest
    if _HEX.fullmatch(text.lower()) and len(text) < SHORTEST_PREFIX:
        raise UnknownReferenceError(reference, fix=f"give at least {SHORTEST_PREFIX} characters of a run id")
    raise UnknownReferenceError(reference)


def resolve_one(keeper: Keeper, reference: str, *, folder: Path | None = None) -> Entity:
    """The one entity a reference means.

    Raises:
        UnknownReferenceError: as ``resolve``.
        AmbiguousReferenceError: as ``resolve``, and when a commit had more than one run.
    """
    found = resolve(keeper, reference, folder=folder)
    if len(found) > 1:
        raise AmbiguousReferenceError(reference, tuple(sorted(_id(entity) for entity in found)))
    return found[0]


def resolve_run(keeper: Keeper, reference: str) -> Action:
    """The one flow run or replay a reference means.

    Raises:
        UnknownReferenceError: as ``resolve``, and when what it means is no flow run.
        AmbiguousReferenceError: as ``resolve_one``.
    """
    found = resolve_one(keeper, reference)
    if isinstance(found, Action) and found.type in RUN_TYPES.values():
        return found
    flow_run = found.properties.get("flowRunId") if isinstance(found, Action) else None
    error = UnknownReferenceError(
        reference, fix=f"give its flow run {flow_run}" if flow_run else "list flow runs with `lineage-flows runs`"
    )
    error.what = f"{reference!r} is a {found.type} and no flow run"
    raise error


def _by_commit(keeper: Keeper, text: str) -> tuple[Entity, ...]:
    commit = text.removeprefix(_COMMIT).lower()
    if len(commit) < SHORTEST_PREFIX:
        raise UnknownReferenceError(text, fix=f"give at least {SHORTEST_PREFIX} characters of the commit")
    found = keeper.list_actions(commit=commit, action_types=list(RUN_TYPES.values()))
    commits = {action.metadata.commit_id for action in found}
    if len(commits) > 1:
        raise AmbiguousReferenceError(text, tuple(sorted(f"{_COMMIT}{known}" for known in commits)))
    if not found:
        raise UnknownReferenceError(text)
    return tuple(found)


def _by_arn(keeper: Keeper, text: str) -> Sequence[Entity]:
    return list(keeper.get([text]).values()) if text.startswith("arn:") else []


def _by_uri(keeper: Keeper, text: str) -> Sequence[Entity]:
    if ":" not in text:
        return []
    for uri in dict.fromkeys((fit_uri(text) if text else text, *_file_uris(text, None, only_uris=True))):
        if newest := _newest(keeper, uri):
            return newest
    if run := _RUN_URI.fullmatch(text):
        return keeper.list_actions(run_id=run[1])
    return [context for context in keeper.list_contexts() if context.source_uri == text]


def _newest(keeper: Keeper, uri: str) -> tuple[Entity, ...]:
    """The newest version of a URI. Of one that a step changed in place it has two at one time: what it made is newer."""
    found = keeper.list_artifacts(source_uri=uri, limit=_MOST_AT_ONCE)
    alike = [artifact for artifact in found if artifact.created_at == found[0].created_at]
    if len(alike) > 1:
        made = {
            edge.destination_arn
            for edge in keeper.associations(destinations=[artifact.arn for artifact in alike], types=("Produced",))
        }
        alike.sort(key=lambda artifact: artifact.arn not in made)
    return tuple(alike[:1])


def _by_run_id(keeper: Keeper, text: str) -> Sequence[Entity]:
    run_id = _grouped(text)
    return keeper.list_actions(run_id=run_id) if run_id is not None and len(run_id) == 36 else []


def _by_name(keeper: Keeper, text: str) -> Sequence[Entity]:
    named = keeper.list_actions(run_name=text, action_types=list(RUN_TYPES.values()))
    return named or [*keeper.list_actions(name=text), *keeper.list_contexts(name=text)]


def _by_start_of_run_id(keeper: Keeper, text: str) -> Sequence[Entity]:
    start = _grouped(text)
    if start is None or len(start) < SHORTEST_PREFIX:
        return []
    found = keeper.list_actions(run_id=start)
    return [action for action in found if action.type in RUN_TYPES.values()] or found


_WAYS: tuple[Callable[[Keeper, str], Sequence[Entity]], ...] = (
    _by_arn,
    _by_uri,
    _by_run_id,
    _by_name,
    _by_start_of_run_id,
    named_package,
)


def _grouped(text: str) -> str | None:
    """A run id or the start of one in the canonical form, whether or not it was given with dashes; None when it can be none."""
    text = text.lower()
    if not _HEX.fullmatch(text):
        return None
    digits = text.replace("-", "")
    if not digits or len(digits) > 32:
        return None
    ends = [0, *(end for end in _GROUPS if end < len(digits)), len(digits)]
    grouped = "-".join(digits[begin:end] for begin, end in pairwise(ends))
    return grouped if text in {digits, grouped, f"{grouped}-"} else None


def _file_uris(text: str, folder: Path | None, *, only_uris: bool = False) -> Iterator[str]:
    """URIs under which capture may have recorded a file: by the name that was used, then by where its links lead."""
    if text.startswith(_FILE):
        yield _FILE + quote_from_bytes(unquote_to_bytes(text.removeprefix(_FILE)))
    elif not only_uris and text and "\0" not in text:
        path = os.path.join(folder or os.curdir, os.path.expanduser(text))  # noqa: PTH111, PTH118 - names, not files
        for name in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):  # noqa: PTH100
            yield fit_uri(_FILE + quote_from_bytes(os.fsencode(name)))


def _id(entity: Entity) -> str:
    """What to show of an entity so that giving it back names it alone."""
    return entity.source_id if isinstance(entity, Action) and entity.source_id else entity.arn
