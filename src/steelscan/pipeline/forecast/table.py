"""What is fitted and what is asked as rows, and the rows as text for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from steelscan.pages import plain_table

WIDTH = 100
"""Columns that a table may take."""

_FITS = ("fit", "folds", "epochs", "crops", "size", "left", "disk", "done", "network")
_ASKS = ("ask", "strips", "passes", "left", "disk", "done")


@dataclass(frozen=True)
class FitRow:
    """All fits of one network of a recipe: one a fold and a round of pseudo-labels.

    ``epochs`` are those of one fit; ``crops``, ``judged`` (strips asked in validations) and
    ``bytes`` (of checkpoints) those of all fits. ``size`` is that of the largest crops.
    ``seconds`` are those left.
    """

    name: str
    network: str
    folds: int
    rounds: int
    epochs: int
    crops: int
    size: str
    judged: int
    seconds: float
    bytes: int
    done: int


@dataclass(frozen=True)
class AskRow:
    """Strips asked about at a step; ``passes`` counts them a network and a view.

    ``bytes`` are those of the store of their answers, ``seconds`` those left.
    """

    name: str
    strips: int
    passes: int
    done: int
    seconds: float
    bytes: int = 0


def rows_text(fits: Sequence[FitRow], asks: Sequence[AskRow]) -> str:
    """A line a row, at most `WIDTH` columns wide: the last, longest cell may be cut."""
    tables = [_FITS, *map(_fit_cells, fits)], [_ASKS, *map(_ask_cells, asks)]
    lines = "\n\n".join(map(plain_table, tables)).splitlines()
    return "\n".join(line[:WIDTH].rstrip() for line in lines)


def _fit_cells(row: FitRow) -> tuple[str, ...]:
    counts = row.name, f"{row.folds}x{row.rounds}", str(row.epochs), short(row.crops), row.size
    done = f"{row.done}/{row.folds * row.rounds}"
    return *counts, time_text(row.seconds), size_text(row.bytes), done, row.network


def _ask_cells(row: AskRow) -> tuple[str, ...]:
    counts = row.name, str(row.strips), short(row.passes), time_text(row.seconds)
    stored = size_text(row.bytes) if row.bytes else ""
    return *counts, stored, f"{100 * row.done // max(1, row.passes)}%"


def time_text(seconds: float) -> str:
    """Seconds, as 99 s, 34.5 min, 5.6 h or 7.8 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def size_text(count: int) -> str:
    """Bytes, as 987 B, 12.3 kB, 4.6 MB or 789 GB."""
    text = short(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def short(number: int) -> str:
    """A whole number, as 987, 12.3 k, 4.6 M or 789 G."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            places = 1 if number < 100 * factor else 0
            return f"{number / factor:.{places}f} {unit}"
    return str(number)
