"""An account of which tests know what is in it, and calls of any operation by its name in botocore's model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore import xform_name

from lineage_flows.endpoint.server import Endpoint
from lineage_flows.endpoint.shapes import input_shape
from tests.endpoint.kit import KINDS, client

Item = dict[str, Any]
COUNT = 7
NOWHERE = "arn:aws:sagemaker:us-east-1:000000000000:artifact/" + "0" * 32


@dataclass
class Account:
    """What there is, and who calls.

    Attributes:
        sagemaker: a client that checks parameters.
        unchecked: one that does not.
        arns: of artifacts, actions and contexts, by kind, in order of creation.
    """

    sagemaker: Any
    unchecked: Any
    arns: dict[str, list[str]]


@contextmanager
def open_account(folder: Path) -> Iterator[Account]:
    """An account with seven of everything."""
    with Endpoint(folder) as endpoint:
        sagemaker = client(endpoint.url)
        arns: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for number in range(COUNT):
            for kind in KINDS:
                source: Item = {"SourceUri": f"s3://desk/{number % 3}"}
                if kind == "Artifact":
                    source["SourceTypes"] = [{"SourceIdType": "Custom", "Value": str(number)}]
                request = {
                    f"{kind}Name": f"{'bac'[number % 3]}{number}",
                    f"{kind}Type": ("DataSet", "Model")[number % 2],
                    "Source": source,
                    "Properties": {"parity": str(number % 2)},
                }
                arns[kind].append(called(sagemaker, f"Create{kind}", request)[f"{kind}Arn"])
            sagemaker.create_experiment(ExperimentName=f"{'bac'[number % 3]}{number}")
        kinds = ["ContributedTo", "AssociatedWith", "DerivedFrom", "Produced", "SameAs"]
        for number in range(COUNT):
            ends = arns["Artifact"][number], arns["Action"][number // 2]
            sagemaker.add_association(
                SourceArn=ends[0], DestinationArn=ends[1], AssociationType=kinds[number % len(kinds)]
            )
            sagemaker.add_association(SourceArn=ends[1], DestinationArn=arns["Context"][number])
        for number in range(COUNT):
            trial, component = f"{'bac'[number % 3]}{number}", f"{'bac'[number % 3]}{number}-aws-training-job"
            sagemaker.create_trial(TrialName=trial, ExperimentName=experiment_of(number))
            sagemaker.create_trial_component(TrialComponentName=component, Tags=[{"Key": "parity", "Value": f"{number % 2}"}],
                                             Parameters={"n": {"NumberValue": number}})  # fmt: skip
            sagemaker.associate_trial_component(TrialName=trial, TrialComponentName=component)
        sagemaker.add_tags(
            ResourceArn=arns["Action"][0], Tags=[{"Key": f"k{number}", "Value": "v"} for number in range(50)]
        )
        endpoint.keep("ModelPackageGroup", [group(f"g{number}") for number in range(3)])
        yield Account(sagemaker, client(endpoint.url, checks=False), arns)


def group(name: str) -> Item:
    """As boto3's describe_model_package_group gives it."""
    return {
        "ModelPackageGroupName": name,
        "ModelPackageGroupArn": f"arn:aws:sagemaker:us-east-1:123456789012:model-package-group/{name}",
        "CreationTime": datetime(2026, 3, 1, tzinfo=UTC),
        "CreatedBy": {},
        "ModelPackageGroupStatus": "Completed",
    }


def called(sagemaker: Any, operation: str, request: Item) -> Item:
    """A call by the operation's name in the model."""
    return getattr(sagemaker, xform_name(operation))(**request)  # type: ignore[no-any-return]


def number_of(item: Item, member: str) -> int:
    """Which of the seven a summary is of, by its name."""
    (digits,) = re.findall(r"^[abc](\d)", item[member])
    return int(digits)


def experiment_of(number: int) -> str:
    return ("b0", "a1")[number % 2]


def base(account: Account, operation: str) -> Item:
    """What a request cannot be without."""
    return {"ResourceArn": account.arns["Action"][0]} if operation == "ListTags" else {}


def required(account: Account, operation: str) -> Item:
    if operation == "QueryLineage":
        return {"StartArns": [account.arns["Action"][0]]}
    return {"Resource": "ExperimentTrialComponent"} if operation == "Search" else base(account, operation)


def members(operation: str) -> dict[str, Any]:
    return dict(input_shape(operation).members)
