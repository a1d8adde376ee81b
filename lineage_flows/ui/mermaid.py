"""Writes the picture of a run as a mermaid flowchart, whatever characters its names hold.

Knows mermaid's syntax and the picture; must not know markdown or Prefect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineage_flows.ui.picture import draw
from lineage_flows.ui.text import plain

if TYPE_CHECKING:
    from collections.abc import Hashable

    from lineage_flows.records import RunRecord
    from lineage_flows.ui.picture import Node, NodeKind, Picture

__all__ = ["flowchart", "label"]

_SHAPES: dict[NodeKind, tuple[str, str]] = {
    "step": ("(", ")"),
    "flow": ("[[", "]]"),
    "file": ("[(", ")]"),
    "Model": ("([", "])"),
    "Metrics": ("[", "]"),
    "TimeSeries": ("[[", "]]"),
    "Figure": ("[[", "]]"),
    "DataSet": ("[", "]"),
}

# Fills are pale with dark text, so that they read the same on Prefect's light and dark pages.
_STYLES: dict[NodeKind, str] = {
    "step": "fill:#e8f0fe,stroke:#4c78d0,color:#16233f",
    "flow": "fill:#eceff4,stroke:#7a869a,color:#1f2733",
    "file": "fill:#fdf3d8,stroke:#c79a2b,color:#3d2f08",
    "Model": "fill:#eee5fb,stroke:#8257c9,color:#2a1650",
    "Metrics": "fill:#def5e6,stroke:#2f9e5b,color:#0c3a1f",
    "TimeSeries": "fill:#def3f5,stroke:#2b8f9c,color:#0a343a",
    "Figure": "fill:#def3f5,stroke:#2b8f9c,color:#0a343a",
    "DataSet": "fill:#fdf3d8,stroke:#c79a2b,color:#3d2f08",
}
_TROUBLE = "fill:#fde4e1,stroke:#cf3a2b,color:#4c0f08,stroke-width:2px"
# Prefect scales a picture down to its column (some 690 pixels): more ranks than this from left to right are unreadable there.
_RANKS_ACROSS = 4
_SPACING = '%%{init: {"flowchart": {"nodeSpacing": 28, "rankSpacing": 26, "padding": 8, "wrappingWidth": 360}}}%%'
_ARROWS = "stroke:#8592a6,stroke-width:1.5px"


def flowchart(record: RunRecord) -> str:
    """The run as a mermaid flowchart, without the surrounding fence; never empty.

    It runs from left to right when that leaves its letters readable in Prefect's column, else from top to bottom.
    """
    return write(draw(record))


def write(picture: Picture) -> str:
    """A picture as mermaid text. Nodes are called ``n0``, ``n1``, … so that no name can be a keyword."""
    names = {key: f"n{position}" for position, key in enumerate(picture.nodes)}
    lines = [_SPACING, f"flowchart {'LR' if ranks(picture) <= _RANKS_ACROSS else 'TB'}"]
    lines += [f"  {names[key]}{_box(node)}" for key, node in picture.nodes.items()]
    lines += [
        f"  {names[start]} {'-->' if data else '-.->'} {names[end]}" for (start, end), data in picture.arrows.items()
    ]
    if not picture.nodes:
        lines.append('  n0("no steps")')
    used = dict.fromkeys(node.kind for node in picture.nodes.values() if not node.trouble)
    lines += [f"  classDef {kind} {_STYLES[kind]}" for kind in used]
    if any(node.trouble for node in picture.nodes.values()):
        lines.append(f"  classDef trouble {_TROUBLE}")
    if picture.arrows:
        lines.append(f"  linkStyle default {_ARROWS}")
    return "\n".join(lines)


def label(text: str) -> str:
    """Text for use inside mermaid's double quotes: letters, digits and spaces as they are, the rest as entities.

    Entities keep quotes, brackets and semicolons from ending the label, ``1.`` and ``*`` from being taken for markdown,
    and ``<`` for HTML.
    """
    return "".join(
        character if character.isalnum() or character == " " else f"#{ord(character)};" for character in plain(text)
    )


def ranks(picture: Picture) -> int:
    """How many nodes lie on the longest way through the picture; arrows that close a cycle are passed over."""
    after: dict[Hashable, list[Hashable]] = {}
    waiting = dict.fromkeys(picture.nodes, 0)
    for start, end in picture.arrows:
        after.setdefault(start, []).append(end)
        waiting[end] += 1
    rank = dict.fromkeys(picture.nodes, 1)
    ready = [node for node, count in waiting.items() if not count]
    while ready:
        node = ready.pop()
        for end in after.get(node, ()):
            rank[end] = max(rank[end], rank[node] + 1)
            waiting[end] -= 1
            if not waiting[end]:
                ready.append(end)
    return max(rank.values(), default=0)


def _box(node: Node) -> str:
    opening, closing = _SHAPES[node.kind]
    text = f"<b>{label(node.lines[0])}</b>" + "".join(f"<br/>{label(line)}" for line in node.lines[1:] if line)
    return f'{opening}"{text}"{closing}:::{"trouble" if node.trouble else node.kind}'
