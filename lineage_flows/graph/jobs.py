"""What SageMaker says of a training job, as this package shows it.

Knows pydantic; must not know how SageMaker is asked.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["JobChannel", "TrainingJob"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobChannel(_Frozen):
    """Data that a training job read: the channel's name, and where it lies in S3; None where it lies elsewhere."""

    name: str
    uri: str | None = None


class TrainingJob(_Frozen):
    """What SageMaker says of a training job.

    Attributes:
        arn: its ARN.
        name: its name.
        status: ``Completed``, ``Failed`` and so on.
        created_at: RFC 3339 in UTC.
        image: the container image; None where a built-in algorithm is named instead.
        algorithm: the algorithm's name, where that is given.
        hyperparameters: by name, without secrets.
        channels: the data it read.
        output: the S3 prefix it writes under.
        model: the model it made; None while there is none.
        instance_type: the kind of machine.
        instance_count: how many of it.
    """

    arn: str
    name: str
    status: str = ""
    created_at: str | None = None
    image: str | None = None
    algorithm: str | None = None
    hyperparameters: dict[str, str] = {}
    channels: tuple[JobChannel, ...] = ()
    output: str | None = None
    model: str | None = None
    instance_type: str | None = None
    instance_count: int | None = None
