"""The rule for matplotlib's figures: equal when they draw the same picture.

Knows matplotlib; imported when a value of its is first seen. A figure's own state names its parts by their addresses in memory,
which are different in every process. A copy is drawn, because drawing moves things.
"""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lineage_flows.content.arrays import array_token
from lineage_flows.content.hashing import node
from lineage_flows.content.pickles import copy_figure
from lineage_flows.content.registry import Look, register, without_parts
from lineage_flows.content.walk import Walk


def _figure_token(value: Figure, _walk: Walk) -> bytes:
    canvas = FigureCanvasAgg(copy_figure(value))
    canvas.draw()
    return node(b"figure", array_token(np.asarray(canvas.buffer_rgba())))


def _look_at_figure(value: Figure) -> Look:
    width, height = value.get_size_inches() * value.dpi
    return Look("Figure", shape=(int(height), int(width)))


register(Figure, steps=without_parts(_figure_token), look=_look_at_figure, subclasses=True)
