"""The page of two runs' comparison: one HTML file with the strips that are decided otherwise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from steelscan.analysis.compare.compare import CHANGES, Change, Comparison
from steelscan.analysis.compare.text import NUMBERS, OF_A_CLASS, SHARES, named_classes
from steelscan.data import Dataset
from steelscan.evaluation.metrics import Difference, Differences, Pairs, count_pixels, dice
from steelscan.pages import LONG, Span, bar, css_color, jpeg_link, render_page, shown_width, widest
from steelscan.pages.outline import outline
from steelscan.pipeline import RunFolder, read_evaluated
from steelscan.strip import Masks, MissingPartError, Picture, RunError, SteelscanError, write_text

SHOWN = 24
"""Strips that are shown: two thirds of them at most that B does worse on."""


_THIRD = 322
"""Pixels of width of three pictures beside each other, on a page of 1000 with gaps of 16."""


@dataclass(frozen=True, eq=False)
class _Sight:
    """A changed strip as it is shown."""

    change: Change
    picture: Picture
    masks: tuple[Masks, Masks, Masks]
    """Truth, A, B."""


def write_comparison_page(
    path: Path, found: Comparison, run_a: Path, run_b: Path, data: Path | None = None
) -> str:
    """Write a comparison as one HTML file; returns why it has no pictures, "" when it has.

    Pictures are those of the data set where the runs left it; when it is no longer there, or a run
    keeps no probabilities, the page has none and says so. Raises OutputError, and RunError and its
    kin where ``data`` is named and is not the data of these runs.
    """
    folders = RunFolder(run_a), RunFolder(run_b)
    worse, better = chosen_changes(found.changes)
    reason = ""
    sights: dict[str, _Sight] = {}
    dataset = None
    try:
        dataset = folders[0].open_data(data)
        sights = _sights(found, dataset, folders, [*worse, *better])
    except SteelscanError as error:
        if data is not None and dataset is None:
            raise
        reason = " ".join(str(error).split())
    content = _content(found, run_a, run_b, reason) | {
        "sections": [
            _section("Worse with B, worst first", worse, _lost(found.changes), sights),
            _section(
                "Better or as good with B, largest gain first",
                better,
                [change for change in found.changes if change.gain >= 0],
                sights,
            ),
        ]
    }
    room = "steelscan.analysis.compare"
    write_text(path, render_page(room, "comparison.html.jinja", content))
    return reason


def chosen_changes(changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """The changes to show: those that B does worse on, and the others, each the largest first.

    At most `SHOWN`, at most two thirds of them worse where there are as many others to show.
    """
    worse = sorted(_lost(changes), key=lambda change: change.gain)
    better = sorted(
        (change for change in changes if change.gain >= 0), key=lambda change: -change.gain
    )
    most = max(SHOWN * 2 // 3, SHOWN - len(better))
    return worse[:most], better[: SHOWN - min(len(worse), most)]


def _lost(changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.gain < 0]


def _sights(
    found: Comparison,
    dataset: Dataset,
    folders: tuple[RunFolder, RunFolder],
    changes: Sequence[Change],
) -> dict[str, _Sight]:
    """The strips to show, by name. Raises RunError where stores do not hold what was judged."""
    row_of = {name: row for row, name in enumerate(dataset.names)}
    made = [_masks(found, dataset, folder, changes) for folder in folders]
    return {
        change.image: _Sight(
            change,
            dataset.picture(row_of[change.image]),
            (dataset.masks(row_of[change.image]), one, other),
        )
        for change, one, other in zip(changes, *made, strict=True)
    }


def _masks(
    found: Comparison, dataset: Dataset, run: RunFolder, changes: Sequence[Change]
) -> list[Masks]:
    """The masks of a run on changed strips, which must be those that were judged."""
    judged = read_evaluated(run, len(found.classes))[found.part]
    row_of = {name: row for row, name in enumerate(dataset.names)}
    place_of = {name: place for place, name in enumerate(judged.images)}
    try:
        from steelscan.pipeline import StoredOutputs

        answers = StoredOutputs(run, dataset)
    except ModuleNotFoundError as error:
        needs = f"need {error.name}, which is not installed"
        raise MissingPartError("pictures", needs, "Run: pip install 'steelscan[train]'") from None
    made = []
    for change in changes:
        masks = answers.masks(row_of[change.image])
        if (masks.sum((1, 2)) != judged.pairs.predicted[place_of[change.image]]).any():
            what = f"keeps probabilities that make other masks of {change.image} than were judged"
            raise RunError(run.path, what, "Give the same train command again")
        made.append(masks)
    return made


def _content(found: Comparison, run_a: Path, run_b: Path, reason: str) -> dict[str, Any]:
    notes = [*found.notes, *([f"No pictures: {reason}"] if reason else [])]
    return {
        "title": f"{run_b.name} against {run_a.name}",
        "found": found,
        "runs": {"A": str(run_a), "B": str(run_b)},
        "notes": notes,
        "numbers": _rows(found.scores, NUMBERS),
        "classes": [
            (name, _rows(scores, OF_A_CLASS))
            for name, scores in zip(found.classes.names, found.per_class, strict=True)
        ],
        "kinds": list(_kinds(found.changes)),
        "legend": [
            {"name": name, "color": css_color(at)} for at, name in enumerate(found.classes.names)
        ],
    }


def _rows(scores: Differences, titles: dict[str, str]) -> list[dict[str, Any]]:
    numbers: dict[str, Difference] = {name: getattr(scores, name) for name in titles}
    reach = widest(_span(number) for number in numbers.values())
    return [
        {
            "title": titles[name],
            "number": number,
            "defined": not isnan(number.value),
            "percent": name in SHARES,
            "difference": _difference(number, name in SHARES),
            "bar": bar(_span(number), reach),
        }
        for name, number in numbers.items()
    ]


def _span(number: Difference) -> Span:
    return Span(number.value, number.low, number.high)


def _difference(number: Difference, percent: bool) -> str:
    def text(value: float) -> str:
        return f"{100 * value:+.1f} %" if percent else f"{value:+.4f}"

    if isnan(number.low):
        return text(number.value)
    return f"{text(number.value)} [{text(number.low)}, {text(number.high)}]"


def _kinds(changes: Sequence[Change]) -> Iterator[dict[str, Any]]:
    """How many decisions changed, by their kind, and what they were worth."""
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
    title: str, shown: Sequence[Change], of: Sequence[Change], sights: dict[str, _Sight]
) -> dict[str, Any]:
    seen = [sights[change.image] for change in shown if change.image in sights]
    return {"title": title, "of": len(of), "strips": [_shown(sight) for sight in seen]}


def _shown(sight: _Sight) -> dict[str, Any]:
    change, picture = sight.change, sight.picture
    height, width = picture.shape
    shown = shown_width(height, width)
    long = width >= LONG * height
    shown = shown if long else min(shown, _THIRD)
    values = [_dice(masks, sight.masks[0]) for masks in sight.masks[1:]]
    told = (change.truth, change.one, change.other)
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
            for title, names, masks in zip(titles, told, sight.masks, strict=True)
        ],
    }


def _harm(change: Change) -> str:
    """What a plant would hold against the change, whatever its Dice; "" for nothing."""
    if change.truth and change.one and not change.other:
        return "escapes with B"
    if not change.truth and change.other and not change.one:
        return "stopped for nothing with B"
    return ""


def _dice(masks: Masks, truth: Masks) -> float:
    """Dice of a strip: the mean over its classes."""
    return float(dice(Pairs.of([count_pixels(masks, truth)])).mean())
