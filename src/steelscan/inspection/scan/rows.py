"""The rows of a scanned picture, and the file of a shard."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from steelscan.bundle import Scan
from steelscan.postprocess import Defect
from steelscan.strip import Classes, Masks, Picture, connected_components, encode
from steelscan.strip.tables import write_parquet

DEFECT = pl.Struct(
    {
        "class": pl.String,
        "top": pl.Int32,
        "left": pl.Int32,
        "height": pl.Int32,
        "width": pl.Int32,
        "area": pl.Int64,
        "score": pl.Float64,
        "run_length": pl.String,
    }
)
"""A defect: its box and area in pixels, its highest probability, its mask as run lengths."""

_COLUMNS: dict[str, Any] = {
    "name": pl.String,
    "verdict": pl.String,
    "classes": pl.List(pl.String),
    "height": pl.Int32,
    "width": pl.Int32,
    "error": pl.String,
    "seconds": pl.Float64,
    "defects": pl.List(DEFECT),
}
SCHEMA = pl.Schema(_COLUMNS)
"""A strip. The verdict is "clean", "defective", or "error" with the reason in ``error``."""


def scanned_row(name: str, picture: Picture, scan: Scan, classes: Classes) -> dict[str, Any]:
    """Return the row of a strip."""
    found = sorted({defect.class_id for defect in scan.defects})
    return {
        "name": name,
        "verdict": "defective" if scan.defective else "clean",
        "classes": [classes.names[class_id - 1] for class_id in found],
        "height": picture.shape[0],
        "width": picture.shape[1],
        "seconds": sum(scan.seconds.values()),
        "defects": [
            {
                "class": classes.names[each.class_id - 1],
                "top": each.top,
                "left": each.left,
                "height": each.height,
                "width": each.width,
                "area": each.area,
                "score": each.score,
                "run_length": run_length_of(each, scan.masks),
            }
            for each in scan.defects
        ],
    }


def error_row(name: str, reason: str) -> dict[str, Any]:
    """Return the row of a picture that could not be scanned."""
    return {"name": name, "verdict": "error", "classes": [], "error": reason, "defects": []}


def run_length_of(defect: Defect, masks: Masks) -> str:
    """Return the mask of one defect in the frame of its strip, as run lengths.

    ``masks`` is bool ``(classes, height, width)``.
    """
    box = np.s_[defect.top : defect.top + defect.height, defect.left : defect.left + defect.width]
    labels, boxes, _ = connected_components(masks[defect.class_id - 1][box])
    # two regions that both reach all four sides of a box would touch
    own = (boxes == (0, 0, defect.height, defect.width)).all(axis=1).argmax() + 1
    mask = np.zeros(masks.shape[1:], np.bool_)
    mask[box] = labels == own
    return encode(mask)


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the file of a shard whole or not at all. Raises OutputError."""
    write_parquet(path, pl.DataFrame(list(rows), SCHEMA))
