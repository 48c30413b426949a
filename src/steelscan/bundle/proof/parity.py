"""Proof that what is deployed decides as what was trained: decisions, not logits. No torch here.

What the trained networks decide of a strip is recorded once, with the strip's hash; whatever is
deployed is held against that, strips nearest to a threshold first.
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

from steelscan.bundle import Judge, Manifest, Outline, Precision
from steelscan.decision import AskOpen, HardGate, SoftGate, StepOutput, weighed
from steelscan.evaluation.statistics import lower_bound
from steelscan.postprocess import Rule, Threshold, Triplet, defects_of
from steelscan.strip import Frame, Masks, PerClass, Picture, Share, Spec, decode, encode, per_class

_CELL = 32
"""Sides of the cells whose mean levels are recorded, in pixels."""

_LONGEST = 4 * 2**20
"""Bytes of a record."""


class Answer(Spec):
    """What the networks of one step say of a strip, whether a gate lets it count or not.

    ``words`` are probabilities of classes, None for one that no network knows; ``cells`` are mean
    levels in cells of 32x32 pixels, a class, in hundredths, int16 in base64.
    """

    step: str
    words: Annotated[tuple[float | None, ...], Field(fail_fast=True)] | None
    cells: str | None

    def fits(self, step: Judge | Outline, classes: int, frame: Frame) -> bool:
        """Whether a step predicts such things, of so many classes, on strips of this frame."""
        judges = isinstance(step, Judge)
        words = classes if judges or step.gate is not None else None
        cells = None if judges else 2 * classes * prod(-(-side // _CELL) for side in frame)
        return (None if self.words is None else len(self.words)) == words and (
            None if self.cells is None else len(_bytes(self.cells))
        ) == cells


class Expected(Spec):
    """What the trained networks decide of a strip, and what all of them say.

    ``picture`` is the SHA-256 of its size and pixels; ``masks`` are run lengths, a class each;
    ``margin`` is how far the strip's verdict lies from the threshold that decides it, as a share
    of 1.
    """

    name: str
    picture: str
    frame: tuple[int, int]
    masks: Annotated[tuple[str, ...], Field(fail_fast=True)]
    answers: Annotated[tuple[Answer, ...], Field(fail_fast=True)]
    margin: NonNegativeFloat

    def contradicts(self, manifest: Manifest, frame: Frame) -> str | None:
        """What makes it no record of a strip of this frame by these networks; None if it is one."""
        if self.frame != tuple(frame):
            return f"is of {Frame(*self.frame)} pixels, and the strip has {frame}"
        if len(self.masks) != len(manifest.classes):
            return f"has {len(self.masks)} masks for {len(manifest.classes)} classes"
        if [each.step for each in self.answers] != [step.name for step in manifest.steps]:
            return "lacks what a step predicts, or has more"
        for answer, step in zip(self.answers, manifest.steps, strict=True):
            if not answer.fits(step, len(manifest.classes), frame):
                return f"holds something else than the step {step.name!r} predicts"
        return None


def _bytes(cells: str) -> bytes:
    """What is in base64; nothing where it is none."""
    try:
        return base64.b64decode(cells, validate=True)
    except ValueError:
        return b""


class Limits(Spec):
    """How far a deployed network may lie beside the trained one, over all strips of a proof."""

    flipped: Share
    """Share of strips whose verdict, defective or not, is another."""
    iou: Share
    """At least: pixels in both masks over pixels in either."""
    changed: Share
    """Share of strips whose list of defects is another: how many of a class there are."""
    levels: NonNegativeFloat
    """Of 255: so far may the probability of a class lie beside, or the mean of a cell of 32x32
    pixels, of any step, also where a gate closes it."""


LIMITS: Mapping[Precision, Limits] = {
    "fp32": Limits(flipped=0.0, iou=0.999, changed=0.01, levels=0.1),
    "fp16": Limits(flipped=0.0, iou=0.995, changed=0.02, levels=3.0),
    "int8": Limits(flipped=0.01, iou=0.95, changed=0.1, levels=255.0),
}
"""What a proof holds a precision to; of 8-bit integers levels may differ, decisions hardly."""

ESCAPES = 0.05
"""Share of the defective strips of a proof that may be lost by leaving early."""


def limits_of(precision: Precision, budget: float | None = None) -> Limits:
    """What a precision is held to; with a budget, the share of verdicts that may flip is that."""
    limits = LIMITS[precision]
    if budget is None:
        return limits
    return limits.but(flipped=budget, changed=max(limits.changed, budget))


class Parity(Spec):
    """What a proof found; ``defective`` of the strips are so for the trained networks.

    ``escaped`` are those in which all networks find a defect, and which leave early without one.
    """

    strips: NonNegativeInt
    defective: NonNegativeInt
    flipped: tuple[str, ...]
    iou: Share
    class_ious: tuple[Share, ...]
    changed: tuple[str, ...]
    levels: NonNegativeFloat
    nearest: NonNegativeFloat
    """The least margin of a strip."""
    escaped: tuple[str, ...] = ()

    def failures(self, limits: Limits, escapes: float = ESCAPES) -> list[str]:
        """What lies beyond the limits, in words.

        Of the defective strips no larger share than ``escapes`` may be lost by leaving early, or
        only as many more as chance explains (exact bound, 95 %).
        """
        found = []
        if self.escaped and lower_bound(len(self.escaped), self.defective) > escapes:
            lost = f"{len(self.escaped)} of {self.defective} defective strips"
            found.append(f"{lost} escape by leaving early: {self.escaped[0]}")
        if len(self.flipped) > limits.flipped * self.strips:
            found.append(f"{len(self.flipped)} of {self.strips} verdicts flip: {self.flipped[0]}")
        if self.iou < limits.iou:
            found.append(f"IoU of masks {self.iou:.5f} is below {limits.iou}")
        if len(self.changed) > limits.changed * self.strips:
            found.append(f"{len(self.changed)} of {self.strips} lists of defects change")
        if self.levels > limits.levels:
            found.append(f"levels differ by {self.levels:.2f} of 255, more than {limits.levels}")
        return found

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.strips} strips, {self.defective} of them defective: {len(self.flipped)} "
            f"verdicts flip, IoU of masks {self.iou:.6f}, {len(self.changed)} lists of defects "
            f"change, levels within {self.levels:.2f} of 255; nearest to a threshold "
            f"{self.nearest:.4f}"
            + (f"; {len(self.escaped)} escape by leaving early" if self.escaped else "")
        )


@dataclass
class Proof:
    """Strips held against what is expected of them, one by one."""

    classes: int
    _strips: int = 0
    _defective: int = 0
    _flipped: list[str] = field(default_factory=list)
    _changed: list[str] = field(default_factory=list)
    _escaped: list[str] = field(default_factory=list)
    _levels: float = 0.0
    _nearest: float = 1.0

    def __post_init__(self) -> None:
        self._both = np.zeros(self.classes, np.int64)
        self._either = np.zeros(self.classes, np.int64)

    def hold(
        self,
        expected: Expected,
        masks: Masks,
        said: Mapping[str, StepOutput],
        near: Callable[[], Masks],
        *,
        escapes: bool = False,
    ) -> None:
        """Hold one strip's masks, and what each step says of it, against what is expected.

        Both are of all networks; ``escapes`` where the strip leaves early, and these masks with it.
        A list of defects is another if masks differ at pixels that are not ``near`` a threshold.
        """
        frame = Frame(*expected.frame)
        truth = np.stack([decode(text, frame) for text in expected.masks])
        self._strips += 1
        self._defective += bool(truth.any())
        self._both += (truth & masks).sum((1, 2))
        self._either += (truth | masks).sum((1, 2))
        self._nearest = min(self._nearest, expected.margin)
        for answer in expected.answers:
            self._levels = max(self._levels, *_apart(answer, said[answer.step], frame))
        if truth.any() != masks.any():
            self._flipped.append(expected.name)
        if _counts(truth) != _counts(masks) and ((truth ^ masks) & ~near()).any():
            self._changed.append(expected.name)
        if escapes and truth.any() and masks.any():
            self._escaped.append(expected.name)

    def parity(self) -> Parity:
        """What came of all strips so far."""
        shares = np.where(self._either, self._both / np.maximum(self._either, 1), 1.0)
        every = int(self._either.sum())
        return Parity(
            strips=self._strips,
            defective=self._defective,
            flipped=tuple(self._flipped),
            iou=float(self._both.sum() / every) if every else 1.0,
            class_ious=tuple(map(float, shares)),
            changed=tuple(self._changed),
            levels=self._levels,
            nearest=self._nearest,
            escaped=tuple(self._escaped),
        )


def _counts(masks: Masks) -> list[int]:
    """How many defects there are of each class."""
    found = [defect.class_id for defect in defects_of(masks, masks.astype(np.uint8))]
    return [found.count(class_id) for class_id in range(1, len(masks) + 1)]


def _apart(answer: Answer, said: StepOutput, frame: Frame) -> Iterator[float]:
    """How far answers lie beside what is expected, in levels of 255."""
    if answer.words is not None:
        assert said.classes is not None
        words = np.array([np.nan if word is None else word for word in answer.words])
        apart = np.abs(said.classes - words)
        apart[np.isnan(words) & np.isnan(said.classes)] = 0
        yield float(np.nan_to_num(apart, nan=1.0).max() * 255)
    if answer.cells is not None:
        assert said.levels is not None
        expected = read_cells(answer.cells, len(said.levels), frame)
        yield float(np.abs(cells_of(said.levels) - expected).max())


def record(
    name: str, picture: Picture, masks: Masks, said: Mapping[str, StepOutput], margin: float
) -> Expected:
    """Write down what the trained networks decide of a strip, and what each step says of it."""
    return Expected(
        name=name,
        picture=picture_sha256(picture),
        frame=(picture.shape[0], picture.shape[1]),
        masks=tuple(map(encode, masks)),
        answers=tuple(_answer(step, each) for step, each in said.items()),
        margin=margin,
    )


def _answer(step: str, said: StepOutput) -> Answer:
    words = cells = None
    if said.classes is not None:
        words = tuple(None if np.isnan(word) else float(word) for word in said.classes)
    if said.levels is not None:
        hundredths = np.rint(cells_of(said.levels) * 100).astype("<i2")
        cells = base64.b64encode(hundredths.tobytes()).decode()
    return Answer(step=step, words=words, cells=cells)


def picture_sha256(picture: Picture) -> str:
    """The hash of a picture's size and pixels: a file may be saved anew, and be the same strip."""
    size = "x".join(map(str, picture.shape))
    return hashlib.sha256(size.encode() + b":" + picture.tobytes()).hexdigest()


