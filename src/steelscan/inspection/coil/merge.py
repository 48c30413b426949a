"""Defects of strips merged into defects of the coil, by run lengths on the grid of each side.

A defect that crosses from one strip into the next, or lies in two that overlap, is one defect. Its
area counts each pixel of the grid once.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from steelscan.inspection.coil.place import PlacedStrips
from steelscan.inspection.coil.runs import (
    Ints,
    Pieces,
    Regions,
    cut_into_columns,
    find_regions,
    join_intervals,
)
from steelscan.inspection.coil.source import StripTables
from steelscan.strip import Frame, Progress, parse_runs, show_progress

_COLUMNS: dict[str, Any] = {
    "coil": pl.String,
    "side": pl.String,
    "class": pl.Int32,
    "class_name": pl.String,
    "start_m": pl.Float64,
    "end_m": pl.Float64,
    "left_mm": pl.Float64,
    "right_mm": pl.Float64,
    "area_mm2": pl.Float64,
    "box_mm2": pl.Float64,
    "score": pl.Float64,
    "cameras": pl.List(pl.String),
    "images": pl.List(pl.String),
    "run_lengths": pl.List(pl.String),
}
DEFECTS = pl.Schema(_COLUMNS)
"""A defect of a coil: its box from the head and from the edge, its area and that of its box, its
highest probability (null if not known), its cameras, and its run lengths on each of its images."""

_AT_ONCE = 20_000
"""Most strips whose defects are read at once, unless a coil has more."""

_TEXT_AT_ONCE = 16_000_000
"""About the most bytes of run lengths that are joined at once, unless defects touch all along."""


def merge_coils(tables: StripTables, placed: PlacedStrips) -> Iterator[pl.DataFrame]:
    """Yield the defects of each coil, a table with the columns `DEFECTS` sorted by start.

    Coils without defects yield a table without rows. Memory grows with the longest coil, not with
    their number. Raises MaskError, naming the image, for run lengths that do not fit its frame.
    """
    strips = placed.strips
    coils = strips.group_by("coil", maintain_order=True).len()
    with show_progress("Merging strips", strips.height) as progress:
        start = 0
        while start < coils.height:
            sizes = coils["len"][start:].cum_sum()
            stop = start + max(1, int((sizes <= _AT_ONCE).sum()))
            batch = strips.filter(pl.col("coil").is_in(coils["coil"][start:stop].implode()))
            yield from _merge_batch(tables, batch, progress)
            start = stop


def _merge_batch(
    tables: StripTables, strips: pl.DataFrame, progress: Progress
) -> Iterator[pl.DataFrame]:
    found = tables.found_on(strips["image"])
    # strips are sorted by coil
    rows = strips.with_row_index("strip").join(found, on="image", maintain_order="left_right")
    parts = [_merge_part(part, tables.classes) for part in _apart(rows)]
    # two regions of one class that had the same box would touch
    none = DEFECTS.to_frame()
    merged = pl.concat([none, *parts]).sort(
        "coil", "start_m", "side", "left_mm", "class", "end_m", "right_mm"
    )
    of_coil = merged.partition_by("coil", as_dict=True)
    for coil, count in strips.group_by("coil", maintain_order=True).len().iter_rows():
        yield of_coil.get((coil,), none)
        progress.advance(count)


def _apart(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Split rows, where a column without defects lies between them, to bound the memory.

    The columns are those of the first and last number of each run length, checked later.
    """
    text, own = pl.col("run_length"), ["coil", "side", "class"]
    first = text.str.extract(r"(\d+)").cast(pl.Int64, strict=False)
    last = text.str.extract_groups(r"(\d+)\s+(\d+)\s*$").struct
    pixel = last[0].cast(pl.Int64, strict=False) + last[1].cast(pl.Int64, strict=False) - 1
    size = text.str.len_bytes().cast(pl.Int64)
    ordered = rows.with_columns(
        left=pl.col("x") + (first - 1) // pl.col("height"),
        right=pl.col("x") + (pixel - 1) // pl.col("height") + 1,
    ).sort(*own, "left")
    new = (pl.col("left") > pl.col("right").cum_max().shift()).over(own).fill_null(value=True)
    begun = ordered.with_columns(section=new.cum_sum(), before=size.cum_sum() - size)
    part = pl.col("before").first().over("section") // _TEXT_AT_ONCE
    return begun.with_columns(part=part).partition_by("part", maintain_order=True)


