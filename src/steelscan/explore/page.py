"""The page of an exploration: one HTML file that contains its styles, figures and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from steelscan import __version__
from steelscan.explore.counts import Counts
from steelscan.explore.exploration import Exploration
from steelscan.explore.figures import Drawing
from steelscan.explore.findings import findings, number
from steelscan.explore.gallery import DrawnStrip, Gallery
from steelscan.explore.masks import PERCENTILES, AreaFacts
from steelscan.pages import css_color, render_page

_COMBINATIONS = 15
_MATRIX = 14
"""With more classes, the table of pairs of classes is left out."""

_SKIPPED = 200
"""Files on the page that could not be read; the JSON has all."""

_SIZES = 6
_PERCENTILES = (0, 1, 5, 50, 95, 99, 100)
"""Percentiles on the page."""

_NAMED = {0: "smallest", 50: "median", 100: "largest"}


def render(
    exploration: Exploration,
    figures: Mapping[str, Drawing],
    examples: Sequence[Gallery],
    near_duplicates: Sequence[Sequence[DrawnStrip]],
    suspects: Sequence[Gallery],
) -> str:
    """Return the page as text."""
    from markupsafe import Markup

    content = {
        "title": exploration.source,
        "version": __version__,
        "exploration": exploration,
        "number": number,
        "findings": findings(exploration),
        "tiles": _tiles(exploration),
        "classes": [
            {"name": name, "color": css_color(index)}
            for index, name in enumerate(exploration.class_titles)
        ],
        "figures": {name: Markup(svg) for name, (svg, _) in figures.items()},
        "combinations": _combinations(exploration.counts[0]),
        "more_combinations": max(0, len(exploration.counts[0].combinations) - _COMBINATIONS),
        "matrix": exploration.counts[0].together
        if 1 < len(exploration.classes) <= _MATRIX
        else None,
        "percentiles": [_NAMED.get(each, f"{each} %") for each in _PERCENTILES],
        "areas": [
            {"source": each.source, "rows": list(map(_area_row, each.classes))}
            for each in exploration.areas
        ],
        "examples": examples,
        "near_duplicates": near_duplicates,
        "suspects": suspects,
        "has_clean_examples": any(title == "No defect" for title, _ in examples),
        "sizes": [
            (f"{each.height}x{each.width}", number(each.pictures))
            for each in exploration.sizes[:_SIZES]
        ],
        "more_sizes": max(0, len(exploration.sizes) - _SIZES),
        "skipped": exploration.skipped[:_SKIPPED],
        "more_skipped": max(0, len(exploration.skipped) - _SKIPPED),
        "has_pictures": exploration.data.picture is not None,
    }
    return render_page("steelscan.explore", "explore.html.jinja", content)


def _tiles(exploration: Exploration) -> list[tuple[str, str]]:
    """Return the few large numbers at the top."""
    counts = exploration.counts[0]
    tiles = [("pictures", number(counts.pictures))]
    if counts.lists_clean:
        tiles.append(("clean", number(counts.clean)))
    tiles.append(("with a defect", number(sum(counts.per_number[1:]))))
    tiles.append(("classes", number(len(exploration.classes))))
    read = "masks read" if len(exploration.counts) > 1 else "masks"
    tiles.append((read, number(sum(exploration.counts[-1].per_class))))
    if exploration.measured.strips:
        tiles.append(("labels to check", number(len(exploration.suspects))))
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
    at = [PERCENTILES.index(percentile) for percentile in _PERCENTILES]
    pixels = facts.pixels
    return {
        "masks": number(facts.masks),
        "pixels": [number(pixels[index]) for index in at] if pixels else None,
        "shares": [_share(facts.shares[index]) for index in at] if facts.shares else None,
        "mean": "—" if facts.mean_share is None else _share(facts.mean_share),
    }


def _share(value: float) -> str:
    return f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:.1f} %"
