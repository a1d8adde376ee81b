"""``record_input`` and ``record_output``: what the author of a flow says that it reads and writes, where no adapter can see it.

Knows the runtime; imports nothing else before a run is active.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

__all__ = ["record_input", "record_output"]

NOT_GIVEN: Final = ...


def record_input(
    uri: str | os.PathLike[str],
    *,
    version: str | None = None,
    fingerprint: str | None = None,
    data: object = NOT_GIVEN,
    rows: int | None = None,
    size: int | None = None,
    columns: Mapping[str, object] | Iterable[str | tuple[str, object]] | None = None,
    name: str | None = None,
    namespace: str | None = None,
    properties: Mapping[str, object] | None = None,
    note: str | None = None,
) -> None:
    """Say that the step, or outside of steps the flow, reads a dataset that lineage cannot see by itself.

    Call it beside the reading, in any task or flow, sync or async, and in threads that it starts. It does nothing when capture is
    off or no run is active. It never breaks a flow: what is wrong with a call is logged and stands on the run as a capture error.

    A local path is fingerprinted and kept as any file that is read. Whatever else is named cannot be served to a replay, so the
    step's result is kept and put in place there.

    Args:
        uri: a local path, or the URI of anything else. User, password and secret parameters in it are left out.
        version: what its store calls this version; for data that is no local file it tells one version from another, as does the
            fingerprint where there is none.
        fingerprint: of the content, as ``lineage_flows.content.fingerprint`` makes it.
        data: the content itself (bytes, a frame, any value) to be fingerprinted, and kept at the levels that keep inputs. It also
            says rows, columns and size.
        rows: how many were read.
        size: in bytes.
        columns: their names, or names with types.
        name: in place of the dataset's name by OpenLineage's naming, which is made from the URI.
        namespace: likewise.
        properties: anything else to be said of it, by name. What is called a secret (``password``, ``api_key``) is masked.
        note: a sentence for the reader.

    Raises:
        RecordingError: under ``strict`` only, the call cannot be understood. It is a ``TypeError`` too.
    """
    if "lineage_flows.capture.files" in sys.modules:
        given = {
            "version": version,
            "fingerprint": fingerprint,
            "data": data,
            "rows": rows,
            "size": size,
            "columns": columns,
            "name": name,
            "namespace": namespace,
            "properties": properties,
            "note": note,
        }
        _record("read", uri, given)


def record_output(
    uri: str | os.PathLike[str],
    *,
    version: str | None = None,
    fingerprint: str | None = None,
    data: object = NOT_GIVEN,
    rows: int | None = None,
    size: int | None = None,
    columns: Mapping[str, object] | Iterable[str | tuple[str, object]] | None = None,
    name: str | None = None,
    namespace: str | None = None,
    properties: Mapping[str, object] | None = None,
    note: str | None = None,
) -> None:
    """Say that the step, or outside of steps the flow, has written a dataset that lineage cannot see by itself.

    Call it after the writing. A local path is fingerprinted when the step ends, and is an output whatever wrote it. Contents of
    outputs are kept at level ``all`` only. All else is as for ``record_input``.

    Args:
        uri: see ``record_input``.
        version: see ``record_input``.
        fingerprint: see ``record_input``.
        data: see ``record_input``.
        rows: how many were written.
        size: in bytes.
        columns: see ``record_input``.
        name: see ``record_input``.
        namespace: see ``record_input``.
        properties: see ``record_input``.
        note: see ``record_input``.

    Raises:
        RecordingError: under ``strict`` only, the call cannot be understood. It is a ``TypeError`` too.
    """
    if "lineage_flows.capture.files" in sys.modules:
        given = {
            "version": version,
            "fingerprint": fingerprint,
            "data": data,
            "rows": rows,
            "size": size,
            "columns": columns,
            "name": name,
            "namespace": namespace,
            "properties": properties,
            "note": note,
        }
        _record("write", uri, given)


def _record(direction: Literal["read", "write"], uri: object, given: dict[str, object]) -> None:
    from lineage_flows import runtime
    from lineage_flows.capture import files

    log, active = files.current(), runtime.active()
    if log is None or active is None:
        return
    from lineage_flows.capture.declared import declare

    doing = f"record_{'input' if direction == 'read' else 'output'}"
    with active.session.boundary.guard(doing, log.errors):
        declare(log, direction, uri, given)
