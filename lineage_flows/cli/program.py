"""The program ``lineage-flows``: reads the arguments, calls the verb, and turns every outcome into output and an exit code.

Knows the verbs by name; must not know what they do.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli import (
    deliver,
    diff,
    doctor,
    endpoint,
    environments,
    export,
    init,
    loss,
    pin,
    policy,
    register,
    replay,
    replay_all,
    report,
    runs,
    search,
    show,
    version,
    walks,
    wheels,
)
from lineage_flows.cli.answer import DONE, FAILED, Answer, print_answer, print_error, quiet_stdout
from lineage_flows.errors import LineageError
from lineage_flows.runtime import decline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

__all__ = ["main"]

_STOPPED = 130
"""Exit code after Ctrl-C, as of any program that SIGINT ends (128 + 2)."""

app = typer.Typer(
    name="lineage-flows",
    help="What Prefect flows read, made and ran on: ask where a number came from, and make it again.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A REFERENCE is a run id or the start of one, a run name, an artifact's ARN, a file or dataset URI, "
    "GROUP/VERSION of a registered model, or commit:SHA. Exit codes: 0 done; 1 a replay was different; 2 could not be done.",
)


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Folder of the graph, the spool and the blobs.", metavar="PATH", show_default=False),
    ] = None,
) -> None:
    context.obj = home


for verb in (
    runs.runs,
    show.show,
    walks.upstream,
    walks.downstream,
    walks.path,
    search.search,
    diff.diff,
    replay.replay,
    replay_all.replay_all,
    report.report,
    loss.loss,
    pin.pin,
    environments.environments,
    wheels.wheels,
    deliver.deliver,
    export.export,
    register.register,
    register.registered,
    policy.policy,
    doctor.doctor,
    endpoint.endpoint,
    init.init,
    version.version,
):
    app.command(verb.__name__.replace("_", "-"))(verb)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: those after the program's name; taken from the process when None.

    Returns:
        The exit code: 0 done, 1 a replay was different, 2 could not be done, 130 stopped by Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    # This process looks at lineage; what it imports of Prefect may not make lineage of its own.
    decline()
    own = given[: given.index("--")] if "--" in given else given  # what follows is another program's
    if "--json" not in own:
        return _run(given, None)
    with quiet_stdout() as stdout:
        return _run(given, stdout)


def _run(arguments: list[str], document: IO[str] | None) -> int:
    """Call the verb; ``document`` is where JSON goes, None when none was asked for."""
    try:
        outcome = app(arguments, prog_name="lineage-flows", standalone_mode=False)
        if isinstance(outcome, Answer):
            print_answer(outcome, document or sys.stdout)
            return outcome.code
    except (KeyboardInterrupt, typer.Abort):
        outcome = _STOPPED
    except Exception as error:  # noqa: BLE001 - the last boundary: a user gets one line, a developer the traceback
        if os.environ.get("LINEAGE_FLOWS_DEBUG") == "1":
            traceback.print_exc()
        print_error(_explained(error), stdout=document)
        return FAILED
    # Not an answer but an exit code: of help, or of Ctrl-C, which typer may have caught already.
    if outcome == _STOPPED:
        print_error(LineageError("stopped"), stdout=document)
    return outcome if isinstance(outcome, int) else DONE


def _explained(error: Exception) -> LineageError:
    """Any exception as one with what, why and fix."""
    if isinstance(error, LineageError):
        return error
    usage = getattr(error, "format_message", None)
    if usage is not None:
        # The parser's own errors: they know the verb they arose in.
        verb = getattr(getattr(error, "ctx", None), "command_path", "lineage-flows")
        return LineageError(str(usage()).rstrip("."), fix=f"see `{verb} --help`")
    if isinstance(error, OSError):
        why = error.strerror or str(error)
        return LineageError(f"{error.filename or 'a file'} cannot be used", why=why, fix="see `lineage-flows doctor`")
    return LineageError(
        "lineage-flows itself failed",
        why=f"{type(error).__name__}: {error}",
        fix="run it again with LINEAGE_FLOWS_DEBUG=1 for the traceback, and report it",
    )
