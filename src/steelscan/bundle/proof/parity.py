"""Proof that a bundle decides as the trained networks: decisions, not logits. No torch here.

The outputs and masks of the trained networks are recorded once per strip, with the strip's hash; a
bundle is compared with these records, strips nearest to a threshold first.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from steelscan.bundle import Manifest, Precision
from steelscan.decision import (
    ClassifyStep,
    HardGate,
    SegmentStep,
    SoftGate,
    Step,
    StepOutput,
    StripOutputs,
    gated,
)
from steelscan.evaluation.statistics import lower_bound
from steelscan.postprocess import Rule, Threshold, Triplet, defects_of
from steelscan.strip import Frame, Masks, PerClass, Picture, Share, Spec, decode, encode, per_class

_CELL = 32
"""Side of the cells whose mean probabilities are recorded, in pixels."""

_LONGEST = 4 * 2**20
"""The largest record, in bytes."""


class RecordedOutput(Spec):
    """The output of one step for a strip, whether a gate lets it count or not.

    ``classes`` are probabilities of classes, None for a class that no network predicts; ``cells``
    are mean pixel probabilities per class in cells of 32x32 pixels, in hundredths of a 255th, int16
    in base64.
    """

    step: str
    classes: Annotated[tuple[float | None, ...], Field(fail_fast=True)] | None
    cells: str | None

    def fits(self, step: Step, classes: int, frame: Frame) -> bool:
        """Return whether the output of a step has this form, for strips of this frame."""
        own = None if self.classes is None else len(self.classes)
        cells = None if self.cells is None else len(_bytes(self.cells))
        segments = isinstance(step, SegmentStep)
        in_bytes = 2 * classes * prod(-(-side // _CELL) for side in frame)
        return own == (classes if step.has_class_output else None) and (
            cells == (in_bytes if segments else None)
        )


class Expected(Spec):
    """The masks and outputs of the trained networks for a strip.

    ``picture`` is the SHA-256 of its size and pixels; ``masks`` are run lengths per class;
    ``margin`` is the distance between the probability that decides the verdict and its threshold.
    """

    name: str
    picture: str
    frame: tuple[int, int]
    masks: Annotated[tuple[str, ...], Field(fail_fast=True)]
    outputs: Annotated[tuple[RecordedOutput, ...], Field(fail_fast=True)]
    margin: NonNegativeFloat

    def contradicts(self, manifest: Manifest, frame: Frame) -> str | None:
        """Return why it is no record of such a strip by these networks; None if it is one."""
        if self.frame != tuple(frame):
            return f"is of {Frame(*self.frame)} pixels, and the strip has {frame}"
        if len(self.masks) != len(manifest.classes):
            return f"has {len(self.masks)} masks for {len(manifest.classes)} classes"
        steps = manifest.decision.steps
        if [each.step for each in self.outputs] != list(steps):
            return "has outputs of other steps"
        for output, step in zip(self.outputs, steps.values(), strict=True):
            if not output.fits(step, len(manifest.classes), frame):
                return f"holds something else than the step {step.name!r} predicts"
        return None


def _bytes(cells: str) -> bytes:
    """Decode base64; return no bytes if it is invalid."""
    try:
        return base64.b64decode(cells, validate=True)
    except ValueError:
        return b""


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
        found = []
        if self.escaped and lower_bound(len(self.escaped), self.defective) > escapes:
            lost = f"{len(self.escaped)} of {self.defective} defective strips"
            found.append(f"{lost} escape by the early exit: {self.escaped[0]}")
        if len(self.flipped) > limits.flipped * self.strips:
            found.append(f"{len(self.flipped)} of {self.strips} verdicts flip: {self.flipped[0]}")
        if self.iou < limits.iou:
            found.append(f"IoU of masks {self.iou:.5f} is below {limits.iou}")
        if len(self.changed) > limits.changed * self.strips:
            found.append(f"{len(self.changed)} of {self.strips} lists of defects change")
        if self.difference > limits.difference:
            apart = f"{self.difference:.2f} of 255, more than {limits.difference}"
            found.append(f"probabilities differ by {apart}")
        return found

    def text(self) -> str:
        """Return one line for people."""
        return (
            f"{self.strips} strips, {self.defective} of them defective: {len(self.flipped)} "
            f"verdicts flip, IoU of masks {self.iou:.6f}, {len(self.changed)} lists of defects "
            f"change, probabilities within {self.difference:.2f} of 255; nearest to a threshold "
            f"{self.nearest:.4f}"
            + (f"; {len(self.escaped)} escape by the early exit" if self.escaped else "")
        )


@dataclass
class Proof:
    """Compares strips with their records, one by one."""

    classes: int
    _strips: int = 0
    _defective: int = 0
    _flipped: list[str] = field(default_factory=list)
    _changed: list[str] = field(default_factory=list)
    _escaped: list[str] = field(default_factory=list)
    _difference: float = 0.0
    _nearest: float = 1.0

    def __post_init__(self) -> None:
        self._both = np.zeros(self.classes, np.int64)
        self._either = np.zeros(self.classes, np.int64)

    def add(
        self,
        expected: Expected,
        masks: Masks,
        outputs: Mapping[str, StepOutput],
        near: Callable[[], Masks],
        *,
        escapes: bool = False,
    ) -> None:
        """Compare the masks and outputs of all networks for a strip with its record.

        ``escapes``: the early exit calls the strip clean. A list of defects has changed only if
        masks differ at pixels that are not ``near`` a threshold.
        """
        frame = Frame(*expected.frame)
        truth = np.stack([decode(text, frame) for text in expected.masks])
        self._strips += 1
        self._defective += bool(truth.any())
        self._both += (truth & masks).sum((1, 2))
        self._either += (truth | masks).sum((1, 2))
        self._nearest = min(self._nearest, expected.margin)
        for recorded in expected.outputs:
            differences = _differences(recorded, outputs[recorded.step], frame)
            self._difference = max(self._difference, *differences)
        if truth.any() != masks.any():
            self._flipped.append(expected.name)
        if _counts(truth) != _counts(masks) and ((truth ^ masks) & ~near()).any():
            self._changed.append(expected.name)
        if escapes and truth.any() and masks.any():
            self._escaped.append(expected.name)

    def parity(self) -> Parity:
        """Return the result of all strips so far."""
        shares = np.where(self._either, self._both / np.maximum(self._either, 1), 1.0)
        every = int(self._either.sum())
        return Parity(
            strips=self._strips,
            defective=self._defective,
            flipped=tuple(self._flipped),
            iou=float(self._both.sum() / every) if every else 1.0,
            class_ious=tuple(map(float, shares)),
            changed=tuple(self._changed),
            difference=self._difference,
            nearest=self._nearest,
            escaped=tuple(self._escaped),
        )


def _counts(masks: Masks) -> list[int]:
    """Count the defects of each class."""
    found = [defect.class_id for defect in defects_of(masks, masks.astype(np.uint8))]
    return [found.count(class_id) for class_id in range(1, len(masks) + 1)]


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


def record(
    name: str, picture: Picture, masks: Masks, outputs: Mapping[str, StepOutput], margin: float
) -> Expected:
    """Return the record of the trained networks' masks and outputs for a strip."""
    return Expected(
        name=name,
        picture=picture_sha256(picture),
        frame=(picture.shape[0], picture.shape[1]),
        masks=tuple(map(encode, masks)),
        outputs=tuple(_recorded(step, each) for step, each in outputs.items()),
        margin=margin,
    )


