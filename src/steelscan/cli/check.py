"""The verb that checks a data set: check."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import AnyDataSet, From, PrintJson
from steelscan.cli.options import Images


@app.command(epilog="Example: steelscan check data/severstal --list faults.csv")
def check(
    data: AnyDataSet,
    from_: From = None,
    images: Images = None,
    json: PrintJson = False,
    list_: Annotated[Path | None, typer.Option("--list", help="CSV file for all findings.")] = None,
) -> None:
    """Report what is wrong with a data set of any format: pictures, masks, and how they fit.

    Exit status 1 if there are errors, that is pictures or masks that cannot be used.
    """
    from steelscan import formats

    report = formats.check(data, from_, list_, images)
    print(report.model_dump_json(indent=2) if json else report.text())
    if list_ is not None and not json:
        print(f"All findings: {list_}")
    if report.errors:
        raise typer.Exit(1)
