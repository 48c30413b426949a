"""The verb that says what a plant counts: plant."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import MmPerPixel, Out


@app.command(epilog="Example: steelscan plant runs/first --escape-rate 0.02 --out plant/")
def plant(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    out: Out,
    escape_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            max=0.999999,
            help="Share of defective strips that may pass: asks for two thresholds.",
        ),
    ] = None,
    overkill_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            max=0.999999,
            help="Share of clean strips that may be stopped unseen; as --escape-rate.",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999999, help="How sure both promises are.")
    ] = 0.95,
    data: Annotated[
        Path | None, typer.Option(help="The run's data set, if it lies elsewhere by now.")
    ] = None,
    mm_per_pixel: MmPerPixel = None,
) -> None:
    """Say what a plant counts: escapes and overkill at every threshold, and what is promised.

    With --escape-rate strips are passed, reviewed or stopped by two thresholds that keep the rate,
    with the fewest to review. Writes escapes.txt, escapes.json, escapes.html and scores.csv.
    """
    from steelscan.analysis.escapes import count_escapes, rates_of, write_escapes
    from steelscan.strip import output_folder

    rates = rates_of(escape_rate, overkill_rate, confidence)
    output_folder(out)
    found = count_escapes(run, rates, data=data, mm_per_pixel=mm_per_pixel, confidence=confidence)
    print(write_escapes(found, out))
    print(f"Page: {out / 'escapes.html'}")
