"""Actions that have others inside them: what their own code, their body, had at hand and what it may have made of it.

Knows the mapping of docs/graph.md and a view of the graph; must not know which way a walk goes. What is worked out of an action is
kept: a flow run may have thousands of steps, and each of them asks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lineage_flows.graph.identity import value_name
from lineage_flows.graph.model import Action, Artifact, Association
from lineage_flows.graph.view import View

__all__ = ["CODE_TYPES", "FLOW_TYPES", "RECORD_TYPE", "RESULT", "Bodies", "Timed", "all_members"]

CODE_TYPES = frozenset({"SourceTree", "Environment", "Image"})
"""What a flow run ran on: it counts for every step of it."""

FLOW_TYPES = frozenset({"FlowRun", "Replay"})

RECORD_TYPE = "RunRecord"
"""Not data: it tells of a run, and no step is made from it."""

RESULT = "return"
"""The name under which a flow run takes in what its result was made from: no parameter can have it."""

STREAMS = frozenset({"generator", "async_generator"})
"""Python types of values that are used while they are being made."""

_NEVER = "\U0010ffff"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Timed(Generic[_T]):
    """Things in the order of the moments from which, or up to which, they count; ``moments`` and ``values`` go together."""

    moments: tuple[str, ...]
    values: tuple[_T, ...]

    def until(self, moment: str) -> int:
        """How many count from this moment or an earlier one; all of them when the moment is empty: not known."""
        return bisect_right(self.moments, moment) if moment else len(self.moments)

    def since(self, moment: str) -> int:
        """How many count only up to an earlier moment than this."""
        return bisect_left(self.moments, moment)


class Bodies:
    """Answers about the actions of a view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._parameters: dict[str, frozenset[str]] = {}
        self._passed: dict[str, frozenset[str]] = {}
        self._given_out: dict[str, Timed[str]] = {}
        self._unexplained: dict[str, Timed[str]] = {}
        self._taken: dict[str, Timed[Association]] = {}
        self._made: dict[str, Timed[Association]] = {}

    def is_body(self, arn: str) -> bool:
        """Whether an action has a body: a flow run, or a step that called others."""
        entity = self._view.entity(arn)
        return isinstance(entity, Action) and (entity.type in FLOW_TYPES or bool(self._view.members(arn)))

    # Containment

    def around(self, action: str) -> list[str]:
        """The actions an action is in, from the nearest outwards."""
        found: dict[str, None] = {}
        level = [action]
        while level:
            level = [outer for arn in level for outer in self._outer(arn) if outer not in found and outer != action]
            found.update(dict.fromkeys(level))
        return list(found)

    def callers(self, action: str) -> list[str]:
        """The action whose body called an action: the step that did, else its flow run."""
        outer = self._outer(action)
        return [arn for arn in outer if self._view.entity(arn).type not in FLOW_TYPES] or outer

    def _called(self, body: str) -> list[str]:
        return [arn for arn in self._view.members(body) if body in self.callers(arn)]

    def _outer(self, action: str) -> list[str]:
        return [arn for arn in self._view.containers(action) if isinstance(self._view.entity(arn), Action)]

    # Inputs

    def taken(self, body: str) -> Timed[Association]:
        """The inputs a body could use, each from the moment it was read (empty, before anything: not known, or from the start)."""
        if body not in self._taken:
            edges = (edge for edge in self._view.into(body) if edge.association_type == "ContributedTo")
            self._taken[body] = _timed((edge.moment, edge.source_arn, edge) for edge in edges if self.takes(body, edge))
        return self._taken[body]

    def takes(self, body: str, edge: Association) -> bool:
        """Whether a body could use an input for anything: a file it read, its code, a parameter it was called with.

        What was passed for a parameter that is itself in the graph is used through that.
        """
        if self.is_code(edge.source_arn) or self.is_own_parameter(body, edge.source_arn):
            return True
        names = {use.name for use in edge.uses} - {RESULT}
        return bool(names - self._parameter_names(body)) if names else not edge.uses

    def is_own_parameter(self, run: str, arn: str) -> bool:
        """Whether a value is what a flow run was called with."""
        entity = self._view.entity(arn)
        named = value_name(entity.source_uri) if isinstance(entity, Artifact) else None
        return named is not None and named.kind == "parameter" and named.run_id == self._run_id(run)

    def parameters(self, run: str, name: str) -> list[str]:
        """The values a flow run was called with for a parameter, as far as they are in the graph."""
        found = []
        for edge in self._view.into(run):
            named = value_name(self._view.entity(edge.source_arn).source_uri)
            if self.is_own_parameter(run, edge.source_arn) and named is not None and named.name == name:
                found.append(edge.source_arn)
        return found

    def was_passed(self, run: str, name: str) -> bool:
        """Whether it is known where the value of a parameter came from."""
        if run not in self._passed:
            others = [edge for edge in self._view.into(run) if not self.is_own_parameter(run, edge.source_arn)]
            self._passed[run] = frozenset(use.name for edge in others for use in edge.uses)
        return name in self._passed[run]

    def _parameter_names(self, run: str) -> frozenset[str]:
        if run not in self._parameters:
            own = (edge.source_arn for edge in self._view.into(run) if self.is_own_parameter(run, edge.source_arn))
            names = (value_name(self._view.entity(arn).source_uri) for arn in own)
            self._parameters[run] = frozenset(named.name for named in names if named is not None)
        return self._parameters[run]

    # Between its members

    def given_out(self, body: str) -> Timed[str]:
        """The values its members gave out, each from the moment it could be used (empty, before anything: not known)."""
        if body not in self._given_out:
            found = []
            for member in self._called(body):
                for edge in self._view.out_of(member):
                    named = value_name(self._view.entity(edge.destination_arn).source_uri)
                    if named is not None and named.kind == "result":
                        found.append((self.at_hand(edge), edge.destination_arn, edge.destination_arn))
            self._given_out[body] = _timed(found)
        return self._given_out[body]

    def at_hand(self, made: Association) -> str:
        """From when a value that an action gave out could be used: from its end; of a generator, from its start."""
        value = self._view.entity(made.destination_arn)
        streams = isinstance(value, Artifact) and value.properties.get("pythonType") in STREAMS
        return self.started(made.source_arn) if streams else self.ended(made.source_arn)

    def unexplained(self, body: str) -> Timed[str]:
        """The values that went into its members and came from nowhere known, each up to when it was used."""
        if body not in self._unexplained:
            found = []
            for member in self._called(body):
                for edge in self._view.into(member):
                    named = value_name(self._view.entity(edge.source_arn).source_uri)
                    if named is None or named.kind == "result" or named.run_id != self._run_id(member):
                        continue
                    if named.kind == "input" or not self.was_passed(member, named.name):
                        found.append((self.started(member) or _NEVER, edge.source_arn, edge.source_arn))
            self._unexplained[body] = _timed(found)
        return self._unexplained[body]

    # Outputs

    def exact(self, action: str, result: Artifact) -> str:
        """The fingerprint of a result that is an input unchanged; empty when it is not known to be, and for all else."""
        named = value_name(result.source_uri)
        if named is None or named.kind != "result" or not result.fingerprint:
            return ""
        inputs = (edge.source_arn for edge in self._view.into(action) if RESULT in {use.name for use in edge.uses})
        return result.fingerprint if any(self.fingerprint(arn) == result.fingerprint for arn in inputs) else ""

    def outputs(self, action: str) -> list[tuple[Association, Artifact]]:
        """What an action produced, the record of its run aside."""
        edges = ((edge, self._view.entity(edge.destination_arn)) for edge in self._view.out_of(action))
        return [(edge, made) for edge, made in edges if isinstance(made, Artifact) and made.type != RECORD_TYPE]

    def made(self, body: str) -> Timed[Association]:
        """What a body may have made of all it had at hand by then: each output up to when it was written, its result to the end."""
        if body not in self._made:
            edges = (edge for edge, made in self.outputs(body) if not self.exact(body, made))
            self._made[body] = _timed((edge.moment or _NEVER, edge.destination_arn, edge) for edge in edges)
        return self._made[body]

    def leads_on(self, body: str, after: str) -> bool:
        """Whether anything is known that a body may have made, or passed on, after a moment."""
        return any(len(timed.values) > timed.since(after) for timed in (self.unexplained(body), self.made(body)))

    # Facts

    def is_code(self, arn: str) -> bool:
        """Whether an artifact is what runs ran on."""
        return self._view.entity(arn).type in CODE_TYPES

    def fingerprint(self, arn: str) -> str | None:
        """An artifact's fingerprint."""
        entity = self._view.entity(arn)
        return entity.fingerprint if isinstance(entity, Artifact) else None

    def started(self, arn: str) -> str:
        """When an action began; empty when that is not known."""
        return self._property(arn, "started")

    def ended(self, arn: str) -> str:
        """When an action ended; empty when that is not known."""
        return self._property(arn, "ended")

    def owner(self, value: Artifact) -> str | None:
        """The run whose input or parameter a value is."""
        named = value_name(value.source_uri)
        for edge in self._view.out_of(value.arn):
            if named is not None and self._run_id(edge.destination_arn) == named.run_id:
                return edge.destination_arn
        return None

    def _run_id(self, arn: str) -> str | None:
        entity = self._view.entity(arn)
        return entity.source_id if isinstance(entity, Action) else None

    def _property(self, arn: str, key: str) -> str:
        entity = self._view.entity(arn)
        return entity.properties.get(key, "") if isinstance(entity, Action) else ""


def all_members(view: View, arn: str) -> list[str]:
    """Every action inside an action or context, to any depth, in a fixed order."""
    found: dict[str, None] = {}
    level = [arn]
    while level:
        view.prefetch_members(level)
        inside = {member for outer in level for member in view.members(outer)}
        level = sorted(member for member in inside if member not in found and member != arn)
        found.update(dict.fromkeys(level))
    return list(found)


def _timed(found: Iterable[tuple[str, str, _T]]) -> Timed[_T]:
    """Things by moment, then ARN, each pair of these once."""
    unique = {(moment, arn): thing for moment, arn, thing in found}
    keys = sorted(unique)
    return Timed(tuple(moment for moment, _ in keys), tuple(unique[key] for key in keys))
