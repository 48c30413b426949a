"""What a change of precision costs each class: of its defects, which are lost. No torch here.

A share over all classes hides that one class went: a rare one weighs nothing in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeInt

from steelscan.bundle import Precision
from steelscan.bundle.proof.parity import Expected
from steelscan.evaluation.statistics import lower_bound, upper_bound
from steelscan.strip import Classes, Frame, Mask, Masks, Share, Spec, decode, label_components

LOST: Mapping[Precision, Share] = {"fp32": 0.01, "fp16": 0.02, "int8": 0.05}
"""Share of the defects of a class that a precision may lose."""

FEW = 20
"""With fewer defects a class says little: one of them is over 5 % of all."""


class Kept(Spec):
    """What became of one class; the trained networks' own findings are what is counted.

    A defect is lost where none of its pixels is found any more, and new where none of its pixels
    was found by the trained networks; a strip where that holds of all it has of the class.
    """

    name: str
    defects: NonNegativeInt = 0
    lost: NonNegativeInt = 0
    new: NonNegativeInt = 0
    strips: NonNegativeInt = 0
    strips_lost: NonNegativeInt = 0
    strips_new: NonNegativeInt = 0

    def said(self, budget: float) -> bool | None:
        """Whether no more than this share of defects is lost; None: too few to say.

        Where there are few, more must be lost than chance explains (exact bound, 95 %).
        """
        if self.defects >= FEW:
            return self.lost <= budget * self.defects
        if self.defects and lower_bound(self.lost, self.defects) > budget:
            return False
        return None

    def text(self, budget: float) -> str:
        """One line for people."""
        counts = (
            f"{self.lost} of {self.defects} defects lost, {self.new} new; "
            f"{self.strips_lost} of {self.strips} strips lost, {self.strips_new} new"
        )
        match self.said(budget):
            case None if not self.defects:
                says = "cannot be said: the trained networks find none on these strips"
            case None:
                most = upper_bound(self.lost, self.defects)
                says = f"cannot be said: {FEW} defects are needed, up to {most:.0%} may be lost"
            case True:
                says = f"within {budget:.1%}"
            case False:
                says = f"more than {budget:.1%} lost"
        return f"class {self.name}: {counts} ({says})"


@dataclass
class Guard:
    """Masks of strips held against those of the trained networks, class by class."""

    classes: Classes

    def __post_init__(self) -> None:
        self._counts = np.zeros((len(self.classes), 6), np.int64)

    def hold(self, expected: Expected, masks: Masks) -> None:
        """Count one strip; ``masks`` is bool ``(classes, height, width)``."""
        frame = Frame(*expected.frame)
        for place, (text, mask) in enumerate(zip(expected.masks, masks, strict=True)):
            trained = decode(text, frame)
            defects, lost = _without(trained, mask)
            _, new = _without(mask, trained)
            there, found = bool(trained.any()), bool(mask.any())
            gone, come = there and not found, found and not there
            self._counts[place] += (defects, lost, new, there, gone, come)

    def kept(self) -> tuple[Kept, ...]:
        """What became of each class so far."""
        fields = ("defects", "lost", "new", "strips", "strips_lost", "strips_new")
        return tuple(
            Kept(name=name, **dict(zip(fields, row, strict=True)))
            for name, row in zip(self.classes.names, self._counts.tolist(), strict=True)
        )


def failures(kept: Sequence[Kept], budget: float) -> list[str]:
    """The classes that lose more than this share of their defects, in words."""
    return [each.text(budget) for each in kept if each.said(budget) is False]


def _without(mask: Mask, other: Mask) -> tuple[int, int]:
    """How many regions a mask has, and how many of them have no pixel in the other."""
    if not mask.any():
        return 0, 0
    labels, count = label_components(mask)
    return count, count - np.unique(labels[other & mask]).size
