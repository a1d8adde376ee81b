"""A walk through the graph as a tree on the terminal.

Knows walks and rich; must not know how a walk is made. Steps are folded into what they made (``result of fit_model``), so that a
level of the tree is a step of the flow; what is met again is named and not repeated; code and environment come last, once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from lineage_flows.cli.entities import RUNS, entity_line, entity_name, is_code, maker_phrase, value_part
from lineage_flows.cli.tables import cell, note
from lineage_flows.graph.bodies import RESULT
from lineage_flows.graph.model import Action, Artifact
from lineage_flows.ui.text import count, listing, short

if TYPE_CHECKING:
    from lineage_flows.graph.model import Entity
    from lineage_flows.graph.query import Walk, WalkEdge

__all__ = ["draw_walk"]

_DEEPEST = 12
"""Levels beyond this would be pressed against the right edge of 100 columns."""
_MOST_CHILDREN = 25
_BETWEEN = frozenset({"derivation", "mutation"})
"""Ways of knowing what a flow's own code made something from."""


def draw_walk(walk: Walk) -> Tree:
    """The tree of a walk; the same walk gives the same tree."""
    return _Drawing(walk).draw()


@dataclass(slots=True)
class _Next:
    """What comes after a thing: what is known to, and what an inferred edge says may."""

    known: list[str]
    perhaps: list[str]


