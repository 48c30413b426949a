"""The verb that lays submissions beside each other: agree."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Out


@app.command(epilog="Example: steelscan agree one.csv two.csv three.csv --out agreed/")
def agree(
    submissions: Annotated[
        list[Path], typer.Argument(help="CSV files for the same images, two or more.")
    ],
    out: Out,
    layout: Annotated[
        Literal["joined", "columns"] | None,
        typer.Option(help="ImageId_ClassId with all rows, or ImageId,ClassId; as the first file."),
    ] = None,
    ties: Annotated[
        Literal["out", "in"],
        typer.Option(help="Pixels that exactly half of the files hold: left out, or kept."),
    ] = "out",
    band: Annotated[
        str | None,
        typer.Option(help="Sane counts, the sum last: 82-97,0-9,586-611,110-113,786-820/1801."),
    ] = None,
    frame: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of all pictures, to check run lengths.")
    ] = None,
) -> None:
    """Say how far submissions agree, and write what most of them say of each pixel.

    Writes majority.csv, agreement.txt, agreement.json and agreement.html.
    """
    from steelscan.analysis.agreement import compare_submissions, read_band, write_agreement
    from steelscan.analysis.score import read_frame

    found = compare_submissions(
        submissions,
        out / "majority.csv",
        layout=layout,
        ties=ties == "in",
        band=None if band is None else read_band(band),
        frame=None if frame is None else read_frame(frame),
    )
    print(write_agreement(found, out))
    print(f"Majority: {out / 'majority.csv'}")
