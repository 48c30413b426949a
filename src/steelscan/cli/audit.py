"""The verb that looks for wrong labels: audit."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import OnError, Out


@app.command(epilog="Example: steelscan audit data/severstal --run runs/first --out audit")
def audit(
    data: Annotated[Path, typer.Argument(help="Data set: folder or zip.")],
    out: Out,
    run: Annotated[
        Path | None, typer.Option(help="Run folder of a finished training on this data set.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, max=10_000, help="Strips on the page, and with --to.")
    ] = 100,
    to: Annotated[
        str | None,
        typer.Option(help="Write those strips in a format of steelscan convert, to relabel them."),
    ] = None,
    on_error: OnError = "stop",
) -> None:
    """List strips whose labels are worth a second look, on a page to look through and as CSV.

    Without --run that needs no network: copies labelled apart, odd sizes, specks and slivers.
    """
    from steelscan.analysis.audit import audit_text, write_audit

    found = write_audit(data, out, run=run, most=most, to=to, on_error=on_error)
    print(audit_text(found))
    print(f"List: {out / 'suspects.csv'}")
    if to is not None and found.suspects:
        print(f"To relabel: {out / f'relabel_{to}'}")
    print(f"Page: {out / 'audit.html'}")
