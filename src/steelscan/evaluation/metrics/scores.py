"""The five numbers of a report with bootstrap intervals, and the rows per class."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import nan

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.pairs import Pairs, check_classes, dice
from steelscan.evaluation.statistics import Estimate, estimate_shares, sums_by
from steelscan.pages import plain_table, plain_value
from steelscan.strip import Classes
from steelscan.strip.errors import InputError


@dataclass(frozen=True)
class Scores:
    """The five numbers of a prediction.

    A pair is one (strip, class). A defective strip has a defect of any class; it escapes if
    nothing at all is predicted on it. A clean strip is stopped if anything is predicted.
    """

    mean_dice: Estimate
    """Mean Dice over all pairs; never flattened over classes or batches."""
    defect_dice: Estimate
    """Mean Dice over the pairs with a defect."""
    clean_kept: Estimate
    """Share of the pairs without a defect that were kept empty."""
    escapes: Estimate
    """Share of the defective strips that escape."""
    overkill: Estimate
    """Share of the clean strips that are stopped."""
    strips: int
    groups: int
    defect_pairs: int
    clean_pairs: int
    defective: int
    clean: int
    escaped: int
    stopped: int

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; None if undefined."""
        return {name: plain_value(value) for name, value in asdict(self).items()}

    @staticmethod
    def table(columns: Mapping[str, "Scores"]) -> str:
        """Return named scores as columns of a text table, one row per number."""
        return plain_table([("", *columns), *Scores.rows(columns)])

    @staticmethod
    def rows(columns: Mapping[str, "Scores"]) -> list[tuple[str, ...]]:
        """Return one row per number: its title, and its text for each column."""
        return list(zip(_TITLES, *(_cells(each) for each in columns.values()), strict=True))


NUMBERS = [field.name for field in fields(Scores)][:5]
_TITLES = ("mean Dice", "Dice where defect", "clean pairs kept", "escapes", "overkill")


def _cells(scores: Scores) -> list[str]:
    escapes, overkill = scores.escapes.text(percent=True), scores.overkill.text(percent=True)
    return [
        scores.mean_dice.text(),
        scores.defect_dice.text() if scores.defect_pairs else "undefined (no defect)",
        scores.clean_kept.text() if scores.clean_pairs else "undefined (no clean pair)",
        f"{scores.escaped} of {scores.defective}, {escapes}"
        if scores.defective
        else "undefined (no defective strip)",
        f"{scores.stopped} of {scores.clean}, {overkill}"
        if scores.clean
        else "undefined (no clean strip)",
    ]


def score(
    pairs: Pairs,
    groups: NDArray[np.int64] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Score predictions, with percentile bootstrap intervals over whole groups.

    ``groups`` is int64 ``(strips,)``: strips of one group (near-duplicates, one coil) are drawn
    together; without it every strip is its own group. With ``resamples=0`` there are no
    intervals. The same seed gives the same intervals. Raises InputError for groups of another
    length. (Efron 1979; cluster bootstrap: Davison and Hinkley 1997, section 3.8.)
    """
    members = np.arange(len(pairs)) if groups is None else np.asarray(groups)
    if members.shape != (len(pairs),):
        problem = f"have shape {members.shape}, there are {len(pairs)} strips"
        raise InputError("groups", problem, "Give one group number per strip")
    over, under = strip_sums(pairs)
    group, member = np.unique(members, return_inverse=True)
    over, under = (sums_by(member, sums, len(group)) for sums in (over, under))
    estimates = estimate_shares(over, under, resamples, seed)
    total, count = over.sum(axis=0), under.sum(axis=0)
    return Scores(
        **dict(zip(NUMBERS, estimates, strict=True)),
        strips=len(pairs),
        groups=len(group),
        defect_pairs=int(count[1]),
        clean_pairs=int(count[2]),
        defective=int(count[3]),
        clean=int(count[4]),
        escaped=int(total[3]),
        stopped=int(total[4]),
    )


def strip_sums(pairs: Pairs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each strip's numerators and denominators of the five numbers, ``(strips, 5)`` each."""
    values, true, predicted = dice(pairs), pairs.truth > 0, pairs.predicted > 0
    defective, stopped = true.any(axis=1), predicted.any(axis=1)
    over = [
        values.sum(axis=1),
        (values * true).sum(axis=1),
        (~true & ~predicted).sum(axis=1),
        defective & ~stopped,
        ~defective & stopped,
    ]
    every = np.full(len(pairs), pairs.classes)
    under = [every, true.sum(axis=1), (~true).sum(axis=1), defective, ~defective]
    return np.stack(over, axis=1).astype(np.float64), np.stack(under, axis=1).astype(np.float64)


@dataclass(frozen=True)
class ClassRow:
    """The scores of one class; nan if undefined."""

    name: str
    strips: int
    positives: int
    """Strips with the class."""
    predicted: int
    """Strips on which the class is predicted, correctly or not."""
    missed: int
    """Strips with the class on which it is not predicted."""
    false_alarms: int
    """Strips without the class on which it is predicted."""
    mean_dice: float
    defect_dice: float
    defect_iou: float
    """Mean intersection over union on strips with the class."""
    clean_kept: float


def class_rows(pairs: Pairs, classes: Classes) -> list[ClassRow]:
    """Return one row per class. Raises InputError for another number of classes."""
    check_classes(pairs, classes)
    values = dice(pairs)
    overlap = values / np.maximum(2 - values, 1)
    rows = []
    for index, name in enumerate(classes.names):
        true, guessed = pairs.truth[:, index] > 0, pairs.predicted[:, index] > 0
        rows.append(
            ClassRow(
                name=name,
                strips=len(pairs),
                positives=int(true.sum()),
                predicted=int(guessed.sum()),
                missed=int((true & ~guessed).sum()),
                false_alarms=int((~true & guessed).sum()),
                mean_dice=_mean(values[:, index]),
                defect_dice=_mean(values[true, index]),
                defect_iou=_mean(overlap[true, index]),
                clean_kept=_mean(~guessed[~true]),
            )
        )
    return rows


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(np.mean(values, dtype=np.float64)) if values.size else nan
