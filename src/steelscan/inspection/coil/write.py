"""Write the tables of coils: defects, summary, Pareto, strips and notes."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from steelscan.inspection.coil.merge import DEFECTS, merge_coils
from steelscan.inspection.coil.place import PlacedStrips
from steelscan.inspection.coil.source import StripTables
from steelscan.inspection.coil.summary import coil_row, pareto
from steelscan.strip.files import (
    FileKind,
    check_output,
    output_folder,
    temporary_folder,
    write_text,
)
from steelscan.strip.tables import write_parquet

TABLES = ("defects.parquet", "defects.csv", "summary.csv", "pareto.csv", "strips.csv", "notes.csv")

_BEGINNINGS = {
    "defects.csv": "coil,side,class,class_name,start_m,end_m,left_mm,",
    "summary.csv": "coil,sides,strips,unread,length_m,",
    "pareto.csv": "by,name,defects,share,cumulative,",
    "strips.csv": "coil,side,camera,image,start_m,end_m,",
    "notes.csv": "kind,coil,image,text",
}
"""By these an existing table is recognised as one of an earlier call."""

_ROWS_AT_ONCE = 50_000
"""About how many defects are in memory at once."""


class CoilTables(NamedTuple):
    """The tables that were written: those that fit into memory, and the file of all defects."""

    summary: pl.DataFrame
    pareto: pl.DataFrame
    notes: pl.DataFrame
    defects: Path

    def defects_of(self, coil: str) -> pl.DataFrame:
        """Return the defects of a coil, sorted by their start."""
        return pl.scan_parquet(self.defects, glob=False).filter(pl.col("coil") == coil).collect()


def write_coils(tables: StripTables, placed: PlacedStrips, out: Path) -> CoilTables:
    """Merge the defects of each coil, and write `TABLES` into a folder, all or none.

    Tables of an earlier call are replaced. Raises MaskError for a damaged run length, OutputError
    if the folder has other files of these names, or cannot be written.
    """
    output_folder(out)
    _check(out)
    rows, parts, waiting, held = [], list[Path](), list[pl.DataFrame](), 0
    of_coil = placed.strips.group_by("coil", maintain_order=True)
    with temporary_folder(out / "tables") as folder:
        for ((_,), strips), defects in zip(of_coil, merge_coils(tables, placed), strict=True):
            rows.append(coil_row(strips, defects, tables.classes))
            waiting.append(defects)
            held += defects.height
            if held >= _ROWS_AT_ONCE:
                parts.append(_write_part(folder, len(parts), waiting))
                waiting.clear()
                held = 0
        parts.append(_write_part(folder, len(parts), waiting))
        every = pl.concat(pl.scan_parquet(part, glob=False) for part in parts)
        write_parquet(folder / "defects.parquet", every)
        found = pl.scan_parquet(folder / "defects.parquet", glob=False)
        written = CoilTables(
            pl.DataFrame(rows, infer_schema_length=None),
            pareto(found),
            placed.notes,
            out / "defects.parquet",
        )
        lists = [name for name, kind in DEFECTS.items() if isinstance(kind, pl.List)]
        joined = found.with_columns(pl.col(lists).list.join(";"))
        joined.drop("run_lengths").sink_csv(folder / "defects.csv", float_precision=3)
        for name, table in (
            ("summary", written.summary),
            ("pareto", written.pareto),
            ("strips", _strips(placed)),
            ("notes", placed.notes),
        ):
            write_text(folder / f"{name}.csv", table.write_csv(float_precision=4))
        for name in TABLES:
            (folder / name).replace(out / name)
    return written


def _write_part(folder: Path, number: int, tables: list[pl.DataFrame]) -> Path:
    path = folder / f"part-{number}.parquet"
    write_parquet(path, pl.concat([DEFECTS.to_frame(), *tables]))
    return path


def _strips(placed: PlacedStrips) -> pl.DataFrame:
    metres = pl.col("mm_along") / 1000
    return placed.strips.select(
        "coil",
        "side",
        "camera",
        "image",
        (pl.col("x") * metres).alias("start_m"),
        ((pl.col("x") + pl.col("width")) * metres).alias("end_m"),
        (pl.col("y") * pl.col("mm_across")).alias("left_mm"),
        ((pl.col("y") + pl.col("height")) * pl.col("mm_across")).alias("right_mm"),
        "verdict",
        "error",
    )


def _check(out: Path) -> None:
    """Raise OutputError if a file has the name of a table, and is none of steelscan coil."""
    for name in TABLES:
        holds = partial(_begins, beginning=_BEGINNINGS[name]) if name in _BEGINNINGS else _is_table
        check_output(out / name, FileKind("table of steelscan coil", holds))


def _begins(path: Path, beginning: str) -> bool:
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning.encode()


def _is_table(path: Path) -> bool:
    try:
        return pl.Schema(pl.read_parquet_schema(path)) == DEFECTS
    except pl.exceptions.PolarsError:
        return False
