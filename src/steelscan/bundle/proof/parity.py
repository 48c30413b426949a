"""Compare a bundle with the records of the trained networks: decisions, not logits. No torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt

from steelscan.bundle import Precision
from steelscan.bundle.proof.records import Expected, RecordedOutput, cells_of, read_cells
from steelscan.decision import StepOutput
from steelscan.evaluation.statistics import lower_bound
from steelscan.strip import Frame, Masks, Share, Spec, decode, label_components


class Limits(Spec):
    """How far a deployed network may differ from the trained one, over all strips of a proof."""

    flipped: Share
    """At most: the share of strips whose verdict, defective or not, differs."""
    iou: Share
    """At least: pixels in both masks over pixels in either."""
    changed: Share
    """At most: the share of strips whose number of defects of some class differs."""
    difference: NonNegativeFloat
    """At most, of 255: by how much the probability of a class, or the mean of a cell of 32x32
    pixels, differs, of any step, even if a gate closes it."""


LIMITS: Mapping[Precision, Limits] = {
    "fp32": Limits(flipped=0.0, iou=0.999, changed=0.01, difference=0.1),
    "fp16": Limits(flipped=0.0, iou=0.995, changed=0.02, difference=3.0),
    "int8": Limits(flipped=0.01, iou=0.95, changed=0.1, difference=255.0),
}
"""The limits of each precision; with 8-bit integers probabilities may differ, decisions hardly."""

ESCAPES = 0.05
"""The share of the defective strips of a proof that the early exit may lose."""


def limits_of(precision: Precision, budget: float | None = None) -> Limits:
    """Return the limits of a precision; ``budget`` is the share of verdicts that may flip."""
    limits = LIMITS[precision]
    if budget is None:
        return limits
    return limits.but(flipped=budget, changed=max(limits.changed, budget))


class Parity(Spec):
    """The result of a proof; ``defective`` strips are those of the trained networks.

    ``escaped`` are strips in which all networks find a defect and the early exit finds none.
    """

    strips: NonNegativeInt
    defective: NonNegativeInt
    flipped: tuple[str, ...]
    iou: Share
    class_ious: tuple[Share, ...]
    changed: tuple[str, ...]
    difference: NonNegativeFloat
    nearest: NonNegativeFloat
    """The smallest margin of a strip."""
    escaped: tuple[str, ...] = ()

    def failures(self, limits: Limits, escapes: float = ESCAPES) -> list[str]:
        """Return a sentence on each exceeded limit.

        The early exit may lose the share ``escapes`` of the defective strips, or as many more as
        chance explains (exact bound, 95 %).
        """
        sentences = []
        if self.escaped and lower_bound(len(self.escaped), self.defective) > escapes:
            lost = f"{len(self.escaped)} of {self.defective} defective strips"
            sentences.append(f"{lost} escape by the early exit: {self.escaped[0]}")
        if len(self.flipped) > limits.flipped * self.strips:
            sentences.append(
                f"{len(self.flipped)} of {self.strips} verdicts flip: {self.flipped[0]}"
            )
        if self.iou < limits.iou:
            sentences.append(f"IoU of masks {self.iou:.5f} is below {limits.iou}")
        if len(self.changed) > limits.changed * self.strips:
            sentences.append(f"{len(self.changed)} of {self.strips} lists of defects change")
        if self.difference > limits.difference:
            apart = f"{self.difference:.2f} of 255, more than {limits.difference}"
            sentences.append(f"probabilities differ by {apart}")
        return sentences

    def text(self) -> str:
        """Return one line for people."""
        return (
            f"{self.strips} strips, {self.defective} of them defective: {len(self.flipped)} "
            f"verdicts flip, IoU of masks {self.iou:.6f}, {len(self.changed)} lists of defects "
            f"change, probabilities within {self.difference:.2f} of 255; nearest to a threshold "
            f"{self.nearest:.4f}"
            + (f"; {len(self.escaped)} escape by the early exit" if self.escaped else "")
        )


class StripResult(NamedTuple):
    """How the masks and outputs of a bundle for one strip compare with its record."""

    name: str
    margin: float
    defective: bool
    """The trained networks find a defect."""
    flipped: bool
    """The verdict, defective or not, differs."""
    changed: bool
    """The number of defects of some class differs, not only by pixels at a threshold."""
    escaped: bool
    """All networks find a defect, as the trained ones do, and the early exit finds none."""
    both: NDArray[np.int64]
    """Pixels in both masks, ``(classes,)``."""
    either: NDArray[np.int64]
    """Pixels in either mask, ``(classes,)``."""
    difference: float
    """The largest difference of probabilities, of 255."""


def compare(
    expected: Expected,
    masks: Masks,
    outputs: Mapping[str, StepOutput],
    near: Callable[[], Masks],
    *,
    escapes: bool,
) -> StripResult:
    """Compare the masks and outputs of all networks for a strip with its record.

    ``near`` returns the pixels at a threshold; ``escapes``: the early exit calls the strip clean.
    """
    frame = Frame(*expected.frame)
    truth = np.stack([decode(text, frame) for text in expected.masks])
    changed = _counts(truth) != _counts(masks) and ((truth ^ masks) & ~near()).any()
    differences = (_differences(each, outputs[each.step], frame) for each in expected.outputs)
    return StripResult(
        name=expected.name,
        margin=expected.margin,
        defective=bool(truth.any()),
        flipped=truth.any() != masks.any(),
        changed=bool(changed),
        escaped=escapes and bool(truth.any() and masks.any()),
        both=(truth & masks).sum((1, 2)),
        either=(truth | masks).sum((1, 2)),
        difference=max(chain.from_iterable(differences), default=0.0),
    )


def parity_of(results: Sequence[StripResult], classes: int) -> Parity:
    """Return the result of a proof on all its strips."""
    none = np.zeros(classes, np.int64)
    both = sum((each.both for each in results), none)
    either = sum((each.either for each in results), none)
    shares = np.where(either, both / np.maximum(either, 1), 1.0)
    return Parity(
        strips=len(results),
        defective=sum(each.defective for each in results),
        flipped=tuple(each.name for each in results if each.flipped),
        iou=float(both.sum() / either.sum()) if either.any() else 1.0,
        class_ious=tuple(shares.tolist()),
        changed=tuple(each.name for each in results if each.changed),
        difference=max((each.difference for each in results), default=0.0),
        nearest=min((each.margin for each in results), default=1.0),
        escaped=tuple(each.name for each in results if each.escaped),
    )


def _counts(masks: Masks) -> list[int]:
    """Count the defects of each class."""
    return [label_components(mask)[1] for mask in masks]


def _differences(recorded: RecordedOutput, output: StepOutput, frame: Frame) -> Iterator[float]:
    """Yield the largest differences between an output and its record, of 255."""
    if recorded.classes is not None:
        assert output.classes is not None
        classes = np.array([np.nan if each is None else each for each in recorded.classes])
        apart = np.abs(output.classes - classes)
        apart[np.isnan(classes) & np.isnan(output.classes)] = 0
        yield float(np.nan_to_num(apart, nan=1.0).max() * 255)
    if recorded.cells is not None:
        assert output.pixels is not None
        cells = read_cells(recorded.cells, len(output.pixels), frame)
        yield float(np.abs(cells_of(output.pixels) - cells).max())
