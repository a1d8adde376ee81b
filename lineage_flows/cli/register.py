"""The verbs ``register`` and ``registered``: a model as a version in SageMaker's model registry, and the versions there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import chosen_settings, opened, undelivered
from lineage_flows.cli.search import described
from lineage_flows.errors import SettingsError, UnknownReferenceError
from lineage_flows.model_registry.registered import Approval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.graph.model import Artifact
    from lineage_flows.model_registry.registered import RegisteredModel

__all__ = ["register", "registered"]

_REFERENCE = "A model by ARN or URI, or a run or step that gave out one model."


def register(  # noqa: PLR0917 - a verb's options
    context: typer.Context,
    model: Annotated[str, typer.Argument(help=_REFERENCE, show_default=False)],
    group: Annotated[str, typer.Option("--group", help="Model package group; made when there is none.")],
    description: Annotated[
        str | None, typer.Option(help="What to know of this version.", metavar="TEXT", show_default=False)
    ] = None,
    approval: Annotated[Approval, typer.Option(help="Approval status to begin with.")] = "PendingManualApproval",
    image: Annotated[
        str | None, typer.Option(help="Image of the container that serves it.", metavar="URI", show_default=False)
    ] = None,
    artifact_uri: Annotated[
        str | None,
        typer.Option(help="Where its data lies in S3 already.", metavar="s3://…/model.tar.gz", show_default=False),
    ] = None,
    content_type: Annotated[
        list[str] | None, typer.Option(help="MIME type that the container takes.", show_default=False)
    ] = None,
    response_type: Annotated[
        list[str] | None, typer.Option(help="MIME type that it answers.", show_default=False)
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="A metric of the model.", metavar="NAME=NUMBER", show_default=False)
    ] = None,
    property: Annotated[
        list[str] | None, typer.Option(help="Anything else of it.", metavar="NAME=TEXT", show_default=False)
    ] = None,
    any_kind: Annotated[
        bool, typer.Option("--any-kind", help="Register what lineage does not know as a model.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Make a new version of a model that is there.")] = False,
    as_json: AsJson = False,
) -> Answer:
    """Register a model of a run as a version in SageMaker's model registry, tied to its lineage."""
    from lineage_flows import register_model

    settings = chosen_settings(context)
    settings.check_home()
    metrics = {name: _number(name, text) for name, text in _pairs("--metric", metric)}
    try:
        done = register_model(
            model,
            group=group,
            description=description,
            approval=approval,
            image=image,
            artifact_uri=artifact_uri,
            content_types=content_type or (),
            response_types=response_type or (),
            metrics=metrics,
            properties=dict(_pairs("--property", property)),
            any_kind=any_kind,
            again=again,
            settings=settings,
        )
    except UnknownReferenceError as error:
        if undelivered(settings):
            error.fix = "run `lineage-flows deliver` first: events wait that may tell of it"
        raise
    return Answer(done, lambda: _done(done), as_json)


def registered(
    context: typer.Context,
    group: Annotated[str | None, typer.Argument(help="Only versions of this group.", show_default=False)] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", help="Only those that were made from this.", metavar="REFERENCE", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> Answer:
    """List the versions of models in SageMaker's model registry that lineage knows."""
    with opened(context) as graph:
        found = graph.registered(group, of=of)
    return Answer([described(item) for item in found], lambda: _listed(found), as_json)


def _pairs(option: str, given: list[str] | None) -> Iterator[tuple[str, str]]:
    for item in given or ():
        name, separator, text = item.partition("=")
        if not separator or not name or not text:
            raise SettingsError(option, item, "NAME=VALUE")
        yield name, text


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError("--metric", f"{name}={text}", "NAME=NUMBER") from None


def _done(done: RegisteredModel) -> Iterator[RenderableType]:
    from lineage_flows.ui.text import plain

    was = "is registered" if done.created else "was registered before"
    yield plain(f"{done.group}/{done.version} {was}, {done.approval or 'without an approval status'}:")
    yield plain(done.arn)
    if done.run_id is not None:
        yield plain(f"made by run {done.run_id}" + (f", step {done.step_id}" if done.step_id else ""))
    yield plain(f"lineage-flows upstream {done.group}/{done.version}")


def _listed(found: list[Artifact]) -> Iterator[RenderableType]:
    from lineage_flows.cli.entities import entity_line
    from lineage_flows.cli.tables import note
    from lineage_flows.ui.text import plain

    if not found:
        yield note("No version of a model is known.")
    for item in found:
        given = json.loads(item.properties.get("givenProperties", "{}"))
        approval = given.get("approval", "")
        yield entity_line(item).append(f"  registered as {approval}" if approval else "")
        yield f"  {plain(item.source_uri)}"
