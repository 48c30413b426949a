"""Arguments and options on what several verbs read, and in which form they print it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.options import FETCHED

DataSet = Annotated[
    Path, typer.Argument(help="Data set: a folder, a zip, or the URL of one.", **FETCHED)
]
AnyDataSet = Annotated[
    Path, typer.Argument(help="Data set: folder, zip, annotation file, or a URL.", **FETCHED)
]
From = Annotated[
    str | None,
    typer.Option("--from", help="Format of the annotations; detected if not given."),
]
To = Annotated[
    str,
    typer.Option(
        help="Format: class_pngs, coco, cvat, index_pngs, label_studio, labelme, run_lengths, "
        "voc or yolo."
    ),
]
Strips = Annotated[
    str | None,
    typer.Option(help="Strips to scan: folder, zip or pattern; the bundle's own if not given."),
]
Scans = Annotated[
    int, typer.Option("--strips", min=1, max=1_000_000, help="Minimum number of strips to scan.")
]
PictureSize = Annotated[
    str | None,
    typer.Option(
        "--frame", help="HEIGHTxWIDTH of all pictures, as 256x1600, if the data is a CSV file."
    ),
]
SubmissionLayout = Annotated[
    Literal["joined", "columns"] | None,
    typer.Option(
        "--layout",
        help="ImageId_ClassId with all rows (joined) or ImageId,ClassId (columns); as the data "
        "set or the first file if not given.",
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Share of verdicts that may differ, for quantize also of the defects per class that "
        "may be lost; by the precision if not given.",
    ),
]
PrintJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="JSON file for all numbers.")]
