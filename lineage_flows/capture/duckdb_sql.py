"""Finds the files that a statement of duckdb's names, by the tokens that duckdb's own parser takes it apart into.

Knows duckdb's SQL as far as it names files; opens nothing, and guesses nothing: what it cannot tell is a problem to be noted.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Named", "Place", "named", "tokens_of", "with_paths"]

_READERS = re.compile(
    r"read_\w+|(?:parquet|sqlite|arrow|seq|iceberg|delta)_scan|parquet_\w*(?:metadata|schema)|sniff_csv|st_read"
)
_SERVERS = re.compile(r"(?:postgres|mysql)_(?:scan\w*|query|execute)")
_TEXT = re.compile(rb"'(?:[^']|'')*'")
_IDENTIFIER = re.compile(rb'"(?:[^"]|"")*"')
_BARE = re.compile(rb"\w+\.(?:csv|tsv|parquet|jsonl?|ndjson|xlsx|arrow)\b", re.IGNORECASE)
_TABLES = frozenset(
    {
        "from",
        "join",
        "pivot",
        "pivot_wider",
        "unpivot",
        "pivot_longer",
        "summarize",
        "describe",
        "desc",
        "table",
        "using",
    }
)
"""Words that the name of a table follows, which may be that of a file."""

_CLAUSES = frozenset(
    "select where group order having limit on union except intersect qualify window set values".split()  # noqa: SIM905
)
"""Words that end the list of tables after FROM."""

_CHANGING = frozenset(
    "insert update delete merge create drop alter copy attach truncate import load call checkpoint vacuum nextval begin".split()  # noqa: SIM905
)
"""Words without which no statement changes a database; where they are names, a file that did not change was not written."""

_FROM_OF_A_VALUE = frozenset({"extract", "trim", "ltrim", "rtrim", "substring", "overlay", "position"})


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a statement: its bytes from ``start`` to ``end``; ``perhaps`` when it may be a table's name as well."""

    start: int
    end: int
    path: str
    reads: bool = True
    writes: bool = False
    database: bool = False
    perhaps: bool = False


@dataclass(slots=True)
class Named:
    """What a text of statements names: places, and why there may be more. ``others`` are texts that are no paths by their place.

    ``changes`` says whether a statement may change a database.
    """

    places: list[Place] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    changes: bool = False


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    kind: str
    word: str
    """In lower case; a text or a quoted name as it stands."""


@dataclass(slots=True)
class _Level:
    """What is inside one pair of brackets: the function it belongs to, the number of the argument, the clause of a query."""

    function: str = ""
    argument: int = 0
    clause: str = ""


def named(text: str, tokens: Sequence[tuple[int, str]]) -> Named:
    """The files that statements name.

    Args:
        text: one statement or several.
        tokens: as ``tokens_of`` gives them.
    """
    found = Named()
    for statement in _statements(_tokens(text.encode(), tokens)):
        _Reader(text.encode(), statement, found).read()
    return found


def tokens_of(text: str) -> list[tuple[int, str]]:
    """What duckdb, which is loaded, makes of a text: where each token begins, in bytes, and the name of its kind."""
    return [(start, kind.name) for start, kind in sys.modules["duckdb"].tokenize(text)]


def with_paths(text: str, paths: dict[Place, str]) -> str:
    """The same statements with other paths in those places."""
    data = text.encode()
    for place in sorted(paths, key=lambda place: place.start, reverse=True):
        quote = '"' if data[place.start : place.start + 1] == b'"' else "'"
        said = f"{quote}{paths[place].replace(quote, quote * 2)}{quote}"
        data = data[: place.start] + said.encode() + data[place.end :]
    return data.decode()


def _tokens(data: bytes, tokens: Sequence[tuple[int, str]]) -> Iterator[_Token]:
    ends = [*(start for start, _ in tokens[1:]), len(data)][: len(tokens)]
    for (start, kind), end in zip(tokens, ends, strict=True):
        if kind == "comment":
            continue
        piece = data[start:end]
        quoted = _TEXT.match(piece) if kind == "string_const" else _IDENTIFIER.match(piece)
        piece = quoted[0] if quoted else piece.rstrip()
        word = piece.decode(errors="replace")
        yield _Token(start, start + len(piece), kind, word if quoted or kind == "string_const" else word.lower())


def _statements(tokens: Iterator[_Token]) -> Iterator[list[_Token]]:
    statement: list[_Token] = []
    for token in tokens:
        if token.word == ";":
            yield statement
            statement = []
        else:
            statement.append(token)
    yield statement


