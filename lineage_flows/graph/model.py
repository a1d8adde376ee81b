"""What a lineage graph is made of: SageMaker's artifacts, actions, contexts and associations, with SageMaker's limits.

Knows pydantic and nothing of how a graph is kept or where its facts come from. The limits are those of SageMaker's own service
model; botocore checks none of the maximum lengths, patterns and enumerations, so they are checked here.
Times are RFC 3339 strings in UTC with microseconds.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

__all__ = [
    "Action",
    "ActionStatus",
    "Artifact",
    "Association",
    "AssociationType",
    "Context",
    "Entity",
    "EntityBase",
    "LineageType",
    "MetadataProperties",
    "SourceIdType",
    "SourceType",
    "Use",
]

LineageType = Literal["Artifact", "Action", "Context"]
AssociationType = Literal["ContributedTo", "AssociatedWith", "DerivedFrom", "Produced", "SameAs"]
ActionStatus = Literal["Unknown", "InProgress", "Completed", "Failed", "Stopping", "Stopped"]
SourceIdType = Literal["MD5Hash", "S3ETag", "S3Version", "Custom"]

NAME_LENGTH = 120
URI_LENGTH = 2048
TYPE_LENGTH = 256
DESCRIPTION_LENGTH = 3072
PROPERTY_LENGTH = 2500
ARTIFACT_PROPERTY_LENGTH = 4096
METADATA_LENGTH = 1024
MOST_PROPERTIES = 30

LINE_BREAKS = "\n\r\x85\u2028\u2029"
"""What the ``.`` of SageMaker's patterns (Java's) does not match, so that no text of a graph may hold it."""


def is_one_line(text: str) -> bool:
    """Whether a text has no line breaks. Nearly all texts are printable, which is told without looking for any."""
    return text.isprintable() or not any(character in text for character in LINE_BREAKS)


def _one_line(text: str) -> str:
    if not is_one_line(text):
        raise ValueError("a text in the graph is one line")
    return text


_OneLine = AfterValidator(_one_line)
EntityName = Annotated[str, StringConstraints(max_length=NAME_LENGTH, pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}$")]
ContextName = Annotated[
    str, StringConstraints(max_length=NAME_LENGTH, pattern=r"^[a-zA-Z0-9]([-_]*[a-zA-Z0-9]){0,119}$")
]
SourceUri = Annotated[str, StringConstraints(min_length=1, max_length=URI_LENGTH), _OneLine]
TypeName = Annotated[str, StringConstraints(min_length=1, max_length=TYPE_LENGTH), _OneLine]
SourceId = Annotated[str, StringConstraints(max_length=TYPE_LENGTH), _OneLine]
Description = Annotated[str, StringConstraints(max_length=DESCRIPTION_LENGTH), _OneLine]
PropertyText = Annotated[str, StringConstraints(max_length=PROPERTY_LENGTH), _OneLine]
ArtifactPropertyText = Annotated[str, StringConstraints(max_length=ARTIFACT_PROPERTY_LENGTH), _OneLine]
MetadataText = Annotated[str, StringConstraints(max_length=METADATA_LENGTH), _OneLine]
Arn = Annotated[
    str, StringConstraints(max_length=256, pattern=r"^arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:[a-z-]+/.+$")
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceType(_Frozen):
    """One way in which the content of an artifact's source is told from other content under the same URI."""

    type: SourceIdType
    value: SourceId


class MetadataProperties(_Frozen):
    """Where an artifact or action comes from in terms of code; None where it is not known."""

    commit_id: MetadataText | None = None
    repository: MetadataText | None = None
    generated_by: MetadataText | None = None
    project_id: MetadataText | None = None


class EntityBase(_Frozen):
    """What artifacts, actions and contexts have in common.

    ``created_at`` is the time of the earliest event that speaks of the entity.
    """

    lineage_type: ClassVar[LineageType]

    arn: Arn
    source_uri: SourceUri
    created_at: str


