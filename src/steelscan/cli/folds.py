"""The verb that makes folds, and checks folds made elsewhere: folds."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import DataSet, PrintJson
from steelscan.cli.options import OnError, Seed, check_writable, refuse_unused


@app.command(epilog="Example: steelscan folds data/severstal --out folds.csv --count 5 --seed 0")
def folds(
    context: typer.Context,
    data: DataSet,
    out: Annotated[
        Path | None,
        typer.Option(help="CSV of image,group,fold; a report with the same name ends in .json."),
    ] = None,
    count: Annotated[
        int, typer.Option(min=2, max=1000, help="Number of folds; the recipe quick needs 10.")
    ] = 5,
    seed: Seed = 0,
    check: Annotated[
        Path | None, typer.Option(help="Check the folds of this CSV (image,fold); make none.")
    ] = None,
    look: Annotated[
        bool, typer.Option("--look", help="Search for near-duplicates despite a groups.csv.")
    ] = False,
    json: PrintJson = False,
    on_error: OnError = "stop",
) -> None:
    """Split a data set into folds: near-duplicates stay together, classes are balanced.

    Also counts how many near-duplicates random folds would separate. Without --out nothing is
    written.
    """
    if check is not None:
        refuse_unused(context, "out count seed", "with --check, which makes no folds")
    check_writable(out)
    from steelscan.analysis.folds import (
        check_folds,
        check_folds_path,
        folds_text,
        new_folds,
        save_folds,
    )
    from steelscan.data import open_dataset

    if out is not None:
        check_folds_path(out)
    dataset = open_dataset(data, on_error)
    if check is not None:
        report = check_folds(dataset, check, search=look)
    else:
        report = new_folds(dataset, count, seed, search=look)
    print(report.model_dump_json(indent=2) if json else folds_text(report))
    if out is not None:
        save_folds(report, out)
        if not json:
            print(f"Folds: {out}")
