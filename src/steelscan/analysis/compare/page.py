"""The comparison of two runs as one HTML file, with the strips that are decided differently."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from steelscan.analysis.compare.compare import CHANGES, Change, Comparison
from steelscan.analysis.compare.text import NUMBERS, PER_CLASS, SHARES, named_classes
from steelscan.data import Dataset
from steelscan.evaluation.metrics import Difference, Differences, Pairs, count_pixels, dice
from steelscan.pages import LONG, bar, css_color, jpeg_link, render_page, shown_width, widest
from steelscan.pages.outline import outline
from steelscan.pipeline import RunFolder, read_evaluated
from steelscan.strip import Masks, Picture
from steelscan.strip.errors import MissingPartError, RunError, SteelscanError
from steelscan.strip.files import write_text

SHOWN = 24
"""Strips that are shown, at most two thirds of them worse with B."""


_THIRD = 322
"""Width in pixels of three pictures in a row, on a page of 1000 with gaps of 16."""


@dataclass(frozen=True, eq=False)
class _ShownStrip:
    """A changed strip with its picture."""

    change: Change
    picture: Picture
    masks: tuple[Masks, Masks, Masks]
    """Truth, A, B."""


def write_comparison_page(
    path: Path, comparison: Comparison, run_a: Path, run_b: Path, data: Path | None = None
) -> str:
    """Write a comparison as one HTML file; returns why it has no pictures, "" if it has.

    Pictures are read from the data set of the runs, at ``data`` or where it was in training. If
    it is gone, or a run keeps no probabilities, the page has no pictures and gives the reason.
    Raises OutputError, and another SteelscanError if ``data`` is given and is not the data of
    these runs.
    """
    folders = RunFolder(run_a), RunFolder(run_b)
    worse, better = chosen_changes(comparison.changes)
    reason = ""
    strips: dict[str, _ShownStrip] = {}
    dataset = None
    try:
        dataset = folders[0].open_data(data)
        strips = _shown_strips(comparison, dataset, folders, [*worse, *better])
    except SteelscanError as error:
        if data is not None and dataset is None:
            raise
        reason = " ".join(str(error).split())
    content = _content(comparison, run_a, run_b, reason) | {
        "sections": [
            _section("Worse with B, worst first", worse, _lost(comparison.changes), strips),
            _section(
                "Better or equal with B, largest gain first",
                better,
                [change for change in comparison.changes if change.gain >= 0],
                strips,
            ),
        ]
    }
    room = "steelscan.analysis.compare"
    write_text(path, render_page(room, "comparison.html.jinja", content))
    return reason


def chosen_changes(changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """Return the changes to show: those worse with B, and the others, each the largest first.

    At most `SHOWN`, and at most two thirds of them worse if there are enough others.
    """
    worse = sorted(_lost(changes), key=lambda change: change.gain)
    better = sorted(
        (change for change in changes if change.gain >= 0), key=lambda change: -change.gain
    )
    most = max(SHOWN * 2 // 3, SHOWN - len(better))
    return worse[:most], better[: SHOWN - min(len(worse), most)]


def _lost(changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.gain < 0]


def _shown_strips(
    comparison: Comparison,
    dataset: Dataset,
    folders: tuple[RunFolder, RunFolder],
    changes: Sequence[Change],
) -> dict[str, _ShownStrip]:
    """Return the strips to show, by name. Raises RunError as `_masks` does."""
    row_of = {name: row for row, name in enumerate(dataset.names)}
    made = [_masks(comparison, dataset, folder, changes) for folder in folders]
    return {
        change.image: _ShownStrip(
            change,
            dataset.picture(row_of[change.image]),
            (dataset.masks(row_of[change.image]), of_a, of_b),
        )
        for change, of_a, of_b in zip(changes, *made, strict=True)
    }


def _masks(
    comparison: Comparison, dataset: Dataset, run: RunFolder, changes: Sequence[Change]
) -> list[Masks]:
    """Return the masks of a run. Raises RunError if they are not those that it evaluated."""
    evaluated = read_evaluated(run, len(comparison.classes))[comparison.part]
    row_of = {name: row for row, name in enumerate(dataset.names)}
    index_of = {name: index for index, name in enumerate(evaluated.images)}
    try:
        from steelscan.pipeline import StoredOutputs

        outputs = StoredOutputs(run, dataset)
    except ModuleNotFoundError as error:
        needs = f"need {error.name}, which is not installed"
        raise MissingPartError("pictures", needs, "Run: pip install 'steelscan[train]'") from None
    made = []
    for change in changes:
        masks = outputs.masks(row_of[change.image])
        if (masks.sum((1, 2)) != evaluated.pairs.predicted[index_of[change.image]]).any():
            what = f"stores probabilities whose masks of {change.image} are not those evaluated"
            raise RunError(run.path, what, "Give the same train command again")
        made.append(masks)
    return made


def _content(comparison: Comparison, run_a: Path, run_b: Path, reason: str) -> dict[str, Any]:
    notes = [*comparison.notes, *([f"No pictures: {reason}"] if reason else [])]
    return {
        "title": f"{run_b.name} against {run_a.name}",
        "comparison": comparison,
        "runs": {"A": str(run_a), "B": str(run_b)},
        "notes": notes,
        "numbers": _rows(comparison.scores, NUMBERS),
        "classes": [
            (name, _rows(scores, PER_CLASS))
            for name, scores in zip(comparison.classes.names, comparison.per_class, strict=True)
        ],
        "kinds": list(_kinds(comparison.changes)),
        "legend": [
            {"name": name, "color": css_color(at)}
            for at, name in enumerate(comparison.classes.names)
        ],
    }


def _rows(scores: Differences, titles: dict[str, str]) -> list[dict[str, Any]]:
    numbers: dict[str, Difference] = {name: getattr(scores, name) for name in titles}
    reach = widest(numbers.values())
    return [
        {
            "title": titles[name],
            "number": number,
            "defined": not isnan(number.value),
            "percent": name in SHARES,
            "difference": number.estimate.text(percent=name in SHARES, sign=True),
            "bar": bar(number, reach),
        }
        for name, number in numbers.items()
    ]


def _kinds(changes: Sequence[Change]) -> Iterator[dict[str, Any]]:
    """Yield how many decisions changed, by kind, and how the Dice changed with them."""
    for kind in CHANGES:
        of_kind = [change for change in changes if change.kind == kind]
        yield {
            "kind": kind,
            "strips": len(of_kind),
            "defective": sum(bool(change.truth) for change in of_kind),
            "clean": sum(not change.truth for change in of_kind),
            "better": sum(change.gain > 0 for change in of_kind),
            "worse": sum(change.gain < 0 for change in of_kind),
        }


def _section(
    title: str, shown: Sequence[Change], of: Sequence[Change], strips: dict[str, _ShownStrip]
) -> dict[str, Any]:
    pictured = [strips[change.image] for change in shown if change.image in strips]
    return {"title": title, "of": len(of), "strips": [_shown(strip) for strip in pictured]}


def _shown(strip: _ShownStrip) -> dict[str, Any]:
    change, picture = strip.change, strip.picture
    height, width = picture.shape
    shown = shown_width(height, width)
    long = width >= LONG * height
    shown = shown if long else min(shown, _THIRD)
    values = [
        dice(Pairs.of([count_pixels(masks, strip.masks[0])])).mean() for masks in strip.masks[1:]
    ]
    classes = (change.truth, change.a, change.b)
    titles = ("truth", f"A, Dice {values[0]:.3f}", f"B, Dice {values[1]:.3f}")
    return {
        "name": change.image,
        "kind": change.kind,
        "harm": _harm(change),
        "gain": f"{change.gain:+.3f}",
        "long": long,
        "width": shown,
        "views": [
            {
                "title": title,
                "classes": named_classes(names),
                "source": jpeg_link(outline(picture, masks, width=shown)),
            }
            for title, names, masks in zip(titles, classes, strip.masks, strict=True)
        ],
    }


def _harm(change: Change) -> str:
    """Return the harm that a change does in a plant, whatever its Dice; "" for none."""
    if change.truth and change.a and not change.b:
        return "escapes with B"
    if not change.truth and change.b and not change.a:
        return "false alarm with B"
    return ""
