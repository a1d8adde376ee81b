"""The user's OpenLineage configuration, read the way openlineage-python reads it, and fitted to a courier.

Knows the client's configuration; must not know events.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lineage_flows.errors import DeliveryError

__all__ = ["configured", "environment_kept", "for_courier", "transport_config", "transports"]

Config = dict[str, Any]

_FILES: Final = ("openlineage.yml", "~/.openlineage/openlineage.yml")
_VARIABLES: Final = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")
_PREFIX: Final = "OPENLINEAGE__TRANSPORT"
_COMPOSITE: Final = "composite"

_NO_RETRIES: Final[Config] = {"total": 0, "connect": 0, "read": 0, "status_forcelist": []}
FITTED: Final[Mapping[str, Config]] = {
    # The client's own retries hold a courier up for 39 seconds and write a log line each; the courier tries again anyway.
    "http": {"retry": _NO_RETRIES},
    # These say "sent" before they have sent, so that a process that ends loses events. A courier makes nobody wait.
    "async_http": {"type": "http", "retry": _NO_RETRIES},
    "datadog": {"async_transport_rules": {}, "retry": _NO_RETRIES},
    # Its flush has no limit, and says nothing of what did not arrive; the receiver asks for itself.
    "kafka": {"flush": False},
    "msk-iam": {"flush": False},
}
"""By type of transport, what of its configuration is replaced."""

_environment = threading.RLock()


def configured() -> bool:
    """Whether the user has an OpenLineage configuration that names a transport; cheap, without importing the client."""
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if any(os.environ.get(name) for name in _VARIABLES) or _in_environment():
        return True
    try:
        return _transport_of(_file_content()) is not None
    except (OSError, ValueError):
        return True  # there is one, and it is broken: the receiver will say so


def transports() -> dict[str, Config] | None:
    """The transports of a composite configuration by name; None when it is one transport, or broken.

    One that takes another transport only where the first fails (``continue_on_success: false``) counts as one transport.
    """
    try:
        config = _merged() if _COMPOSITE in "".join(_in_environment().values()) else _transport_of(_file_content())
    except (OSError, ValueError, DeliveryError):
        return None
    if config is None or config.get("type") != _COMPOSITE or not config.get("continue_on_success", True):
        return None
    inner = config.get("transports")
    if isinstance(inner, dict):
        return {str(name): child for name, child in inner.items() if isinstance(child, dict)} or None
    if not isinstance(inner, list):
        return None
    found: dict[str, Config] = {}
    for child in inner:
        if isinstance(child, dict):
            name = str(child.get("name") or child.get("type"))
            found[name if name not in found else f"{name}-{len(found) + 1}"] = child
    return found or None


def transport_config() -> Config:
    """The configuration of the transport.

    Raises:
        DeliveryError: there is none, or it cannot be read.
    """
    named = os.environ.get("OPENLINEAGE_CONFIG")
    if named and not Path(named).is_file():
        raise _wrong(f"OPENLINEAGE_CONFIG names {named!r}, which is no file")
    try:
        _file_content()
    except (OSError, ValueError) as error:
        raise _wrong(str(error)) from error
    config = _merged()
    if config is None:
        raise _wrong("it names no transport")
    return config


def for_courier(config: Mapping[str, Any]) -> Config:
    """A copy of a transport's configuration that sends before it says so, and leaves trying again to the courier."""
    fitted = copy.deepcopy(dict(config))
    for key, value in fitted.items():
        if isinstance(value, dict):
            fitted[key] = for_courier(value)
        elif isinstance(value, list):
            fitted[key] = [for_courier(item) if isinstance(item, dict) else item for item in value]
    kind = fitted.get("type")
    return fitted | copy.deepcopy(FITTED.get(kind, {})) if isinstance(kind, str) else fitted


@contextmanager
def environment_kept() -> Iterator[None]:
    """The client writes aliases of OPENLINEAGE_URL into the environment; the flow and its children are to see none of them."""
    with _environment:
        before = {name for name in os.environ if name.startswith(_PREFIX)}
        try:
            yield
        finally:
            for name in [name for name in os.environ if name.startswith(_PREFIX) and name not in before]:
                del os.environ[name]


def _merged() -> Config | None:
    """The transport's configuration as the client merges it from file and environment."""
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.noop import NoopConfig, NoopTransport

    try:
        with environment_kept():
            config = OpenLineageClient(transport=NoopTransport(NoopConfig())).config.transport
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise _wrong(str(error)) from error
    if config and config.get("type"):
        return dict(config)
    return _from_url()


def _from_url() -> Config | None:
    """The client's own short form: OPENLINEAGE_URL, OPENLINEAGE_ENDPOINT and OPENLINEAGE_API_KEY."""
    url = os.environ.get("OPENLINEAGE_URL")
    if not url:
        return None
    config: Config = {"type": "http", "url": url}
    if endpoint := os.environ.get("OPENLINEAGE_ENDPOINT"):
        config["endpoint"] = endpoint
    if key := os.environ.get("OPENLINEAGE_API_KEY"):
        config["auth"] = {"type": "api_key", "apiKey": key}
    return config


def _in_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}


def _file_content() -> object:
    """What the configuration file says; None when there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no YAML.
    """
    named = os.environ.get("OPENLINEAGE_CONFIG")
    for name in (*([named] if named else []), *_FILES):
        path = Path(name).expanduser()
        if path.is_file():
            return _yaml(path)
    return None


def _yaml(path: Path) -> object:
    import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error


def _transport_of(content: object) -> Config | None:
    transport = content.get("transport") if isinstance(content, dict) else None
    return transport if isinstance(transport, dict) and transport.get("type") else None


def _wrong(why: str) -> DeliveryError:
    return DeliveryError(
        "the OpenLineage configuration cannot be used",
        why=why,
        fix="correct it; events stay in the spool until then. OPENLINEAGE_DISABLED=true switches it off",
    )
