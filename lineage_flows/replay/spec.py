"""What the parent tells the process that executes a replay: one JSON file.

Knows records only.
"""

from __future__ import annotations

from pydantic import JsonValue

from lineage_flows.record_base import Frozen
from lineage_flows.records import BlobRef, ReplayInfo, RunRecord
from lineage_flows.replay.clock import ClockMode
from lineage_flows.replay.mirror import Places
from lineage_flows.tolerances import ToleranceRule

__all__ = ["ChildSpec", "Folders"]


class Folders(Frozen):
    """``Places`` in a form that JSON holds; see there."""

    workspace: str
    roots: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    @classmethod
    def of(cls, places: Places) -> Folders:
        """The folders of a redirector, in a stable order."""
        return cls(
            workspace=places.workspace,
            roots=places.roots,
            known=tuple(sorted(places.known)),
            listed=tuple(sorted(places.listed)),
            readable=places.readable,
            writable=places.writable,
            assumed=tuple(sorted(places.assumed)),
        )

    def places(self) -> Places:
        """The same for a redirector."""
        return Places(
            workspace=self.workspace,
            roots=self.roots,
            known=frozenset(self.known),
            listed=frozenset(self.listed),
            readable=self.readable,
            writable=self.writable,
            assumed=frozenset(self.assumed),
        )


class ChildSpec(Frozen):
    """All that the child needs besides the store and its environment.

    Attributes:
        record: the run to execute again.
        record_digest: the hash by which the graph names that record.
        base: the replay's own folder, in which ``result.json`` is left.
        folders: what the folders of the original mean here.
        substitutes: steps whose captured result is used: run id of the original -> its output.
        code_replaced: whether other code than the captured one is executed.
        code_root: the folder, in the original's names, that the source tree stands in.
        tolerances: how far numbers may lie apart, where it is not as far as by default.
        parameters: what the flow is called with in place of what the original had.
        allow_live: see ``Asked``.
        clock: what the code of flows and tasks sees as the time.
        info: recorded on the replay's flow run.
        notes: passed on into the outcome.
        alive: descriptor of a pipe the parent holds open as long as it lives.
        progress: descriptor the child writes the names of starting steps to.
        paths: folders that follow last on its ``sys.path``: what a rebuilt interpreter does not have installed in editable form.
    """

    record: RunRecord
    record_digest: str = ""
    base: str
    folders: Folders
    substitutes: dict[str, BlobRef]
    code_replaced: bool = False
    code_root: str
    clock: ClockMode = "now"
    parameters: dict[str, JsonValue] = {}  # noqa: RUF012 - pydantic copies it
    allow_live: bool = False
    info: ReplayInfo
    tolerances: tuple[ToleranceRule, ...] = ()
    notes: tuple[str, ...] = ()
    alive: int
    progress: int
    paths: tuple[str, ...] = ()
