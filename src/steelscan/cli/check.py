"""The verb that looks a data set through: check."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Images


@app.command(epilog="Example: steelscan check data/severstal --list faults.csv")
def check(
    data: Annotated[Path, typer.Argument(help="Data set: folder, zip, or annotations' file.")],
    from_: Annotated[
        str | None, typer.Option("--from", help="Format of the annotations; found if not given.")
    ] = None,
    images: Images = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    list_: Annotated[Path | None, typer.Option("--list", help="CSV file for all findings.")] = None,
) -> None:
    """Say what is wrong with a data set of any format: pictures, masks, and how they fit.

    Exit status 1 when there are errors, that is pictures or masks that cannot be used.
    """
    from steelscan.formats.check import check as check_data

    report = check_data(data, from_, list_, images)
    print(report.json() if json else report.text())
    if list_ is not None and not json:
        print(f"All findings: {list_}")
    if report.count("error"):
        raise typer.Exit(1)
