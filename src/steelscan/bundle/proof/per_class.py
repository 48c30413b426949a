"""The defects of each class that a change of precision loses. No torch here.

A share over all classes would hide the loss of a rare class.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pydantic import NonNegativeInt

from steelscan.bundle import Precision
from steelscan.bundle.proof.records import Expected
from steelscan.evaluation.statistics import lower_bound, upper_bound
from steelscan.strip import Classes, Frame, Mask, Masks, Share, Spec, decode, label_components

LOST: Mapping[Precision, Share] = {"fp32": 0.01, "fp16": 0.02, "int8": 0.05}
"""The share of the defects of a class that a precision may lose."""

FEW = 20
"""With fewer defects a class proves little: one of them is over 5 % of all."""


class Kept(Spec):
    """The counts of one class, against the defects that the trained networks find.

    A defect is lost if none of its pixels is found, and new if the trained networks found none of
    its pixels; a strip is lost or new if that is true of all its defects of the class.
    """

    name: str
    defects: NonNegativeInt = 0
    lost: NonNegativeInt = 0
    new: NonNegativeInt = 0
    strips: NonNegativeInt = 0
    strips_lost: NonNegativeInt = 0
    strips_new: NonNegativeInt = 0

    def within(self, budget: float) -> bool | None:
        """Return whether at most this share of defects is lost; None: too few defects to decide.

        With few defects, more must be lost than chance explains (exact bound, 95 %).
        """
        if self.defects >= FEW:
            return self.lost <= budget * self.defects
        if self.defects and lower_bound(self.lost, self.defects) > budget:
            return False
        return None

    def text(self, budget: float) -> str:
        """Return one line for people."""
        counts = (
            f"{self.lost} of {self.defects} defects lost, {self.new} new; "
            f"{self.strips_lost} of {self.strips} strips lost, {self.strips_new} new"
        )
        match self.within(budget):
            case None if not self.defects:
                verdict = "undecided: the trained networks find none on these strips"
            case None:
                most = upper_bound(self.lost, self.defects)
                verdict = f"undecided: {FEW} defects are needed, up to {most:.0%} may be lost"
            case True:
                verdict = f"within {budget:.1%}"
            case False:
                verdict = f"more than {budget:.1%} lost"
        return f"class {self.name}: {counts} ({verdict})"


def kept_per_class(classes: Classes, strips: Iterable[tuple[Expected, Masks]]) -> tuple[Kept, ...]:
    """Compare masks, bool ``(classes, height, width)``, with those of the trained networks."""
    counts = np.zeros((len(classes), 6), np.int64)
    for expected, masks in strips:
        for place, (text, mask) in enumerate(zip(expected.masks, masks, strict=True)):
            trained = decode(text, Frame(*expected.frame))
            defects, lost = _without(trained, mask)
            _, new = _without(mask, trained)
            before, now = bool(trained.any()), bool(mask.any())
            counts[place] += (defects, lost, new, before, before and not now, now and not before)
    fields = ("defects", "lost", "new", "strips", "strips_lost", "strips_new")
    return tuple(
        Kept(name=name, **dict(zip(fields, row, strict=True)))
        for name, row in zip(classes.names, counts.tolist(), strict=True)
    )


def failures(kept: Sequence[Kept], budget: float) -> list[str]:
    """Return a sentence on each class that loses more than this share of its defects."""
    return [each.text(budget) for each in kept if each.within(budget) is False]


def _without(mask: Mask, other: Mask) -> tuple[int, int]:
    """Count the regions of a mask, and those that have no pixel in the other mask."""
    if not mask.any():
        return 0, 0
    labels, count = label_components(mask)
    return count, count - np.unique(labels[other & mask]).size
