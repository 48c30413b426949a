"""Defects by size as the rows of a table. No torch here, and no zarr."""

from collections.abc import Sequence
from math import isnan

from steelscan.evaluation.metrics import SizeRow
from steelscan.evaluation.statistics import Estimate

_HEAD = ("size", "defects", "missed", "less than half covered", "strips", "escapes")

SIZE_NOTE = (
    "A defect is a connected piece of a true mask. A strip counts with its largest defect. "
    "Brackets: 95 % intervals by group."
)


def size_rows(sizes: Sequence[SizeRow], unit: str) -> list[tuple[str, ...]]:
    """Return a head and one row per range of sizes."""
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
    """Return a share with its interval in per cent; a dash if it is undefined."""
    return "-" if isnan(score.value) else score.text(percent=True)
