"""Takes note of every secret that is opened in this process, so that its value is masked wherever it appears in a text.

Knows pydantic's secrets, which Prefect's blocks, settings and ``SecretDict`` are made of. The value is held in memory only.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from lineage_flows.capture.adapters.shape import Patches
from lineage_flows.redaction import remember

__all__ = ["SecretAdapter"]


class SecretAdapter:
    """Wraps the one method by which a secret is opened."""

    name = "values of secrets"
    module = "pydantic.types"

    def __init__(self) -> None:
        self._patches = Patches("pydantic")

    def install(self, module: ModuleType) -> None:
        """Wrap ``get_secret_value`` of pydantic's base class of secrets."""
        if not self._patches:
            self._patches.wrap(getattr(module, "_SecretBase", None), "get_secret_value", ("self",), _opened)

    def uninstall(self) -> None:
        """Give pydantic its own method back."""
        self._patches.undo()


def _opened(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def get_secret_value(self: Any) -> Any:  # noqa: ANN401 - a secret of any type
        value = original(self)
        with contextlib.suppress(Exception):  # a value whose own methods raise; there is no run to note it on
            remember(value)
        return value

    return get_secret_value
