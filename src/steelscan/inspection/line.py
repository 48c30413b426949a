"""The arithmetic of a line: how many strips come, and whether a machine keeps up with them.

All milliseconds are of the whole machine: a machine that scans four strips at once, each in
100 ms, takes 25 ms per strip.
"""

from math import ceil
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PositiveInt, computed_field

from steelscan.strip import Frame, Share, Spec

Along = Literal["width", "height"]
"""The side of a picture that is parallel to the rolling direction."""

Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_ROUNDING = 1e-9
"""Relative error that is allowed when a quotient of floats is rounded up to a whole number."""


class Line(Spec):
    """A line and its cameras.

    ``speed`` in metres per second; ``frame`` is the height and width of a strip in pixels;
    ``across`` strips lie side by side on each of ``sides`` sides of the steel.
    """

    speed: Positive
    mm_per_pixel: Positive
    frame: tuple[PositiveInt, PositiveInt]
    along: Along = "width"
    across: PositiveInt = 1
    sides: PositiveInt = 1

    @property
    def strip_mm(self) -> tuple[float, float]:
        """Millimetres of steel in one strip: along the rolling direction, and across it."""
        along, across = along_and_across(Frame(*self.frame), self.along)
        return along * self.mm_per_pixel, across * self.mm_per_pixel

    @computed_field  # type: ignore[prop-decorator]
    @property
    def strips_per_second(self) -> float:
        """Strips per second, of all cameras."""
        return 1000 * self.speed / self.strip_mm[0] * self.across * self.sides

    @computed_field  # type: ignore[prop-decorator]
    @property
    def budget_ms(self) -> float:
        """Milliseconds from one strip to the next: the time there is for each."""
        return 1000 / self.strips_per_second


class Costs(Spec):
    """Milliseconds per strip that a machine takes.

    ``all_networks``: every network runs. ``first_network``: the first one decides that the strip
    is clean; None if it cannot. ``these_pictures``: the mean of the pictures measured.
    """

    all_networks: Positive
    first_network: Positive | None
    these_pictures: Positive


class Verdict(Spec):
    """Whether a machine keeps up with a line.

    ``share_needed`` is the smallest share of strips that the first network must decide: 0 if none
    is needed (``keeps_up`` "yes"), None if even all of them are not enough ("no"). ``cores`` is the
    number of cores needed for each of the costs; ``busy`` the share of their time that the
    measured cores would be busy, above 1 if they fall behind.
    """

    keeps_up: Literal["yes", "if", "no"]
    share_needed: Share | None
    cores: dict[str, PositiveInt]
    busy: dict[str, float]


def along_and_across(frame: Frame, along: Along) -> tuple[int, int]:
    """Return a picture's pixels along the rolling direction, and across it."""
    return (frame.width, frame.height) if along == "width" else (frame.height, frame.width)


def strips_across(width_mm: float, frame: Frame, mm_per_pixel: float, along: Along) -> int:
    """Return how many strips side by side cover steel of this width in mm."""
    across = along_and_across(frame, along)[1] * mm_per_pixel
    return max(1, ceil(width_mm / across * (1 - _ROUNDING)))


def early_share_needed(budget_ms: float, all_ms: float, first_ms: float | None) -> float | None:
    """Return the share of strips that the first network must decide to keep the mean in budget.

    0 if none is needed; None if even all of them are not enough, or the first network cannot
    decide.
    """
    if _within(budget_ms, all_ms):
        return 0.0
    if first_ms is None or not _within(budget_ms, first_ms):
        return None
    return min(1.0, (all_ms - budget_ms) / (all_ms - first_ms))


def _within(budget_ms: float, strip_ms: float) -> bool:
    return strip_ms * (1 - _ROUNDING) <= budget_ms


def cores_needed(budget_ms: float, strip_ms: float, cores: int) -> int:
    """Return how many cores stay within a budget if ``cores`` of them take ``strip_ms``."""
    return max(1, ceil(cores * strip_ms / budget_ms * (1 - _ROUNDING)))


def verdict_of(line: Line, costs: Costs, cores: int) -> Verdict:
    """Return whether a machine with these cores and costs keeps up with a line."""
    budget = line.budget_ms
    needed = early_share_needed(budget, costs.all_networks, costs.first_network)
    each = {name: cost for name, cost in costs if cost is not None}
    return Verdict(
        keeps_up="no" if needed is None else "if" if needed else "yes",
        share_needed=needed,
        cores={name: cores_needed(budget, cost, cores) for name, cost in each.items()},
        busy={name: cost / budget for name, cost in each.items()},
    )
