"""The verb that asks whether test strips differ from training strips: shift."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Device, OnError, Out, Seed, check_writable, refuse_unused


@app.command(epilog="Example: steelscan shift data/severstal --test new_strips/ --out shift")
def shift(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="Data set, or folder of pictures.")],
    out: Out,
    test: Annotated[
        str | None,
        typer.Option(help="Test strips: folder, zip, quoted pattern; test_images/ if not given."),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Ask a small network too; some minutes.")
    ] = False,
    folds: Annotated[
        Path | None, typer.Option(help="CSV file for folds judged by what is like the test.")
    ] = None,
    share: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of strips that judges, in --folds.")
    ] = 0.2,
    seed: Seed = 0,
    device: Device = "auto",
    on_error: OnError = "stop",
) -> None:
    """Say whether training strips can be told from test strips, by what, and which are like them.

    Where they cannot, nothing but that is written.
    """
    if folds is None:
        refuse_unused(context, "share", "without --folds")
    if not network:
        refuse_unused(context, "device", "without --network")
    check_writable(folds)
    from steelscan.analysis.shift.shift import shift as find_shift

    found = find_shift(
        data,
        out,
        test,
        network=network,
        folds=folds,
        share=share,
        seed=seed,
        device=device,
        on_error=on_error,
    )
    print(found.text())
    if folds is not None:
        print(f"Folds: {folds}" if found.ranking else "Folds: none written")
    print(f"Page: {out / 'shift.html'}")
