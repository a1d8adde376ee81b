"""The memory of a receiver's silence, so that not every process that ends a flow finds it out anew.

Knows a file in the home. Whoever has waited in vain notes it; for a while after that others hardly wait. It is no more than a hint:
what is delivered does not depend on it.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["Outage"]

REMEMBERED: Final = 60.0
"""Seconds for which a silence is taken to go on; after that one process waits in earnest again."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")


class Outage:
    """What is remembered of one receiver.

    Args:
        home: folder of the file, beside those of the turns.
        receiver: its name.
    """

    def __init__(self, home: Path, receiver: str) -> None:
        self._path = Path(home) / f"courier-{_UNSAFE.sub('_', receiver)}.silent"

    def note(self) -> None:
        """The receiver is silent now. Never raises: then it is not remembered."""
        with suppress(OSError):
            self._path.touch()

    def is_recent(self) -> bool:
        """Whether it was silent a while ago."""
        try:
            passed = time.time() - self._path.stat().st_mtime
        except OSError:
            return False
        return 0 <= passed < REMEMBERED

    def is_over(self) -> None:
        """The receiver has answered. Never raises."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
