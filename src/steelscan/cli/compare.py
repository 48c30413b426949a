"""The verb that compares two runs: compare."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import FETCHED, DataOfRun, check_writable, refuse_unused


@app.command(epilog="Example: steelscan compare runs/first runs/second --html changed.html")
def compare(
    context: typer.Context,
    run_a: Annotated[Path, typer.Argument(help="Folder or URL of a finished run.", **FETCHED)],
    run_b: Annotated[
        Path, typer.Argument(help="Folder or URL of another run on the same data.", **FETCHED)
    ],
    list_: Annotated[
        Path | None, typer.Option("--list", help="CSV file of all strips decided differently.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="HTML page with pictures of strips decided differently.")
    ] = None,
    data: DataOfRun = None,
) -> None:
    """Compare two runs strip by strip: B minus A, with intervals that show what may be luck."""
    if html is None:
        refuse_unused(context, "data", "without --html")
    check_writable(list_, html)
    from steelscan.analysis.compare import CHANGES_KIND, comparison_text, write_comparison_page
    from steelscan.analysis.compare.compare import compare as compare_runs
    from steelscan.strip.files import FileKind, check_output

    if list_ is not None:
        check_output(list_, CHANGES_KIND)
    if html is not None:
        check_output(html, FileKind.page("compare"))
    result = compare_runs(run_a, run_b)
    print(comparison_text(result))
    if list_ is not None:
        result.write_changes(list_)
        print(f"Changed strips: {list_}")
    if html is not None:
        reason = write_comparison_page(html, result, run_a, run_b, data)
        print(f"Page: {html}{f' (no pictures: {reason})' if reason else ''}")
