"""The strips and defects to place on coils: a finished scan, or a CSV file of run lengths."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from steelscan.inspection.scan.shards import ScanFolder
from steelscan.strip import UNREAD, Frame
from steelscan.strip.errors import InputError, RunError
from steelscan.strip.tables import StreamedMaskTable

STRIPS = pl.Schema(
    {
        "image": pl.String,
        "verdict": pl.String,
        "height": pl.Int64,
        "width": pl.Int64,
        "error": pl.String,
    }
)
"""A strip. The verdict is "clean", "defective", or "error" with the reason in ``error``; the size,
in pixels, is null if the picture could not be read."""

_FOUND = pl.Schema(
    {"image": pl.String, "class": pl.Int32, "score": pl.Float64, "run_length": pl.String}
)


@dataclass(frozen=True)
class StripTables:
    """What was found on which strips.

    Attributes:
        strips: a row per strip, with the columns of `STRIPS`.
        found: image, class (id, from 1), score (null in CSV files) and run_length of each defect.
        classes: names of the classes, in the order of their ids.
        frame: the size of a strip without any row that nevertheless was inspected and is clean, as
            in CSV files with rows for defective strips only; None if there are no such strips.
    """

    strips: pl.DataFrame
    found: pl.LazyFrame
    classes: tuple[str, ...]
    frame: Frame | None = None

    def found_on(self, images: pl.Series) -> pl.DataFrame:
        """Return the rows of ``found`` of some images, and read only these into memory.

        Raises RunError if the table of a scan is damaged, or has a class that scan.json lacks.
        """
        wanted = images.rename("image").to_frame().lazy()
        try:
            return self.found.join(wanted, on="image", how="semi").collect(engine="streaming")
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = str(error).partition("\n")[0]
            problem = f"cannot be read, or has classes that scan.json lacks ({reason})"
            raise RunError("defects.parquet", problem, "Merge the scan again") from error


def open_strips(path: Path, frame: Frame | None = None) -> StripTables:
    """Open the folder of a scan, or a CSV file of run lengths of strips of size ``frame``.

    Raises RunError if a scan is not finished or damaged, TableError for a CSV file that is cut off
    or has duplicate rows, and InputError if a CSV file comes without a frame or a scan with one, or
    if there are no strips. Run lengths are checked when they are merged.
    """
    if path.is_dir() and frame is not None:
        raise InputError("--frame", "has no effect: the scan has the size of each strip", "Omit it")
    tables = _of_scan(path) if path.is_dir() else _of_csv(path, frame)
    if tables.strips.is_empty() and tables.frame is None:
        raise InputError(path, "has no strips", "Choose a scan of at least one picture")
    return tables


def _of_scan(path: Path) -> StripTables:
    names = ScanFolder(path).record().classes
    found = pl.scan_parquet(path / "defects.parquet", glob=False).select(
        pl.col("name").alias("image"),
        pl.col("class").replace_strict(
            list(names), range(1, len(names) + 1), return_dtype=pl.Int32
        ),
        pl.col("score").cast(pl.Float64),
        "run_length",
    )
    try:
        strips = pl.read_parquet(path / "strips.parquet", glob=False).select(
            pl.col("name").alias("image"), "verdict", "height", "width", "error"
        )
        if found.collect_schema() != _FOUND:
            raise pl.exceptions.SchemaError("other columns")
        strips = strips.cast(STRIPS)
    except (OSError, pl.exceptions.PolarsError) as error:
        problem = "has no tables strips.parquet and defects.parquet that can be read"
        remedy = f"Finish the scan: steelscan scan --merge --out {path}"
        raise RunError(path, problem, remedy) from error
    return StripTables(strips, found, names)


def _of_csv(path: Path, frame: Frame | None) -> StripTables:
    if frame is None:
        problem = "has run lengths, but not the size of the strips"
        raise InputError(path, problem, "Give --frame HEIGHTxWIDTH in pixels, as 256x1600")
    table = StreamedMaskTable(path)
    rows = pl.DataFrame(list(_checked(table)), list(_FOUND.items()), orient="row")
    unread = (pl.col("run_length") == UNREAD).any()
    strips = (
        rows.group_by("image", maintain_order=True)
        .agg(unread=unread, defective=(pl.col("run_length") != "").any())
        .select(
            "image",
            pl.when("unread")
            .then(pl.lit("error"))
            .when("defective")
            .then(pl.lit("defective"))
            .otherwise(pl.lit("clean"))
            .alias("verdict"),
            *(pl.when(~pl.col("unread")).then(size).alias(side) for side, size in _sizes(frame)),
            error=pl.when("unread").then(pl.lit("it could not be read when it was predicted")),
        )
        .cast(STRIPS)
    )
    found = rows.filter(~pl.col("run_length").is_in(["", UNREAD]))
    classes = tuple(str(number) for number in range(1, max(rows["class"].to_list(), default=0) + 1))
    return StripTables(strips, found.lazy(), classes, frame if table.layout == "columns" else None)


def _sizes(frame: Frame) -> Iterator[tuple[str, int]]:
    yield "height", frame.height
    yield "width", frame.width


def _checked(table: StreamedMaskTable) -> Iterator[tuple[str, int, None, str]]:
    """Yield the rows; raise TableError for a duplicate row or a clean strip with classes."""
    seen: dict[str, dict[int, str]] = {}
    for line, image, class_id, text in table.rows():
        table.add(seen.setdefault(image, {}), line, image, class_id, "")
        yield image, class_id, None, text.strip()
