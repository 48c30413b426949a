"""The verb that lays predictions beside the truth: score."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import MmPerPixel, check_writable, refuse_unused


@app.command(epilog="Example: steelscan score data/severstal predicted/submission.csv")
def score(
    context: typer.Context,
    truth: Annotated[Path, typer.Argument(help="Data set, or CSV of run lengths.")],
    predicted: Annotated[
        Path, typer.Argument(help="CSV, predict's folder, PNG masks, or a run of this data.")
    ],
    json: Annotated[Path | None, typer.Option(help="JSON file for all numbers.")] = None,
    html: Annotated[Path | None, typer.Option(help="Page for all numbers.")] = None,
    frame: Annotated[
        str | None,
        typer.Option(help="HEIGHTxWIDTH of all pictures, where the truth is a CSV file."),
    ] = None,
    mm_per_pixel: MmPerPixel = None,
    expected: Annotated[
        str | None,
        typer.Option(help="Strips with each class where it will be scored: 128,43,741,120/1801."),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read two CSV files, sorted by image, in one pass.")
    ] = False,
    classes: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="How many there are, for --stream where unknown."),
    ] = None,
) -> None:
    """Score predictions against the truth: five numbers with intervals, classes, sizes, overlap.

    A run is judged by what it said of strips that its networks were not fitted on. Strips that
    could not be read when they were predicted are counted apart.
    """
    if not stream:
        refuse_unused(context, "classes", "without --stream")
    check_writable(json, html)
    from steelscan.analysis.score import (
        score_files,
        score_options,
        score_page,
        score_stream,
        score_text,
    )
    from steelscan.pages import write_page
    from steelscan.strip import check_output, json_kind, page_kind, write_text

    if json is not None:
        kind = json_kind("report of steelscan score", "scores", "empty", "overlaps")
        check_output(json, kind, [truth, predicted])
    if html is not None:
        check_output(html, page_kind("score"), [truth, predicted])
    asked = score_options(frame, mm_per_pixel, expected)
    if stream:
        found = score_stream(truth, predicted, asked, classes=classes)
    else:
        found = score_files(truth, predicted, asked)
    print(score_text(found))
    if json is not None:
        write_text(json, found.model_dump_json(indent=2) + "\n")
        print(f"JSON: {json}")
    if html is not None:
        write_page(html, score_page(found, f"{predicted.name} against {truth.name}"))
        print(f"Page: {html}")
