"""The averages of an ensemble: pure functions of its answers.

Each is a mean between two steps: every answer is lifted, the lifted answers are averaged, and the
mean is lowered to a probability. So answers can be summed one by one as the networks give them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from steelscan.prediction.specs import Average, LogitMean, PowerMean


def averaged(
    average: Average, answers: Tensor, mirrored: Sequence[bool], *, softmax: bool = False
) -> Tensor:
    """The average of some answers, float ``(classes, ...)``.

    ``answers`` is ``(answers, classes, ...)``: probabilities, for `LogitMean` logits, which with
    ``softmax`` have one plane more, the first, for sound steel. ``mirrored`` says which answers
    are those of a mirrored strip.
    """
    return lowered(average, lifted(average, answers, mirrored, softmax=softmax).mean(0), softmax)


def lifted(
    average: Average, answers: Tensor, mirrored: Sequence[bool], *, softmax: bool = False
) -> Tensor:
    """What is averaged, float ``(answers, classes, ...)``; shapes as those of `averaged`.

    Softmax logits become those of the classes over that of sound steel, which leaves their
    softmax as it is.
    """
    match average:
        case PowerMean(t=t, form="starter"):
            powers = torch.tensor([t if turned else 1.0 for turned in mirrored])
            return answers ** powers.view(-1, *[1] * (answers.ndim - 1))
        case PowerMean(t=t):
            return answers**t
        case LogitMean() if softmax:
            return answers[:, 1:] - answers[:, :1]
        case _:
            return answers


def lowered(average: Average, mean: Tensor, softmax: bool = False) -> Tensor:
    """The probabilities that a mean of lifted answers ``(classes, ...)`` stands for."""
    match average:
        case PowerMean(t=t, form="true"):
            return mean ** (1 / t)
        case LogitMean() if softmax:
            return torch.cat([torch.zeros_like(mean[:1]), mean]).softmax(0)[1:]
        case LogitMean():
            return mean.sigmoid()
        case _:
            return mean
