"""Settings: their names, defaults and checks; from ``LINEAGE_FLOWS_*`` and ``[tool.lineage_flows]`` in pyproject.toml.

Knows the errors and nothing else of the package.
"""

from __future__ import annotations

import fnmatch
import os
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import ByteSize, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from lineage_flows.errors import HomeError, SettingsError

__all__ = ["CaptureLevel", "Keeper", "Settings", "load_settings"]

CaptureLevel = Literal["off", "metadata", "inputs", "all"]
Keeper = Literal["embedded", "sagemaker"]

PREFIX = "LINEAGE_FLOWS_"
_SERVICE = re.compile(r"(SERVICE|PORT)(_.*)?|.*_(SERVICE|PORT)_.*|.*_PORT", re.DOTALL)
"""Kubernetes tells every container of each service in such variables, and one may be called lineage-flows-something."""
_OTHER_VARIABLES = frozenset({f"{PREFIX}DEBUG", f"{PREFIX}REPLAY_SPEC", f"{PREFIX}TEST_API_URL"})
"""Variables of ours that are no settings: tracebacks of the command line, what a replay tells its process, a server for tests."""

LEVELS: tuple[CaptureLevel, ...] = get_args(CaptureLevel)
_SCOPES = ("flow", "tag", "task")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Settings(BaseSettings):
    """All settings of the project. The environment (``LINEAGE_FLOWS_<NAME>``) wins over pyproject.toml.

    Raises:
        SettingsError: from ``load_settings``, naming the setting, the value and what is allowed.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
    )

    home: Path = Field(
        default_factory=lambda: Path("~/.lineage-flows"),
        description="folder of the spool, the embedded graph and the blobs: a path to a folder",
    )
    keeper: Keeper = Field("embedded", description="where the graph lives: embedded or sagemaker")
    store_url: str | None = Field(
        None, description="where blobs lie: a path to a folder, or a URL such as s3://bucket/prefix"
    )
    level: CaptureLevel = Field("inputs", description="what is kept of every run: off, metadata, inputs or all")
    levels: Annotated[dict[str, CaptureLevel], NoDecode] = Field(
        default_factory=dict,
        description='levels of some flows, tags or tasks: a table of "flow:NAME", "tag:NAME" or "task:NAME" (with * and ?), '
        "each off, metadata, inputs or all (in the environment flow:a=all,task:b*=off)",
    )
    namespace: str = Field(
        "prefect", description="OpenLineage job namespace: up to 63 letters, digits, dots, dashes and underscores"
    )
    strict: bool = Field(False, description="let capture errors through to the flow: true or false")
    size_cap: ByteSize = Field(
        ByteSize(1 << 30), description='the largest file or value that is kept: bytes, or a text such as "500MB"'
    )
    code_size_cap: ByteSize = Field(
        ByteSize(64 << 20), description='the largest source tree that is kept: bytes, or a text such as "64MB"'
    )
    flush_seconds: float = Field(
        5.0, ge=0, le=600, description="the longest a flow run waits at its end for delivery: seconds from 0 to 600"
    )
    ui_artifact: bool = Field(True, description="write the lineage artifact into the Prefect UI: true or false")
    variables: tuple[str, ...] = Field(
        (
            "OMP_*",
            "MKL_*",
            "OPENBLAS_*",
            "BLIS_NUM_THREADS",
            "VECLIB_MAXIMUM_THREADS",
            "NUMEXPR_*",
            "NPY_*",
            "PYTHONHASHSEED",
            "LANG",
            "LC_*",
            "TZ",
            "CUDA_VISIBLE_DEVICES",
            "CUBLAS_WORKSPACE_CONFIG",
            "TF_DETERMINISTIC_OPS",
        ),
        description="names of environment variables whose values are recorded: a list of patterns",
    )

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("namespace")
    @classmethod
    def _namespace(cls, value: str) -> str:
        if not _NAMESPACE.fullmatch(value):
            raise ValueError(value)
        return value

    @field_validator("store_url")
    @classmethod
    def _store_url(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError(value)
        return value

    @field_validator("levels", mode="before")
    @classmethod
    def _levels(cls, value: object) -> object:
        """Accept a table (pyproject) or ``flow:a=all,task:b=off`` (environment), so that no JSON is needed in a shell."""
        if isinstance(value, str):
            pairs = [item.partition("=") for item in value.split(",") if item.strip()]
            if any(not separator for _, separator, _ in pairs):
                raise ValueError(value)
            value = {name.strip(): level.strip() for name, _, level in pairs}
        if isinstance(value, dict):
            for selector in value:
                scope, _, pattern = str(selector).partition(":")
                if scope not in _SCOPES or not pattern:
                    raise ValueError(selector)
        return value

    @property
    def blobs_url(self) -> str:
        """Where blobs lie: ``store_url``, else the folder ``blobs`` of the home."""
        return self.store_url or str(self.home / "blobs")

    def check_home(self) -> None:
        """A home that is not there yet is an empty one; one that cannot be there is a mistake.

        Raises:
            HomeError: it, or what it would lie in, is no folder.
        """
        for folder in (self.home, *self.home.parents):
            if folder.is_dir():
                return
            if folder.exists():
                raise HomeError(
                    f"the home {self.home} cannot be used",
                    why=f"{folder} is no folder",
                    fix="point LINEAGE_FLOWS_HOME, or --home, at a folder",
                )

    def level_for(self, flow: str, *, tags: tuple[str, ...] = (), task: str | None = None) -> CaptureLevel:
        """The level of a flow, or of a task in it: the task's rule wins over a tag's, that over the flow's, over the project's.

        Of several rules of one scope that fit, the one that keeps least wins, so that a rule made to protect data always holds.
        A flow that is ``off`` is off with all its tasks.
        """
        by_flow = self._lowest("flow", (flow,))
        if by_flow == "off" or (by_flow is None and self.level == "off" and not self.levels):
            return "off"
        by_task = self._lowest("task", (task,)) if task is not None else None
        return by_task or self._lowest("tag", tags) or by_flow or self.level

    def _lowest(self, scope: str, names: tuple[str, ...]) -> CaptureLevel | None:
        fits = [
            level
            for selector, level in self.levels.items()
            if selector.startswith(scope + ":")
            and any(fnmatch.fnmatchcase(name, selector.partition(":")[2]) for name in names)
        ]
        return min(fits, key=LEVELS.index, default=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then the nearest pyproject.toml that has our table."""
        found = find_pyproject(Path.cwd())
        if found is None:
            return (init_settings, env_settings)
        return (init_settings, env_settings, InitSettingsSource(settings_cls, _table(found, found.stat().st_mtime_ns)))


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - any setting's own type; pydantic checks it
    """Read and check the settings.

    Args:
        overrides: settings by name, over environment and pyproject.toml.

    Raises:
        SettingsError: for the first wrong value, with the setting's name as the user wrote it.
    """
    _check_names()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise _explain(error) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("pyproject.toml", str(error), "a valid TOML file") from None