class _Drawing:
    """One drawing of one walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.entities: dict[str, Entity] = {node.entity.arn: node.entity for node in walk.nodes}
        self.rank = {node.entity.arn: position for position, node in enumerate(walk.nodes)}
        self.repeated = [edge.destination_arn for edge in walk.edges if edge.association_type == "DerivedFrom"]
        self.beyond: dict[str, list[WalkEdge]] = defaultdict(list)
        self.makers: dict[str, list[Action]] = defaultdict(list)
        for edge in walk.edges:
            if edge.association_type != "DerivedFrom":
                self.beyond[self.near(edge)].append(edge)
            maker = self.entities.get(edge.source_arn)
            if edge.association_type == "Produced" and isinstance(maker, Action):
                self.makers[edge.destination_arn].append(maker)
        self.explained = {edge.destination_arn for edge in walk.edges if edge.through is None and _is_result(edge)}
        self.runs = {run for run in map(self.run_of, self.entities) if run}
        self.drawn: set[str] = set()
        self.doubtful: list[tuple[Tree, str, list[str]]] = []
        self.cut = False

    def draw(self) -> Tree:
        start = self.walk.start
        root = Tree(self.line(start, ""), guide_style="dim")
        self.drawn.add(start)
        given = [node.entity.arn for node in self.walk.nodes if node.depth == 0 and node.entity.arn != start]
        after = self.following(start)
        below = list(dict.fromkeys([*given, *after.known]))
        self.note_doubts(root, start, after)
        # What a run gave out is drawn where the rest of it leads to; only what nothing else leads to stands by itself.
        inner = {further for arn in below for further in self.following(arn).known if further != arn}
        self.grow(root, start, [arn for arn in below if arn not in inner])
        self.grow(root, start, [arn for arn in below if arn in inner and arn not in self.drawn])
        self.draw_doubts()
        for arn in self.repeated:
            root.add(cell("repeats ", "bold").append_text(entity_line(self.entities[arn])))
        self.add_code(root)
        if self.cut:
            root.add(note("… there is more behind what ends in …: ask for that by its own reference, or see --json"))
        if not self.walk.complete:
            root.add(note("… there is more behind: ask with a greater --depth"))
        if not root.children:
            root.add(note(f"nothing is known {self.walk.direction} of it"))
        return root

    def grow(self, root: Tree, start: str, below: list[str], *, mark: str = "") -> None:
        """Depth first and without recursion, since lineage can be deeper than Python's stack."""
        waiting = [(root, start, arn, 1, mark) for arn in reversed(below[:_MOST_CHILDREN])]
        self.add_rest(root, below)
        while waiting:
            branch, above, arn, depth, mark_ = waiting.pop()
            after = self.following(arn)
            line = Text(mark_, style="dim").append_text(self.line(arn, self.run_of(above)))
            if arn in self.drawn and (after.known or after.perhaps):
                branch.add(line.append_text(note("  (see above)")))
            elif depth >= _DEEPEST and after.known:
                branch.add(line.append_text(note("  …")))
                self.cut = True
            else:
                twig = branch.add(line)
                self.note_doubts(twig, arn, after)
                waiting += [(twig, arn, further, depth + 1, "") for further in reversed(after.known[:_MOST_CHILDREN])]
                self.add_rest(twig, after.known)
            self.drawn.add(arn)

    def note_doubts(self, branch: Tree, arn: str, after: _Next) -> None:
        if after.perhaps:
            self.doubtful.append((branch, arn, after.perhaps))

    def draw_doubts(self) -> None:
        """What code between the steps of a run may have passed on: drawn last, and only what nothing known leads to."""
        while self.doubtful:
            branch, arn, perhaps = self.doubtful.pop(0)
            new = [further for further in perhaps if further not in self.drawn]
            self.grow(branch, arn, new, mark="perhaps ")
            if not new and self.walk.direction == "upstream" and isinstance(self.entities[arn], Artifact):
                branch.add(note("perhaps also from what steps of that run gave out"))

    def add_rest(self, branch: Tree, arns: list[str]) -> None:
        if len(arns) > _MOST_CHILDREN:
            branch.add(note(f"… and {len(arns) - _MOST_CHILDREN} more beside those that follow: see --json"))

    def line(self, arn: str, above: str) -> Text:
        """One thing; ``above`` is the run of what it hangs from, so that another run is named and the same is not."""
        entity = self.entities[arn]
        line = entity_line(entity)
        if isinstance(entity, Artifact) and not is_code(entity):
            phrases = dict.fromkeys(maker_phrase(entity, maker) for maker in self.makers.get(arn, ()))
            said = list(phrases)[:2] + ([f"and {len(phrases) - 2} more"] if len(phrases) > 2 else [])
            line.append_text(note("".join(f"  {phrase}" for phrase in said)))
        run = self.run_of(arn)
        if run and run != above and len(self.runs) > 1 and entity.type not in RUNS:
            line.append_text(note(f"  in run {short(run)}"))
        return line

    def following(self, arn: str) -> _Next:
        """What is drawn below a thing: the data one step further on, past the action in between."""
        known: dict[str, None] = {}
        perhaps: dict[str, None] = {}
        for edge in self.beyond.get(arn, ()):
            near = self.far(edge)
            entity = self.entities.get(near)
            if entity is None or is_code(entity):
                continue
            if not isinstance(entity, Action) or not isinstance(self.entities[arn], Artifact):
                (known if edge.through is None else perhaps)[near] = None
                continue
            further = [after for after in self.beyond.get(near, ()) if self.is_data(self.far(after), arn)]
            for after in further:
                doubt = edge.through is not None or after.through is not None
                if doubt or self.joined(entity, edge, after):
                    (perhaps if doubt else known)[self.far(after)] = None
            if not further and edge.through is None and self.walk.direction == "downstream":
                known[near] = None
        return _Next(
            sorted(known, key=self.rank.__getitem__),
            sorted(perhaps.keys() - known.keys(), key=self.rank.__getitem__),
        )

    def is_data(self, arn: str, other_than: str) -> bool:
        return arn in self.rank and arn != other_than and not is_code(self.entities[arn])

    def joined(self, action: Action, edge: WalkEdge, after: WalkEdge) -> bool:
        """Whether what went in by one of two edges is what came out by the other.

        A step makes all it gives out from all it takes in. A run takes in many things for its steps: its result is what is known
        to be its result, and what it writes itself comes from what it read itself.
        """
        if action.type not in RUNS:
            return True
        taken, made = (after, edge) if self.walk.direction == "upstream" else (edge, after)
        part = value_part(self.entities[made.destination_arn])
        names = names_of(taken)
        if part == "result" and action.arn in self.explained:
            return RESULT in names
        if part.startswith("parameter/"):
            return part.removeprefix("parameter/") in names
        return "" in names or (part == "result" and RESULT in names)

    def run_of(self, arn: str) -> str:
        """The root flow run that a thing belongs to; empty for what lies outside runs, and for what several runs made."""
        entity = self.entities[arn]
        actions = [entity] if isinstance(entity, Action) else self.makers.get(arn, [])
        runs = {action.properties.get("rootRunId") or action.source_id or "" for action in actions}
        return runs.pop() if len(runs) == 1 else ""

    def add_code(self, root: Tree) -> None:
        """Code and environment, each once: they count for every step."""
        code = [node.entity for node in self.walk.nodes if is_code(node.entity) and node.entity.arn != self.walk.start]
        if not code:
            return
        branch = root.add(cell("ran on", "bold"))
        functions = [entity_name(entity) for entity in code if entity.type == "SourceCode"]
        for entity in code:
            if entity.type != "SourceCode":
                branch.add(entity_line(entity))
        if functions:
            branch.add(cell(f"{count(len(functions), 'function')}: {listing(functions)}"))

    def near(self, edge: WalkEdge) -> str:
        return edge.destination_arn if self.walk.direction == "upstream" else edge.source_arn

    def far(self, edge: WalkEdge) -> str:
        return edge.source_arn if self.walk.direction == "upstream" else edge.destination_arn


def names_of(edge: WalkEdge) -> set[str]:
    """The parameters by which an artifact went in; the empty name for what was not passed but read."""
    return {use.name for use in edge.uses} or {""}


def _is_result(edge: WalkEdge) -> bool:
    """Whether it is known that what went in came out as the result; what that was only made from does not explain it wholly."""
    return any(use.name == RESULT and not (use.known_by and _BETWEEN.issuperset(use.known_by)) for use in edge.uses)
