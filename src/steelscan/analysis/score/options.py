"""Options of a score, and how the command line writes them."""

import re
from dataclasses import dataclass

from steelscan.evaluation.metrics import Expected
from steelscan.strip import Frame, InputError


@dataclass(frozen=True)
class ScoreOptions:
    """What to compute in addition to the five numbers."""

    frame: Frame | None = None
    """The size of every picture, if the truth is a table."""
    mm_per_pixel: float | None = None
    expected: Expected | None = None
    """Class frequencies for which to estimate the mean Dice."""


def score_options(
    frame: str | None, mm_per_pixel: float | None, expected: str | None
) -> ScoreOptions:
    """Read a frame "256x1600" and frequencies "128,43,741,120/1801". Raises InputError."""
    return ScoreOptions(
        frame=None if frame is None else Frame.parse(frame),
        mm_per_pixel=mm_per_pixel,
        expected=None if expected is None else read_expected(expected),
    )


def read_expected(text: str) -> Expected:
    """Read one count per class and, after a slash, the number of strips. Raises InputError."""
    match = re.fullmatch(r"(\d{1,9}(?:,\d{1,9})*)/(\d{1,9})", text)
    if not match or not int(match[2]):
        remedy = "Give strips with each class out of all strips, as 128,43,741,120/1801"
        raise InputError("expected", f"is {text!r}", remedy)
    return Expected(tuple(map(int, match[1].split(","))), int(match[2]))
