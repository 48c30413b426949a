"""The verb that compares submissions: agreement."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import PictureSize, SubmissionLayout
from steelscan.cli.options import Out


@app.command(epilog="Example: steelscan agreement one.csv two.csv three.csv --out agreed/")
def agreement(
    submissions: Annotated[
        list[Path], typer.Argument(help="Two or more CSV files for the same images.")
    ],
    out: Out,
    layout: SubmissionLayout = None,
    ties: Annotated[
        Literal["out", "in"],
        typer.Option(help="Whether the majority has pixels that exactly half of the files have."),
    ] = "out",
    band: Annotated[
        str | None,
        typer.Option(
            help="Plausible numbers of masks, per class and in total, of how many images: "
            "82-97,0-9,586-611,110-113,786-820/1801."
        ),
    ] = None,
    frame: PictureSize = None,
) -> None:
    """Measure how far submissions agree, and write their majority vote per pixel.

    Writes majority.csv, agreement.txt, agreement.json and agreement.html.
    """
    from steelscan.analysis.agreement import compare_submissions, read_band, write_agreement
    from steelscan.strip import Frame

    result = compare_submissions(
        submissions,
        out / "majority.csv",
        layout=layout,
        ties=ties == "in",
        band=None if band is None else read_band(band),
        frame=None if frame is None else Frame.parse(frame),
    )
    print(write_agreement(result, out))
    print(f"Majority: {out / 'majority.csv'}")
