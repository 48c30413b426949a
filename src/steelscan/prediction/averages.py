"""The averages of an ensemble, as pure functions of its outputs. No torch here.

Each is a mean between two steps: every output is transformed, the transformed outputs are
averaged, and the inverse makes a probability of the mean. So outputs can be summed one by one.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.specs import Average, LogitMean, PowerMean

Floats: TypeAlias = NDArray[np.floating[Any]]


def transform(
    average: Average, outputs: Floats, mirrored: Sequence[bool], *, softmax: bool = False
) -> Floats:
    """Return what is averaged, float ``(rows, classes, ...)``, of the dtype of ``outputs``.

    ``outputs`` is ``(rows, classes, ...)``: probabilities, for `LogitMean` logits, which with
    ``softmax`` have one plane more, the first, for the background. ``mirrored`` marks the rows of
    a mirrored strip.

    Softmax logits become those of the classes minus that of the background, which leaves their
    softmax unchanged.
    """
    match average:
        case PowerMean(t=t, form="starter"):
            powers = np.array([t if flipped else 1.0 for flipped in mirrored], outputs.dtype)
            return np.asarray(outputs ** powers.reshape(-1, *[1] * (outputs.ndim - 1)))
        case PowerMean(t=t):
            return np.asarray(outputs ** outputs.dtype.type(t))
        case LogitMean() if softmax:
            return outputs[:, 1:] - outputs[:, :1]
        case _:
            return outputs


def mean_of(rows: Sequence[Floats] | Floats) -> Floats:
    """Return the mean of ``(rows, ...)``, summed row by row.

    `numpy.mean` sums long and short rows in different orders.
    """
    total: Floats = rows[0]
    if len(rows) == 1:
        return total
    for row in rows[1:]:
        total = total + row
    return np.asarray(total / total.dtype.type(len(rows)))


def inverse(average: Average, mean: Floats, softmax: bool = False) -> Floats:
    """Return the probabilities of a mean of transformed outputs ``(classes, ...)``."""
    match average:
        case PowerMean(t=t, form="true"):
            return np.asarray(mean ** mean.dtype.type(1 / t))
        case LogitMean() if softmax:
            highest = np.maximum(mean.max(0), 0)
            powers = np.exp(mean - highest)
            return np.asarray(powers / (powers.sum(0) + np.exp(-highest)))
        case LogitMean():
            with np.errstate(over="ignore"):  # an overflow means a probability of 0
                return np.asarray(1 / (1 + np.exp(-mean)))
        case _:
            return mean
