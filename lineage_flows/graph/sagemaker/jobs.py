"""The training job that made a model in S3, by SageMaker's Search: of models that no flow has told of, or told of only by name.

Knows Search and what it says of a training job; must not know the cache. Search does not cover artifacts, actions and contexts (D),
so that this is what it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lineage_flows.events.text import masked, utc
from lineage_flows.graph.jobs import JobChannel, TrainingJob
from lineage_flows.graph.sagemaker.client import Client
from lineage_flows.redaction import MASK, is_secret_name

__all__ = ["training_job_of"]


def training_job_of(client: Client, uri: str) -> TrainingJob | None:
    """The training job whose model lies at a URI in S3; the newest, should there be several; None when there is none.

    Raises:
        SageMakerError: SageMaker cannot say.
    """
    wanted = {"Name": "ModelArtifacts.S3ModelArtifacts", "Operator": "Equals", "Value": uri}
    answer = client.call(
        "Search",
        "*",
        Resource="TrainingJob",
        SearchExpression={"Filters": [wanted]},
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=1,
    )
    found = [job for result in answer.get("Results") or () if (job := result.get("TrainingJob"))]
    return _read(found[0]) if found else None


def _read(job: Mapping[str, Any]) -> TrainingJob:
    algorithm, resources = job.get("AlgorithmSpecification") or {}, job.get("ResourceConfig") or {}
    created = job.get("CreationTime")
    hyperparameters = job.get("HyperParameters") or {}
    return TrainingJob(
        arn=job["TrainingJobArn"],
        name=job["TrainingJobName"],
        status=job.get("TrainingJobStatus") or "",
        created_at=utc(created.isoformat()) if isinstance(created, datetime) else None,
        image=algorithm.get("TrainingImage"),
        algorithm=algorithm.get("AlgorithmName"),
        hyperparameters={name: _shown(name, str(value)) for name, value in sorted(hyperparameters.items())},
        channels=tuple(
            JobChannel(name=channel.get("ChannelName") or "", uri=_source(channel))
            for channel in job.get("InputDataConfig") or ()
        ),
        output=(job.get("OutputDataConfig") or {}).get("S3OutputPath"),
        model=(job.get("ModelArtifacts") or {}).get("S3ModelArtifacts"),
        instance_type=resources.get("InstanceType"),
        instance_count=resources.get("InstanceCount"),
    )


def _source(channel: Mapping[str, Any]) -> str | None:
    uri = ((channel.get("DataSource") or {}).get("S3DataSource") or {}).get("S3Uri")
    return None if uri is None else str(uri)


def _shown(name: str, value: str) -> str:
    return MASK if is_secret_name(name) else masked(value)
