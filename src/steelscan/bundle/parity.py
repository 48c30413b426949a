"""Proof that what is deployed decides as what was trained: decisions, not logits. No torch here.

What the trained networks decide of a strip is recorded once, with the strip's hash; whatever is
deployed is held against that, strips nearest to a threshold first.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt

from steelscan.bundle.specs import Precision
from steelscan.pipeline import AskOpen, Deciding, HardGate, Said
from steelscan.postprocess import Share, Threshold, Triplet, defects_of
from steelscan.strip import Frame, Masks, Picture, Spec, decode, encode, per_class

_CELL = 32
"""Sides of the cells whose mean levels are recorded, in pixels."""


class Answer(Spec):
    """What the networks of one step say of a strip, whether a gate lets it count or not.

    ``words`` are probabilities of classes, None for one that no network knows; ``cells`` are mean
    levels in cells of 32x32 pixels, a class, in hundredths, int16 in base64.
    """

    step: str
    words: tuple[float | None, ...] | None
    cells: str | None


class Expected(Spec):
    """What the trained networks decide of a strip, and what all of them say.

    ``picture`` is the SHA-256 of its size and pixels; ``masks`` are run lengths, a class each;
    ``margin`` is how far the strip's verdict lies from the threshold that decides it, as a share
    of 1.
    """

    name: str
    picture: str
    frame: tuple[int, int]
    masks: tuple[str, ...]
    answers: tuple[Answer, ...]
    margin: NonNegativeFloat


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


class Parity(Spec):
    """What a proof found; ``defective`` of the strips are so for the trained networks."""

    strips: NonNegativeInt
    defective: NonNegativeInt
    flipped: tuple[str, ...]
    iou: Share
    class_ious: tuple[Share, ...]
    changed: tuple[str, ...]
    levels: NonNegativeFloat
    nearest: NonNegativeFloat
    """The least margin of a strip."""

    def failures(self, limits: Limits) -> list[str]:
        """What lies beyond the limits, in words."""
        found = []
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
        )


@dataclass
class Proof:
    """Strips held against what is expected of them, one by one."""

    classes: int
    _strips: int = 0
    _defective: int = 0
    _flipped: list[str] = field(default_factory=list)
    _changed: list[str] = field(default_factory=list)
    _levels: float = 0.0
    _nearest: float = 1.0

    def __post_init__(self) -> None:
        self._both = np.zeros(self.classes, np.int64)
        self._either = np.zeros(self.classes, np.int64)

    def hold(self, expected: Expected, masks: Masks, said: Mapping[str, Said]) -> None:
        """Hold one strip's masks, and what each step says of it, against what is expected."""
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
        if _counts(truth) != _counts(masks):
            self._changed.append(expected.name)

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
        )


def _counts(masks: Masks) -> list[int]:
    """How many defects there are of each class."""
    found = [defect.class_id for defect in defects_of(masks, masks.astype(np.uint8))]
    return [found.count(class_id) for class_id in range(1, len(masks) + 1)]


def _apart(answer: Answer, said: Said, frame: Frame) -> Iterator[float]:
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
    name: str, picture: Picture, masks: Masks, said: Mapping[str, Said], margin: float
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


def _answer(step: str, said: Said) -> Answer:
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

    def __init__(self, deciding: Deciding, ask: AskOpen, classes: int) -> None:
        self._ask, self._classes = ask, classes
        self._gates: dict[str, Any] = {}
        for each in deciding.rounds:
            self._gates |= dict(each.classifies)
            self._gates[each.segment[0]] = (each.segment[1], each.rules)
        self._room = np.full(classes, 1.0)
        """By how much each class passes the threshold that it passes least."""

    def __call__(self, name: str, opened: NDArray[np.bool_]) -> Said:
        """Ask, and remember."""
        said = self._ask(name, opened)
        gate = self._gates[name]
        rooms = (
            [self._judged(gate, said)] if not isinstance(gate, tuple) else self._seen(gate, said)
        )
        for room in rooms:
            self._room = np.fmin(self._room, room)
        return said

    @property
    def margin(self) -> float:
        """How far the nearest class lies from the threshold that decides of it."""
        return float(np.abs(self._room).min())

    def _judged(self, gate: Any, said: Said) -> NDArray[np.float64]:
        assert said.classes is not None
        room = said.classes - np.array(per_class(gate.threshold, self._classes, "threshold"))
        return room if gate.gate == "class" else np.full(self._classes, np.nanmax(room))

    def _seen(self, gate: Any, said: Said) -> Iterable[NDArray[np.float64]]:
        outline, rules = gate
        assert said.levels is not None
        highest = said.levels.max((1, 2)) / 255
        match rules[0]:
            case Threshold(label=label, pixel=pixel):
                least = np.maximum(
                    per_class(label, self._classes, "label"),
                    per_class(pixel, self._classes, "pixel"),
                )
            case Triplet(top=top):
                least = np.array(per_class(top, self._classes, "top"))
        yield highest - least
        if isinstance(outline.gate, HardGate) and said.classes is not None:
            yield said.classes - np.array(
                per_class(outline.gate.threshold, self._classes, "threshold")
            )


def lines(expected: Iterable[Expected]) -> bytes:
    """Records as they stand in a bundle, one JSON line a strip."""
    return "".join(f"{each.model_dump_json()}\n" for each in expected).encode()


def read_lines(content: bytes) -> list[Expected]:
    """Records of a bundle."""
    return [Expected.model_validate_json(line) for line in content.splitlines()]
