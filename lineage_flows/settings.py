"""Settings: their names, defaults and checks; from the environment, lineage.toml and pyproject.toml.

Knows the errors and the rules, and nothing else of the package.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from lineage_flows.errors import HomeError, SettingsError
from lineage_flows.policy import (
    LEVELS,
    CaptureLevel,
    Decision,
    Rule,
    RuleError,
    decide,
    leaves_out_anywhere,
    parse_rules,
    rule_of_level,
)
from lineage_flows.replay_settings import ReplaySettings
from lineage_flows.sagemaker_settings import SageMakerSettings
from lineage_flows.tolerances import ToleranceSettings

__all__ = ["CaptureLevel", "Keeper", "Settings", "load_settings"]

Keeper = Literal["embedded", "sagemaker"]

PREFIX = "LINEAGE_FLOWS_"
_SERVICE = re.compile(r"(SERVICE|PORT)(_.*)?|.*_(SERVICE|PORT)_.*|.*_PORT", re.DOTALL)
"""Kubernetes tells every container of each service in such variables, and one may be called lineage-flows-something."""
_OTHER_VARIABLES = frozenset({f"{PREFIX}DEBUG", f"{PREFIX}REPLAY_SPEC", f"{PREFIX}TEST_API_URL"})
"""Variables of ours that are no settings: tracebacks of the command line, what a replay tells its process, a server for tests."""

_OWN_FILE = "lineage.toml"
_MOST_DECISIONS = 10_000
_SCOPES = ("flow", "tag", "task")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Settings(SageMakerSettings, ReplaySettings, ToleranceSettings, BaseSettings):
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
    rules: Annotated[tuple[Rule, ...], NoDecode] = Field(
        (),
        description="what holds for some flows, tasks and tags: a list of tables, each with a match and settings "
        '(in the environment JSON: [{"match": {"flow": "a*"}, "level": "off"}])',
    )
    owners: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description='who owns the flows: a list of texts such as "team:quant" (in the environment separated by commas)',
    )
    redact: tuple[str, ...] = Field(
        (), description="what else is a secret: a list of regular expressions (in the environment JSON)"
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

    _decisions: dict[tuple[str, tuple[str, ...], str | None], Decision] = PrivateAttr(default_factory=dict)

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

    @field_validator("rules", mode="before")
    @classmethod
    def _rules(cls, value: object) -> object:
        """Rules of the environment come after those of the files: of equally specific ones they decide."""
        if isinstance(value, str):
            try:
                raw = json.loads(value)
            except ValueError:
                raise RuleError("rules", value, 'JSON such as [{"match": {"flow": "a*"}, "level": "off"}]') from None
            return (*_rules_of_files(), *parse_rules(raw, f"{PREFIX}RULES"))
        if isinstance(value, list | tuple) and all(isinstance(item, Rule) for item in value):
            return value
        return parse_rules(value, "the given")

    @field_validator("owners", mode="before")
    @classmethod
    def _owners(cls, value: object) -> object:
        return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value

    @field_validator("redact")
    @classmethod
    def _redact(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                found = re.compile(pattern)
            except re.error as error:
                raise RuleError("redact", pattern, f"a regular expression ({error})") from None
            if found.match("") is not None:
                raise RuleError("redact", pattern, "a regular expression that does not fit an empty text")
        return value

    @property
    def blobs_url(self) -> str:
        """Where blobs lie: ``store_url``, else the folder ``blobs`` of the home."""
        return self.store_url or str(self.home / "blobs")

    @property
    def models_url(self) -> str | None:
        """Where the data of registered models goes: ``sagemaker_models_url``, else ``models`` beside blobs in S3; else None."""
        blobs = self.blobs_url.rstrip("/")
        beside = (
            f"{blobs.rpartition('/')[0] if blobs.count('/') > 2 else blobs}/models" if blobs[:5] == "s3://" else None
        )
        return self.sagemaker_models_url or beside

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

    def decision(self, flow: str, *, tags: tuple[str, ...] = (), task: str | None = None) -> Decision:
        """What holds for a flow, or for a task in it: by the rules (see ``policy.decide``), else by the project's settings.

        A flow that is ``off`` is off with all its tasks.
        """
        known = self._decisions.get((flow, tags, task))
        if known is None:
            known = self._decide(flow, tags, task)
            if len(self._decisions) > _MOST_DECISIONS:
                self._decisions.clear()
            self._decisions[flow, tags, task] = known
        return known

    def _decide(self, flow: str, tags: tuple[str, ...], task: str | None) -> Decision:
        size_cap = int(self.size_cap)
        found = decide(self.all_rules, flow, task=task, tags=tags, level=self.level, size_cap=size_cap)
        found = found if "owners" in found.why else replace(found, owners=self.owners)
        if task is None:
            return found
        # Of the flow run's own tags nothing is known here; a flow that those turn off is not there to have tasks.
        whole = decide(self.all_rules, flow, task=None, tags=(), level=self.level, size_cap=size_cap)
        if whole.level == "off" and ("level" in whole.why or "emit" in whole.why):
            why = {**found.why, **{name: rule for name, rule in whole.why.items() if name in {"level", "emit"}}}
            return replace(found, level="off", emit=found.emit and whole.emit, why=why)
        return found

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        """The rules in order; those that ``levels`` is short for come first, and among them those that keep least last."""
        short = sorted(self.levels.items(), key=lambda item: LEVELS.index(item[1]), reverse=True)
        return (*(rule_of_level(selector, level) for selector, level in short), *self.rules)

    def level_for(self, flow: str, *, tags: tuple[str, ...] = (), task: str | None = None) -> CaptureLevel:
        """The level of a flow, or of a task in it."""
        return self.decision(flow, tags=tags, task=task).level

    def leaves_out(self, path: str) -> bool:
        """Whether any rule leaves a file out, by its absolute path: for what is not of one flow or task, the source tree."""
        return leaves_out_anywhere(self.rules, Path(path).as_uri())

    @property
    def is_off(self) -> bool:
        """Whether nothing can be captured: the level is ``off``, and nothing says otherwise of any flow."""
        return self.level == "off" and not self.levels and not any(rule.level for rule in self.rules)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then the nearest lineage.toml, then the nearest pyproject.toml that has our table."""
        return (init_settings, env_settings, InitSettingsSource(settings_cls, _of_files()))


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
    except RuleError as error:
        raise _explain_rule(error) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("pyproject.toml or lineage.toml", str(error), "a valid TOML file") from None