def _recorded(step: str, output: StepOutput) -> RecordedOutput:
    classes = cells = None
    if output.classes is not None:
        classes = tuple(None if np.isnan(each) else float(each) for each in output.classes)
    if output.pixels is not None:
        hundredths = np.rint(cells_of(output.pixels) * 100).astype("<i2")
        cells = base64.b64encode(hundredths.tobytes()).decode()
    return RecordedOutput(step=step, classes=classes, cells=cells)


def picture_sha256(picture: Picture) -> str:
    """Return the hash of a picture's size and pixels: a file saved again is the same strip."""
    size = "x".join(map(str, picture.shape))
    return hashlib.sha256(size.encode() + b":" + picture.tobytes()).hexdigest()


def cells_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the means of cells of 32x32 pixels, float32 ``(classes, rows, columns)``."""
    size = tuple(-(-side // _CELL) for side in reversed(pixels.shape[1:]))
    planes = pixels.astype(np.float32)
    means = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes]
    return np.stack(means).astype(np.float32, copy=False)


def read_cells(text: str, classes: int, frame: Frame) -> NDArray[np.float32]:
    """Return the means of a `RecordedOutput`, float32 ``(classes, rows, columns)``."""
    shape = (classes, *(-(-side // _CELL) for side in frame))
    hundredths = np.frombuffer(base64.b64decode(text), "<i2").astype(np.float32)
    return hundredths.reshape(shape) / np.float32(100)


class Margins:
    """Passes outputs on, and keeps how near they come to the thresholds; `StripOutputs`."""

    def __init__(self, manifest: Manifest, outputs: StripOutputs) -> None:
        """Measure the margins of the outputs of a strip as they are used."""
        self._outputs, self._classes = outputs, len(manifest.classes)
        self._steps = manifest.decision.steps
        self._rules = {stage.segmenter.name: stage.rules for stage in manifest.decision.stages}
        self._room = np.full(self._classes, 1.0)
        """By how much each class passes the threshold that it passes by least."""

    @property
    def margin(self) -> float:
        """How far the nearest class is from the threshold that decides it."""
        return float(np.abs(self._room).min())

    def output(self, step: str, open_classes: NDArray[np.bool_]) -> StepOutput:
        """Return the output of a step, and measure it."""
        output, settings = self._outputs.output(step, open_classes), self._steps[step]
        if isinstance(settings, ClassifyStep):
            rooms = [self._of_classifier(settings, output)]
        else:
            rooms = list(self._of_segmenter(settings, self._rules[step], output))
        for room in rooms:
            self._room = np.fmin(self._room, room)
        return output

    def _of_classifier(self, step: ClassifyStep, output: StepOutput) -> NDArray[np.float64]:
        """Return the room at a classifier's threshold; NaN for a class that always passes."""
        assert output.classes is not None
        room = output.classes - self._per_class(step.threshold)
        return room if step.gate == "class" else np.full(self._classes, room.max())

    def _of_segmenter(
        self, step: SegmentStep, rules: Sequence[Rule], output: StepOutput
    ) -> Iterator[NDArray[np.float64]]:
        assert output.pixels is not None
        soft = isinstance(step.gate, SoftGate)
        pixels = gated(step.gate, output) if soft else output.pixels
        match rules[0]:
            case Threshold(label=label, pixel=pixel):
                yield self._above(pixels, label, 1)
                yield self._above(pixels, pixel, 1)
            case Triplet(top=top, area=area, bottom=bottom):
                yield self._above(pixels, top, area)
                yield self._above(pixels, bottom, 1)
        if isinstance(step.gate, HardGate) and output.classes is not None:
            yield output.classes - self._per_class(step.gate.threshold)

    def _above(
        self, pixels: NDArray[np.uint8], threshold: PerClass[float], area: PerClass[int]
    ) -> NDArray[np.float64]:
        """Return by how much the ``area`` highest pixels of each class exceed a threshold."""
        counts = per_class(area, self._classes, "area")
        kth = [
            np.nan if count == 0 else _kth_highest(plane, count)
            for plane, count in zip(pixels, counts, strict=True)
        ]
        return np.asarray(np.array(kth) / 255 - self._per_class(threshold))

    def _per_class(self, threshold: PerClass[float]) -> NDArray[np.float64]:
        return np.array(per_class(threshold, self._classes, "threshold"))


def _kth_highest(pixels: NDArray[np.uint8], count: int) -> float:
    """Return the value that so many pixels reach; 0 if there are fewer pixels."""
    if count == 1:
        return float(pixels.max())
    return float(np.partition(pixels, -count, None)[-count]) if count <= pixels.size else 0.0


def lines(expected: Iterable[Expected]) -> bytes:
    """Return records as a bundle stores them, one JSON line per strip."""
    return "".join(f"{each.model_dump_json()}\n" for each in expected).encode()


def read_lines(content: bytes) -> list[Expected]:
    """Read the records of a bundle. Raises ValueError if they are invalid."""
    found = content.splitlines()
    if max(map(len, found), default=0) > _LONGEST:
        raise ValueError(f"holds a line of over {_LONGEST} bytes")
    return [Expected.model_validate_json(line) for line in found]
