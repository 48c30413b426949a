"""What a coil amounts to: lengths, yield, and defects by class; and Pareto tables over coils."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from steelscan.inspection.coil.lengths import Parts, common, joined, total, without

_TRACK = ["side", "camera"]


def coil_row(strips: pl.DataFrame, defects: pl.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Return the row of a coil in ``summary.csv``.

    ``strips`` are those of the coil in `PlacedStrips.strips`, ``defects`` its table with the
    columns `DEFECTS`.

    A piece of the length is inspected if every camera of the coil has a readable strip there and no
    unreadable one whose rows others do not show. It is good if no defect of either side lies on it.
    ``yield`` is the good length over the inspected one, null if nothing was inspected. ``unread_m``
    is the rest of the length, from the head to the end of the last strip.
    """
    inspected, end = inspected_parts(strips)
    bad = joined(defects["start_m"].to_numpy(), defects["end_m"].to_numpy())
    length, lost = total(inspected), total(common(inspected, bad))
    counts = dict(defects.group_by("class_name").len().iter_rows())
    return {
        "coil": strips["coil"][0],
        "sides": strips["side"].n_unique(),
        "strips": strips.height,
        "unread": int((strips["verdict"] == "error").sum()),
        "length_m": end,
        "inspected_m": length,
        "unread_m": end - length,
        "good_m": length - lost,
        "yield": (length - lost) / length if length else None,
        "defects": defects.height,
        "area_mm2": defects["area_mm2"].sum(),
        **{f"defects of {name}": counts.get(name, 0) for name in classes},
    }


def inspected_parts(strips: pl.DataFrame) -> tuple[Parts, float]:
    """Return the inspected parts of a coil in metres, and where its last strip ends.

    ``strips`` are those of the coil in `PlacedStrips.strips`.
    """
    metres = strips["mm_along"].to_numpy() / 1000
    start = strips["x"].to_numpy() * metres
    stop = start + strips["width"].to_numpy() * metres
    end = float(stop.max())
    track = strips.select(pl.struct(_TRACK).rank("dense")).to_series().to_numpy()
    readable = (strips["verdict"] != "error").to_numpy()
    top = strips["y"].to_numpy()
    bottom = top + strips["height"].to_numpy()
    seen = np.array([[0.0, end]])
    for each in np.unique(track):
        own = readable & (track == each)
        seen = common(seen, joined(start[own], stop[own]))
    for at in np.flatnonzero(~readable):
        whole = readable & (track == track[at]) & (top <= top[at]) & (bottom >= bottom[at])
        unread = np.array([[start[at], stop[at]]])
        seen = without(seen, without(unread, joined(start[whole], stop[whole])))
    return seen, end


def pareto(defects: pl.LazyFrame) -> pl.DataFrame:
    """Count defects and their area by class, by coil and by camera, the most frequent first.

    Returns by, name, defects, share, cumulative, area_mm2. A defect that two cameras saw counts for
    both.
    """
    tables = []
    for by, column in (("class", "class_name"), ("coil", "coil"), ("camera", "cameras")):
        rows = defects.explode("cameras") if column == "cameras" else defects
        counted = (
            rows.group_by(pl.col(column).alias("name"))
            .agg(defects=pl.len(), area_mm2=pl.col("area_mm2").sum())
            .sort("defects", "name", descending=[True, False])
            .with_columns(share=pl.col("defects") / pl.col("defects").sum())
            .select(
                pl.lit(by).alias("by"),
                "name",
                "defects",
                "share",
                pl.col("share").cum_sum().alias("cumulative"),
                "area_mm2",
            )
        )
        tables.append(counted.collect())
    return pl.concat(tables)
