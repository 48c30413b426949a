"""The verb that counts escapes and overkill: escapes."""

from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import DataOfRun, MmPerPixel, Out, RunPath


@app.command(epilog="Example: steelscan escapes runs/first --escape-rate 0.02 --out escapes/")
def escapes(
    run: RunPath,
    out: Out,
    escape_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            max=0.999999,
            help="Largest share of defective strips that may pass; two thresholds are then set.",
        ),
    ] = None,
    overkill_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            max=0.999999,
            help="Largest share of clean strips that may be stopped without review; as "
            "--escape-rate if not given.",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999999, help="Confidence of both limits.")
    ] = 0.95,
    data: DataOfRun = None,
    mm_per_pixel: MmPerPixel = None,
) -> None:
    """Count escapes (defective strips passed) and overkill (clean strips stopped) per threshold.

    With --escape-rate two thresholds divide the strips into passed, reviewed and stopped, so that
    both rates hold and as few as possible are reviewed. Writes escapes.txt, escapes.json,
    escapes.html and scores.csv.
    """
    from steelscan.analysis.escapes import count_escapes, rates_of, write_escapes
    from steelscan.strip.files import output_folder

    rates = rates_of(escape_rate, overkill_rate, confidence)
    output_folder(out)
    result = count_escapes(run, rates, data=data, mm_per_pixel=mm_per_pixel, confidence=confidence)
    print(write_escapes(result, out))
    print(f"Page: {out / 'escapes.html'}")
