"""The verb ``endpoint``: SageMaker's lineage API on this machine, until it is stopped."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.opened import chosen_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from lineage_flows.endpoint.backend import Quotas
    from lineage_flows.endpoint.faults import Faults

__all__ = ["endpoint"]

_PORT = 4599


def endpoint(  # noqa: PLR0917 - typer calls it by name
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = _PORT,
    host: Annotated[str, typer.Option(help="Address to listen on. Whoever reaches it may write.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name beside localhost under which it may be called.", metavar="NAME")
    ] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(help="A limit of the account, such as artifacts=100 or contexts=none.", metavar="KIND=N"),
    ] = None,
    count_recorded: Annotated[bool, typer.Option(help="Let limits count what flows recorded, too.")] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A fault to make, such as throttle=0.3, lag_seconds=5 or seed=7.", metavar="NAME=VALUE"),
    ] = None,
) -> None:
    """Serve SageMaker's lineage API over the graph of the home, for boto3 and the SageMaker SDK, until Ctrl-C."""
    from lineage_flows.endpoint.server import Endpoint

    settings = chosen_settings(context)
    faults, quotas = _faults(fault or []), _quotas(quota or [], count_recorded=count_recorded)
    with (
        _stopped() as stopped,
        Endpoint(
            settings.home, host=host, port=port, faults=faults, quotas=quotas, allowed_hosts=allow_host or ()
        ) as running,
    ):
        typer.echo(f"export AWS_ENDPOINT_URL_SAGEMAKER={running.url}")
        stopped.wait()


@contextmanager
def _stopped() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set: what is being carried out ends before the program does."""
    event = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        event.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _faults(given: list[str]) -> Faults:
    from dataclasses import fields

    from lineage_flows.endpoint.faults import Faults

    kinds = {field.name: int if field.name == "seed" else float for field in fields(Faults)}
    return Faults(**_numbers("--fault", given, kinds))  # type: ignore[arg-type]  # seed alone is whole, and is read so


def _quotas(given: list[str], *, count_recorded: bool) -> Quotas:
    from lineage_flows.endpoint.backend import Quotas

    kinds = dict.fromkeys(("actions", "artifacts", "associations", "contexts"), int)
    limits = {name: text for name, _, text in (item.partition("=") for item in given)}
    unlimited = dict.fromkeys(name for name, text in limits.items() if text == "none" and name in kinds)
    rest = _numbers("--quota", [item for item in given if item.partition("=")[0] not in unlimited], kinds)
    return Quotas(**unlimited, **rest, count_recorded=count_recorded)  # type: ignore[arg-type]  # read as whole numbers


def _numbers(option: str, given: list[str], kinds: Mapping[str, type[int] | type[float]]) -> dict[str, float]:
    """``NAME=NUMBER`` by name.

    Raises:
        SettingsError: a name that there is not, or no number.
    """
    from lineage_flows.errors import SettingsError

    found: dict[str, float] = {}
    for item in given:
        name, _, text = item.partition("=")
        if name not in kinds:
            raise SettingsError(option, item, f"NAME=VALUE with a name of {', '.join(kinds)}")
        try:
            found[name] = kinds[name](text)
        except ValueError:
            raise SettingsError(option, item, f"{name}= and a number") from None
        if not found[name] >= 0:
            raise SettingsError(option, item, f"{name}= and a number from 0")
    return found
