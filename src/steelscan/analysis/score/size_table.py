"""Defects by their size as a table for people. No torch here, and no zarr."""

from collections.abc import Sequence
from math import isnan

from steelscan.evaluation.metrics import SizeRow
from steelscan.evaluation.statistics import Estimate

_HEAD = ("size", "defects", "nothing of it found", "less than half found", "strips", "escapes")

SIZE_WORDS = (
    "A defect is a connected piece of a true mask. Strips are sorted by their largest defect. "
    "Brackets hold 95 % intervals by group."
)


def size_rows(sizes: Sequence[SizeRow], unit: str) -> list[tuple[str, ...]]:
    """A head and a row for each class of sizes."""
    return [
        _HEAD,
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
    """A share with its interval, as per cent; a dash where it is undefined."""
    return "-" if isnan(score.value) else score.text(percent=True)