def _merge_part(rows: pl.DataFrame, classes: tuple[str, ...]) -> pl.DataFrame:
    parsed = [
        parse_runs(text, Frame(height, width), f"{image}, class {class_id}")
        for text, height, width, image, class_id in rows.select(
            "run_length", "height", "width", "image", "class"
        ).iter_rows()
    ]
    row = np.repeat(np.arange(rows.height), [len(runs) for runs in parsed])
    runs = np.concatenate(parsed)
    height = rows["height"].to_numpy()[row]
    pieces = cut_into_columns(runs[:, 0], runs[:, 1], height)
    of_piece = row[pieces.run]  # the row of `rows` of each piece
    groups = rows.select(group=pl.struct("coil", "side", "class").rank("dense").cast(pl.Int64) - 1)
    x, y = (rows[name].to_numpy()[of_piece] for name in ("x", "y"))
    regions = find_regions(
        groups["group"].to_numpy()[of_piece], x + pieces.column, y + pieces.top, y + pieces.bottom
    )
    measured = _measure(regions)
    owned = _own(rows, regions, of_piece)
    outlined = _outline(rows, regions, pieces, of_piece)
    return _in_mm(measured.join(owned, on="region").join(outlined, on="region"), classes)


def _measure(regions: Regions) -> pl.DataFrame:
    """Return the box and the area of each region, in pixels of the grid."""
    table = pl.DataFrame(
        {
            "region": regions.region,
            "column": regions.column,
            "top": regions.top,
            "bottom": regions.bottom,
        }
    )
    return table.group_by("region").agg(
        left=pl.col("column").min(),
        right=pl.col("column").max() + 1,
        top=pl.col("top").min(),
        bottom=pl.col("bottom").max(),
        pixels=(pl.col("bottom") - pl.col("top")).sum(),
    )


def _own(rows: pl.DataFrame, regions: Regions, of_piece: Ints) -> pl.DataFrame:
    """Return side, class, sides of a pixel, highest score and cameras of each region."""
    pairs = pl.DataFrame({"region": regions.of_piece, "row": of_piece}).unique()
    named = ["side", "class", "mm_along", "mm_across"]
    known = rows.select("coil", *named, "camera", "score").with_row_index("row")
    return (
        pairs.join(known.cast({"row": pl.Int64}), on="row")
        .group_by("region")
        .agg(
            pl.col("coil", *named).first(),
            pl.col("score").max(),
            cameras=pl.col("camera").unique().sort(),
        )
    )


def _outline(rows: pl.DataFrame, regions: Regions, pieces: Pieces, of_piece: Ints) -> pl.DataFrame:
    """Return the images of each region, along the coil, and its run lengths on each."""
    height = rows["height"].to_numpy()[of_piece]
    strip = rows["strip"].to_numpy().astype(np.int64)[of_piece]
    strip -= strip.min()
    strips = strip.max() + 1
    pair, dense = np.unique(regions.of_piece * strips + strip, return_inverse=True)
    first = pieces.column * height + pieces.top
    apart = (first + pieces.bottom).max() + 2  # runs of two pairs never touch
    key = dense * apart + first
    _, start, stop = join_intervals(key, key + pieces.bottom - pieces.top)
    owner = start // apart
    numbers = np.column_stack([start - owner * apart + 1, stop - start]).reshape(-1)
    ends = 2 * np.searchsorted(owner, np.arange(len(pair)), "right")
    texts = (
        str(numbers[begin:end].tolist())[1:-1].replace(",", "")
        for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    )
    image_of = rows.select("strip", "image").unique().with_columns(pl.col("strip").cast(pl.Int64))
    table = pl.DataFrame(
        {
            "region": pair // strips,
            "strip": pair % strips + int(rows["strip"].to_numpy().min()),
            "run_length": pl.Series(texts, dtype=pl.String),
        }
    ).join(image_of, on="strip", maintain_order="left")
    return table.group_by("region").agg(images=pl.col("image"), run_lengths=pl.col("run_length"))


def _in_mm(regions: pl.DataFrame, classes: tuple[str, ...]) -> pl.DataFrame:
    """Return the regions with the columns `DEFECTS`."""
    along, across = pl.col("mm_along"), pl.col("mm_across")
    # polars divides by a constant in two ways, whose last bits differ
    thousand = pl.Series(np.full(regions.height, 1000.0))
    table = regions.with_columns(
        class_name=pl.col("class").replace_strict(range(1, len(classes) + 1), list(classes)),
        start_m=pl.col("left") * along / thousand,
        end_m=pl.col("right") * along / thousand,
        left_mm=pl.col("top") * across,
        right_mm=pl.col("bottom") * across,
        area_mm2=pl.col("pixels") * along * across,
        box_mm2=(pl.col("right") - pl.col("left"))
        * (pl.col("bottom") - pl.col("top"))
        * along
        * across,
    )
    return table.select(DEFECTS.names()).cast(DEFECTS)
