"""Settings of synthetic coils: their number, size and cameras."""

from enum import IntEnum

import numpy as np
from pydantic import Field, model_validator

from steelscan.mill.spec import Mill, StripSize
from steelscan.strip import Share

SIDES = ("bottom", "top")
"""The sides of a coil, in the order of their names."""


class CoilStream(IntEnum):
    """The purposes of independent random streams of a coil side."""

    STYLE = 100
    STEEL = 101
    DEFECTS = 102
    MARK = 103
    BAND = 104


class CoilMill(StripSize):
    """A mill that makes ``coils`` synthetic coils; equal settings give equal coils.

    Both sides of a coil are inspected by ``cameras`` next to each other. Columns of a picture lie
    along the coil, rows across it.
    """

    coils: int = Field(ge=1)
    strips_per_coil: int = Field(default=20, ge=1)
    """Strips of each camera of each side."""
    cameras: int = Field(default=4, ge=1, le=64)
    overlap: int = 0
    """Columns that a strip shares with the next one; negative: columns between them not seen."""
    mm_per_pixel: float = Field(default=1.0, ge=0.01, le=100)
    """Side of a pixel in mm, along and across."""
    missing_share: Share = 0.3
    """Share of the roll marks that are left out on every second coil."""

    @model_validator(mode="after")
    def _ascending(self) -> "CoilMill":
        if not -self.width <= self.overlap < self.width:
            raise ValueError(f"the overlap {self.overlap} is not less than a strip's width")
        return self

    @property
    def across(self) -> int:
        """Rows of all cameras of one side."""
        return self.height * self.cameras

    @property
    def margin(self) -> int:
        """Rows that the outer cameras see beyond each edge of the steel."""
        return round(24 * self.unit)

    @property
    def length(self) -> int:
        """Columns of a coil, from its head to its tail."""
        return self.start_of(self.strips_per_coil - 1) + self.width

    def start_of(self, order: int) -> int:
        """Return the first column of a strip, counted from 0."""
        return order * (self.width - self.overlap)

    def stream(
        self, purpose: CoilStream, coil: int, side: int = 0, index: int = 0
    ) -> np.random.Generator:
        """Return the random numbers for one purpose and one part of a coil side."""
        return np.random.default_rng([self.seed, purpose, coil, side, index])


class Piece(Mill):
    """A piece of a coil side as the mill draws it: rows lie along the coil, columns across it."""

    scale: float
    """Pixels per pixel of the reference frame, which a piece takes from the strips."""

    @property
    def unit(self) -> float:
        """Pixels of this frame per pixel of the reference frame, along one axis."""
        return self.scale


def piece_of(mill: CoilMill, length: int) -> Piece:
    """Return a piece of the whole width; its defects end inside it."""
    inside = tuple(stats.but(border=0.0) for stats in Mill(strips=1).statistics)
    return Piece(
        strips=1,
        height=max(64, length),
        width=mill.across,
        scale=mill.unit,
        statistics=inside,
        black_share=0.0,
    )
