"""The verb that writes a submission for the competition: submit."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import SubmissionLayout
from steelscan.cli.options import Device, OnError, RunPath, Thresholds, refuse_unused


@app.command(epilog="Example: steelscan submit runs/first --layout joined")
def submit(
    context: typer.Context,
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option(help="CSV file; submission-LAYOUT.csv in the run if not given.")
    ] = None,
    layout: SubmissionLayout = None,
    images: Annotated[
        str | None,
        typer.Option(help="Predict other pictures: folder, zip, or quoted glob pattern."),
    ] = None,
    device: Device = "auto",
    on_error: OnError = "stop",
    thresholds: Thresholds = None,
) -> None:
    """Write the submission of a finished run again, in either layout of the competition.

    With --images the run predicts those pictures instead; give --out, too. An existing file is
    replaced only if it is a submission. Exit status 3 if pictures could not be read and
    --on-error skip is given: their rows contain "unread" instead of run lengths.
    """
    if images is None:
        refuse_unused(context, "device on_error", "without --images")
    from steelscan.pipeline import submit as submit_run

    done = submit_run(
        run,
        out,
        layout=layout,
        images=images,
        device=device,
        on_error=on_error,
        thresholds=thresholds,
    )
    print(done.text())
    if done.unread:
        raise typer.Exit(3)
