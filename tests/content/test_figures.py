"""Figures: equal when they draw the same picture, in any process; looked at without being touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

from lineage_flows.content import describe, dump_value, fingerprint, load_value


def figure(values=(1, 2, 4), title="equity", **options):
    from matplotlib.figure import Figure

    made = Figure(**options)
    axes = made.subplots()
    axes.plot(values)
    axes.set_title(title)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1f}")  # pickle alone cannot
    return made


def test_equal_in_another_process():
    code = "from tests.content.test_figures import figure, fingerprint; print(fingerprint(figure()))"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert made.stdout.strip() == fingerprint(figure())


def test_what_is_drawn_counts():
    made = [figure(), figure((1, 2, 5)), figure(title="other"), figure(figsize=(3, 3)), figure(dpi=50)]
    assert len({fingerprint(one) for one in made}) == len(made)


def test_drawing_moves_nothing_and_opens_nothing():
    import matplotlib.pyplot as plt

    made, axes = plt.subplots(layout="constrained")
    axes.plot([1, 2])
    other = plt.figure()
    canvas, before, open_ones = made.canvas, axes.get_position().bounds, plt.get_fignums()
    described = describe(made)
    assert (described.kind, described.shape) == ("Figure", (480, 640))
    assert made.canvas is canvas
    assert axes.get_position().bounds == before
    assert plt.get_fignums() == open_ones
    assert plt.gcf() is other
    plt.close("all")


def test_a_stored_figure_is_the_same_and_is_not_opened():
    import matplotlib.pyplot as plt

    made = plt.figure()
    made.subplots().plot([1, 3])
    data, form = dump_value(made)
    plt.close("all")
    again = load_value(data, form, trust_pickle=True)
    assert plt.get_fignums() == []
    assert fingerprint(again) == fingerprint(made) is not None


def test_other_libraries():
    import plotly.graph_objects
    from PIL import Image

    assert describe(Image.new("RGB", (4, 4), "red")).kind == "Figure"
    assert fingerprint(Image.new("RGB", (4, 4), "red")) != fingerprint(Image.new("RGB", (4, 4), "blue"))
    drawn = plotly.graph_objects.Figure(plotly.graph_objects.Scatter(x=[1, 2], y=[3, 4]))
    assert describe(drawn).kind == "Figure"
    assert fingerprint(drawn) == fingerprint(
        plotly.graph_objects.Figure(plotly.graph_objects.Scatter(x=[1, 2], y=[3, 4]))
    )


def test_a_figure_that_cannot_be_drawn_has_no_fingerprint():
    from matplotlib.lines import Line2D

    class Broken(Line2D):
        def draw(self, renderer):
            raise ZeroDivisionError

    made = figure()
    made.axes[0].add_line(Broken([0, 1], [0, 1]))
    described = describe(made)
    assert described.fingerprint is None
    assert "ZeroDivisionError" in described.note


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
