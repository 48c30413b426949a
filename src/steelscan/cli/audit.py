"""The verb that looks for wrong labels: audit."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import DataSet
from steelscan.cli.options import OnError, Out


@app.command(epilog="Example: steelscan audit data/severstal --run runs/first --out audit")
def audit(
    data: DataSet,
    out: Out,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a finished run on this data set; labels are compared with its "
            "predictions too."
        ),
    ] = None,
    most: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Maximum number of strips on the page and in --to."),
    ] = 100,
    to: Annotated[
        str | None,
        typer.Option(help="Also write those strips in this format of steelscan convert."),
    ] = None,
    on_error: OnError = "stop",
) -> None:
    """List strips whose labels may be wrong, worst first, on a page and as CSV.

    Without --run it compares labels only: near-duplicates with different labels, masks of unusual
    size, specks and slivers.
    """
    from steelscan.analysis.audit import audit_text, write_audit

    result = write_audit(data, out, run=run, most=most, to=to, on_error=on_error)
    print(audit_text(result))
    print(f"List: {out / 'suspects.csv'}")
    if to is not None:
        none = "nothing written in that format: no strip is suspicious"
        print(f"To relabel: {out / f'relabel_{to}' if result.suspects else none}")
    print(f"Page: {out / 'audit.html'}")