def find_pyproject(folder: Path) -> Path | None:
    """The nearest pyproject.toml at or above ``folder`` with a ``[tool.lineage_flows]`` table; None when there is none."""
    for parent in (folder, *folder.parents):
        candidate = parent / "pyproject.toml"
        if candidate.is_file() and _table(candidate, candidate.stat().st_mtime_ns):
            return candidate
    return None


def find_own_file(folder: Path) -> Path | None:
    """The nearest lineage.toml at or above ``folder``; None when there is none."""
    candidates = (parent / _OWN_FILE for parent in (folder, *folder.parents))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _of_files() -> dict[str, Any]:
    """The settings of both files: those of lineage.toml win, and its rules come after those of pyproject.toml."""
    tables = [_table(found, found.stat().st_mtime_ns) for found in _files()]
    merged = {name: value for table in tables for name, value in table.items()}
    return merged | {"rules": _rules_of_files()} if "rules" in merged else merged


def _rules_of_files() -> tuple[Rule, ...]:
    tables = [(found, _table(found, found.stat().st_mtime_ns)) for found in _files()]
    return tuple(rule for found, table in tables for rule in parse_rules(table.get("rules", []), found.name))


def _files() -> list[Path]:
    folder = Path.cwd()
    return [found for found in (find_pyproject(folder), find_own_file(folder)) if found is not None]


@lru_cache(maxsize=64)
def _table(path: Path, _mtime: int) -> dict[str, Any]:
    """Our table of a file, empty when it has none; read again when the file has changed."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    if path.name == _OWN_FILE:
        return document
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
    parts = (SageMakerSettings, ToleranceSettings, ReplaySettings)
    names = sorted(Settings.model_fields, key=lambda name: [name in part.model_fields for part in parts])
    return "one of the settings " + ", ".join(names)


def _explain_rule(error: RuleError) -> SettingsError:
    return SettingsError(
        f"{error.where} (LINEAGE_FLOWS_*, lineage.toml or [tool.lineage_flows])", error.value, error.allowed
    )


def _explain(error: ValidationError) -> SettingsError:
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, RuleError):
        return _explain_rule(cause)
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
