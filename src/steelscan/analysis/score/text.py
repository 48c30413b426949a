"""A judgement written out for people: as text, as JSON, as a page."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

from steelscan.analysis.score.score import Judgement
from steelscan.analysis.score.size_table import SIZE_WORDS, size_rows
from steelscan.evaluation.metrics import Scores
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import Page, Section, Table, plain_table, plain_value
from steelscan.pipeline import draw_reliability

IOU_WORDS = (
    "IoU over pixels: shared pixels of the whole set over all that are true or predicted. Over "
    "strips: the mean over strips where the class is true or predicted. Where true: over strips "
    "that hold the class. Hit rate: share of these on which it is predicted at all."
)
EXPECTED_WORDS = (
    "Mean Dice to expect where classes are as frequent as was asked, with the clean pairs kept and "
    "the Dice of each class as they are here:"
)
CALIBRATION_WORDS = (
    "A strip and a class make an answer. Error: mean distance of what was said from what was seen, "
    "over ten bins. Bars are exact 95 % intervals of independent strips."
)

_CALIBRATION = "Calibration: how often a class was there, by the probability that was said:"

Rows = Sequence[tuple[str, ...]]


def score_text(found: Judgement) -> str:
    """All of it as plain text."""
    blocks = [
        Scores.table({**_judged(found), "all empty": found.empty}),
        found.class_table(),
    ]
    if found.overlaps:
        blocks.append(f"{plain_table(_overlap_rows(found))}\n{IOU_WORDS}")
    if found.folds:
        blocks.append(plain_table(_fold_rows(found)))
    if found.sizes:
        blocks.append(f"{plain_table(size_rows(found.sizes, found.unit))}\n{SIZE_WORDS}")
    if found.reliability:
        table = plain_table(_reliability_rows(found))
        blocks.append(f"{_CALIBRATION}\n{table}\n{CALIBRATION_WORDS}")
    if found.expected is not None:
        blocks.append(f"{EXPECTED_WORDS} {_number(found.expected)}")
    if found.unread:
        blocks.append(_unread(found))
    notes = [f"Note: {note}" for note in found.notes]
    return "\n\n".join([*blocks, "\n".join(notes)] if notes else blocks)


def score_json(found: Judgement) -> dict[str, Any]:
    """All of it as plain values; None where undefined."""
    told = found.reliability.items()
    return {
        "scores": found.scores.to_dict(),
        "empty": found.empty.to_dict(),
        "classes": [plain_value(asdict(row)) for row in found.classes],
        "overlaps": [plain_value(asdict(row)) for row in found.overlaps],
        "parts": {name: part.to_dict() for name, part in found.parts.items()},
        "folds": {str(fold): part.to_dict() for fold, part in found.folds.items()},
        "size_unit": found.unit,
        "sizes": plain_value(None if found.sizes is None else [*map(asdict, found.sizes)]),
        "expected_dice": plain_value(found.expected),
        "reliability": {name: plain_value(asdict(each)) for name, each in told},
        "unread": list(found.unread),
        "notes": list(found.notes),
    }


def score_page(found: Judgement, title: str) -> Page:
    """All of it as a page."""
    columns = {**_judged(found), "finds nothing": found.empty}
    sections = [
        Section(
            "Result",
            (f"{found.scores.strips} strips in {found.scores.groups} groups.", _FIVE),
            tables=(Table(("", *columns), Scores.rows(columns)),),
        ),
        Section("By class", tables=(_table(_class_rows(found)),)),
    ]
    if found.overlaps:
        sections.append(Section("Overlap", (IOU_WORDS,), tables=(_table(_overlap_rows(found)),)))
    if found.folds:
        sections.append(Section("By fold", tables=(_table(_fold_rows(found)),)))
    if found.sizes:
        rows = size_rows(found.sizes, found.unit)
        sections.append(Section("By size of defect", (SIZE_WORDS,), tables=(_table(rows),)))
    if found.reliability:
        drawing = draw_reliability(found.reliability)
        tables = (_table(_reliability_rows(found)),)
        sections.append(Section("Calibration", (CALIBRATION_WORDS,), drawing, tables=tables))
    if found.expected is not None:
        words = f"{EXPECTED_WORDS} {_number(found.expected)}"
        sections.append(Section("At other frequencies", (words,)))
    notes = (_unread(found), *found.notes) if found.unread else found.notes
    return Page("steelscan score", title, tuple(sections), tuple(notes))


_FIVE = (
    "Mean Dice: over all pairs of strip and class; an empty pair left empty counts 1. Escapes: "
    "defective strips on which nothing was found. Overkill: clean strips on which something was. "
    "Brackets hold 95 % bootstrap intervals."
)


def _unread(found: Judgement) -> str:
    """A sentence on strips that could not be read."""
    names = ", ".join(found.unread[:10]) + (", ..." if len(found.unread) > 10 else "")
    return (
        f"Not read: {len(found.unread)} strips could not be read by what predicted them, and are "
        f"counted in no other number: {names}"
    )


def _judged(found: Judgement) -> dict[str, Scores]:
    """The scores of all strips and of each part; the part alone where there is one only."""
    return (
        dict(found.parts) if len(found.parts) == 1 else {"predicted": found.scores, **found.parts}
    )


def _table(rows: Rows) -> Table:
    return Table(rows[0], rows[1:])


def _class_rows(found: Judgement) -> Rows:
    head = ("class", "strips with it", "found on", "missed", "false alarms", "mean Dice")
    return [
        (*head, "Dice where defect", "clean kept"),
        *(
            (
                row.name,
                *map(str, (row.positives, row.found, row.missed, row.false_alarms)),
                *map(_number, (row.mean_dice, row.defect_dice, row.clean_kept)),
            )
            for row in found.classes
        ),
    ]


def _overlap_rows(found: Judgement) -> Rows:
    head = ("class", "IoU over pixels", "IoU over strips", "IoU where true", "hit rate")
    return [
        head,
        *(
            (
                row.name,
                *map(_number, (row.over_pixels, row.over_strips, row.where_true, row.hit_rate)),
            )
            for row in found.overlaps
        ),
    ]


def _fold_rows(found: Judgement) -> Rows:
    head = ("fold", "strips", "mean Dice", "Dice where defect", "clean pairs kept")
    return [
        (*head, "escapes", "overkill"),
        *(
            (
                str(fold),
                str(part.strips),
                part.mean_dice.text(),
                part.defect_dice.text(),
                part.clean_kept.text(),
                *(_share(each) for each in (part.escapes, part.overkill)),
            )
            for fold, part in found.folds.items()
        ),
    ]


def _reliability_rows(found: Judgement) -> Rows:
    told = found.reliability.values()
    rows: list[tuple[str, ...]] = [("said", *found.reliability)]
    for at, first in enumerate(next(iter(told)).bins):
        bins = [each.bins[at] for each in told]
        seen = [
            f"{100 * each.seen.value:.0f} % of {each.count}" if each.count else "-" for each in bins
        ]
        rows.append((f"{first.low:g} to {first.high:g}", *seen))
    rows.append(("expected error", *(f"{each.error:.4f}" for each in told)))
    rows.append(("Brier score", *(f"{each.brier:.4f}" for each in told)))
    return rows


def _share(score: Estimate) -> str:
    return "-" if isnan(score.value) else score.text(percent=True)


def _number(value: float) -> str:
    return "undefined" if isnan(value) else f"{value:.4f}"
