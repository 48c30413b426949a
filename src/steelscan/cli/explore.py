"""The verb that looks at a data set before anything is trained: explore."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import OnError


@app.command(epilog="Example: steelscan explore data/severstal --out explored/")
def explore(
    data: Annotated[
        Path, typer.Argument(help="Data set, or a CSV: run lengths, or labels without masks.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the page, its figures and tables.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV of which class is on which picture: ImageId,has1,has2,..."),
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(help="Size of pictures that are not here: HEIGHTxWIDTH, as 256x1600."),
    ] = None,
    speck: Annotated[
        int | None,
        typer.Option(
            min=1, max=10**8, help="Pieces of fewer pixels are specks; by the size if not given."
        ),
    ] = None,
    min_area: Annotated[
        str | None,
        typer.Option(help="Tell how many masks are smaller: pixels, as 600 or 600,600,900,2000."),
    ] = None,
    on_error: OnError = "stop",
) -> None:
    """Write a page of what a data set holds: classes, masks, pictures, duplicates, suspects.

    Works from annotations alone where the pictures are missing.
    """
    from steelscan.analysis.score import read_frame
    from steelscan.explore import explore as explore_data
    from steelscan.explore import summary

    size = None if frame is None else read_frame(frame)
    least = None if min_area is None else _areas(min_area)
    found = explore_data(data, out, labels, size, on_error, speck, least)
    print(summary(found))
    print(f"Page: {out / 'explore.html'}")


def _areas(text: str) -> int | tuple[int, ...]:
    """Pixels for all classes, or for each. Raises InputError."""
    from steelscan.strip import InputError

    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() and len(number) < 10 for number in numbers):
        raise InputError("--min-area", f"is {text!r}", "Give pixels, as 600 or 600,600,900,2000")
    return int(numbers[0]) if len(numbers) == 1 else tuple(map(int, numbers))
