"""A model's stored bytes as ``model.tar.gz``, the one form in which SageMaker takes a model's data.

Knows tar and gzip; must not know where it goes. The same bytes give the same archive: it carries no time, user or order of its own.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import Final

__all__ = ["model_archive"]

_ENDINGS: Final = {
    "pickle": "pkl",
    "json": "json",
    "text": "txt",
    "npy": "npy",
    "arrow": "arrow",
    "file": "bin",
    "bytes": "bin",
}
"""Format of a stored value -> the ending of its file's name."""


def model_archive(data: bytes, format: str) -> bytes:
    """A gzipped tar archive with one file, ``model.pkl`` or by what else the format is called.

    Args:
        data: a value as ``lineage_flows.content`` stores it.
        format: the name of its format there.
    """
    member = tarfile.TarInfo(f"model.{_ENDINGS.get(format, 'bin')}")
    member.size, member.mode, member.mtime = len(data), 0o644, 0
    packed = io.BytesIO()
    # The oldest format has no place for anything that differs from machine to machine; it holds 8 GB.
    with (
        gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()
