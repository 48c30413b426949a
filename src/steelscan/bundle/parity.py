"""Proof that what is deployed decides as what was trained: decisions, not logits. No torch here.

What the trained networks decide of a strip is recorded once, with the strip's hash; whatever is
deployed is held against that, strips nearest to a threshold first.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt

from steelscan.bundle.specs import Precision
from steelscan.pipeline import AskOpen, Deciding, HardGate, Opened, Said, decide
from steelscan.postprocess import Rule, Share, Threshold, Triplet, defects_of
from steelscan.strip import Frame, Masks, Picture, Spec, decode, encode, per_class

_CELL = 32
"""Sides of the cells whose mean levels are recorded, in pixels."""


class Expected(Spec):
    """What the trained networks decide of a strip.

    ``picture`` is the SHA-256 of its size and pixels; ``masks`` are run lengths, a class each;
    ``cells`` are mean levels in cells of 32x32 pixels before any rule, a class, in hundredths,
    int16 in base64; ``margin`` is how far the strip's verdict lies from the threshold that decides
    it, as a share of 1.
    """

    name: str
    picture: str
    frame: tuple[int, int]
    masks: tuple[str, ...]
    cells: str
    margin: NonNegativeFloat


class Limits(Spec):
    """How far a deployed network may lie beside the trained one, over all strips of a proof."""

    flipped: Share
    """Share of strips whose verdict, defective or not, is another."""
    iou: Share
    """At least: pixels in both masks over pixels in either."""
    changed: Share
    """Share of strips whose list of defects is another: how many of a class there are."""
    cells: NonNegativeFloat
    """Levels, of 255, that the mean of a cell may lie beside."""


LIMITS: Mapping[Precision, Limits] = {
    "fp32": Limits(flipped=0.0, iou=0.999, changed=0.01, cells=0.5),
    "fp16": Limits(flipped=0.0, iou=0.995, changed=0.02, cells=3.0),
    "int8": Limits(flipped=0.01, iou=0.95, changed=0.1, cells=255.0),
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
    cells: NonNegativeFloat
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
        if self.cells > limits.cells:
            found.append(f"levels differ by {self.cells:.2f} of 255, more than {limits.cells}")
        return found

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.strips} strips, {self.defective} of them defective: {len(self.flipped)} "
            f"verdicts flip, IoU of masks {self.iou:.6f}, {len(self.changed)} lists of defects "
            f"change, levels within {self.cells:.2f} of 255; nearest to a threshold "
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
    _cells: float = 0.0
    _nearest: float = 1.0

    def __post_init__(self) -> None:
        self._both = np.zeros(self.classes, np.int64)
        self._either = np.zeros(self.classes, np.int64)

    def hold(self, expected: Expected, masks: Masks, levels: NDArray[np.uint8]) -> None:
        """Hold one strip's masks and levels, as before any rule, against what is expected."""
        frame = Frame(*expected.frame)
        truth = np.stack([decode(text, frame) for text in expected.masks])
        self._strips += 1
        self._defective += bool(truth.any())
        self._both += (truth & masks).sum((1, 2))
        self._either += (truth | masks).sum((1, 2))
        self._nearest = min(self._nearest, expected.margin)
        apart = cells_of(levels) - read_cells(expected.cells, self.classes, frame)
        self._cells = max(self._cells, float(np.abs(apart).max()))
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
            cells=self._cells,
            nearest=self._nearest,
        )


def _counts(masks: Masks) -> list[int]:
    """How many defects there are of each class."""
    found = [defect.class_id for defect in defects_of(masks, masks.astype(np.uint8))]
    return [found.count(class_id) for class_id in range(1, len(masks) + 1)]


def record(
    name: str, picture: Picture, opened: Opened, rules: Sequence[Rule], margin: float
) -> Expected:
    """Write down what the trained networks decide of a strip."""
    masks = decide(opened, rules)
    cells = np.rint(cells_of(opened.levels) * 100).astype("<i2")
    return Expected(
        name=name,
        picture=picture_sha256(picture),
        frame=(picture.shape[0], picture.shape[1]),
        masks=tuple(map(encode, masks)),
        cells=base64.b64encode(cells.tobytes()).decode(),
        margin=margin,
    )


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
    """The mean levels that `record` wrote."""
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
