"""The figures of an exploration, drawn with matplotlib."""

from collections.abc import Callable, Mapping, Sequence
from math import floor, log10
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steelscan.explore.exploration import END, Exploration
from steelscan.explore.masks import PIECES
from steelscan.explore.measurements import masks_of_class
from steelscan.pages import class_color, plural, png_of, styled, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 10.4
_CLEAN = "#9aa5b1"
_INK = "#4b5563"
_BINS = 36
_LONGEST = 22
"""Longest class name that fits into a figure."""

_MOST_HEAT_MAPS = 24

Drawing = tuple[str, bytes]
"""A figure as an ``<svg>`` element and as a PNG file."""


def draw_figures(exploration: Exploration) -> dict[str, Drawing]:
    """Draw all figures that there are numbers for, by name."""
    draw: Mapping[str, Callable[[Exploration], Figure | None]] = {
        "pictures": _pictures,
        "areas": _areas,
        "pieces": _pieces,
        "positions": _positions,
        "brightness": _brightness_and_ends,
    }
    drawn: dict[str, Drawing] = {}
    for name, draw_one in draw.items():
        with styled():
            figure = draw_one(exploration)
            if figure is not None:
                figure.draw_without_rendering()
                figure.set_layout_engine("none")  # keep one layout for both files
                drawn[name] = svg_of(figure), png_of(figure)
    return drawn


def _pictures(exploration: Exploration) -> "Figure":
    counts, names = exploration.counts[0], _short(exploration.class_titles)
    rows = len(names) + counts.lists_clean
    figure = _figure(max(1.5, 0.27 * rows + 0.75))
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    labels = [*names, "clean"][:rows]
    values = [*counts.per_class, counts.clean][:rows]
    _bars(left, labels, values, [*_colors(len(names)), _CLEAN], counts.pictures)
    left.set_title("Pictures with each class")
    first = 0 if counts.lists_clean else 1
    values = list(counts.per_number[first:]) or [0]
    labels = ["none", *map(str, range(1, first + len(values)))][first:]
    colors = [_CLEAN, *["#5b7fa6"] * len(values)][first:]
    _bars(right, labels, values, colors, counts.pictures)
    right.set_title("Pictures by their number of classes")
    return figure


def _bars(
    panel: "Axes", labels: Sequence[str], values: Sequence[int], colors: Sequence[Any], whole: int
) -> None:
    bars = panel.barh(range(len(labels)), values, color=colors[: len(labels)], height=0.7)
    shares = (100 * value / max(whole, 1) for value in values)
    texts = [f"{_thousands(at)}  ({share:.1f} %)" for at, share in zip(values, shares, strict=True)]
    panel.bar_label(bars, texts, padding=3, color=_INK)
    _name_rows(panel, labels)
    panel.set_xlim(0, 1.32 * max([*values, 1]))
    panel.set_xticks([])
    panel.spines["bottom"].set_visible(False)


def _name_rows(panel: "Axes", names: Sequence[str], above: float = 0.6) -> None:
    """Name the rows of a panel from top to bottom, with space ``above`` the first."""
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.4, -above)
    panel.tick_params(axis="y", length=0)


def _areas(exploration: Exploration) -> "Figure | None":
    columns = _area_columns(exploration)
    if not columns:
        return None
    names = _short(exploration.class_titles)
    figure = _figure(max(1.8, 0.42 * len(names) + 1.0))
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for panel, (title, values, share) in zip(panels, columns, strict=True):
        _ridges(panel, values, share)
        panel.set_title(title)
        _name_rows(panel, names, above=1.0)
    return figure


_Column = tuple[str, list[NDArray[np.float64]], bool]


