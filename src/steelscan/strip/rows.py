"""CSV files as rows of text: read with a clear error, written whole or not at all."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

from steelscan.strip.errors import TableError
from steelscan.strip.output import replacing


def read_rows(content: bytes, where: object, remedy: str) -> "pl.DataFrame":
    """Read a CSV file, plain or gzipped, as a table of text; empty cells are "".

    Raises TableError, naming ``where``, for what is empty or no CSV.
    """
    import polars as pl  # slow to import, and most of the program can do without

    try:
        return pl.read_csv(content, infer_schema=False).fill_null("")
    except pl.exceptions.NoDataError:
        raise TableError(where, "is empty", remedy) from None
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise TableError(where, f"cannot be read as CSV ({reason})", remedy) from None


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file whole or not at all. Raises OutputError."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in rows:
            bare = any("\r" in cell for cell in row if isinstance(cell, str))
            (quoting if bare else writer).writerow(row)  # it takes a carriage return for no break
