"""What is fitted and what is predicted as rows, and the rows as text."""

from collections.abc import Sequence
from math import isnan

from pydantic import BaseModel

from steelscan.pages import plain_table

_FITS = ("fit", "folds", "epochs", "crops", "size", "left", "disk", "done", "network")
_PREDICTIONS = ("predict", "strips", "passes", "left", "disk", "done")


class FitRow(BaseModel, frozen=True):
    """All fits of one network of a recipe: one per fold and round of pseudo-labels.

    ``epochs`` are those of one fit; ``crops``, ``validated`` (strips predicted in validations) and
    ``bytes`` (of checkpoints) those of all fits. ``size`` is that of the largest crops.
    ``seconds`` are those left, nan if unknown.
    """

    name: str
    network: str
    folds: int
    rounds: int
    epochs: int
    crops: int
    size: str
    validated: int
    seconds: float
    bytes: int
    done: int


class PredictionRow(BaseModel, frozen=True):
    """Strips that a step predicts; ``passes`` counts each network and view.

    ``bytes`` are those of the store of probabilities, ``seconds`` those left, nan if unknown.
    """

    name: str
    strips: int
    passes: int
    done: int
    seconds: float
    bytes: int = 0


def rows_text(fits: Sequence[FitRow], predictions: Sequence[PredictionRow]) -> str:
    """Return two tables as text."""
    tables = (
        [_FITS, *map(_fit_cells, fits)],
        [_PREDICTIONS, *map(_prediction_cells, predictions)],
    )
    return "\n\n".join(map(plain_table, tables))


def _fit_cells(row: FitRow) -> tuple[str, ...]:
    counts = row.name, f"{row.folds}x{row.rounds}", str(row.epochs), short(row.crops), row.size
    done = f"{row.done}/{row.folds * row.rounds}"
    return *counts, time_text(row.seconds), size_text(row.bytes), done, row.network


def _prediction_cells(row: PredictionRow) -> tuple[str, ...]:
    counts = row.name, str(row.strips), short(row.passes), time_text(row.seconds)
    stored = size_text(row.bytes) if row.bytes else ""
    return *counts, stored, f"{100 * row.done // max(1, row.passes)}%"


def time_text(seconds: float) -> str:
    """Return seconds as 99 s, 34.5 min, 5.6 h or 7.8 d; "?" if unknown."""
    if isnan(seconds):
        return "?"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def size_text(count: int) -> str:
    """Return bytes as 987 B, 12.3 kB, 4.6 MB or 789 GB."""
    text = short(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def short(number: int) -> str:
    """Return a whole number as 987, 12.3 k, 4.6 M or 789 G."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            places = 1 if number < 100 * factor else 0
            return f"{number / factor:.{places}f} {unit}"
    return str(number)
