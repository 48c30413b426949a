"""The verb that lists runs: runs."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import PrintJson


@app.command(epilog="Example: steelscan runs runs/ --json")
def runs(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders to search; runs/ if not given.")
    ] = None,
    json: PrintJson = False,
) -> None:
    """List all runs in folders, up to three levels deep: progress, scores and size."""
    from steelscan.pipeline.runs import find_runs, runs_json, runs_table

    result = find_runs(folders or [Path("runs")])
    print(runs_json(result) if json else runs_table(result))