def _area_columns(exploration: Exploration) -> list[_Column]:
    """Return the panels side by side: areas in pixels and as shares, as far as known."""
    classes = range(len(exploration.classes))
    masks = [masks_of_class(exploration.measured.strips, index) for index in classes]
    if any(masks):
        pixels = [np.array([shape.pixels for _, shape in each], np.float64) for each in masks]
        shares = [np.array([shape.share for _, shape in each]) for each in masks]
        return [("Area in pixels", pixels, False), ("Area as a share of the picture", shares, True)]
    labels = exploration.data.labels
    if labels is None or labels.shares is None or not labels.present.any():
        return []
    shares = [labels.shares[labels.present[:, at], at] for at in classes]
    # A share that was rounded to 0 cannot be drawn on a logarithmic scale.
    return [("Area as a share of the picture", [each[each > 0] for each in shares], True)]


def _ridges(panel: "Axes", values: Sequence[NDArray[np.float64]], share: bool) -> None:
    """Draw a histogram per class, one below the other, over a logarithmic scale."""
    every = np.concatenate(values)
    low, high = (log10(edge) for edge in (every.min(), every.max()))
    low, high = (low - 0.05, high + 0.05) if high > low else (low - 0.5, low + 0.5)
    edges = np.logspace(low, high, _BINS + 1)
    for row, (held, color) in enumerate(zip(values, _colors(len(values)), strict=True)):
        counts, _ = np.histogram(held, edges)
        tall = 0.82 * counts / max(int(counts.max(initial=0)), 1)
        panel.stairs(row - tall, edges, baseline=row, fill=True, color=color)
        panel.stairs(row - tall, edges, baseline=row, color=_INK, linewidth=0.5)
        if held.size:
            panel.plot([np.median(held)] * 2, [row, row - 0.9], color="#1f2933", linewidth=1.2)
    panel.set_xscale("log")
    panel.set_xlim(edges[0], edges[-1])
    _log_ticks(panel, low, high, share)
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    panel.spines["left"].set_visible(False)


