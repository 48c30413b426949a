"""The report of a run as one HTML file, with styles, drawings and pictures in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics import ClassRow, Pairs, Scores, class_rows, dice, score
from steelscan.evaluation.statistics import Estimate
from steelscan.evaluation.tuning import Thresholds
from steelscan.pages import (
    LONG,
    Curve,
    css_color,
    draw_curves,
    jpeg_link,
    line_style,
    render_page,
    shown_width,
)
from steelscan.pages.outline import outline
from steelscan.pipeline.verdict import GateCost
from steelscan.strip import Classes, Masks, Picture
from steelscan.strip.errors import RecipeError
from steelscan.strip.files import write_text

Part: TypeAlias = tuple[Pairs, NDArray[np.int64] | None, NDArray[np.int64] | None]
"""The pairs of some strips, the group of each strip, and its fold; None if unknown."""


@dataclass(frozen=True, eq=False)
class Example:
    """A strip to show, with the Dice of each class, float ``(classes,)``."""

    name: str
    picture: Picture
    truth: Masks
    predicted: Masks
    dice: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Report:
    """The content of a report. The first part is the headline."""

    title: str
    classes: Classes
    parts: Mapping[str, Part]
    thresholds: Thresholds | None = None
    curves: Sequence[Curve] = ()
    examples: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    verdict: Sequence[str] = ()
    gates: Sequence[GateCost] = ()


def write_report(path: Path, report: Report) -> None:
    """Write the report as one HTML file, completely or not at all. Raises OutputError."""
    write_text(path, render(report))


def render(report: Report) -> str:
    """Return the page as text."""
    return render_page("steelscan.pipeline", "report.html.jinja", _content(report))


def pick_examples(pairs: Pairs, count: int) -> dict[str, list[int]]:
    """Choose the strips to show: ``count`` each that are best, median and worst, none twice.

    A strip's Dice is the mean over its classes with a true or predicted defect. Best and median
    are defective strips. Worst are alternately defective strips and false alarms on clean ones;
    among equals, those with most wrong pixels come first. Few strips give shorter lists.
    """
    wrong = (pairs.predicted + pairs.truth - 2 * pairs.shared).sum(axis=1)
    occupied = (pairs.predicted > 0) | (pairs.truth > 0)
    values = (dice(pairs) * occupied).sum(axis=1) / np.maximum(occupied.sum(axis=1), 1)
    order = np.lexsort((np.arange(len(pairs)), wrong, -values))  # best first
    defective = np.asarray((pairs.truth > 0).any(axis=1))
    stopped = np.asarray((pairs.predicted > 0).any(axis=1))
    ranked = [int(row) for row in order if defective[row]]
    alarms = [int(row) for row in order[::-1] if not defective[row] and stopped[row]]
    each = min(count, len(ranked) // 3)
    best, rest = ranked[:each], ranked[each:]
    middle = max(0, len(ranked) // 2 - each - each // 2)
    median = rest[middle : middle + each]
    failed = [row for row in reversed(rest) if row not in median][:count]
    worst = [row for pair in zip(failed, alarms, strict=False) for row in pair]
    worst += failed[len(alarms) :] + alarms[len(failed) :]
    return {"best": best, "median": median, "worst": worst[:count]}


def _content(report: Report) -> dict[str, Any]:
    from markupsafe import Markup

    scores = {name: score(pairs, groups) for name, (pairs, groups, _) in report.parts.items()}
    empty = {
        name: score(pairs.emptied(), groups, resamples=0)
        for name, (pairs, groups, _) in report.parts.items()
    }
    main = next(iter(report.parts), None)
    return {
        "title": report.title,
        "legend": [
            {"name": name, "color": css_color(index)}
            for index, name in enumerate(report.classes.names)
        ],
        "main": main,
        "headline": _headline(scores[main], empty[main]) if main is not None else [],
        "scores": scores,
        "empty": empty,
        "tables": [
            {
                "part": name,
                "classes": _class_rows(class_rows(pairs, report.classes)),
                "folds": _fold_rows(pairs, folds),
            }
            for name, (pairs, _, folds) in report.parts.items()
        ],
        "thresholds": _threshold_rows(report.thresholds, report.classes),
        "curves": Markup(draw_curves(report.curves)) if report.curves else "",
        "lines": [(curve, *line_style(at)) for at, curve in enumerate(report.curves)],
        "examples": {
            title: [_shown(example, report.classes) for example in examples]
            for title, examples in report.examples.items()
            if examples
        },
        "about": report.about,
        "notes": report.notes,
        "verdict": report.verdict,
        "gates": report.gates,
    }


_MEANINGS = {
    "mean_dice": (
        "Mean Dice",
        "Overlap of predicted and true masks, averaged over all strips and classes. A clean pair "
        "that is left empty counts as 1, so predicting nothing already scores high.",
    ),
    "defect_dice": (
        "Dice where defect",
        "Overlap of predicted and true masks where a strip has a defect of the class.",
    ),
    "clean_kept": (
        "Clean pairs kept",
        "Share of the pairs of strip and class without a defect for which nothing was predicted.",
    ),
    "escapes": (
        "Escapes",
        "Defective strips on which nothing was predicted: they reach the customer.",
    ),
    "overkill": (
        "Overkill",
        "Clean strips on which something was predicted: an inspector must check them.",
    ),
}


def _headline(scores: Scores, empty: Scores) -> list[dict[str, Any]]:
    counts = {
        "defect_dice": f"{scores.defect_pairs} pairs",
        "clean_kept": f"{scores.clean_pairs} pairs",
        "escapes": f"{scores.escaped} of {scores.defective} strips",
        "overkill": f"{scores.stopped} of {scores.clean} strips",
    }
    absent = {
        "defect_dice": "no defect",
        "clean_kept": "no clean pair",
        "escapes": "no defective strip",
        "overkill": "no clean strip",
    }
    rows = []
    for name, (title, meaning) in _MEANINGS.items():
        value: Estimate = getattr(scores, name)
        percent = name in {"clean_kept", "escapes", "overkill"}
        rows.append(
            {
                "title": title,
                "meaning": meaning,
                "score": value,
                "percent": percent,
                "defined": not isnan(value.value),
                "known": not isnan(value.low),
                "count": counts.get(name, f"{scores.strips} strips"),
                "absent": absent.get(name, "no strip"),
                "empty": getattr(empty, name).value,
            }
        )
    return rows


def _class_rows(rows: list[ClassRow]) -> list[dict[str, Any]]:
    return [{"color": css_color(index), "row": row} for index, row in enumerate(rows)]


def _fold_rows(pairs: Pairs, folds: NDArray[np.int64] | None) -> list[tuple[int, Scores]]:
    if folds is None or len(np.unique(folds)) < 2:
        return []
    return [
        (int(fold), score(pairs.select(folds == fold), resamples=0)) for fold in np.unique(folds)
    ]


def _threshold_rows(thresholds: Thresholds | None, classes: Classes) -> list[dict[str, Any]]:
    if thresholds is None:
        return []
    if len(thresholds) != len(classes):
        found = f"are for {len(thresholds)} classes, the data set has {len(classes)}"
        raise RecipeError("thresholds", found, "Search thresholds on this data set")
    start = thresholds.defaults or thresholds
    return [
        {
            "name": name,
            "color": css_color(index),
            "start": start.of_class(index),
            "now": thresholds.of_class(index),
            "tuned": thresholds.tuned[index],
            "before": thresholds.before[index],
            "after": thresholds.after[index],
            "reason": thresholds.reasons[index],
        }
        for index, name in enumerate(classes.names)
    ]


def _shown(example: Example, classes: Classes) -> dict[str, Any]:
    height, width = example.picture.shape
    target = shown_width(height, width)
    return {
        "name": example.name,
        "long": width >= LONG * height,
        "width": target,
        "truth": jpeg_link(outline(example.picture, example.truth, width=target)),
        "predicted": jpeg_link(outline(example.picture, example.predicted, width=target)),
        "verdicts": _verdicts(example, classes),
    }


def _verdicts(example: Example, classes: Classes) -> list[dict[str, str]]:
    verdicts = []
    for index, name in enumerate(classes.names):
        true, predicted = bool(example.truth[index].any()), bool(example.predicted[index].any())
        if not true and not predicted:
            continue
        value = f"Dice {example.dice[index]:.3f}"
        text = value if true and predicted else "missed" if true else "false alarm"
        verdicts.append({"name": name, "color": css_color(index), "text": text})
    return verdicts
