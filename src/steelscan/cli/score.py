"""The verb that scores predictions against the truth: score."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import JsonFile, PictureSize
from steelscan.cli.options import MmPerPixel, check_writable, refuse_unused


@app.command(epilog="Example: steelscan score data/severstal predicted/submission.csv")
def score(
    context: typer.Context,
    truth: Annotated[Path, typer.Argument(help="Data set, or CSV of run lengths.")],
    predicted: Annotated[
        Path,
        typer.Argument(
            help="CSV of run lengths, a folder of steelscan predict or of PNG masks, or a run on "
            "this data set."
        ),
    ],
    json: JsonFile = None,
    html: Annotated[Path | None, typer.Option(help="HTML page for all numbers.")] = None,
    frame: PictureSize = None,
    mm_per_pixel: MmPerPixel = None,
    expected: Annotated[
        str | None,
        typer.Option(
            help="Also estimate mean Dice elsewhere, from how many strips have each class there: "
            "128,43,741,120/1801."
        ),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream", help="Read two CSV files, sorted by image, in one pass: constant memory."
        ),
    ] = False,
    classes: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Number of classes, if the files of --stream lack some."
        ),
    ] = None,
) -> None:
    """Score predictions: five numbers with intervals, per class, by size, overlap.

    A run is scored on strips that its networks were not trained on. Strips that could not be read
    when they were predicted are counted separately.
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
    from steelscan.strip.files import FileKind, check_output, write_text

    if json is not None:
        kind = FileKind.json("report of steelscan score", "scores", "empty", "overlaps")
        check_output(json, kind, [truth, predicted])
    if html is not None:
        check_output(html, FileKind.page("score"), [truth, predicted])
    options = score_options(frame, mm_per_pixel, expected)
    if stream:
        result = score_stream(truth, predicted, options, classes=classes)
    else:
        result = score_files(truth, predicted, options)
    print(score_text(result))
    if json is not None:
        write_text(json, result.model_dump_json(indent=2) + "\n")
        print(f"JSON: {json}")
    if html is not None:
        write_page(html, score_page(result, f"{predicted.name} against {truth.name}"))
        print(f"Page: {html}")
