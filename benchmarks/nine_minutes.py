"""A drawing of scores against minutes, a panel per data set, with a label at each point."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nine_report import Measured
from nine_results import NINE, label_of, records_of
from steelscan.pages import png_of, styled
from steelscan.strip.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

COLORS = {"quick": "#c8702a", "plain_unet": "#6b7280"}
"""The nine have one colour, the others their own."""

BLUE = "#3b6ea5"


class Point(NamedTuple):
    """A recipe in the drawing."""

    name: str
    minutes: float
    score: float

    @property
    def label(self) -> str:
        """How the drawing names the recipe."""
        return label_of(self.name).strip("`").removesuffix("_place")

    @property
    def color(self) -> str:
        """The colour of its point and its label."""
        return COLORS.get(self.name, BLUE)


def points_of(measured: Measured, place: Path) -> list[Point]:
    """Return the point of each recipe of a data set: its minutes and its Dice where defect."""
    return [
        Point(
            name,
            sum(record.minutes for record in records_of(place, name)),
            measured.scores[name]["defect_dice"].value,
        )
        for name in measured.gains
    ]


def write_minutes(path: Path, points: Mapping[str, Sequence[Point]]) -> None:
    """Draw Dice where defect against minutes as PNG; ``points`` by the name of the data set."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(4.6 * len(points) + 0.4, 3.9), layout="constrained")
        panels = figure.subplots(1, len(points), squeeze=False).ravel()
        for panel, (title, each) in zip(panels, points.items(), strict=True):
            _scatter(panel, title, each)
        figure.draw_without_rendering()  # sets the scales, on which the places of labels depend
        figure.set_layout_engine("none")
        for panel, each in zip(panels, points.values(), strict=True):
            place_labels(panel, each)
        write_bytes(path, png_of(figure))


def place_labels(panel: "Axes", points: Sequence[Point]) -> list["Annotation"]:
    """Label each point near to it, where the text covers no point and no other label."""
    taken = [_around(panel, point) for point in points]
    inside = panel.get_window_extent()
    labels = []
    for point in sorted(points, key=lambda each: each.score):
        for right, up in _offsets():
            label = _write(panel, point, right, up)
            box = text_box(label).padded(1)
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1
            within = within and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if within and not any(box.overlaps(each) for each in taken):
                break
            label.remove()
        else:
            label = _write(panel, point, 7, 0)
            box = text_box(label)
        labels.append(label)
        taken.append(box)
    return labels


def text_box(label: "Annotation") -> "Bbox":
    """Return the box of a label's text, without the line to its point, in pixels of the figure."""
    from matplotlib.text import Text

    label.get_window_extent()  # moves the text to its place
    return Text.get_window_extent(label)


def _scatter(panel: "Axes", title: str, points: Sequence[Point]) -> None:
    """Draw the points of a data set."""
    for point in points:
        marker = "o" if point.name in NINE else "D"
        panel.scatter(point.minutes, point.score, s=30, color=point.color, marker=marker, zorder=3)
    panel.set_title(title)
    panel.set_xlabel("core minutes")
    panel.set_ylabel("Dice where defect")
    panel.grid()
    panel.set_xlim(0, 1.15 * max(point.minutes for point in points))
    scores = [point.score for point in points]
    margin = max(0.02, 0.12 * (max(scores) - min(scores)))
    panel.set_ylim(max(0.0, min(scores) - margin), max(scores) + margin)


def _offsets() -> Iterator[tuple[float, float]]:
    """Yield where a label can begin, in points from its point: the nearest first."""
    for distance in range(0, 80, 8):
        yield from ((7 + distance / 2, 0), (7 + distance / 2, distance), (0, 8 + distance))
        yield from ((7 + distance / 2, -distance), (0, -8 - distance))
        yield from ((-7 - distance / 2, 0), (-7 - distance / 2, distance))
        yield (-7 - distance / 2, -distance)


def _write(panel: "Axes", point: Point, right: float, up: float) -> "Annotation":
    side = "left" if right > 0 else "right" if right < 0 else "center"
    far = abs(right) + abs(up) > 12
    return panel.annotate(
        point.label,
        (point.minutes, point.score),
        xytext=(right, up),
        textcoords="offset points",
        ha=side,
        va="center",
        color=point.color,
        arrowprops={"arrowstyle": "-", "color": "#c4c9cf", "shrinkB": 3} if far else None,
    )


def _around(panel: "Axes", point: Point) -> "Bbox":
    """Return the box of a point's marker, in pixels of the figure."""
    from matplotlib.transforms import Bbox

    (x, y), side = panel.transData.transform((point.minutes, point.score)), 5
    return Bbox.from_extents(x - side, y - side, x + side, y + side)
