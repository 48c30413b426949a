"""What is asked of a score in words of the command line, read."""

import re

from steelscan.evaluation import Expected
from steelscan.pipeline.score import Asked
from steelscan.strip import Frame, InputError, check_frame


def asked_of(frame: str | None, mm_per_pixel: float | None, expected: str | None) -> Asked:
    """Read a frame "256x1600" and frequencies "128,43,741,120/1801". Raises InputError."""
    return Asked(
        frame=None if frame is None else read_frame(frame),
        mm_per_pixel=mm_per_pixel,
        expected=None if expected is None else read_expected(expected),
    )


def read_frame(text: str) -> Frame:
    """Read HEIGHTxWIDTH. Raises InputError."""
    found = re.fullmatch(r"([1-9]\d{0,6})[xX]([1-9]\d{0,6})", text)
    if not found:
        raise InputError("frame", f"is {text!r}", "Give HEIGHTxWIDTH in pixels, as 256x1600")
    return check_frame(Frame(int(found[1]), int(found[2])), "frame")


def read_expected(text: str) -> Expected:
    """Read a count a class and, after a slash, of how many strips. Raises InputError."""
    found = re.fullmatch(r"(\d{1,9}(?:,\d{1,9})*)/(\d{1,9})", text)
    if not found or not int(found[2]):
        remedy = "Give strips with each class of so many strips, as 128,43,741,120/1801"
        raise InputError("expected", f"is {text!r}", remedy)
    return Expected(tuple(map(int, found[1].split(","))), int(found[2]))
