"""Compares pictures pixel by pixel: figures of matplotlib, images of Pillow, and the PNG files that capture keeps of either.

Knows Pillow, which is imported when there is a picture, and plotly's own JSON. A picture is compared as it looks.
"""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from lineage_flows.compare.saying import LEVELS
from lineage_flows.compare.walk import Walk
from lineage_flows.content.pictures import PLOTLY, PNG, picture_of
from lineage_flows.errors import ContentError
from lineage_flows.record_replay import CellDifference, PartDifference

__all__ = ["decoded", "figures", "pictures"]

_MOST_PIXELS = 100_000_000
_LEVELS = 256


def figures(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - figures of any known library
    """Compare two figures as they look; two of plotly by their traces and layout."""
    drawn = [picture_of(item) for item in (a, b)]
    if drawn[0] is None or drawn[1] is None or drawn[0][1] != drawn[1][1]:
        walk.differ(where, "the figures cannot be drawn alike")
        return
    compared = [decoded(*item) for item in drawn if item is not None]
    if drawn[0][1] == PLOTLY:
        walk.reformed = True  # what it shows is all that counts
        walk.compare(compared[0], compared[1], where)
    else:
        pictures(walk, compared[0], compared[1], where)


def decoded(data: bytes, format: str) -> Any:  # noqa: ANN401 - pixels, or plotly's JSON
    """What is compared of a kept picture: of a PNG its pixels (height × width × 4 levels), of plotly's JSON its content.

    Raises:
        ContentError: it is of another format, too large, or Pillow is not installed.
    """
    if format == PLOTLY:
        return _unpacked(json.loads(data))
    if format != PNG:
        raise ContentError("a picture was not compared", why=f"its format {format!r} is not known")
    try:
        import numpy as np
        from PIL import Image
    except ImportError as error:
        raise ContentError("a picture was not compared", why=f"{error.name} is not installed") from error
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise ContentError(
                    "a picture was not compared", why=f"{opened.width} × {opened.height} pixels are too many"
                )
            return np.asarray(opened.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ContentError("a picture was not compared", why=f"it cannot be read: {error}") from error


def pictures(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - arrays of pixels
    """Compare two pictures: size, share of pixels that differ, largest difference of a channel, and where it is."""
    import numpy as np

    if a.shape != b.shape:
        walk.differ(where, f"{_size(a)} pixels became {_size(b)}")
        return
    gaps = np.abs(a.astype(np.int16) - b.astype(np.int16)).max(axis=2)
    pixels, rule = int(gaps.size), walk.rule(where)
    differing, largest = int(np.count_nonzero(gaps)), int(gaps.max(initial=0))
    walk.count(pixels, differing)
    if not differing:
        walk.reformed = True  # it looks the same
        return
    y, x = (int(step) for step in np.unravel_index(int(gaps.argmax()), gaps.shape))
    rows, columns = np.flatnonzero(gaps.any(axis=1)), np.flatnonzero(gaps.any(axis=0))
    area = f"x {columns[0]} to {columns[-1]}, y {rows[0]} to {rows[-1]}"
    beyond = int(np.count_nonzero(gaps > rule.tolerance.absolute))
    walk.add(
        PartDifference(
            where=where,
            verdict="different" if beyond else "equivalent",
            note=f"{differing / pixels:.2%} of {_size(a)} pixels differ, in {area}, by up to {largest} of {_LEVELS - 1} {LEVELS}",
            differing=differing,
            compared=pixels,
            beyond=beyond,
            absolute=float(largest),
            cells=(CellDifference(at=f"pixel {x}, {y}", old=_colour(a[y, x]), new=_colour(b[y, x])),),
            tolerance=walk.used(where),
        )
    )


def _size(pixels: Any) -> str:  # noqa: ANN401 - an array of pixels
    return f"{pixels.shape[1]} × {pixels.shape[0]}"


def _colour(pixel: Any) -> str:  # noqa: ANN401 - four levels
    return "#" + "".join(f"{int(level):02x}" for level in pixel)


def _unpacked(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Plotly's JSON with its packed arrays (``{"dtype": "f8", "bdata": "…"}``) as arrays."""
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    if not isinstance(value, dict):
        return value
    if {"dtype", "bdata"} <= value.keys() <= {"dtype", "bdata", "shape"}:
        import numpy as np

        try:
            return np.frombuffer(base64.b64decode(value["bdata"]), dtype=f"<{value['dtype']}")
        except (ValueError, TypeError):
            return value
    return {name: _unpacked(item) for name, item in value.items()}
