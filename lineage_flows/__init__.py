"""Lineage for Prefect flows: capture every run, ask where a number came from, and make it again.

Importing this package in a flow's module is enough to have the flow captured; asking is ``lineage_flows.lineage()``. What capture
cannot see, the flow says with ``record_input`` and ``record_output``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineage_flows.errors import LineageError
from lineage_flows.recording import record_input, record_output
from lineage_flows.runtime import prepare as _prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lineage_flows.api import Lineage, RunGaps
    from lineage_flows.model_registry.registered import Approval, RegisteredModel
    from lineage_flows.settings import Settings

__all__ = ["LineageError", "__version__", "gaps", "lineage", "record_input", "record_output", "register_model"]

__version__ = "0.1.0"

_prepare()


def lineage(settings: Settings | None = None) -> Lineage:
    """Open what was recorded, to ask questions of it.

    Args:
        settings: where to look; read from ``LINEAGE_FLOWS_*`` and pyproject.toml when None.

    Raises:
        LineageError: the settings are wrong, or the graph cannot be opened.
    """
    from lineage_flows.api import lineage as open_lineage

    return open_lineage(settings)


def gaps(run: str, settings: Settings | None = None) -> tuple[RunGaps, ...]:
    """The completeness ledger of a run: what was observed of each step against what its lineage covers, and every gap by name.

    Args:
        run: a run id or the start of one, or a run name; of a step's id, that step's ledger alone.
        settings: see ``lineage``.

    Raises:
        LineageError: the reference means nothing or more than one thing, or the run has no record that can be read.
    """
    with lineage(settings) as found:
        return found.gaps(run)


def register_model(
    model: object,
    *,
    group: str,
    description: str | None = None,
    approval: Approval = "PendingManualApproval",
    image: str | None = None,
    artifact_uri: str | None = None,
    content_types: Sequence[str] = (),
    response_types: Sequence[str] = (),
    metrics: Mapping[str, float] | None = None,
    properties: Mapping[str, str] | None = None,
    any_kind: bool = False,
    again: bool = False,
    settings: Settings | None = None,
) -> RegisteredModel:
    """Register a model in SageMaker's model registry, as a version of a group that is tied to the lineage of the run that made it.

    In a flow or task the version is an output of that run; elsewhere the registration is a run of its own in the graph. A model
    that the group has already is not registered again: its version is what is returned. A replay registers nothing, and gets what
    the run that it repeats has registered. See docs/registry.md.

    Args:
        model: the model itself; or a reference to one in the graph (ARN, URI, a run or step that gave out one model); or
            ``s3://…/model.tar.gz``.
        group: the model package group; made, with our tag, when there is none.
        description: at most 1,024 characters.
        approval: the approval status that the new version begins with.
        image: of the container that serves it. With one, the model's data has to be in S3: ``artifact_uri``, or the model itself is
            put there as ``model.tar.gz`` (``sagemaker_models_url``). Without one, the version is a record that names the model.
        artifact_uri: where its data lies in S3 already.
        content_types: MIME types that the container takes.
        response_types: MIME types that it answers.
        metrics: finite numbers by name.
        properties: more texts by name, at most 256 characters each.
        any_kind: register what lineage does not know as a model, such as a dictionary of weights.
        again: make a new version though the group has this model already.
        settings: see ``lineage``.

    Raises:
        RegistrationError: it is no model, its content is not there, or the registry would not take it as asked for.
        UnknownReferenceError, AmbiguousReferenceError: the graph does not know the model, or several that are alike.
        BlobMissingError, BlobAlteredError: its content is needed, and was pruned or altered.
        AwsError: no credentials, no region, a refusal. PermissionDeniedError: names action, resource, and the role that has it.
    """
    from lineage_flows.model_registry.register import register
    from lineage_flows.model_registry.registered import Wanted

    wanted = Wanted(
        group=group,
        description=description,
        approval=approval,
        image=image,
        artifact_uri=artifact_uri,
        content_types=content_types,
        response_types=response_types,
        metrics=dict(metrics or {}),
        properties=dict(properties or {}),
        any_kind=any_kind,
        again=again,
    )
    return register(model, wanted, settings)
