"""The verb that puts the strips of a scan together to coils: coil."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Out, given, refuse_unused

if TYPE_CHECKING:
    from polars import DataFrame

    from steelscan.inspection.coil import CoilTables, LookBack
    from steelscan.strip import Frame


@app.command(epilog="Example: steelscan coil scanned/ --geometry geometry.csv --out coils")
def coil(
    context: typer.Context,
    scan: Annotated[
        Path, typer.Argument(help="Folder of steelscan scan, or CSV of run lengths of strips.")
    ],
    out: Out,
    geometry: Annotated[
        Path | None,
        typer.Option(help="CSV of image,coil,side,camera,position_m,offset_mm for each strip."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="Names of the strips instead: '{coil}_{side}_{order:05d}'."),
    ] = None,
    mm_along: Annotated[
        float | None, typer.Option(min=1e-3, max=1000, help="Side of a pixel along the coil, mm.")
    ] = None,
    mm_across: Annotated[
        float | None, typer.Option(min=1e-3, max=1000, help="Across it; as along if not given.")
    ] = None,
    frame: Annotated[
        str | None, typer.Option(help="Size of the strips of a CSV in pixels, as 256x1600.")
    ] = None,
    around: Annotated[
        str | None, typer.Option(help="Also list what lies near a place, as 812m from the head.")
    ] = None,
    within: Annotated[
        float, typer.Option(min=0.001, max=100_000, help="Metres before and after that place.")
    ] = 5.0,
    only: Annotated[
        str | None, typer.Option("--coil", help="Coil of --around, if there are several.")
    ] = None,
) -> None:
    """Put strips together to coils: defects in metres from the head, yield, Pareto.

    A defect that crosses strips is one defect. Writes summary.csv (a row per coil), defects.parquet
    and defects.csv, pareto.csv, strips.csv and notes.csv (gaps, doubled and unreadable strips,
    strips without a place). Yield is the good length over the inspected length: a piece of the
    length is inspected if every camera has a readable strip there, and good if no defect of either
    side lies on it.
    """
    from steelscan.inspection.coil import (
        LookBack,
        open_strips,
        place_alone,
        place_by_names,
        place_strips,
        read_geometry,
        write_coils,
    )
    from steelscan.strip.errors import InputError

    if geometry is not None and pattern is not None:
        raise InputError("--pattern", "has no effect with --geometry", "Leave one of them out")
    if around is None:
        refuse_unused(context, "within only", "without --around")
    if given(context, "mm_across") and mm_along is None:
        raise InputError("--mm-across", "needs --mm-along", "Give both, or --mm-along alone")
    mm = None if mm_along is None else (mm_along, mm_across or mm_along)
    tables = open_strips(scan, None if frame is None else _frame(frame))
    if geometry is not None:
        placed = place_strips(tables, read_geometry(geometry), mm)
    elif pattern is not None:
        placed = place_by_names(tables, pattern, mm)
    else:
        placed = place_alone(tables, mm)
    claim = None if around is None else LookBack.at(placed.strips, only, around, within)
    written = write_coils(tables, placed, out)
    _print(written)
    if claim is not None:
        _print_claim(claim, written.defects_of(claim.coil))
    print(f"Tables: {out}")


def _frame(text: str) -> "Frame":
    from steelscan.strip import Frame
    from steelscan.strip.errors import InputError

    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise InputError("--frame", f"is {text!r}", "Give HEIGHTxWIDTH in pixels, as 256x1600")
    return Frame(int(height), int(width))


def _print(written: "CoilTables") -> None:
    """Print what the tables hold, in a few lines."""
    from steelscan.pages import plural

    summary = written.summary
    inspected, good = (float(summary[name].sum()) for name in ("inspected_m", "good_m"))
    counts = summary.height, int(summary["strips"].sum()), int(summary["defects"].sum())
    names = "coil", "strip", "defect"
    print(", ".join(f"{n} {plural(n, name)}" for n, name in zip(counts, names, strict=True)))
    if inspected:
        print(f"Yield: {good / inspected:.1%}, {good:.2f} of {inspected:.2f} inspected metres")
    else:
        print("Yield: unknown, nothing was inspected")
    for name, count, share in (
        written.pareto.filter(by="class").select("name", "defects", "share").iter_rows()
    ):
        print(f"  class {name}: {count} ({share:.1%})")
    kinds = written.notes.group_by("kind", maintain_order=True)
    for (kind,), notes in kinds:
        coil, image, text = notes.select("coil", "image", "text").row(0)
        where = " ".join(filter(None, (coil, image)))
        more = f"; and {notes.height - 1} more in notes.csv" if notes.height > 1 else ""
        print(f"Note: {kind}: {where}{': ' if where else ''}{text}{more}")


def _print_claim(claim: "LookBack", defects: "DataFrame") -> None:
    """Print the defects near a place, and their course over the metres before and after it."""
    from steelscan.pages import plural

    near = claim.defects(defects)
    count = f"{near.height} {plural(near.height, 'defect')}"
    print(f"\n{count} within {claim.within:g} m of {claim.place:g} m from the head:")
    columns = "side", "class_name", "start_m", "end_m", "left_mm", "right_mm", "area_mm2"
    for side, name, start, end, left, right, area in near.select(columns).head(20).iter_rows():
        print(
            f"  {start:.3f} to {end:.3f} m, {left:.1f} to {right:.1f} mm from the edge"
            f"{', side ' + side if side else ''}: class {name}, {area:.1f} mm2"
        )
    if near.height > 20:
        print(f"  and {near.height - 20} more in defects.csv")
    for row in claim.course(defects).iter_rows(named=True):
        side = f", side {row['side']}" if row["side"] else ""
        before, after = (
            "not inspected" if row[name] is None else f"{row[name]:.1f} mm2 per m"
            for name in ("before", "after")
        )
        print(
            f"  {row['left_mm']:.0f} to {row['right_mm']:.0f} mm{side}, class {row['class_name']}: "
            f"{row['course']} (before: {before}, after: {after})"
        )
