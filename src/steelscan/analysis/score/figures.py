"""Reliability as an SVG drawing, and the panels that such drawings consist of."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from steelscan.evaluation.metrics import Reliability
from steelscan.pages import styled, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE = "#3b6ea5"


def draw_reliability(reliabilities: Mapping[str, Reliability]) -> str:
    """Draw a panel each: observed share against predicted probability, as ``<svg>``."""

    def draw(panel: "Axes", at: int) -> None:
        name, reliability = list(reliabilities.items())[at]
        bins = [each for each in reliability.bins if each.count]
        predicted = [each.predicted for each in bins]
        observed = [each.observed.value for each in bins]
        below = [each.observed.value - each.observed.low for each in bins]
        above = [each.observed.high - each.observed.value for each in bins]
        panel.plot([0, 1], [0, 1], color="#c4c9cf", linewidth=1)
        panel.errorbar(
            predicted, observed, [below, above], color=BLUE, marker="o", markersize=3, lw=1.2
        )
        panel.set_title(f"{name}: error {reliability.error:.3f}")
        panel.set_xlabel("predicted probability")
        panel.set_ylabel("observed share")
        unit_square(panel)

    return draw_panels(len(reliabilities), draw)


def unit_square(panel: "Axes") -> None:
    """Show shares from 0 to 1 on both axes of a panel."""
    from matplotlib.ticker import PercentFormatter

    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.grid()


def draw_panels(count: int, draw: Callable[["Axes", int], None]) -> str:
    """Draw ``count`` panels, three per row, as ``<svg>``; "" if there are none."""
    from matplotlib.figure import Figure

    if not count:
        return ""
    columns = min(3, count)
    rows = -(-count // columns)
    with styled():
        figure = Figure(figsize=(10.4, 2.9 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for at, panel in enumerate(panels):
            if at < count:
                draw(panel, at)
            else:
                panel.set_axis_off()
        return svg_of(figure)