class Artifact(EntityBase):
    """Data, a value, a piece of code, an environment: something that was there, and can be there again.

    Its identity is ``source_uri`` with ``source_types`` together (sorted); ``name`` is decoration.
    """

    lineage_type: ClassVar[LineageType] = "Artifact"

    name: EntityName | None = None
    source_types: tuple[SourceType, ...] = ()
    artifact_type: TypeName
    properties: Annotated[dict[PropertyText, ArtifactPropertyText], Field(max_length=MOST_PROPERTIES)] = {}
    metadata: MetadataProperties = MetadataProperties()

    @property
    def type(self) -> str:
        """The artifact's type (``DataSet``, ``Model``, ``SourceTree`` …)."""
        return self.artifact_type

    @property
    def fingerprint(self) -> str | None:
        """The ``Custom`` source type: what the content hashes to; None when it was not known."""
        return next((source.value for source in self.source_types if source.type == "Custom"), None)

    @property
    def label(self) -> str:
        """What a reader calls it: the dataset's name where there is one, else its URI."""
        return self.properties.get("name") or self.source_uri


class Action(EntityBase):
    """Something that happened: a flow run or a task run. Its identity is its name.

    ``source_id`` is the run id. ``modified_at`` is the time of the latest event that speaks of it.
    """

    lineage_type: ClassVar[LineageType] = "Action"

    name: EntityName
    source_type: SourceId | None = None
    source_id: SourceId | None = None
    action_type: TypeName
    status: ActionStatus = "Unknown"
    description: Description | None = None
    properties: Annotated[dict[PropertyText, PropertyText], Field(max_length=MOST_PROPERTIES)] = {}
    metadata: MetadataProperties = MetadataProperties()
    modified_at: str

    @property
    def type(self) -> str:
        """The action's type (``FlowRun``, ``Replay``, ``Training`` …)."""
        return self.action_type

    @property
    def label(self) -> str:
        """What a reader calls it: the task's or the run's own name."""
        return self.properties.get("task") or self.properties.get("name") or self.name


class Context(EntityBase):
    """What groups actions: a flow. Its identity is its name."""

    lineage_type: ClassVar[LineageType] = "Context"

    name: ContextName
    source_type: SourceId | None = None
    source_id: SourceId | None = None
    context_type: TypeName
    description: Description | None = None
    properties: Annotated[dict[PropertyText, PropertyText], Field(max_length=MOST_PROPERTIES)] = {}

    @property
    def type(self) -> str:
        """The context's type (``Flow``)."""
        return self.context_type

    @property
    def label(self) -> str:
        """What a reader calls it: the flow's own name."""
        return self.properties.get("flow") or self.name


Entity = Artifact | Action | Context


class Use(_Frozen):
    """How an artifact went into an action, or that a file came out of it.

    Attributes:
        name: the parameter that took it; for a flow run also ``result``; empty when it was not passed but read.
        part: where in the artifact the passed value lies (``/train``); empty for the whole.
        known_by: how the link is known: ``prefect`` (its own tracking), ``content`` (equal fingerprints), ``derivation`` (computed
            from it), ``mutation`` (changed since); of a file, what read it (``open``, ``pandas.read_csv``). Sorted.
        touched: of a file, when it was first read, or last written; None when that is not known.
    """

    name: str = ""
    part: str = ""
    known_by: tuple[str, ...] = ()
    touched: str | None = None


class Association(_Frozen):
    """A directed edge. SageMaker's associations carry nothing else; ``uses`` is kept by the embedded graph only.

    The data path is ``artifact -ContributedTo-> action -Produced-> artifact``. ``AssociatedWith`` leads from the contained to what
    contains it. ``DerivedFrom`` and ``SameAs`` lead from a replay to the run it repeats, and from its outputs to that run's.
    """

    source_arn: Arn
    destination_arn: Arn
    association_type: AssociationType
    uses: tuple[Use, ...] = ()
    created_at: str

    @property
    def moment(self) -> str:
        """When its file was first read, or last written; empty when that is not known, and of what is no file."""
        moments = {use.touched or "" for use in self.uses}
        return moments.pop() if len(moments) == 1 else ""
