"""The page of an exploration: one HTML file that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Any

from steelscan import __version__
from steelscan.explore.counts import Counts
from steelscan.explore.exploration import Exploration
from steelscan.explore.figures import Drawing
from steelscan.explore.findings import findings, number
from steelscan.explore.masks import LEVELS, AreaFacts
from steelscan.explore.shown import Gallery, Shown
from steelscan.pages import css_color, render_page

_COMBINATIONS = 15
_MATRIX = 14
"""The table of which classes stand together is left out with more of them."""

_LISTED = 200
"""So many files that could not be read are named on the page; the JSON has all."""

_SHOWN_LEVELS = (0, 1, 5, 50, 95, 99, 100)


def render(
    found: Exploration,
    figures: Mapping[str, Drawing],
    examples: Sequence[Gallery],
    twins: Sequence[Sequence[Shown]],
    suspects: Sequence[Gallery],
) -> str:
    """The page as text: styles, figures and pictures are all in it."""
    from markupsafe import Markup

    content = {
        "title": found.material.title,
        "version": __version__,
        "found": found,
        "number": number,
        "findings": findings(found),
        "tiles": _tiles(found),
        "classes": [
            {"name": name, "color": css_color(index)} for index, name in enumerate(found.called)
        ],
        "figures": {name: Markup(svg) for name, (svg, _) in figures.items()},
        "combinations": _combinations(found.counts[0]),
        "more_combinations": max(0, len(found.counts[0].combinations) - _COMBINATIONS),
        "matrix": found.counts[0].together if 1 < len(found.material.classes) <= _MATRIX else None,
        "levels": [_level(level) for level in _SHOWN_LEVELS],
        "areas": [
            {"source": each.source, "rows": list(map(_area_row, each.classes))}
            for each in found.areas
        ],
        "examples": examples,
        "twins": twins,
        "suspects": suspects,
        "clean_shown": any(title == "No defect" for title, _ in examples),
        "sizes": list(starmap(_size, found.sizes()[:6])),
        "more_sizes": max(0, len(found.sizes()) - 6),
        "skipped": found.gathered.skipped[:_LISTED],
        "more_skipped": max(0, len(found.gathered.skipped) - _LISTED),
        "has_pictures": found.material.picture is not None,
    }
    return render_page("steelscan.explore", "explore.html.jinja", content)


def _tiles(found: Exploration) -> list[tuple[str, str]]:
    """The few numbers that stand large above all."""
    counts = found.counts[0]
    tiles = [("pictures", number(counts.pictures))]
    if counts.lists_clean:
        tiles.append(("clean", number(counts.clean)))
    tiles.append(("with a defect", number(sum(counts.per_number[1:]))))
    tiles.append(("classes", number(len(found.material.classes))))
    read = "masks read" if len(found.counts) > 1 else "masks"
    tiles.append((read, number(sum(found.counts[-1].per_class))))
    if found.gathered.strips:
        tiles.append(("labels to look at", number(len(found.suspects))))
    return tiles


def _combinations(counts: Counts) -> list[dict[str, Any]]:
    shown = counts.combinations[:_COMBINATIONS]
    most = max((each.pictures for each in shown), default=1)
    return [
        {
            "classes": each.classes,
            "pictures": number(each.pictures),
            "share": each.pictures / max(counts.pictures, 1),
            "bar": round(100 * each.pictures / most, 2),
        }
        for each in shown
    ]


def _area_row(facts: AreaFacts) -> dict[str, Any]:
    at = [LEVELS.index(level) for level in _SHOWN_LEVELS]
    pixels = facts.pixels
    return {
        "masks": number(facts.masks),
        "pixels": [number(pixels[index]) for index in at] if pixels else None,
        "shares": [_share(facts.shares[index]) for index in at] if facts.shares else None,
        "mean": "—" if facts.mean_share is None else _share(facts.mean_share),
    }


def _share(value: float) -> str:
    return f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:.1f} %"


def _level(level: int) -> str:
    return {0: "smallest", 50: "median", 100: "largest"}.get(level, f"{level} %")


def _size(frame: tuple[int, int], count: int) -> tuple[str, str]:
    return f"{frame[0]}x{frame[1]}", number(count)
