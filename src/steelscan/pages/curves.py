"""Learning curves as one SVG drawing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from steelscan.pages.svg import styled, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = ("#3b6ea5", "#c8702a", "#4c8c5b", "#8a5aa3", "#b04a5a", "#6b7280", "#2f8f9d", "#a58a2a")
_DASHES = ("solid", "dashed", "dotted")


@dataclass(frozen=True)
class Curve:
    """The log of one network's training: rows with "epoch", "loss" and other metrics.

    ``kept`` is a phrase on which of its weights were kept.
    """

    network: str
    rows: Sequence[Mapping[str, float]]
    kept: str = ""


def line_style(index: int) -> tuple[str, str]:
    """Return the colour and dashes of a network's line; ``index`` counts from 0."""
    return _LINES[index % len(_LINES)], _DASHES[index // len(_LINES) % len(_DASHES)]


def draw_curves(curves: Sequence[Curve]) -> str:
    """Draw one panel per metric and one line per network, as an ``<svg>`` element.

    Networks keep their `line_style` in all panels; the page has the legend. Lines connect the
    epochs that have the metric; NaN leaves a gap. Equal numbers give equal drawings. Returns "" if
    no finite number was logged.
    """
    from matplotlib.figure import Figure

    logged = [item for curve in curves for row in curve.rows for item in row.items()]
    metrics = list(dict.fromkeys(key for key, value in logged if isfinite(value)))
    metrics = [key for key in metrics if key != "epoch"]
    if not metrics:
        return ""
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    with styled():
        figure = Figure(figsize=(10.4, 2.5 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, metric in zip(panels, metrics, strict=False):
            _panel(panel, metric, curves)
        for panel in panels[len(metrics) :]:
            panel.set_axis_off()
        return svg_of(figure)


def _panel(panel: "Axes", metric: str, curves: Sequence[Curve]) -> None:
    from matplotlib.ticker import MaxNLocator

    for index, curve in enumerate(curves):
        points = [
            (row.get("epoch", number), row[metric])
            for number, row in enumerate(curve.rows, start=1)
            if metric in row
        ]
        panel.plot(
            [epoch for epoch, _ in points],
            [value for _, value in points],
            color=line_style(index)[0],
            linestyle=line_style(index)[1],
            linewidth=1.4,
            marker="o" if len(points) < 8 else None,  # one point is not a line
            markersize=3,
        )
    panel.set_title(metric.replace("_", " "))
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    panel.yaxis.set_major_locator(MaxNLocator(nbins=5))
    panel.grid(axis="y")
