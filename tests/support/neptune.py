"""Stand-ins for Neptune's two query languages: ladybug for openCypher, graphersal for Gremlin; and a reader of its load formats.

The reader follows Neptune's manual, not the writer: RFC 4180, blank is no value, quoted empty is an empty text, spaces around an
unquoted field are dropped, the type of a column is in its header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HEADER = re.compile(r"(?P<name>(?:[^:\\]|\\:)+):(?P<type>[A-Za-z]+)(?P<single>\(single\))?")
_SYSTEM = {"~id", "~label", "~from", "~to", ":ID", ":LABEL", ":START_ID", ":END_ID", ":TYPE"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\dZ?)?)?")
_NAMES = {
    "gremlin": ("~id", "~label", "~from", "~to", "~label"),
    "opencypher": (":ID", ":LABEL", ":START_ID", ":END_ID", ":TYPE"),
}


@dataclass
class Loaded:
    """What the loader would have put into the graph."""

    vertices: dict[str, tuple[str, dict[str, str]]]
    edges: dict[str, tuple[str, str, str, dict[str, str]]]


def records(text: str) -> Iterator[list[str | None]]:
    """RFC 4180, told apart from blank: a quoted empty field is ``""``, a blank one None."""
    position, row = 0, list[str | None]()
    while position < len(text):
        if text[position] == '"':
            end = position + 1
            while True:
                end = text.index('"', end)
                if text[end : end + 2] != '""':
                    break
                end += 2
            row.append(text[position + 1 : end].replace('""', '"'))
            position = end + 1
        else:
            end = min(found for mark in (",", "\n") if (found := text.find(mark, position)) >= 0)
            field = text[position:end]
            assert '"' not in field, "a quote in an unquoted field aborts the load"
            row.append(field.strip(" ") or None)
            position = end
        assert text[position] in ",\n", f"{text[position]!r} after a field"
        if text[position] == "\n":
            yield row
            row = []
        position += 1
    assert not row, "the last record has no end"


def read_export(folder: Path, style: str) -> Loaded:
    """Every file of a folder, as the loader reads it; whatever it would refuse is an assertion."""
    vertex_id, vertex_label, begin, end, edge_label = _NAMES[style]
    loaded = Loaded({}, {})
    for path in sorted(folder.iterdir()):
        rows = records(path.read_bytes().decode("utf-8"))
        header = [name for name in next(rows) if name is not None]
        columns = [_column(name, style, is_edge=begin in header) for name in header]
        names = [name for name, _ in columns]
        assert len(set(names)) == len(names), f"{path.name} has a column twice"
        for row in rows:
            assert len(row) == len(columns), f"{path.name} has a record that does not match its header"
            values = {name: value for (name, _), value in zip(columns, row, strict=True) if value is not None}
            for (name, kind), value in zip(columns, row, strict=True):
                if kind in {"Date", "DateTime"} and value is not None:
                    assert _MOMENT.fullmatch(value), f"{name}: {value}"
            own = {name: value for name, value in values.items() if name not in _SYSTEM}
            identity = values[vertex_id]
            if begin in header:
                assert identity not in loaded.edges, "an edge's id is there twice"
                loaded.edges[identity] = (values[begin], values[end], values[edge_label], own)
            else:
                assert identity not in loaded.vertices, "a vertex is there twice"
                assert ";" not in values[vertex_label]
                loaded.vertices[identity] = (values[vertex_label], own)
    for source, destination, *_ in loaded.edges.values():
        assert {source, destination} <= loaded.vertices.keys(), "FROM_OR_TO_VERTEX_ARE_MISSING"
    return loaded


def _column(name: str, style: str, *, is_edge: bool) -> tuple[str, str]:
    if name in _SYSTEM:
        assert name[0] == {"gremlin": "~", "opencypher": ":"}[style]
        return name, "String"
    match = _HEADER.fullmatch(name)
    assert match, name
    assert not re.search(r"[\s,]", name), name
    types = {"gremlin": {"String", "Date"}, "opencypher": {"String", "DateTime"}}[style]
    assert match["type"] in types, name
    # Without it a vertex's column is a set; an edge's is single anyway; openCypher's format has no such thing.
    assert bool(match["single"]) == (style == "gremlin" and not is_edge), name
    return match["name"], match["type"]


class Ladybug:
    """openCypher over what was loaded. Its tables are typed, and its ``id()`` is a row's number: there the id is a property."""

    def __init__(self, loaded: Loaded) -> None:
        import ladybug

        self._connection = ladybug.Connection(
            ladybug.Database(":memory:", max_db_size=1 << 30, buffer_pool_size=1 << 29)
        )
        labels = sorted({"Artifact", "Action", "Context", "Place", *(label for label, _ in loaded.vertices.values())})
        for label in labels:
            self._connection.execute(f"CREATE NODE TABLE {label}(key STRING PRIMARY KEY)")
        kinds = {label for *_, label, _ in loaded.edges.values()} | {"Upstream", "Downstream", "StandsFor"}
        pairs = ", ".join(f"FROM {one} TO {other}" for one in labels for other in labels)
        for kind in sorted(kinds):
            self._connection.execute(f"CREATE REL TABLE {kind}({pairs})")
        self._connection.execute("CALL var_length_extend_max_depth=200")
        for key, (label, _) in loaded.vertices.items():
            self._connection.execute(f"CREATE (:{label} {{key: $key}})", {"key": key})
        for source, destination, kind, _ in loaded.edges.values():
            one, other = loaded.vertices[source][0], loaded.vertices[destination][0]
            self._connection.execute(
                f"MATCH (a:{one} {{key: $a}}), (b:{other} {{key: $b}}) CREATE (a)-[:{kind}]->(b)",
                {"a": source, "b": destination},
            )

    def send(self, statement: Any) -> list[dict[str, Any]]:
        """The rows of a statement. ``id(x)`` is replaced by where the id stands here; nothing else of the text is touched,
        but that ``*`` is said to be openCypher's, which takes no relationship twice."""
        text = re.sub(r"\bid\((\w+)\)", r"\1.key", statement.text)
        text = text.replace("*0..]", "* TRAIL 0..200]").replace("NOT found:Place", 'NOT label(found) = "Place"')
        result = self._connection.execute(text, dict(statement.parameters))
        names, rows = result.get_column_names(), []
        while result.has_next():
            rows.append(dict(zip(names, result.get_next(), strict=True)))
        return rows


class Graphersal:
    """Gremlin over what was loaded."""

    def __init__(self, loaded: Loaded) -> None:
        import graphersal

        self._graph = graphersal.Graph()
        self.load(loaded)

    def load(self, loaded: Loaded) -> None:
        """Add what is not there; an id that is there is the same vertex or edge, as for the loader."""
        vertices, edges = set(self.send("g.V().id()")), set(self.send("g.E().id()"))
        for key, (label, _) in loaded.vertices.items():
            if key not in vertices:
                self._graph.execute(f'g.addV("{label}").property(T.id, key).iterate()', params={"key": key})
        for key, (source, destination, label, _) in loaded.edges.items():
            if key not in edges:
                self._graph.execute(
                    f'g.V(a).as("a").V(b).addE("{label}").from("a").property(T.id, key).iterate()',
                    params={"a": source, "b": destination, "key": key},
                )

    def send(self, text: str) -> list[Any]:
        """What a statement gives."""
        return list(self._graph.query(text))
