"""What a replay puts in front of capture: restores random states, substitutes steps, and compares when the flow has ended.

Knows records, the store and the comparison; must not know Prefect.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import lineage_flows
from lineage_flows.capture import randomness
from lineage_flows.capture.intercept import StepStart, Substitute
from lineage_flows.compare import Change, Folders, Judge, compare_steps
from lineage_flows.compare.code import ComparedCode
from lineage_flows.compare.difference import environment_difference
from lineage_flows.compare.sources import read_folder, read_tree
from lineage_flows.compare.steps import input_key
from lineage_flows.content import load_value
from lineage_flows.errors import LineageError, ReplayError
from lineage_flows.records import BlobRef, FlowRecord, RandomStates, ReplayOutcome, RunRecord, StepRecord
from lineage_flows.replay.matching import Matcher, started_alone
from lineage_flows.ui.replay_page import replay_page

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.replay.clock import Clock
    from lineage_flows.replay.spec import ChildSpec

__all__ = ["ReplayInterceptor"]


class ReplayInterceptor:
    """The replay's side of capture, in the child process; see the protocol ``Interceptor``."""

    def __init__(self, spec: ChildSpec, store: Store, clock: Clock) -> None:
        self.info = spec.info
        self.strip = spec.folders.workspace
        self.original = spec.record
        self.outcome: ReplayOutcome | None = None
        self.environment: tuple[Change, ...] = ()
        self.failure: LineageError | None = None
        self._spec = spec
        self._store = store
        self._clock = clock
        self._matcher = Matcher(spec.record)
        self._live: list[str] = []
        self._alone = started_alone(spec.record)

    def original_path(self, path: str) -> str:
        """The name a file of the workspace had in the original run; any other path unchanged."""
        if path == self.strip or path.startswith(self.strip + "/"):
            return path[len(self.strip) :] or "/"
        return path

    def before_flow(self, record: FlowRecord) -> None:
        """Give the root flow the random states it started with, and its time."""
        with self._remembering():
            self._restore(self._spec.record.flow.random)
        self._clock.anchor(self._spec.record.flow.started)

    def before_step(self, step: StepStart) -> Substitute | None:
        """Give the step the random states and the time it started with; or the result it had, when it cannot be executed again."""
        original = self._matcher.match(
            step.run_id,
            task=step.task_name,
            flow=step.flow_name,
            flow_run_id=step.flow_run_id,
            root_run_id=step.root_run_id,
            inputs=step.inputs,
        )
        self._tell(step.task_name)
        if original is None:
            return None
        blob = self._spec.substitutes.get(original.run_id)
        with self._remembering():
            if blob is not None and self._fits(original, step):
                # The pickle's hash is in the run record, whose own hash is on the graph; the user asked for this replay.
                return Substitute(load_value(self._store.get(blob.digest), blob.format, trust_pickle=True))
            self._restore(original.random, alone=original.run_id in self._alone)
        self._clock.anchor(original.started)
        return None

    def _fits(self, original: StepRecord, step: StepStart) -> bool:
        """Whether a captured result is one for what the step is given now; False when it is to be executed instead.

        Raises:
            ReplayError: it is not, and the step reads what must not be read anew.
        """
        what_if = bool(self._spec.parameters) or self._spec.code_replaced
        if not what_if:
            return True
        if input_key(step.inputs) == input_key(original.inputs):
            # Of an input without a fingerprint (a secret) nobody knows whether it is the one of then: best is to execute the step.
            # One that reads the network with a token as ever cannot be; it is trusted, unless a secret is what was set.
            unknown = any(item.value.fingerprint is None for item in (*step.inputs, *original.inputs))
            if not unknown or (original.unrestorable and not self._sets_unknown()):
                return True
        if not original.unrestorable:
            return False
        name = f"step {step.task_name}#{original.index}"
        if not self._spec.allow_live:
            raise ReplayError(
                f"{name} cannot be restored",
                why=f"it may be given something else than then, and {original.unrestorable[0]} is not captured for that",
                fix="let it read that as it is now with --allow-live, which the report will say",
            )
        self._live.append(
            f"{name} read live what was not captured ({original.unrestorable[0]}): it is not the original's"
        )
        return False

    def _sets_unknown(self) -> bool:
        """Whether a parameter was set of which nothing is known of what it was."""
        given = self._spec.record.flow.parameters
        return any(item.name in self._spec.parameters and item.value.fingerprint is None for item in given)

    def conclude(self, record: RunRecord) -> ReplayOutcome:
        """Compare the replay with its original."""
        original = self._spec.record
        folders = Folders.of(original)
        self.environment = environment_difference(original, record, self._store.get)
        found = compare_steps(
            original,
            record,
            Judge(
                folders,
                replace(folders, strip=self.strip),
                read=self._store.get,
                trust_pickle=True,
                tolerances=self._spec.tolerances,
            ),
            code=self._code(),
            environment=self.environment,
        )
        self.outcome = ReplayOutcome(
            run_id=original.flow.run_id,
            replay_run_id=record.flow.run_id,
            verdict=found.verdict,
            steps=found.steps,
            result=found.result,
            first_divergence=found.first_divergence,
            notes=(*self._spec.notes, *dict.fromkeys(self._live), *found.notes),
            first_inexact=found.first_inexact,
            values=found.values,
            tolerances=tuple(map(str, self._spec.tolerances)),
        )
        self.outcome = self._reported(record, self.outcome)
        return self.outcome

    def _reported(self, record: RunRecord, outcome: ReplayOutcome) -> ReplayOutcome:
        """The outcome with its report, which is kept in the store; without one and a note when none could be made."""
        try:
            page = replay_page(
                self._spec.record,
                record,
                outcome,
                self.environment,
                record_digest=self._spec.record_digest,
                made_at=datetime.now(UTC).isoformat(),
                version=lineage_flows.__version__,
            )
            digest, size = self._store.put(page.encode("utf-8", "replace"))
        except Exception as error:  # noqa: BLE001 - the verdict must not be lost for its page
            problem = f"its report could not be made: {type(error).__name__}: {error}"
            return outcome.model_copy(update={"notes": (*outcome.notes, problem)})
        return outcome.model_copy(update={"report": BlobRef(digest=digest, size=size, format="html")})

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """An error here fails the step, but it is the replay that could not be done: not the flow's own behaviour."""
        try:
            yield
        except LineageError as error:
            self.failure = self.failure or error
            raise

    def _restore(self, states: RandomStates | None, *, alone: bool = True) -> None:
        """Set the generators as they were and feed the entropy; of a step that others ran beside, only what is its own."""
        if states is None:
            return
        own = states if alone else states.model_copy(update={"python": None, "numpy": None, "torch": None})
        randomness.restore(own, self._store.get)

    def _code(self) -> ComparedCode:
        """The files of both runs, when other code was executed; otherwise the code is the same by construction."""
        code, entry = self._spec.record.flow.code, self._spec.record.flow.entry.path or ""
        if not self._spec.code_replaced or code is None:
            try:
                script = Path(f"{self.strip}{entry}").read_text("utf-8", "replace")
            except OSError:  # the flow has removed its own file
                script = None
            return ComparedCode(same=not self._spec.code_replaced, script=script)
        new = read_folder(f"{self.strip}{self._spec.code_root}")
        for module in code.modules:  # these lie outside of the folder, and are the same
            name = Path(module.path).relative_to(module.root).as_posix()
            new.setdefault(name, self._store.get(module.blob.digest))
        return ComparedCode.of(read_tree(code, self._store.get), new, os.path.relpath(entry, self._spec.code_root))

    def _tell(self, task: str) -> None:
        """Say that a step starts; the parent may have lost interest."""
        if self._spec.progress < 0:
            return
        try:
            os.write(self._spec.progress, json.dumps(task).encode() + b"\n")
        except OSError:
            return
