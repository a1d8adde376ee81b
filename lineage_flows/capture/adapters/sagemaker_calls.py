"""What a call of SageMaker's API starts or makes: a job with the data it reads and writes, a model package, an endpoint.

Knows SageMaker's operations, what they take and what they answer; must not know how a call is seen. A job runs elsewhere: its data
is named and not looked at, and nothing is asked of SageMaker that the flow does not ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.adapters.shape import guarded
from lineage_flows.capture.declared import masked_properties
from lineage_flows.capture.details import Details
from lineage_flows.capture.file_content import Content
from lineage_flows.capture.naming import target_of_uri
from lineage_flows.capture.objects import Direction, Target
from lineage_flows.capture.paths import printable
from lineage_flows.errors import RecordingError

if TYPE_CHECKING:
    from lineage_flows.capture.files import FileLog
    from lineage_flows.record_base import DatasetKind

__all__ = ["SERVICE", "SageMakerCall", "told_operations"]

SERVICE = "sagemaker"
_ARN = re.compile(r"(arn:[^:]+:sagemaker:[^:]*:[^:]*):(.+)", re.DOTALL)
_MOST_STARTED = 10_000
_MOST_PARTS = 1_000
_NOTHING = Content(None, None)

Params = Mapping[str, Any]

_started: dict[str, None] = {}
"""ARNs of jobs that steps of this process have started: what such a job has made is known when its end is seen."""


@dataclass(frozen=True, slots=True)
class _Data:
    """Data that lies in S3, which a job reads or writes."""

    uri: str
    direction: Direction
    properties: dict[str, object]
    kind: DatasetKind | None = None


@dataclass(frozen=True, slots=True)
class _Thing:
    """What SageMaker knows by an ARN, and whether the step has made it or asks for it."""

    arn: str
    kind: DatasetKind
    direction: Direction = "write"
    properties: dict[str, object] = field(default_factory=dict)
    data: tuple[_Data, ...] = ()


class SageMakerCall:
    """One call of an operation in ``told_operations``, before and after.

    Args:
        log: of the run that the call is made for.
        library: through which it is made.
        operation: SageMaker's name of it.
        params: what it is given.
    """

    def __init__(self, log: FileLog, library: str, operation: str, params: Params) -> None:
        self._log = log
        self._params = params
        self._operation = operation
        self._via = f"{library}.{operation}"
        with guarded(log, f"recording {operation}"):
            log.cannot_restore(f"call sagemaker.{operation}")

    def failed(self, _error: Exception) -> None:
        """The call raised: nothing was started, and that it was tried has been said."""

    def answered(self, answer: Params, _watch: object) -> None:
        """The call returned."""
        with guarded(self._log, f"recording {self._operation}"):
            for thing in _OPERATIONS[self._operation](self._params, answer):
                self._tell(thing)

    def _tell(self, thing: _Thing) -> None:
        found = _ARN.fullmatch(thing.arn)
        if found is None:
            return
        details = Details(properties=_shown(thing.properties), kind=thing.kind)
        self._declare(Target(found[1], found[2], thing.arn), thing.direction, details)
        if thing.direction == "write" and thing.kind == "Job":
            _started[thing.arn] = None
            while len(_started) > _MOST_STARTED:
                del _started[next(iter(_started))]
        name = found[2].rpartition("/")[2]
        for data in thing.data[:_MOST_PARTS]:
            try:
                target = target_of_uri(data.uri)
            except RecordingError:  # SageMaker has taken it, so it is something that this version does not know
                continue
            verb = "reads" if data.direction == "read" else "writes"
            note = f"not fingerprinted: {name} {verb} it in SageMaker"
            self._declare(
                target, data.direction, Details(properties=_shown(data.properties), kind=data.kind, note=note)
            )

    def _declare(self, target: Target, direction: Direction, details: Details) -> None:
        self._log.objects.declare(target, direction, self._via, None, _NOTHING, details)
        if direction == "read":
            self._log.cannot_restore(f"object {printable(target.uri)}", target.uri, target.written)


def told_operations() -> frozenset[str]:
    """The operations whose meaning is recorded; others are only named."""
    return frozenset(_OPERATIONS)


# ---------------------------------------------------------------------------------------------------------------- jobs


def _training(params: Params, answer: Params) -> Iterator[_Thing]:
    name = params["TrainingJobName"]
    algorithm, output = params.get("AlgorithmSpecification") or {}, params.get("OutputDataConfig") or {}
    resources = params.get("ResourceConfig") or {}
    data = [
        _Data(uri, "read", {"channel": channel.get("ChannelName"), "s3DataType": source.get("S3DataType")})
        for channel in params.get("InputDataConfig") or ()
        if (source := _at(channel, "DataSource", "S3DataSource")) and (uri := source.get("S3Uri"))
    ]
    if uri := output.get("S3OutputPath"):
        data.append(_Data(uri, "write", {"output": "S3OutputPath"}))
    if uri := _at(params, "CheckpointConfig").get("S3Uri"):
        data.append(_Data(uri, "write", {"output": "checkpoints"}))
    yield _Thing(
        answer["TrainingJobArn"],
        "Job",
        properties={
            "job": "TrainingJob",
            "image": algorithm.get("TrainingImage") or algorithm.get("AlgorithmName"),
            "trialComponent": f"{name}-aws-training-job",
            "hyperparameters": dict(params.get("HyperParameters") or {}),
            "instanceType": resources.get("InstanceType"),
            "instanceCount": resources.get("InstanceCount"),
            **_experiment(params),
        },
        data=tuple(data),
    )


def _processing(params: Params, answer: Params) -> Iterator[_Thing]:
    name = params["ProcessingJobName"]
    cluster = _at(params, "ProcessingResources", "ClusterConfig")
    reads = [
        _Data(uri, "read", {"input": item.get("InputName")})
        for item in params.get("ProcessingInputs") or ()
        if (uri := _at(item, "S3Input").get("S3Uri"))
    ]
    writes = [
        _Data(uri, "write", {"output": item.get("OutputName")})
        for item in _at(params, "ProcessingOutputConfig").get("Outputs") or ()
        if (uri := _at(item, "S3Output").get("S3Uri"))
    ]
    yield _Thing(
        answer["ProcessingJobArn"],
        "Job",
        properties={
            "job": "ProcessingJob",
            "image": _at(params, "AppSpecification").get("ImageUri"),
            "trialComponent": f"{name}-aws-processing-job",
            "instanceType": cluster.get("InstanceType"),
            "instanceCount": cluster.get("InstanceCount"),
            **_experiment(params),
        },
        data=(*reads, *writes),
    )


def _transform(params: Params, answer: Params) -> Iterator[_Thing]:
    name, resources = params["TransformJobName"], params.get("TransformResources") or {}
    data = []
    if uri := _at(params, "TransformInput", "DataSource", "S3DataSource").get("S3Uri"):
        data.append(_Data(uri, "read", {"input": "TransformInput"}))
    if uri := _at(params, "TransformOutput").get("S3OutputPath"):
        data.append(_Data(uri, "write", {"output": "S3OutputPath"}))
    yield _Thing(
        answer["TransformJobArn"],
        "Job",
        properties={
            "job": "TransformJob",
            "model": params.get("ModelName"),
            "trialComponent": f"{name}-aws-transform-job",
            "instanceType": resources.get("InstanceType"),
            "instanceCount": resources.get("InstanceCount"),
            **_experiment(params),
        },
        data=tuple(data),
    )


def _experiment(params: Params) -> dict[str, object]:
    config = params.get("ExperimentConfig") or {}
    return {"experiment": config.get("ExperimentName"), "trial": config.get("TrialName")}


def _training_seen(_params: Params, answer: Params) -> Iterator[_Thing]:
    made = _at(answer, "ModelArtifacts").get("S3ModelArtifacts")
    more = {"image": _at(answer, "AlgorithmSpecification").get("TrainingImage"), "model": made}
    data = (_Data(made, "write", {"output": "S3ModelArtifacts"}, "Model"),) if made else ()
    yield _seen(answer, "TrainingJob", more, data)


def _processing_seen(_params: Params, answer: Params) -> Iterator[_Thing]:
    yield _seen(answer, "ProcessingJob", {"image": _at(answer, "AppSpecification").get("ImageUri")})


def _transform_seen(_params: Params, answer: Params) -> Iterator[_Thing]:
    yield _seen(answer, "TransformJob", {"model": answer.get("ModelName")})


def _seen(answer: Params, job: str, properties: dict[str, object], data: tuple[_Data, ...] = ()) -> _Thing:
    """A job that is asked about.

    What it has made is an output only of steps of the process that started it: whoever else looks at a job, a dashboard, has made
    nothing.
    """
    arn, status = answer[f"{job}Arn"], answer.get(f"{job}Status")
    made = data if status == "Completed" and arn in _started else ()
    return _Thing(arn, "Job", "read", {"job": job, "status": status, **properties}, made)


# -------------------------------------------------------------------------------------------- models, endpoints, others


def _containers(params: Params) -> tuple[list[str], tuple[_Data, ...]]:
    """Images and model data of what is made of containers."""
    given = [
        *(params.get("Containers") or ()),
        *([params["PrimaryContainer"]] if params.get("PrimaryContainer") else []),
    ]
    images = [image for container in given if (image := container.get("Image"))]
    uris = []
    for container in given:
        source = _at(container, "ModelDataSource", "S3DataSource")
        if uri := container.get("ModelDataUrl") or source.get("S3Uri"):
            uris.append(uri)
    return images, tuple(_Data(uri, "read", {"input": "ModelDataUrl"}, "Model") for uri in uris)


def _package(params: Params, answer: Params) -> Iterator[_Thing]:
    images, data = _containers(params.get("InferenceSpecification") or {})
    yield _Thing(
        answer["ModelPackageArn"],
        "Model",
        properties={
            "images": images,
            "group": params.get("ModelPackageGroupName"),
            "approval": params.get("ModelApprovalStatus"),
        },
        data=data,
    )


def _model(params: Params, answer: Params) -> Iterator[_Thing]:
    given = [*(params.get("Containers") or ()), params.get("PrimaryContainer") or {}]
    for package in dict.fromkeys(name for container in given if (name := container.get("ModelPackageName"))):
        if _ARN.fullmatch(package):  # a name alone does not say whose it is
            yield _Thing(package, "Model", "read")
    images, data = _containers(params)
    yield _Thing(answer["ModelArn"], "Model", properties={"images": images}, data=data)


def _endpoint_config(params: Params, answer: Params) -> Iterator[_Thing]:
    models = [variant.get("ModelName") for variant in params.get("ProductionVariants") or ()]
    yield _Thing(answer["EndpointConfigArn"], "Endpoint", properties={"models": models})


def _endpoint(params: Params, answer: Params) -> Iterator[_Thing]:
    yield _Thing(answer["EndpointArn"], "Endpoint", properties={"config": params.get("EndpointConfigName")})


def _pipeline(params: Params, answer: Params) -> Iterator[_Thing]:
    given = {item.get("Name"): item.get("Value") for item in params.get("PipelineParameters") or ()}
    yield _Thing(
        answer["PipelineExecutionArn"],
        "Job",
        properties={"job": "PipelineExecution", "pipeline": params.get("PipelineName"), "parameters": given},
    )


def _feature_group(params: Params, answer: Params) -> Iterator[_Thing]:
    uri = _at(params, "OfflineStoreConfig", "S3StorageConfig").get("S3Uri")
    data = (_Data(uri, "write", {"output": "offline store"}),) if uri else ()
    yield _Thing(
        answer["FeatureGroupArn"], "DataSet", properties={"featureGroup": params.get("FeatureGroupName")}, data=data
    )


_OPERATIONS: dict[str, Callable[[Params, Params], Iterator[_Thing]]] = {
    "CreateTrainingJob": _training,
    "CreateProcessingJob": _processing,
    "CreateTransformJob": _transform,
    "DescribeTrainingJob": _training_seen,
    "DescribeProcessingJob": _processing_seen,
    "DescribeTransformJob": _transform_seen,
    "CreateModelPackage": _package,
    "CreateModel": _model,
    "CreateEndpointConfig": _endpoint_config,
    "CreateEndpoint": _endpoint,
    "StartPipelineExecution": _pipeline,
    "CreateFeatureGroup": _feature_group,
}
"""Operation -> what it means, from what it was given and what it answered."""


def _at(given: Params, *path: str) -> Params:
    """A member of a member; empty where there is none."""
    for name in path:
        given = given.get(name) or {}
    return given


def _shown(properties: dict[str, object]) -> Any:  # noqa: ANN401 - JSON
    return masked_properties({name: value for name, value in properties.items() if value not in (None, "", [], {})})
