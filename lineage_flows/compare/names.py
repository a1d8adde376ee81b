"""Names files so that the same file of two runs has one name, though their folders differ.

Knows records only.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass

from lineage_flows.records import RunRecord

__all__ = ["Folders", "short"]


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one run: a file below one of them is named relative to it, any other by its absolute path.

    Attributes:
        roots: absolute folders, the one that is tried first first.
        strip: the workspace of a replay, under which absolute paths are mirrored; "" otherwise.
        scripts: names the flow's own module may have: a script is ``__main__`` when it is run and ``flow`` when it is imported.
    """

    roots: tuple[str, ...]
    strip: str = ""
    scripts: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: RunRecord, strip: str = "") -> Folders:
        """Those of a run: its source tree, its working directory, the roots of modules outside both."""
        code = record.flow.code
        roots = [code.root] if code else []
        roots.append(record.flow.entry.working_directory)
        roots.extend(module.root for module in (code.modules if code else ()))
        kept = (cls((), strip).original(root) for root in roots if root)
        entry = record.flow.entry
        stem = posixpath.basename(entry.path or "").removesuffix(".py")
        scripts = (entry.module, "__main__", "__mp_main__", stem, f"replayed_{stem}")
        return cls(
            tuple(dict.fromkeys(root for root in kept if root != "/")),
            strip,
            tuple(dict.fromkeys(name for name in scripts if name)),
        )

    def original(self, path: str) -> str:
        """A path of the workspace as the original run named it."""
        if self.strip and (path == self.strip or path.startswith(self.strip + "/")):
            return path[len(self.strip) :] or "/"
        return path

    def unnamed(self, text: str) -> str:
        """A text (the name of a type, a message) without what names the run's folders and script."""
        text = text.replace(self.strip + "/", "/") if self.strip else text
        for root in self.roots:
            text = text.replace(root + "/", "")
        if self.scripts:
            text = re.sub(rf"\b(?:{'|'.join(map(re.escape, self.scripts))})\.(?=\w)", "", text)
        return text

    def name(self, path: str) -> str:
        """The name a file is compared under."""
        path = self.original(path)
        for root in self.roots:
            if path.startswith(root.rstrip("/") + "/"):
                return path[len(root.rstrip("/")) + 1 :]
        return path


def short(path: str | None) -> str:
    """A path as a sentence says it: its last two parts at most."""
    if not path:
        return "?"
    parts = path.replace(os.sep, "/").rstrip("/").split("/")
    return posixpath.join(*parts[-2:]) if len(parts) > 1 and not path.startswith("/") else parts[-1]
