"""Trial components, in which SageMaker keeps what its own jobs did, as actions of the model.

Knows what SageMaker says of one. To a walk a component is a step: artifacts contributed to it, and it produced others. Nothing that
we write is one, and none is listed among the actions: it is met where it is associated with something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

from lineage_flows.errors import SageMakerError
from lineage_flows.events.text import masked
from lineage_flows.graph.identity import fit_json, fit_text
from lineage_flows.graph.model import Action, ActionStatus, MetadataProperties
from lineage_flows.graph.sagemaker import wire
from lineage_flows.graph.sagemaker.client import Client
from lineage_flows.redaction import MASK, is_secret_name

__all__ = ["component", "is_component"]

_KIND: Final = "experiment-trial-component"


def is_component(arn: str) -> bool:
    """Whether an ARN is that of a trial component."""
    return arn.startswith("arn:") and arn.rpartition(":")[2].startswith(f"{_KIND}/")


def component(client: Client, arn: str) -> Action | None:
    """A trial component; None when there is none of this ARN. Who may not look at it is told its name.

    Raises:
        SageMakerError: SageMaker cannot say.
    """
    try:
        answer = client.call("DescribeTrialComponent", arn.rpartition(":")[2], TrialComponentName=arn)
    except SageMakerError as error:
        if error.problem in {"missing", "invalid"}:
            return None
        if error.problem != "denied":
            raise
        answer = {"TrialComponentName": arn.rpartition("/")[2]}
    return _read(arn, answer)


def _read(arn: str, answer: Mapping[str, Any]) -> Action:
    source = answer.get("Source") or {}
    kind, job = str(source.get("SourceType") or ""), source.get("SourceArn")
    name = str(answer.get("TrialComponentName") or arn.rpartition("/")[2])
    status = (answer.get("Status") or {}).get("PrimaryStatus")
    given = {key: _shown(key, value) for key, value in sorted((answer.get("Parameters") or {}).items())}
    properties = {
        "name": fit_text(str(answer.get("DisplayName") or name)),
        "started": wire.moment(answer.get("StartTime")),
        "ended": wire.moment(answer.get("EndTime")),
        "parameters": fit_json(given) if given else "",
    }
    created = wire.moment(answer.get("CreationTime"))
    return Action.model_construct(
        arn=arn,
        # The source of a component that a job made is the job; of another there is none.
        source_uri=str(job or arn),
        source_type=kind or None,
        source_id=None,
        created_at=created,
        modified_at=wire.moment(answer.get("LastModifiedTime")) or created,
        name=name,
        action_type=kind.removeprefix("SageMaker") or "TrialComponent",
        status=cast("ActionStatus", status if status in get_args(ActionStatus) else "Unknown"),
        description=None,
        properties={key: value for key, value in properties.items() if value},
        metadata=MetadataProperties(),
    )


def _shown(name: str, value: Mapping[str, Any]) -> object:
    """A hyperparameter: a number, or a text without secrets."""
    if is_secret_name(name):
        return MASK
    number = value.get("NumberValue")
    return number if number is not None else masked(str(value.get("StringValue", "")))
