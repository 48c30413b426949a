"""The comparison of two runs as text."""

from collections import Counter
from collections.abc import Sequence
from math import isnan

from steelscan.analysis.compare.compare import Comparison
from steelscan.evaluation.metrics import Difference, Differences
from steelscan.pages import plain_table, plural

_LISTED = 20
NUMBERS = {
    "mean_dice": "mean Dice",
    "defect_dice": "Dice where defect",
    "clean_kept": "clean pairs kept",
    "escapes": "escapes",
    "overkill": "overkill",
}
PER_CLASS = {
    "mean_dice": "mean Dice",
    "defect_dice": "Dice where defect",
    "escapes": "missed",
    "overkill": "false alarms",
}
SHARES = ("escapes", "overkill")
_HEAD = ("A", "B", "B - A", "95 % interval", "groups that differ", "B is")


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as text, with the first 20 changed strips; its sentence comes last."""
    scores = comparison.scores
    rows_of_classes = [
        (name, *row)
        for name, of_class in zip(comparison.classes.names, comparison.per_class, strict=True)
        for row in _rows(of_class, PER_CLASS)
    ]
    blocks = [
        f"{scores.strips} {plural(scores.strips, 'strip')} {comparison.part} in {scores.groups} "
        f"{plural(scores.groups, 'group')}; A is the first run.",
        plain_table([("", *_HEAD), *_rows(scores, NUMBERS)]),
        plain_table([("class", "", *_HEAD), *rows_of_classes]),
        _changes(comparison),
        *(f"Note: {note}" for note in comparison.notes),
        comparison.sentence,
    ]
    return "\n\n".join(blocks)


def _rows(scores: Differences, titles: dict[str, str]) -> list[tuple[str, ...]]:
    return [
        (title, *_cells(getattr(scores, name), name in SHARES)) for name, title in titles.items()
    ]


def _cells(number: Difference, percent: bool) -> tuple[str, ...]:
    if isnan(number.value):
        return ("undefined", "", "", "", "", "")

    def text(value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f} %" if percent else f"{value:{sign}.4f}"

    known = not isnan(number.low)
    return (
        text(number.one),
        text(number.other),
        text(number.value, "+"),
        f"{text(number.low, '+')} to {text(number.high, '+')}" if known else "unknown",
        str(number.differing),
        number.verdict,
    )


def _changes(comparison: Comparison) -> str:
    """Return how many decisions changed and how, and the first of them."""
    changes = comparison.changes
    kinds = Counter(change.kind for change in changes)
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    strips = f"{len(changes)} {plural(len(changes), 'strip')}"
    head = f"Decisions changed on {strips}{f': {counts}' if counts else ''}."
    if not changes:
        return head
    rows = [
        (
            change.image,
            change.kind,
            *map(named_classes, (change.truth, change.a, change.b)),
            f"{change.gain:+.4f}",
        )
        for change in changes[:_LISTED]
    ]
    more = len(changes) - len(rows)
    lines = [head, plain_table([("image", "change", "truth", "A", "B", "Dice"), *rows])]
    return "\n".join([*lines, f"and {more} more"] if more else lines)


def named_classes(classes: Sequence[str]) -> str:
    """Return classes by name; "clean" if there are none."""
    return " ".join(classes) or "clean"
