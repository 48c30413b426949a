"""The comparison of two runs, written out for people."""

from collections import Counter
from collections.abc import Sequence
from math import isnan

from steelscan.analysis.compare.compare import Comparison
from steelscan.evaluation.metrics import Difference, Differences
from steelscan.pages import plain_table

_LISTED = 20
NUMBERS = {
    "mean_dice": "mean Dice",
    "defect_dice": "Dice where defect",
    "clean_kept": "clean pairs kept",
    "escapes": "escapes",
    "overkill": "overkill",
}
OF_A_CLASS = {
    "mean_dice": "mean Dice",
    "defect_dice": "Dice where defect",
    "escapes": "missed",
    "overkill": "false alarms",
}
SHARES = ("escapes", "overkill")
_HEAD = ("A", "B", "B - A", "95 % interval", "groups that differ", "B is")


def comparison_text(found: Comparison) -> str:
    """All of a comparison, with the first 20 changed strips; its sentence comes last."""
    scores = found.scores
    blocks = [
        f"{scores.strips} strips {found.part} in {scores.groups} groups; A is the first run.",
        plain_table([("", *_HEAD), *_rows(scores, NUMBERS)]),
        plain_table([("class", "", *_HEAD), *_rows_of_classes(found)]),
        _changes(found),
        *(f"Note: {note}" for note in found.notes),
        found.sentence,
    ]
    return "\n\n".join(blocks)


def _rows(scores: Differences, titles: dict[str, str]) -> list[tuple[str, ...]]:
    return [
        (title, *_cells(getattr(scores, name), name in SHARES)) for name, title in titles.items()
    ]


def _rows_of_classes(found: Comparison) -> list[tuple[str, ...]]:
    named = zip(found.classes.names, found.per_class, strict=True)
    return [(name, *row) for name, scores in named for row in _rows(scores, OF_A_CLASS)]


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


def _changes(found: Comparison) -> str:
    """How many decisions changed and how, and the first of them."""
    kinds = Counter(change.kind for change in found.changes)
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    head = f"Decisions changed on {len(found.changes)} strips{f': {told}' if told else ''}."
    if not found.changes:
        return head
    rows = [
        (
            change.image,
            change.kind,
            *map(named_classes, (change.truth, change.one, change.other)),
            f"{change.gain:+.4f}",
        )
        for change in found.changes[:_LISTED]
    ]
    more = len(found.changes) - len(rows)
    lines = [head, plain_table([("image", "change", "truth", "A", "B", "Dice"), *rows])]
    return "\n".join([*lines, f"and {more} more"] if more else lines)


def named_classes(classes: Sequence[str]) -> str:
    """Classes by name; "clean" where there is none."""
    return " ".join(classes) or "clean"
