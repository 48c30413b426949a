"""The averages of an ensemble: pure functions of its answers. No torch here.

Each is a mean between two steps: every answer is lifted, the lifted answers are averaged, and the
mean is lowered to a probability. So answers can be summed one by one as the networks give them.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.specs import Average, LogitMean, PowerMean

Floats: TypeAlias = NDArray[np.floating[Any]]


def averaged(
    average: Average, answers: Floats, mirrored: Sequence[bool], *, softmax: bool = False
) -> Floats:
    """The average of some answers, float ``(classes, ...)``, of the dtype of these.

    ``answers`` is ``(answers, classes, ...)``: probabilities, for `LogitMean` logits, which with
    ``softmax`` have one plane more, the first, for sound steel. ``mirrored`` says which answers
    are those of a mirrored strip.
    """
    return lowered(average, mean_of(lifted(average, answers, mirrored, softmax=softmax)), softmax)


def lifted(
    average: Average, answers: Floats, mirrored: Sequence[bool], *, softmax: bool = False
) -> Floats:
    """What is averaged, float ``(answers, classes, ...)``; shapes as those of `averaged`.

    Softmax logits become those of the classes over that of sound steel, which leaves their
    softmax as it is.
    """
    match average:
        case PowerMean(t=t, form="starter"):
            powers = np.array([t if turned else 1.0 for turned in mirrored], answers.dtype)
            return np.asarray(answers ** powers.reshape(-1, *[1] * (answers.ndim - 1)))
        case PowerMean(t=t):
            return np.asarray(answers ** answers.dtype.type(t))
        case LogitMean() if softmax:
            return answers[:, 1:] - answers[:, :1]
        case _:
            return answers


def mean_of(answers: Sequence[Floats] | Floats) -> Floats:
    """The mean of some answers, ``(answers, ...)``, added one by one, whatever their shape.

    `numpy.mean` adds up long and short rows in different orders.
    """
    total: Floats = answers[0]
    if len(answers) == 1:
        return total
    for answer in answers[1:]:
        total = total + answer
    return np.asarray(total / total.dtype.type(len(answers)))


def lowered(average: Average, mean: Floats, softmax: bool = False) -> Floats:
    """The probabilities that a mean of lifted answers ``(classes, ...)`` stands for."""
    match average:
        case PowerMean(t=t, form="true"):
            return np.asarray(mean ** mean.dtype.type(1 / t))
        case LogitMean() if softmax:
            highest = np.maximum(mean.max(0), 0)
            powers = np.exp(mean - highest)
            return np.asarray(powers / (powers.sum(0) + np.exp(-highest)))
        case LogitMean():
            with np.errstate(over="ignore"):  # what overflows is a probability of 0
                return np.asarray(1 / (1 + np.exp(-mean)))
        case _:
            return mean
