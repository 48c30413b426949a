"""Verbs that judge runs: runs and compare."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import check_writable, refuse_unused


@app.command(epilog="Example: steelscan runs runs/ --json")
def runs(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Where to look; runs/ if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List all runs below some folders, at most three levels deep: how far, how good, how big."""
    from steelscan.pipeline import find_runs, runs_json, runs_table

    found = find_runs(folders or [Path("runs")])
    print(runs_json(found) if json else runs_table(found))


@app.command(epilog="Example: steelscan compare runs/first runs/second --html changed.html")
def compare(
    context: typer.Context,
    run_a: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    run_b: Annotated[Path, typer.Argument(help="Another one, on the same data.")],
    list_: Annotated[
        Path | None, typer.Option("--list", help="CSV file for all strips decided otherwise.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="HTML page, with pictures of strips decided otherwise.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Their data set, for the pictures, if that lies elsewhere by now."),
    ] = None,
) -> None:
    """Compare two runs strip by strip: B less A, with intervals that say what may be luck."""
    if html is None:
        refuse_unused(context, "data", "without --html")
    check_writable(list_, html)
    from steelscan.analysis.compare import CHANGES_KIND, comparison_text, write_comparison_page
    from steelscan.analysis.compare.compare import compare as compare_runs
    from steelscan.strip import check_output, page_kind

    if list_ is not None:
        check_output(list_, CHANGES_KIND)
    if html is not None:
        check_output(html, page_kind("compare"))
    found = compare_runs(run_a, run_b)
    print(comparison_text(found))
    if list_ is not None:
        found.write_changes(list_)
        print(f"Changed strips: {list_}")
    if html is not None:
        reason = write_comparison_page(html, found, run_a, run_b, data)
        print(f"Page: {html}{f' (no pictures: {reason})' if reason else ''}")
