"""The result of a score as text and as a page."""

from collections.abc import Sequence
from math import isnan

from steelscan.analysis.score.figures import draw_reliability
from steelscan.analysis.score.result import ScoreResult
from steelscan.evaluation.metrics import Scores, SizeRow
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import Page, Section, Table, plain_page, plural

IOU_NOTE = (
    "IoU over pixels: shared pixels of the whole set over all that are true or predicted. Over "
    "strips: the mean over strips on which the class is true or predicted. Where true: over strips "
    "with the class. Hit rate: share of these on which it is predicted at all."
)
EXPECTED_NOTE = (
    "Expected mean Dice at the given class frequencies, with the clean pairs kept and the Dice of "
    "each class as measured here:"
)
CALIBRATION_NOTE = (
    "How often a class was present on a strip, by its predicted probability. Error: mean distance "
    "between predicted probability and observed share, over ten bins. Bars: exact 95 % intervals "
    "for independent strips."
)

SIZE_NOTE = (
    "A defect is a connected piece of a true mask. A strip counts with its largest defect. "
    "Brackets: 95 % intervals by group."
)

Rows = Sequence[tuple[str, ...]]


def score_text(result: ScoreResult) -> str:
    """Return the whole result as plain text."""
    return plain_page(score_page(result, ""))


def score_page(result: ScoreResult, title: str) -> Page:
    """Return the whole result as a page."""
    columns = {**_columns(result), "all empty": result.empty}
    sections = [
        Section(
            "Result",
            (f"Strips: {result.scores.strips}, groups: {result.scores.groups}.",),
            tables=(Table(("", *columns), Scores.rows(columns)),),
            about=_FIVE,
        ),
        Section("By class", tables=(_table(_class_rows(result)),)),
    ]
    if result.overlaps:
        sections.append(Section("Overlap", (IOU_NOTE,), tables=(_table(_overlap_rows(result)),)))
    if result.folds:
        sections.append(Section("By fold", tables=(_table(_fold_rows(result)),)))
    if result.sizes:
        rows = size_rows(result.sizes, result.size_unit)
        sections.append(Section("By size of defect", (SIZE_NOTE,), tables=(_table(rows),)))
    if result.reliability:
        drawing = draw_reliability(result.reliability)
        tables = (_table(_reliability_rows(result)),)
        sections.append(Section("Calibration", (CALIBRATION_NOTE,), drawing, tables=tables))
    if result.expected_dice is not None:
        text = f"{EXPECTED_NOTE} {_number(result.expected_dice)}"
        sections.append(Section("At other frequencies", (text,)))
    notes = (_unread(result), *result.notes) if result.unread else result.notes
    return Page("steelscan score", title, tuple(sections), tuple(notes))


_FIVE = (
    "Mean Dice: over all pairs of strip and class; an empty pair left empty counts 1. Escapes: "
    "defective strips on which nothing is predicted. Overkill: clean strips on which something is. "
    "Brackets: 95 % bootstrap intervals."
)


def _unread(result: ScoreResult) -> str:
    """Return a sentence on strips that could not be read."""
    count = len(result.unread)
    names = ", ".join(result.unread[:10]) + (", ..." if count > 10 else "")
    strips = f"{count} {plural(count, 'strip')}"
    return f"Not read: {strips} when they were predicted, in no other number: {names}"


def _columns(result: ScoreResult) -> dict[str, Scores]:
    """Return the scores of all strips and of each part; only the part if there is one."""
    if len(result.parts) == 1:
        return result.parts
    return {"predicted": result.scores, **result.parts}


def _table(rows: Rows) -> Table:
    return Table(rows[0], rows[1:])


def _class_rows(result: ScoreResult) -> Rows:
    head = ("class", "strips with it", "predicted on", "missed", "false alarms", "mean Dice")
    return [
        (*head, "Dice where defect", "clean kept"),
        *(
            (
                row.name,
                *map(str, (row.positives, row.predicted, row.missed, row.false_alarms)),
                *map(_number, (row.mean_dice, row.defect_dice, row.clean_kept)),
            )
            for row in result.classes
        ),
    ]


def _overlap_rows(result: ScoreResult) -> Rows:
    head = ("class", "IoU over pixels", "IoU over strips", "IoU where true", "hit rate")
    return [
        head,
        *(
            (
                row.name,
                *map(_number, (row.over_pixels, row.over_strips, row.where_true, row.hit_rate)),
            )
            for row in result.overlaps
        ),
    ]


def size_rows(sizes: Sequence[SizeRow], unit: str) -> list[tuple[str, ...]]:
    """Return a head and one row per range of sizes."""
    return [
        ("size", "defects", "missed", "less than half covered", "strips", "escapes"),
        *(
            (
                row.title(unit),
                str(row.defects),
                percent_text(row.missed),
                percent_text(row.uncovered),
                str(row.strips),
                percent_text(row.escapes),
            )
            for row in sizes
        ),
    ]


def percent_text(score: Estimate) -> str:
    """Return a share with its interval in per cent; a dash if it is undefined."""
    return "-" if isnan(score.value) else score.text(percent=True)


def _fold_rows(result: ScoreResult) -> Rows:
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
                *(percent_text(each) for each in (part.escapes, part.overkill)),
            )
            for fold, part in result.folds.items()
        ),
    ]


def _reliability_rows(result: ScoreResult) -> Rows:
    each_class = result.reliability.values()
    rows: list[tuple[str, ...]] = [("probability", *result.reliability)]
    for at, first in enumerate(next(iter(each_class)).bins):
        observed = [
            f"{100 * each.observed.value:.0f} % of {each.count}" if each.count else "-"
            for each in (one.bins[at] for one in each_class)
        ]
        rows.append((f"{first.low:g} to {first.high:g}", *observed))
    rows.append(("expected error", *(f"{each.error:.4f}" for each in each_class)))
    rows.append(("Brier score", *(f"{each.brier:.4f}" for each in each_class)))
    return rows


def _number(value: float) -> str:
    return "undefined" if isnan(value) else f"{value:.4f}"
