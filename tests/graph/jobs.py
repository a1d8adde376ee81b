"""Runs that start jobs of SageMaker on data in S3 which other steps wrote, as events tell of them."""

from __future__ import annotations

from typing import Any

from lineage_flows.records import DatasetRef, ObjectFacts, RunRecord
from tests.graph.kit import desk_file, flow_id, frame, record_of
from tests.support.records import at, step

PLACE = "arn:aws:sagemaker:eu-central-1:123456789012"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/desk:7"
DAY = 10_000


def arn_of(name: str, kind: str = "training") -> str:
    """The ARN of a job."""
    return f"{PLACE}:{kind}-job/{name.lower()}"


def s3(uri: str, direction: Any, moment: float, version: str | None = None, **properties: Any) -> DatasetRef:
    """An object in a version, or what lies there in whichever."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return DatasetRef(
        namespace=f"s3://{bucket}",
        name=key or "/",
        uri=uri,
        path=uri,
        direction=direction,
        fingerprint=None,
        touched=at(moment),
        facts=ObjectFacts(etag=version) if version else None,
        properties=properties,
    )


def thing(arn: str, direction: Any, moment: float, kind: Any = "Job", **properties: Any) -> DatasetRef:
    """What SageMaker knows by an ARN."""
    place, _, name = arn.rpartition(":")
    return DatasetRef(
        namespace=place, name=name, uri=arn, path=arn, direction=direction, fingerprint=None, touched=at(moment), kind=kind,
        properties=properties,
    )  # fmt: skip


def preparing(
    day: int, number: int = 0, *, key: str = "train/part-0.csv", version: str = "", late: bool = False
) -> RunRecord:
    """A run that writes an object on a day: at its begin, or at its end."""
    begin = day * DAY + (8000 if late else 0)
    run = flow_id(100 + day * 10 + number)
    wrote = step(
        0, f"write_{day}", flow_id=run, started=at(begin + 1), ended=at(begin + 4),
        datasets=(
            desk_file(f"raw_{day}_{number}", "1", "read"),
            s3(f"s3://desk/{key}", "write", begin + 2, version or f"day-{day}-{number}"),
        ),
    )  # fmt: skip
    return record_of(wrote, started=at(begin), ended=at(begin + 9), run_name=f"prepare-{day}-{number}")


def training(day: int, *, channel: str = "s3://desk/train", own: Any = ()) -> RunRecord:
    """A run that starts a training job at noon."""
    noon, run = day * DAY + 4000, flow_id(50 + day)
    arn = arn_of(f"Nightly-{day}")
    started = step(
        0, "start", flow_id=run, started=at(noon + 1), ended=at(noon + 9), output=frame(f"name {day}"),
        datasets=(
            *own,
            s3(channel, "read", noon + 5, channel="train", s3DataType="S3Prefix"),
            s3("s3://desk/models", "write", noon + 5, output="S3OutputPath"),
            thing(arn, "write", noon + 5, job="TrainingJob", image=IMAGE, trialComponent=f"Nightly-{day}-aws-training-job"),
        ),
    )  # fmt: skip
    return record_of(started, started=at(noon), ended=at(noon + 10), run_name=f"train-{day}")


def scoring(day: int, of: int) -> RunRecord:
    """A run that reads the model which the job of a day has left, a day's evening."""
    evening, run = day * DAY + 9000, flow_id(20 + day)
    uri = f"s3://desk/models/Nightly-{of}/output/model.tar.gz"
    scored = step(
        0, "score", flow_id=run, started=at(evening + 1), ended=at(evening + 4), output=frame(f"score {day}"),
        datasets=(s3(uri, "read", evening + 2, f"model-{of}"),),
    )  # fmt: skip
    return record_of(scored, started=at(evening), ended=at(evening + 9), run_name=f"score-{day}")