def _log_ticks(panel: "Axes", low: float, high: float, share: bool) -> None:
    """Label the axis with plain numbers, not too close to each other."""
    steps = (1,) if high - low > 2.5 else (1, 3) if high - low > 1.2 else (1, 2, 5)
    powers = range(floor(low), floor(high) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    ticks = [tick for tick in ticks if low <= log10(tick) <= high]
    panel.set_xticks(ticks, [_share(tick) if share else _thousands(tick) for tick in ticks])
    panel.set_xticks([], minor=True)


def _share(value: float) -> str:
    return f"{100 * value:.10f}".rstrip("0").rstrip(".") + " %"


def _thousands(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def _pieces(exploration: Exploration) -> "Figure | None":
    if exploration.pieces is None or not any(each.masks for each in exploration.pieces):
        return None
    names = _short(exploration.class_titles)
    figure = _figure(max(1.4, 0.27 * len(names) + 0.9))
    panel = figure.subplots()
    for row, (facts, color) in enumerate(zip(exploration.pieces, _colors(len(names)), strict=True)):
        start = 0.0
        for group, count in enumerate(facts.by_pieces):
            part = count / max(facts.masks, 1)
            shade = _shade(color, 1 - group / (len(PIECES) + 1))
            panel.barh(row, part, left=start, color=shade, height=0.7, edgecolor="white")
            if part > 0.045:
                panel.text(start + part / 2, row, PIECES[group], ha="center", va="center", size=7)
            start += part
    panel.set_title("Masks by their number of pieces")
    _name_rows(panel, names)
    _share_axis(panel)
    panel.set_xlabel("share of the masks")
    panel.spines["left"].set_visible(False)
    return figure


def _positions(exploration: Exploration) -> "Figure | None":
    heat = exploration.measured.heat
    shown = [at for at in range(len(heat)) if heat[at].any()][:_MOST_HEAT_MAPS]
    if not shown:
        return None
    rows, columns = heat.shape[1:]
    across = min(1 if columns > 4 * rows else 2 if columns > 2 * rows else 3, len(shown))
    down = -(-len(shown) // across)
    tall = min(3.2, 0.9 * _WIDTH / across * rows / columns)
    figure = _figure(down * (tall + 0.5) + 0.1)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel, at in zip(panels, shown, strict=False):
        _heat_map(panel, figure, heat[at], at, exploration)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    return figure


def _heat_map(
    panel: "Axes", figure: "Figure", heat: NDArray[np.float64], at: int, exploration: Exploration
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    color = _colors(at + 1)[at]
    stops = [(1.0, 1.0, 1.0), color, _shade(color, 1.0, dark=0.35)]
    scale = LinearSegmentedColormap.from_list("", stops)
    image = panel.imshow(
        heat, cmap=scale, vmin=0, vmax=float(heat.max()), aspect="auto", interpolation="nearest"
    )
    pictures = len(masks_of_class(exploration.measured.strips, at))
    name = _short(exploration.class_titles)[at]
    panel.set_title(f"{name}: {pictures} {plural(pictures, 'picture')}")
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_visible(True)
    bar = figure.colorbar(image, ax=panel, ticks=[0, float(heat.max())], pad=0.01, fraction=0.03)
    bar.ax.set_yticklabels(["0", f"{100 * heat.max():.0f} %"])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def _brightness_and_ends(exploration: Exploration) -> "Figure | None":
    from matplotlib.ticker import MaxNLocator

    if exploration.exposure is None:
        return None
    strips = [each for each in exploration.measured.strips if each.exposure is not None]
    clean = np.array([not each.classes for each in strips])
    bright, _, left, right = np.array([each.exposure for each in strips], np.float64).T
    ended = (left + right)[left + right >= END]
    figure = _figure(2.5)
    panels = figure.subplots(1, 2 if ended.size else 1, squeeze=False)[0].tolist()
    _brightness(panels[0], bright, clean)
    if ended.size:
        _black_ends(panels[1], ended)
    for panel in panels:
        panel.set_ylabel("pictures")
        panel.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        panel.grid(axis="y")
        panel.set_axisbelow(True)
    return figure


def _brightness(panel: "Axes", bright: NDArray[np.float64], clean: NDArray[np.bool_]) -> None:
    edges = np.linspace(0, 256, 65)
    parts = {"with defect": (bright[~clean], "#5b7fa6"), "clean": (bright[clean], _CLEAN)}
    parts = {name: part for name, part in parts.items() if part[0].size}
    panel.hist(
        [values for values, _ in parts.values()],
        edges.tolist(),
        stacked=True,
        color=[color for _, color in parts.values()],
        label=list(parts),
    )
    panel.legend(frameon=False)
    panel.set_title("Mean brightness of the steel")
    panel.set_xlabel("grey level, 0 black to 255 white")
    panel.set_xlim(0, 255)


def _black_ends(panel: "Axes", ended: NDArray[np.float64]) -> None:
    panel.hist(ended, np.linspace(0, 1, 41).tolist(), color="#374151")
    panel.set_title(f"Black ends of the {_thousands(ended.size)} pictures that have one")
    panel.set_xlabel("share of the picture's width")
    _share_axis(panel)


def _share_axis(panel: "Axes") -> None:
    panel.set_xticks(np.linspace(0, 1, 5), [f"{25 * at} %" for at in range(5)])
    panel.set_xlim(0, 1)


def _figure(height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _short(names: Sequence[str]) -> list[str]:
    return [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]


def _colors(count: int) -> list[tuple[float, float, float]]:
    colors = [class_color(index) for index in range(count)]
    return [(red / 255, green / 255, blue / 255) for red, green, blue in colors]


def _shade(
    color: tuple[float, float, float], strength: float, dark: float = 1.0
) -> tuple[float, float, float]:
    """Return a colour made lighter, towards white, or darker."""
    red, green, blue = ((1 - strength + strength * part) * dark for part in color)
    return red, green, blue