class _Reader:
    """Goes through one statement."""

    def __init__(self, data: bytes, tokens: list[_Token], found: Named) -> None:
        self._data = data
        self._tokens = tokens
        self._found = found
        self._levels = [_Level()]
        self._first = tokens[0].word if tokens else ""

    def _word(self, position: int) -> str:
        return self._tokens[position].word if 0 <= position < len(self._tokens) else ""

    def read(self) -> None:
        words = [token.word for token in self._tokens]
        self._found.changes |= not _CHANGING.isdisjoint(words)
        if self._first in {"set", "reset", "pragma"} and any(
            name in words for name in ("file_search_path", "home_directory")
        ):
            self._found.problems.append("a setting that changes where files are looked for")
        if self._first == "install":
            self._found.problems.append("an extension is installed")
        if self._first == "attach" and not any(token.kind == "string_const" for token in self._tokens):
            self._found.problems.append("a database that is attached by an expression")
        for position, token in enumerate(self._tokens):
            self._step(position, token)

    def _step(self, position: int, token: _Token) -> None:
        level = self._levels[-1]
        if token.word == "(":
            self._open(position)
        elif token.word == "[":
            self._levels.append(_Level("[", 0, level.clause))
            of = level.function if level.argument == 0 else ""
            after = self._tokens[position + 1] if position + 1 < len(self._tokens) else None
            if _READERS.fullmatch(of) and after is not None and after.kind != "string_const":
                self._found.problems.append(f"{of} of what is no literal path")
        elif token.word in {")", "]"}:
            if len(self._levels) > 1:
                self._levels.pop()
        elif token.word == ",":
            level.argument += 1
        elif token.kind == "string_const":
            self._text(position, token)
        elif token.word in {"from", "join"}:
            level.clause = "from"
        elif token.word in _CLAUSES:
            level.clause = ""
        elif self._may_be_table(position):
            self._name(token)
        self._destination(position, token)

    def _open(self, position: int) -> None:
        function = (
            self._word(position - 1)
            if position and self._tokens[position - 1].kind in {"identifier", "keyword"}
            else ""
        )
        function = function.strip('"').lower()
        self._levels.append(_Level(function))
        after = self._tokens[position + 1] if position + 1 < len(self._tokens) else None
        if _READERS.fullmatch(function) and after is not None and after.kind != "string_const" and after.word != "[":
            self._found.problems.append(f"{function} of what is no literal path")
        elif _SERVERS.fullmatch(function):
            self._found.problems.append(f"{function} of a database server")
        elif function == "glob":
            self._found.problems.append("glob, which lists files")

    def _text(self, position: int, token: _Token) -> None:
        before, after = self._word(position - 1), self._word(position + 1)
        level = self._levels[-1]
        inside = level if level.function != "[" or len(self._levels) == 1 else self._levels[-2]
        if _READERS.fullmatch(inside.function) and inside.argument == 0:
            if before in {"(", "[", ","} and after in {")", "]", ","}:
                self._place(token)
            elif before not in {"=", ":=", "=>"}:
                self._found.problems.append(f"{inside.function} of what is no literal path")
            return
        if self._first == "attach" and before in {"attach", "database", "exists"}:
            self._place(token, database=True, writes="read_only" not in [item.word for item in self._tokens])
        elif before == "database" and self._first in {"export", "import"}:
            self._place(token, reads=self._first == "import", writes=self._first == "export")
        elif before == "to" and self._first == "copy" and len(self._levels) == 1:
            self._place(token, reads=False, writes=True)
        elif self._may_be_table(position):
            self._place(token)
        elif token.word.startswith("'"):
            self._found.others.append(_unquoted(token.word))

    def _may_be_table(self, position: int) -> bool:
        before, level = self._word(position - 1), self._levels[-1]
        if before == "," and level.clause == "from" and level.function != "[":
            return True
        if before == "from" and (level.function in _FROM_OF_A_VALUE or self._word(position - 2) == "distinct"):
            return False
        return before in _TABLES

    def _destination(self, position: int, token: _Token) -> None:
        """COPY … TO something that is no text."""
        if self._first != "copy" or token.word != "to" or len(self._levels) > 1 or self._word(2) == "database":
            return
        after = self._tokens[position + 1] if position + 1 < len(self._tokens) else None
        if after is not None and after.kind != "string_const":
            self._found.problems.append("COPY to what is no literal path")

    def _place(self, token: _Token, *, reads: bool = True, writes: bool = False, database: bool = False) -> None:
        if not token.word.startswith("'"):  # E'…' and $$…$$ have rules of their own
            self._found.problems.append("a path in a text with escapes")
            return
        path = _unquoted(token.word)
        self._found.places.append(Place(token.start, token.end, path, reads, writes, database))

    def _name(self, token: _Token) -> None:
        """A table's name that may be a file's: ``"prices.csv"``, or ``prices.csv`` without quotes."""
        bare = _BARE.match(self._data, token.start)
        if token.word.startswith('"') and ("." in token.word or "/" in token.word):
            self._found.places.append(Place(token.start, token.end, _unquoted(token.word), perhaps=True))
        elif bare is not None:
            self._found.places.append(Place(token.start, bare.end(), bare[0].decode(), perhaps=True))


def _unquoted(word: str) -> str:
    quote = word[0]
    return word[1:-1].replace(quote * 2, quote)
