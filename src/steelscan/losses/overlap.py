"""The sums that Dice and Jaccard are made of."""

from typing import Literal, TypeAlias

from torch import Tensor

from steelscan.losses.shapes import one_a_class, refuse_classifier

Over: TypeAlias = Literal["strip", "batch"]
"""Over the pixels of which a sum runs."""


def overlap(logits: Tensor, target: Tensor, over: Over, loss: str) -> tuple[Tensor, Tensor]:
    """``sum(p y)`` and ``sum(p) + sum(y)``: ``(strips, classes)``, or ``(classes,)`` of a batch.

    Raises RecipeError for the logits of a classifier, or when the shapes differ.
    """
    refuse_classifier(logits, loss)
    logits, truth = one_a_class(logits, target, loss)
    probability = logits.sigmoid()
    axes = (2, 3) if over == "strip" else (0, 2, 3)
    return (probability * truth).sum(axes), probability.sum(axes) + truth.sum(axes)
