"""The verb ``environments``: those that were rebuilt for replays, what they take, and their removal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import chosen_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.replay.environments import KeptEnvironment

__all__ = ["environments"]


def environments(
    context: typer.Context,
    remove: Annotated[
        list[str] | None,
        typer.Option(help="Remove the one whose name begins so.", metavar="NAME", show_default=False),
    ] = None,
    remove_all: Annotated[bool, typer.Option("--remove-all", help="Remove all that no replay is using.")] = False,
    *,
    as_json: AsJson = False,
) -> Answer:
    """List the environments that were rebuilt for replays, or remove some: a replay that needs one builds it again."""
    from lineage_flows.errors import AmbiguousReferenceError, LineageError, UnknownReferenceError
    from lineage_flows.replay.environments import environments as kept_environments
    from lineage_flows.replay.environments import remove_environment

    settings = chosen_settings(context)
    settings.check_home()
    known = kept_environments(settings.home)
    chosen = {item.digest: item for item in known} if remove_all else {}
    for name in remove or ():
        found = [item for item in known if item.digest.startswith(name)]
        if not found:
            raise UnknownReferenceError(name, fix="list them with `lineage-flows environments`")
        if len(found) > 1:
            raise AmbiguousReferenceError(name, tuple(item.digest for item in found))
        chosen[found[0].digest] = found[0]
    removed = [item for item in chosen.values() if remove_environment(settings.home, item.digest)]
    busy = [item.digest for item in chosen.values() if item not in removed]
    if busy and not remove_all:
        raise LineageError(
            f"environment {busy[0]} cannot be removed", why="a replay is using it", fix="wait for its end"
        )
    left = [item for item in known if item not in removed]
    document = {"environments": left, "removed": [item.digest for item in removed]}
    return Answer(document, lambda: _shown(left, removed), as_json)


def _shown(left: list[KeptEnvironment], removed: list[KeptEnvironment]) -> Iterator[RenderableType]:
    from datetime import UTC, datetime

    from lineage_flows.cli.tables import grid, note
    from lineage_flows.ui.text import count, size_text

    if left:
        rows = [
            (
                item.digest[:12],
                item.python or "half built",
                str(item.packages),
                size_text(item.size),
                f"{datetime.fromtimestamp(item.used, UTC):%Y-%m-%d %H:%M:%S}",
            )
            for item in left
        ]
        yield grid(("name", "Python", "packages", "size", "last used (UTC)"), rows, right=("packages", "size"))
    if removed:
        yield note(f"{count(len(removed), 'environment')} removed, {size_text(sum(item.size for item in removed))}")
    elif not left:
        yield note("There are none: no replay has needed one.")
    else:
        yield note("Files that are shared with uv's cache count in full.")
