"""Parquet files, written whole or not at all."""

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from steelscan.strip.files import replacing

if TYPE_CHECKING:
    import polars as pl

_OS_ERROR = re.compile(r"os error (\d+)")


def write_parquet(path: Path, table: "pl.DataFrame | pl.LazyFrame") -> None:
    """Write a table; a lazy one is not held in memory whole. Raises OutputError."""
    from polars.exceptions import ComputeError

    with replacing(path) as temporary:
        try:
            table.lazy().sink_parquet(temporary)
        except ComputeError as error:  # polars reports a full disk in its text only
            match = _OS_ERROR.search(str(error))
            if match is None and "transport error" not in str(error):  # that of the last bytes
                raise
            number = int(match[1]) if match else errno.ENOSPC
            raise OSError(number, os.strerror(number), str(temporary)) from error
