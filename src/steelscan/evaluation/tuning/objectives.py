"""Objectives to maximise: weighted sums over strips of one score per (strip, class) pair."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat

from steelscan.evaluation.metrics import Pairs, dice
from steelscan.strip import Share, Spec
from steelscan.strip.errors import InputError


class MeanDice(Spec):
    """The mean Dice of a class over all strips."""

    kind: Literal["mean_dice"] = "mean_dice"


class EscapeWeighted(Spec):
    """Mean Dice, less ``weight`` for each strip with the class on which nothing is predicted.

    A missed class has a Dice of 0, so a weight of 0 is mean Dice. With a weight of 1, one missed
    class costs as much as two false alarms on clean strips.
    """

    kind: Literal["escape_weighted"] = "escape_weighted"
    weight: NonNegativeFloat


class Prior(Spec):
    """The expected mean Dice if a share ``positives`` of the strips has the class.

    All strips with the class together have the weight ``positives``, all others ``1 - positives``.
    (Change of the prior alone: Saerens, Latinne and Decaestecker 2002.)
    """

    kind: Literal["prior"] = "prior"
    positives: Share


Objective = Annotated[MeanDice | EscapeWeighted | Prior, Field(discriminator="kind")]
"""Objective to maximise."""


def pair_scores(pairs: Pairs, objective: Objective) -> NDArray[np.float64]:
    """Return the score of each pair before `strip_weights`: float64 ``(strips, classes)``."""
    values = dice(pairs)
    if isinstance(objective, EscapeWeighted):
        values -= objective.weight * ((pairs.truth > 0) & (pairs.predicted == 0))
    return values


def strip_weights(
    true: NDArray[np.int64], objective: Objective, times: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the weight of each strip for one class: float64 ``(strips,)`` with sum 1.

    ``true`` holds the true pixels of the class, int64 ``(strips,)``; ``times`` how often a
    resample contains each strip, float64 ``(strips,)``, once each if not given. Raises InputError
    for no strips, and for a prior that gives a weight to strips with the class, or without it, if
    there are none.
    """
    times = np.ones(len(true)) if times is None else times
    if not times.any():
        raise InputError("strips", "are none", "Give at least one strip")
    if not isinstance(objective, Prior):
        return np.asarray(times / times.sum(), np.float64)
    weights = np.zeros(len(true))
    shares = {"with": objective.positives, "without": 1 - objective.positives}
    for (name, share), part in zip(shares.items(), (true > 0, true == 0), strict=True):
        of_part = times[part].sum()
        if share > 0 and not of_part:
            problem = f"gives {share:g} to strips {name} the class, and there is none"
            raise InputError("Prior.positives", problem, "Take strips of both kinds, or mean Dice")
        weights[part] = share * times[part] / max(of_part, 1)
    return weights


def is_defined(true: NDArray[np.int64], objective: Objective, times: NDArray[np.float64]) -> bool:
    """Return whether `strip_weights` is defined for a resample."""
    try:
        strip_weights(true, objective, times)
    except InputError:
        return False
    return True
