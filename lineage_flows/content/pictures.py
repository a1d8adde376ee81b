"""Pictures: the rules for plotly's figures and Pillow's images, and how a figure of any library looks.

Knows the three libraries by the names of their classes; imports matplotlib's canvas only when it has a figure of matplotlib's.
"""

from __future__ import annotations

import io
from typing import Any

from lineage_flows.content.hashing import blob_token, count, digest, name, node
from lineage_flows.content.naming import comes_from
from lineage_flows.content.pickles import copy_figure
from lineage_flows.content.registry import Look, Steps
from lineage_flows.content.walk import Walk

__all__ = ["PLOTLY", "PNG", "image_token", "is_image", "is_plotly", "look_at_image", "picture_of", "plotly_steps"]

PNG = "png"
PLOTLY = "plotly-json"
"""A plotly figure's own JSON: drawing it takes a browser, which capture never starts."""

_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I"})


def is_plotly(cls: type) -> bool:
    """Whether instances are plotly's figures."""
    return comes_from(cls, "plotly", "BaseFigure")


def is_image(cls: type) -> bool:
    """Whether instances are Pillow's images."""
    return comes_from(cls, "PIL", "Image")


def plotly_steps(value: Any, _walk: Walk) -> Steps:  # noqa: ANN401 - plotly's BaseFigure
    """Token of a plotly figure: its traces, layout and frames."""
    (token,) = yield (value.to_dict(),)
    return node(b"plotly figure", token)


def image_token(value: Any, _walk: Walk) -> bytes:  # noqa: ANN401 - Pillow's Image
    """Token of an image: mode, size, palette and pixels, whatever file they came from."""
    palette = value.getpalette()
    transparent = repr(value.info.get("transparency"))
    head = name(value.mode, transparent) + count(*value.size) + blob_token(digest(bytes(palette or ())))
    return node(b"image", head, blob_token(digest(value.tobytes())))


def look_at_image(value: Any) -> Look:  # noqa: ANN401 - Pillow's Image
    """What is shown of an image."""
    width, height = value.size
    return Look("Figure", shape=(int(height), int(width)))


def picture_of(value: Any) -> tuple[bytes, str] | None:  # noqa: ANN401 - any figure
    """How a figure looks, and in which format: PNG, of a plotly figure its JSON; None for what is no figure of a known library.

    A copy is drawn. The library's own methods may raise anything.
    """
    cls = type(value)
    out = io.BytesIO()
    if comes_from(cls, "matplotlib", "Figure"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(copy_figure(value)).print_png(out, metadata={"Software": None})
    elif is_image(cls):
        copy = value.copy()
        (copy if copy.mode in _PNG_MODES else copy.convert("RGB")).save(out, format="PNG")
    elif is_plotly(cls):
        return str(value.to_json()).encode(), PLOTLY
    else:
        return None
    return out.getvalue(), PNG
