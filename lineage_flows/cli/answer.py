"""How an answer leaves the program: tables for people or one JSON document for scripts, errors in one line.

Knows terminals; must not know what is answered.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from lineage_flows.errors import AmbiguousReferenceError, LineageError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console, RenderableType

__all__ = [
    "DIFFERENT",
    "DONE",
    "FAILED",
    "Answer",
    "AsJson",
    "console",
    "print_answer",
    "print_error",
    "progress_bar",
    "quiet_stdout",
]

DONE, DIFFERENT, FAILED = 0, 1, 2
"""Exit codes: done; a replay that is different; could not be done."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
"""The option every verb has."""

_WIDTH_WITHOUT_TERMINAL = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb found out.

    Attributes:
        document: what ``--json`` prints: a model, or lists and mappings of JSON values and models.
        shown: called for what a person sees, so that nothing is drawn that nobody looks at.
        as_json: whether the document is wanted.
        code: exit code.
    """

    document: object
    shown: Callable[[], Iterable[RenderableType]]
    as_json: bool
    code: int = DONE


def console(file: IO[str] | None = None) -> Console:
    """A console on ``file`` (stdout by default), 100 columns wide when nobody says how wide it is."""
    from rich.console import Console

    class HonestConsole(Console):
        def on_broken_pipe(self) -> None:
            """Leave the answer to a closed pipe to the program; rich itself would exit with 1, which means "different"."""
            raise BrokenPipeError

    stream = file or sys.stdout
    wide = stream.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return HonestConsole(
        file=stream, width=None if wide else _WIDTH_WITHOUT_TERMINAL, highlight=False, markup=False, emoji=False
    )


def print_answer(answer: Answer, stdout: IO[str]) -> None:
    """Print an answer on ``stdout``. A reader that has had enough (``| head``) is no failure: the rest is dropped."""
    try:
        if answer.as_json:
            stdout.write(to_json(answer.document) + "\n")
        else:
            target = console(stdout)
            for renderable in answer.shown():
                # Plain strings are commands and references: they are not broken, so that they can be copied.
                target.print(renderable, soft_wrap=isinstance(renderable, str))
        stdout.flush()
    except BrokenPipeError:
        _drop(stdout)


def print_error(error: BaseException, *, stdout: IO[str] | None = None) -> None:
    """Say in one line on stderr what could not be done, why, and what to do; with ``stdout`` also as JSON there."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"lineage-flows: {_one_line(str(error))}\n")
        sys.stderr.flush()
    if stdout is not None:
        print_answer(Answer({"error": describe_error(error)}, lambda: (), as_json=True), stdout)


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress display on stderr, when that is a terminal; it is gone when the block ends.

    Args:
        title: what is said until the first advance.

    Yields:
        A function of what happens now (nothing: it is all but done), how much is done, and of how much.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from lineage_flows.ui.text import clip

    target = console(sys.stderr)
    # A task's name is text, not markup.
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=target, transient=True, disable=not target.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        def advance(now: str, done: int, total: int) -> None:
            bar.update(task, description=clip(now, 40) or "comparing", completed=done, total=total)

        yield advance


def describe_error(error: BaseException) -> dict[str, object]:
    """An error as JSON: its type, its one line, and the parts of that line."""
    described: dict[str, object] = {"type": type(error).__name__, "message": _one_line(str(error))}
    if isinstance(error, LineageError):
        described |= {"what": error.what, "why": error.why, "fix": error.fix}
    if isinstance(error, AmbiguousReferenceError):
        described["matches"] = list(error.matches)
    if isinstance(error, SettingsError):
        described["setting"] = error.setting
    return described


@contextlib.contextmanager
def quiet_stdout() -> Iterator[IO[str]]:
    """Lend stdout to one document: until the end, whatever else writes to it, child processes too, writes to stderr.

    Yields:
        The real stdout.
    """
    lent = sys.stdout
    try:
        descriptor = lent.fileno()
    except (io.UnsupportedOperation, ValueError):
        with contextlib.redirect_stdout(sys.stderr):
            yield lent
        return
    lent.flush()
    kept = os.dup(descriptor)
    os.dup2(2, descriptor)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as real:
            yield real
    finally:
        lent.flush()
        os.dup2(kept, descriptor)
        os.close(kept)


def to_json(document: object) -> str:
    """A document as strict JSON in ASCII; numbers that JSON does not have (NaN, infinities) become null."""
    return json.dumps(_strict(document), indent=2, allow_nan=False)


def _strict(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, BaseModel):
        return _strict(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _strict(dataclasses.asdict(value))
    return value


def _one_line(text: str) -> str:
    from lineage_flows.ui.text import plain

    return plain(" ".join(text.split()))


def _drop(stdout: IO[str]) -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not stumble over it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stdout.fileno())
    except (io.UnsupportedOperation, ValueError):
        pass
    finally:
        os.close(nowhere)
