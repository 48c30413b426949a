"""Strips placed on the pixel grid of the side of their coil, and notes of what is wrong with them.

The grid of a side begins at the head and at the edge; its pixels are those of its strips. A strip
lies at the nearest pixel to its position and offset, so that positions should be written to half a
pixel: what is more than half a pixel away from the strip before it leaves a gap.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from steelscan.inspection.coil.geometry import checked_mm
from steelscan.inspection.coil.pattern import match_names
from steelscan.inspection.coil.source import STRIPS, StripTables
from steelscan.strip.errors import InputError, TableError

_SIDE = ["coil", "side"]
_CAMERA = [*_SIDE, "camera"]
_NOTES = pl.Schema(dict.fromkeys(("kind", "coil", "image", "text"), pl.String))
_MOST_COLUMNS, _MOST_ROWS = 1 << 40, 1 << 20

_CLEAN = "strips count as clean: the CSV file has rows for defective strips only, none for these"
_NO_MM = "Give --mm-along, or mm_per_pixel_along and mm_per_pixel_across in the geometry"


@dataclass(frozen=True)
class PlacedStrips:
    """Strips on the pixel grids of the sides of their coils.

    Attributes:
        strips: image, verdict, height, width and error as in `STRIPS`; coil, side, camera; ``x``
            and ``y``, the column and row of the grid at which a strip begins (Int64, pixels);
            ``mm_along`` and ``mm_across``, the sides of a pixel. Sorted by coil, side, camera and
            x. Pictures that could not be read have a verdict "error", and the most common size.
        notes: kind, coil, image, text: what was skipped, doubled or missing.
    """

    strips: pl.DataFrame
    notes: pl.DataFrame


def place_strips(
    tables: StripTables, geometry: pl.DataFrame, mm: tuple[float, float] | None = None
) -> PlacedStrips:
    """Place strips by the table that `read_geometry` returns.

    ``mm`` are the sides of a pixel along and across the coil; they replace those of the table.
    An image is found by its whole name, or by its last part if only one image has it. Strips
    without a place, and places without a strip, are skipped and noted.

    Raises InputError if no image has a place, TableError if the numbers of strips contradict their
    positions, or if pixels have no size or two sizes on one side of a coil.
    """
    strips = _with_clean(tables, geometry)
    found = _find(strips["image"].to_list(), geometry["image"].to_list())
    rows = [number for number in found if number is not None]
    if not rows:
        named, first = geometry["image"][0], strips["image"][0]
        problem = f"has no image of the scan: it names {named}, the scan {first}"
        raise InputError("geometry", problem, "Give the names of the scanned pictures")
    has = pl.Series([number is not None for number in found])
    missing, used = strips.filter(~has), set(rows)
    unused = geometry.filter(~pl.int_range(pl.len()).is_in(used))
    places = geometry[rows].drop("image", "line", strict=False)
    placed = _on_grid(pl.concat([strips.filter(has), places], how="horizontal"), mm)
    added = strips.height - tables.strips.height
    notes: list[tuple[str | None, ...]] = [
        *([("no rows", None, None, f"{added} {_CLEAN}")] if added else []),
        *(
            ("no place", None, image, "skipped: the geometry lacks it")
            for image in missing["image"]
        ),
        *(
            ("not scanned", coil, image, "skipped: the scan lacks it")
            for image, coil in unused.select("image", "coil").iter_rows()
        ),
    ]
    return _placed(placed, notes)


def place_by_names(
    tables: StripTables, pattern: str, mm: tuple[float, float] | None
) -> PlacedStrips:
    """Place strips by their names; see `match_names` for ``pattern``.

    Without ``position_m`` in the pattern, the strips of a camera follow each other without a gap in
    their order, the first at the head; a strip that is missing in the order is as wide as the most
    common one. Raises InputError as `match_names`, and without ``mm``.
    """
    named = match_names(pattern, tables.strips["image"])
    if "position_m" not in named.columns:
        if mm is None:
            raise InputError("pattern", "needs the size of a pixel", _NO_MM)
        named = _in_order(named, tables.strips, checked_mm(mm)[0])
    return place_strips(tables, named, mm)


def place_alone(tables: StripTables, mm: tuple[float, float] | None = None) -> PlacedStrips:
    """Take each strip as a coil of its own, named like its image; a note reports that."""
    places = tables.strips.select(
        "image",
        pl.col("image").alias("coil"),
        pl.lit("").alias("side"),
        pl.lit("").alias("camera"),
        pl.lit(0.0).alias("position_m"),
        pl.lit(0.0).alias("offset_mm"),
    )
    alone = "Without a geometry each strip counts as a coil: defects that cross strips are split"
    if mm is None:
        alone += "; without the size of a pixel, a pixel counts as 1 mm x 1 mm"
    placed = _on_grid(tables.strips.join(places, on="image"), mm or (1.0, 1.0))
    return _placed(placed, [("no geometry", None, None, alone)])


def _with_clean(tables: StripTables, geometry: pl.DataFrame) -> pl.DataFrame:
    """Add the clean strips that a CSV file has no rows for: those of the geometry."""
    if tables.frame is None:
        return tables.strips
    images = geometry["image"].to_list()
    known = _find(tables.strips["image"].to_list(), images)
    absent = geometry.filter(
        ~pl.int_range(pl.len()).is_in({row for row in known if row is not None})
    )
    height, width = tables.frame
    clean = absent.select(
        "image",
        pl.lit("clean").alias("verdict"),
        pl.lit(height).alias("height"),
        pl.lit(width).alias("width"),
        pl.lit(None).alias("error"),
    )
    return pl.concat([tables.strips, clean.cast(STRIPS)])


def _find(images: list[str], named: list[str]) -> list[int | None]:
    """Return the row of the geometry of each image: by its name, or else by a unique last part."""
    plain = [image.replace("\\", "/") for image in images]
    row_of = {name: row for row, name in enumerate(named)}
    found = [row_of.get(name) for name in plain]
    last_of = [name.rpartition("/")[2] for name in plain]
    times = Counter(last_of)
    lasts = [name.rpartition("/")[2] for name in named]
    named_times = Counter(lasts)
    of_last = {last: row for row, last in enumerate(lasts) if named_times[last] == 1}
    taken = set(found)
    for at, last in enumerate(last_of):
        if found[at] is None and times[last] == 1 and of_last.get(last) not in taken:
            found[at] = of_last.get(last)
    return found


def _in_order(named: pl.DataFrame, strips: pl.DataFrame, mm_along: float) -> pl.DataFrame:
    """Add position_m: strips of a camera follow each other in their order."""
    known = strips["width"].drop_nulls().mode().to_list()
    most_common = min(known, default=0)
    widths = strips.select("image", pl.col("width").fill_null(most_common))
    ordered = named.join(widths, on="image").sort(*_CAMERA, "order")
    firsts = ordered.unique([*_CAMERA, "order"], keep="first", maintain_order=True)
    before = pl.col("width").cum_sum() - pl.col("width")
    missing = pl.col("order") - pl.col("order").first() - pl.int_range(pl.len())
    columns = (before + missing * most_common).over(_CAMERA)
    places = firsts.select(*_CAMERA, "order", position_m=columns * mm_along / 1000)
    return named.join(places, on=[*_CAMERA, "order"], maintain_order="left")


def _on_grid(strips: pl.DataFrame, mm: tuple[float, float] | None) -> pl.DataFrame:
    """Replace positions by columns and rows of the grid. Raises InputError or TableError."""
    sides = ["mm_per_pixel_along", "mm_per_pixel_across"]
    if mm is not None:
        along, across = checked_mm(mm)
        strips = strips.with_columns(pl.lit(along).alias(sides[0]), pl.lit(across).alias(sides[1]))
    if not set(sides) <= set(strips.columns):
        raise InputError("geometry", "has no size of a pixel", _NO_MM)
    several = strips.group_by(_SIDE, maintain_order=True).agg(pl.col(sides).n_unique())
    wrong = several.filter(pl.any_horizontal(pl.col(sides) > 1))
    if not wrong.is_empty():
        problem = f"gives side {wrong['side'][0]!r} of coil {wrong['coil'][0]} two sizes of a pixel"
        raise TableError("geometry", problem, "Resize the pictures of one side to the same scale")
    common = strips.select(pl.col("height", "width").drop_nulls().mode().min()).row(0)
    placed = strips.with_columns(
        (pl.col("position_m") * 1000 / pl.col(sides[0])).round().alias("x"),
        (pl.col("offset_mm") / pl.col(sides[1])).round().alias("y"),
        pl.col("height").fill_null(common[0] or 0),
        pl.col("width").fill_null(common[1] or 0),
    )
    far = placed.filter((pl.col("x") >= _MOST_COLUMNS) | (pl.col("y").abs() >= _MOST_ROWS))
    if not far.is_empty():
        problem = f"places {far['image'][0]} over {_MOST_COLUMNS} columns or {_MOST_ROWS} rows away"
        raise TableError("geometry", problem, "Check the units: metres, millimetres")
    return placed.rename({sides[0]: "mm_along", sides[1]: "mm_across"}).cast(
        {"x": pl.Int64, "y": pl.Int64, "mm_along": pl.Float64, "mm_across": pl.Float64}
    )


def _placed(strips: pl.DataFrame, notes: Sequence[tuple[str | None, ...]]) -> PlacedStrips:
    """Check the order, sort, and note doubled and unreadable strips and gaps."""
    if "order" in strips.columns:
        _refuse_contradictions(strips)
    columns = [*STRIPS.names(), *_CAMERA, "x", "y", "mm_along", "mm_across"]
    strips = strips.select(columns).sort(*_CAMERA, "x", "y", "image")
    more = pl.DataFrame([*notes, *_faults(strips)], _NOTES, orient="row")
    return PlacedStrips(strips, more)


def _refuse_contradictions(strips: pl.DataFrame) -> None:
    """Raise TableError if a strip has a higher number than another, and lies before it."""
    numbered = strips.sort(*_CAMERA, "y", "order", "x")
    before = pl.col("x", "image").shift().over(*_CAMERA, "y").name.suffix("_before")
    wrong = numbered.with_columns(before).filter(pl.col("x") < pl.col("x_before"))
    if not wrong.is_empty():
        image, other = wrong["image"][0], wrong["image_before"][0]
        problem = f"is out of order: {image} has a higher order than {other}, and lies before it"
        raise TableError("geometry", problem, "Correct order or position_m")


def _faults(strips: pl.DataFrame) -> Iterator[tuple[str, str, str, str]]:
    for image, coil, error in (
        strips.filter(pl.col("verdict") == "error").select("image", "coil", "error").iter_rows()
    ):
        yield "unreadable", coil, image, f"not inspected: {error}"
    same = [*_CAMERA, "x", "y"]
    doubled = strips.with_columns(first=pl.col("image").first().over(same))
    for image, coil, first in (
        doubled.filter(pl.col("image") != pl.col("first"))
        .select("image", "coil", "first")
        .iter_rows()
    ):
        yield "doubled", coil, image, f"at the same place as {first}; the defects of both count"
    reached = (pl.col("x") + pl.col("width")).cum_max().shift().over(_CAMERA)
    metres = pl.col("mm_along") / 1000
    gaps = strips.with_columns(reached=reached).filter(pl.col("x") > pl.col("reached"))
    for image, coil, start, stop in gaps.select(
        "image", "coil", pl.col("reached") * metres, pl.col("x") * metres
    ).iter_rows():
        yield "gap", coil, image, f"no strip of its camera from {start:.3f} m to {stop:.3f} m"