def find_pyproject(folder: Path) -> Path | None:
    """The nearest pyproject.toml at or above ``folder`` with a ``[tool.lineage_flows]`` table; None when there is none."""
    for parent in (folder, *folder.parents):
        candidate = parent / "pyproject.toml"
        if candidate.is_file() and _table(candidate, candidate.stat().st_mtime_ns):
            return candidate
    return None


@lru_cache(maxsize=64)
def _table(path: Path, _mtime: int) -> dict[str, Any]:
    """Our table of a pyproject.toml, empty when it has none; read again when the file has changed."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    table = document.get("tool", {}).get("lineage_flows", {})
    return table if isinstance(table, dict) else {}


def _check_names() -> None:
    """A setting that is misspelt in the environment must not go unnoticed: it may be the one that keeps contents out.

    Raises:
        SettingsError: for the first variable with our prefix that is no setting.
    """
    for variable in sorted(os.environ):
        name = variable.upper()
        if not name.startswith(PREFIX) or name in _OTHER_VARIABLES:
            continue
        setting = name.removeprefix(PREFIX)
        if setting.lower() not in Settings.model_fields and _SERVICE.fullmatch(setting) is None:
            raise SettingsError(variable, os.environ[variable], _one_of_the_settings())


def _one_of_the_settings() -> str:
    return "one of the settings " + ", ".join(Settings.model_fields)


def _explain(error: ValidationError) -> SettingsError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    field = Settings.model_fields.get(name)
    if field is None:
        return SettingsError(
            f"[tool.lineage_flows] {name}",
            first.get("input"),
            _one_of_the_settings(),
        )
    label = f"{name} (LINEAGE_FLOWS_{name.upper()}, or {name} under [tool.lineage_flows])"
    _, _, allowed = (field.description or "").partition(": ")
    return SettingsError(label, first.get("input"), allowed)
