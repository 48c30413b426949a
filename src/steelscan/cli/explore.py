"""The verb that describes a data set before training: explore."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import PictureSize
from steelscan.cli.options import FETCHED, OnError, Out


@app.command(epilog="Example: steelscan explore data/severstal --out explored/")
def explore(
    data: Annotated[
        Path,
        typer.Argument(
            help="Data set (also by URL), or CSV of run lengths or of labels without masks.",
            **FETCHED,
        ),
    ],
    out: Out,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV that lists which picture has which class: ImageId,has1,has2,..."),
    ] = None,
    frame: PictureSize = None,
    speck: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10**8,
            help="Regions with fewer pixels are specks; relative to the picture if not given.",
        ),
    ] = None,
    min_area: Annotated[
        str | None,
        typer.Option(help="Count masks with fewer pixels: 600, or per class as 600,600,900,2000."),
    ] = None,
    on_error: OnError = "stop",
) -> None:
    """Describe a data set on one page: classes, masks, pictures, duplicates, suspect labels.

    If the pictures are missing, the page is made from the annotations alone.
    """
    from steelscan.explore import explore as explore_data
    from steelscan.explore import summary
    from steelscan.strip import Frame

    size = None if frame is None else Frame.parse(frame)
    least = None if min_area is None else _areas(min_area)
    result = explore_data(data, out, labels, size, on_error, speck, least)
    print(summary(result))
    print(f"Page: {out / 'explore.html'}")


def _areas(text: str) -> int | tuple[int, ...]:
    """Return one area in pixels for all classes, or one per class. Raises InputError."""
    from steelscan.strip.errors import InputError

    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() and len(number) < 10 for number in numbers):
        raise InputError("--min-area", f"is {text!r}", "Give pixels, as 600 or 600,600,900,2000")
    return int(numbers[0]) if len(numbers) == 1 else tuple(map(int, numbers))