def cells_of(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean levels in cells of 32x32 pixels, float32 ``(classes, rows, columns)``."""
    size = tuple(-(-side // _CELL) for side in reversed(levels.shape[1:]))
    planes = levels.astype(np.float32)
    means = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes]
    return np.stack(means).astype(np.float32, copy=False)


def read_cells(text: str, classes: int, frame: Frame) -> NDArray[np.float32]:
    """The mean levels of an `Answer`, float32 ``(classes, rows, columns)``."""
    shape = (classes, *(-(-side // _CELL) for side in frame))
    hundredths = np.frombuffer(base64.b64decode(text), "<i2").astype(np.float32)
    return hundredths.reshape(shape) / np.float32(100)


class Margins:
    """Hears what networks say of a strip, and how near that comes to the thresholds."""

    def __init__(self, manifest: Manifest, ask: AskOpen) -> None:
        self._ask, self._classes = ask, len(manifest.classes)
        self._judges = {judge.name: judge for each in manifest.deployed for judge in each.judges}
        self._outlines = {
            each.outline.name: (each.outline, each.rules) for each in manifest.deployed
        }
        self._room = np.full(self._classes, 1.0)
        """By how much each class passes the threshold that it passes least."""

    def __call__(self, name: str, opened: NDArray[np.bool_]) -> StepOutput:
        """Ask, and remember."""
        said = self._ask(name, opened)
        if name in self._judges:
            rooms = [self._judged(self._judges[name], said)]
        else:
            rooms = list(self._seen(*self._outlines[name], said))
        for room in rooms:
            self._room = np.fmin(self._room, room)
        return said

    @property
    def margin(self) -> float:
        """How far the nearest class lies from the threshold that decides of it."""
        return float(np.abs(self._room).min())

    def _judged(self, judge: Judge, said: StepOutput) -> NDArray[np.float64]:
        """The room at a classifier's gate; not a number for what passes whatever is said."""
        assert said.classes is not None
        room = said.classes - np.array(per_class(judge.threshold, self._classes, "threshold"))
        return room if judge.gate == "class" else np.full(self._classes, room.max())

    def _seen(
        self, outline: Outline, rules: Sequence[Rule], said: StepOutput
    ) -> Iterator[NDArray[np.float64]]:
        assert said.levels is not None
        soft = isinstance(outline.gate, SoftGate)
        levels = weighed(outline, said) if soft else said.levels
        match rules[0]:
            case Threshold(label=label, pixel=pixel):
                yield self._above(levels, label, 1)
                yield self._above(levels, pixel, 1)
            case Triplet(top=top, area=area, bottom=bottom):
                yield self._above(levels, top, area)
                yield self._above(levels, bottom, 1)
        if isinstance(outline.gate, HardGate) and said.classes is not None:
            yield said.classes - np.array(
                per_class(outline.gate.threshold, self._classes, "threshold")
            )

    def _above(
        self, levels: NDArray[np.uint8], threshold: PerClass[float], area: PerClass[int]
    ) -> NDArray[np.float64]:
        """By how much so many pixels of each class lie above a threshold; of 0 pixels all do."""
        least = np.array(per_class(threshold, self._classes, "threshold"))
        counts = per_class(area, self._classes, "area")
        kth = [
            np.nan if count == 0 else _highest(plane, count)
            for plane, count in zip(levels, counts, strict=True)
        ]
        return np.asarray(np.array(kth) / 255 - least)


def _highest(levels: NDArray[np.uint8], count: int) -> float:
    """The level that so many pixels reach; 0 where there are not so many pixels."""
    if count == 1:
        return float(levels.max())
    return float(np.partition(levels, -count, None)[-count]) if count <= levels.size else 0.0


def lines(expected: Iterable[Expected]) -> bytes:
    """Records as they stand in a bundle, one JSON line a strip."""
    return "".join(f"{each.model_dump_json()}\n" for each in expected).encode()


def read_lines(content: bytes) -> list[Expected]:
    """Records of a bundle. Raises ValueError where they are none."""
    found = content.splitlines()
    if max(map(len, found), default=0) > _LONGEST:
        raise ValueError(f"holds a line of over {_LONGEST} bytes")
    return [Expected.model_validate_json(line) for line in found]
