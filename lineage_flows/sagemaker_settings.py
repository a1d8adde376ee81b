"""Settings of the SageMaker keeper: how much of a run is kept there, the account's quotas, tags. A part of ``settings``.

Knows the tag that the roles of ``infra/`` go by, and nothing else of the package.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

from lineage_flows.permissions import MANAGED_BY

__all__ = ["QUOTAS", "SageMakerSettings"]

QUOTAS: Final = {"actions": 3000, "artifacts": 6000, "associations": 6000, "contexts": 500}
"""AWS's quotas for what is made by hand, in one account and region. They can be raised."""

_KEY: Final = re.compile(r"(?!aws:)[\w\s.:/=+@-]{1,128}", re.IGNORECASE)
_VALUE: Final = re.compile(r"[\w\s.:/=+@-]{0,256}")
_MOST_TAGS: Final = 50
_PLACE: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?")


class SageMakerSettings(BaseModel):
    """The settings whose names begin with ``sagemaker_``."""

    sagemaker_detail: Literal["steps", "runs"] = Field(
        "steps", description="what is kept of a run in SageMaker: steps or runs"
    )
    sagemaker_fall_back: bool = Field(
        False, description="keep runs only once four fifths of a quota of SageMaker are used: true or false"
    )
    sagemaker_quotas: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict,
        description="quotas of the AWS account: a table of actions, artifacts, associations, contexts, each a whole number from 1 "
        "(in the environment actions=3000,artifacts=6000)",
    )
    sagemaker_tags: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="tags on everything in SageMaker: a table of at most 49 names and values as AWS allows them "
        "(in the environment team=quant,desk=equities)",
    )

    sagemaker_models_url: str | None = Field(
        None,
        description="where the data of registered models goes: s3://bucket/prefix; by default models beside the blobs, "
        "when those are in S3",
    )

    @field_validator("sagemaker_models_url")
    @classmethod
    def _models_url(cls, value: str | None) -> str | None:
        if value is not None and not _PLACE.fullmatch(value):
            raise ValueError(value)
        return value

    @field_validator("sagemaker_quotas", mode="before")
    @classmethod
    def _quotas(cls, value: object) -> object:
        value = _table(value)
        if isinstance(value, dict):
            for name, number in value.items():
                if name not in QUOTAS or not str(number).isdecimal() or int(number) < 1:
                    raise ValueError(f"{name}={number}")
        return value

    @field_validator("sagemaker_tags", mode="before")
    @classmethod
    def _tags(cls, value: object) -> object:
        value = _table(value)
        if isinstance(value, dict):
            if len(value) >= _MOST_TAGS:
                raise ValueError(len(value))
            for name, text in value.items():
                if not _KEY.fullmatch(str(name)) or not _VALUE.fullmatch(str(text)) or name == MANAGED_BY[0]:
                    raise ValueError(f"{name}={text}")
        return value

    @property
    def all_quotas(self) -> dict[str, int]:
        """The quotas that hold: AWS's own where nothing is set."""
        return {**QUOTAS, **self.sagemaker_quotas}

    @property
    def all_tags(self) -> dict[str, str]:
        """The tags on everything, ours among them."""
        return {**self.sagemaker_tags, MANAGED_BY[0]: MANAGED_BY[1]}


def _table(value: object) -> object:
    """A table, also from ``a=1,b=2``, so that no JSON is needed in a shell."""
    if not isinstance(value, str):
        return value
    pairs = [item.partition("=") for item in value.split(",") if item.strip()]
    if any(not separator for _, separator, _ in pairs):
        raise ValueError(value)
    return {name.strip(): text.strip() for name, _, text in pairs}
