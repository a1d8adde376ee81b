"""Settings of the environments that replays run in. A part of ``settings``.

Knows nothing else of the package.
"""

from __future__ import annotations

import fnmatch
from typing import Annotated

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

__all__ = ["ReplaySettings"]


class ReplaySettings(BaseModel):
    """What is kept for rebuilding environments, and what a rebuild may do."""

    keep_wheels: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description='packages whose wheels `lineage-flows wheels` keeps: a list of names with * and ?, such as "desk-*" '
        "(in the environment separated by commas)",
    )
    python_downloads: bool = Field(
        False, description="let uv download the Python that a rebuilt environment needs: true or false"
    )

    @field_validator("keep_wheels", mode="before")
    @classmethod
    def _patterns(cls, value: object) -> object:
        return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value

    def keeps_wheel(self, name: str) -> bool:
        """Whether the wheel of a package of this (normalised) name is to be kept."""
        return any(fnmatch.fnmatchcase(name, pattern.lower().replace("_", "-")) for pattern in self.keep_wheels)
