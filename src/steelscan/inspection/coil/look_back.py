"""A claim at one place of a coil: what lies near it, and whether it begins, lasts or ends there."""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from steelscan.inspection.coil.lengths import Parts, common, total
from steelscan.inspection.coil.summary import inspected_parts
from steelscan.strip.errors import InputError

_LANES = 8
_PLACE = re.compile(r"(\d+(?:\.\d+)?)\s*m?")
_TWICE = 2.0

_NO_METRES = 1e-9
"""Lengths up to this are rounding errors."""


def place_in_metres(text: str) -> float:
    """Read a place such as 812m or 812.5. Raises InputError."""
    match = _PLACE.fullmatch(text.strip())
    if match is None:
        raise InputError("--around", f"is {text!r}", "Give metres from the head, as 812m")
    return float(match[1])


@dataclass(frozen=True)
class LookBack:
    """A place on a coil, in metres from the head, and how many metres before and after it count."""

    coil: str
    place: float
    within: float
    inspected: Parts
    width_mm: float
    """From the edge to the last row of the widest side."""

    @classmethod
    def at(cls, strips: pl.DataFrame, coil: str | None, place: str, within: float) -> Self:
        """Choose the coil of ``strips``, those of `PlacedStrips`; None if there is only one.

        ``place`` is a text as for `place_in_metres`. Raises InputError if there is no such coil, or
        it ends before the place.
        """
        names = strips["coil"].unique(maintain_order=True)
        if (coil is None and len(names) > 1) or (coil is not None and coil not in names):
            problem = "is needed" if coil is None else f"names no coil: {coil}"
            raise InputError("--coil", problem, f"Give {', '.join(names[:5])}")
        coil = names[0] if coil is None else coil
        own, metres = strips.filter(pl.col("coil") == coil), place_in_metres(place)
        inspected, end = inspected_parts(own)
        if metres > end:
            raise InputError("--around", f"is {metres:g} m", f"Coil {coil} ends at {end:g} m")
        rows = (own["y"] + own["height"]).to_numpy() * own["mm_across"].to_numpy()
        return cls(coil, metres, within, inspected, float(rows.max()))

    def defects(self, defects: pl.DataFrame) -> pl.DataFrame:
        """Return what `defects_around` finds."""
        return defects_around(defects, self.place, self.within)

    def course(self, defects: pl.DataFrame) -> pl.DataFrame:
        """Return what `course` finds."""
        return course(defects, self.place, self.within, self.width_mm, self.inspected)


def defects_around(defects: pl.DataFrame, place: float, within: float) -> pl.DataFrame:
    """Return the defects of a coil of which a part lies within so many metres of a place.

    ``defects`` has the columns `DEFECTS`. Sorted by their distance to the place, in a column
    ``distance_m``, 0 for defects that cover it.
    """
    gap = pl.max_horizontal(pl.col("start_m") - place, place - pl.col("end_m"), pl.lit(0.0))
    return (
        defects.with_columns(distance_m=gap)
        .filter(pl.col("distance_m") <= within + _NO_METRES)
        .sort("distance_m", "start_m", "left_mm")
    )


def course(
    defects: pl.DataFrame, place: float, within: float, width_mm: float, inspected: Parts
) -> pl.DataFrame:
    """Compare the area of defects per metre before a place and after it, in lanes.

    A lane is an eighth of ``width_mm``; a defect belongs to that of its middle, and its area is
    spread evenly over its length. Returns side, class_name, left_mm and right_mm of the lane, and
    before and after in mm2 per metre of the ``inspected`` parts within so many metres, null if
    there are none. ``course`` is then "unknown"; it is "begins" or "ends" if there is no defect
    before or after, "grows" or "fades" from a factor of 2 on, else "lasts".
    """
    lane = ((pl.col("left_mm") + pl.col("right_mm")) / 2 / (width_mm / _LANES)).floor()
    length = pl.max_horizontal(pl.col("end_m") - pl.col("start_m"), pl.lit(_NO_METRES))

    def share(low: float, high: float) -> pl.Expr:
        inside = pl.min_horizontal("end_m", pl.lit(high)) - pl.max_horizontal(
            "start_m", pl.lit(low)
        )
        return pl.when(inside > _NO_METRES).then(inside).otherwise(0.0) / length

    before, after = pl.col("before"), pl.col("after")
    low, high = max(0.0, place - within), place + within
    known = [
        total(common(inspected, np.array([span]))) or None for span in ((low, place), (place, high))
    ]
    return (
        defects.with_columns(lane=lane.clip(0, _LANES - 1))
        .group_by("side", "class_name", "lane")
        .agg(
            before=(pl.col("area_mm2") * share(low, place)).sum(),
            after=(pl.col("area_mm2") * share(place, high)).sum(),
        )
        .filter((before > 0) | (after > 0))
        .with_columns(before / known[0], after / known[1])
        .with_columns(
            course=pl.when(before.is_null() | after.is_null())
            .then(pl.lit("unknown"))
            .when(before == 0)
            .then(pl.lit("begins"))
            .when(after == 0)
            .then(pl.lit("ends"))
            .when(after >= _TWICE * before)
            .then(pl.lit("grows"))
            .when(before >= _TWICE * after)
            .then(pl.lit("fades"))
            .otherwise(pl.lit("lasts"))
        )
        .select(
            "side",
            "class_name",
            (pl.col("lane") * width_mm / _LANES).alias("left_mm"),
            ((pl.col("lane") + 1) * width_mm / _LANES).alias("right_mm"),
            "before",
            "after",
            "course",
        )
        .sort("side", "class_name", "left_mm")
    )
