"""The records of the trained networks' masks and outputs, one per strip. No torch here."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from math import prod
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat

from steelscan.bundle import Manifest
from steelscan.decision import SegmentStep, Step, StepOutput
from steelscan.strip import Frame, Masks, Picture, Spec, encode

_CELL = 32
"""Side of the cells whose mean probabilities are recorded, in pixels."""

_LONGEST = 4 * 2**20
"""The largest record, in bytes."""


class RecordedOutput(Spec):
    """The output of one step for a strip, whether or not a gate lets it count.

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


def to_json_lines(expected: Iterable[Expected]) -> bytes:
    """Return records as a bundle stores them, one JSON line per strip."""
    return "".join(f"{each.model_dump_json()}\n" for each in expected).encode()


def read_json_lines(content: bytes) -> list[Expected]:
    """Read the records of a bundle. Raises ValueError if they are invalid."""
    lines = content.splitlines()
    if max(map(len, lines), default=0) > _LONGEST:
        raise ValueError(f"holds a line of over {_LONGEST} bytes")
    return [Expected.model_validate_json(line) for line in lines]
