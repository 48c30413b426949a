"""The line budget as arithmetic: what a line asks of a machine, and what a machine gives.

All milliseconds are of the whole machine: a machine that scans four strips at once, each in
100 ms, takes 25 ms a strip.
"""

from math import ceil
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PositiveInt

from steelscan.strip import Frame, Share, Spec

Along = Literal["width", "height"]
"""The side of a picture that lies along the rolling direction."""

Amount: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_ROUNDING = 1e-9
"""Quotients of floats may lie so far, as a share, above the whole number that is meant."""


class Line(Spec):
    """A line, and how its steel is seen: strips after each other, side by side, on each side.

    ``speed`` in metres a second; ``frame`` is that of a strip, in pixels.
    """

    speed: Amount
    mm_per_pixel: Amount
    frame: tuple[PositiveInt, PositiveInt]
    along: Along = "width"
    across: PositiveInt = 1
    sides: PositiveInt = 1

    @property
    def strip_mm(self) -> float:
        """Millimetres of steel that a strip shows along the line."""
        return sides_of(Frame(*self.frame), self.along)[0] * self.mm_per_pixel

    @property
    def strips_per_second(self) -> float:
        """Strips that come in a second."""
        return 1000 * self.speed / self.strip_mm * self.across * self.sides

    @property
    def budget_ms(self) -> float:
        """Milliseconds from one strip to the next: what the machine may take for each."""
        return 1000 / self.strips_per_second


class Costs(Spec):
    """What a machine takes for a strip, in milliseconds.

    With all networks asked; where the first clears it (None: none can by itself); and as on the
    strips measured, some of which left early.
    """

    every: Amount
    soonest: Amount | None
    seen: Amount


class Holding(Spec):
    """Whether a machine holds a line.

    ``needed`` is the share of strips that must leave at the first network: 0 where none must,
    None where all of them would not do. ``cores`` are how many it takes, by each of the costs, if
    each does what one of those measured does; ``busy`` the shares of their time that those
    measured would be busy, above 1 where they fall behind.
    """

    verdict: Literal["holds", "holds if", "does not hold"]
    needed: Share | None
    cores: dict[str, PositiveInt]
    busy: dict[str, float]


def sides_of(frame: Frame, along: Along) -> tuple[int, int]:
    """A picture's pixels along the rolling direction, and across it."""
    return (frame.width, frame.height) if along == "width" else (frame.height, frame.width)


def strips_across(width_mm: float, frame: Frame, mm_per_pixel: float, along: Along) -> int:
    """How many strips lie side by side until steel of this width, in mm, is covered."""
    across = sides_of(frame, along)[1] * mm_per_pixel
    return max(1, ceil(width_mm / across * (1 - _ROUNDING)))


def share_needed(budget_ms: float, every_ms: float, soonest_ms: float | None) -> float | None:
    """The share of strips that must leave at the first network, so that the mean keeps a budget.

    0 where none must; None where all of them would not do, or none can.
    """
    if _keeps(budget_ms, every_ms):
        return 0.0
    if soonest_ms is None or not _keeps(budget_ms, soonest_ms):
        return None
    return min(1.0, (every_ms - budget_ms) / (every_ms - soonest_ms))


def _keeps(budget_ms: float, strip_ms: float) -> bool:
    return strip_ms * (1 - _ROUNDING) <= budget_ms


def cores_needed(budget_ms: float, strip_ms: float, cores: int) -> int:
    """How many cores keep a budget, if ``cores`` of them take ``strip_ms`` a strip."""
    return max(1, ceil(cores * strip_ms / budget_ms * (1 - _ROUNDING)))


def holding(line: Line, costs: Costs, cores: int) -> Holding:
    """Whether a machine of so many cores, which takes these costs, holds a line."""
    budget = line.budget_ms
    needed = share_needed(budget, costs.every, costs.soonest)
    each = {name: cost for name, cost in costs if cost is not None}
    return Holding(
        verdict="does not hold" if needed is None else "holds if" if needed else "holds",
        needed=needed,
        cores={name: cores_needed(budget, cost, cores) for name, cost in each.items()},
        busy={name: cost / budget for name, cost in each.items()},
    )
