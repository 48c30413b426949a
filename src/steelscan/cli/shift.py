"""The verb that checks whether test strips differ from training strips: shift."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import OnError, Out, Seed, check_writable, refuse_unused


@app.command(epilog="Example: steelscan shift data/severstal --test new_strips/ --out shift")
def shift(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="Data set, or folder of pictures.")],
    out: Out,
    test: Annotated[
        str | None,
        typer.Option(
            help="Test strips: folder, zip, quoted pattern; test_images of the data set if not "
            "given."
        ),
    ] = None,
    folds: Annotated[
        Path | None,
        typer.Option(help="CSV file for folds that validate on the strips most like the test."),
    ] = None,
    share: Annotated[
        float,
        typer.Option(min=0.01, max=0.99, help="Share of strips that validate, in --folds."),
    ] = 0.2,
    seed: Seed = 0,
    on_error: OnError = "stop",
) -> None:
    """Test whether training and test strips differ, in what, and which training strips are alike.

    If they cannot be told apart, only that is written.
    """
    if folds is None:
        refuse_unused(context, "share", "without --folds")
    check_writable(folds)
    from steelscan.analysis.shift import check_outputs, find_shift, write_shift

    check_outputs(data, out, test, folds)
    result = find_shift(data, test, seed=seed, on_error=on_error)
    print(write_shift(result, out, folds, share))
    if folds is not None:
        print(f"Folds: {folds}" if result.differ else "Folds: none written")
    print(f"Page: {out / 'shift.html'}")
