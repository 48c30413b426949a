"""The verbs that write data sets: mill and convert."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import AnyDataSet, From, To
from steelscan.cli.options import Images, OnError, Seed


@app.command(epilog="Example: steelscan mill strips/ --strips 200 --seed 1")
def mill(
    out: Annotated[Path, typer.Argument(help="New folder, in the competition's layout.")],
    strips: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Number of strips with masks.")
    ] = 100,
    test_strips: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Number of test strips.")
    ] = 0,
    seed: Seed = 0,
    height: Annotated[int, typer.Option(min=64, max=8192, help="Rows of a strip.")] = 256,
    width: Annotated[int, typer.Option(min=64, max=8192, help="Columns of a strip.")] = 1600,
) -> None:
    """Make synthetic strips with defects and exact masks."""
    from steelscan.mill import Mill, write_mill

    write_mill(Mill(strips=strips, seed=seed, height=height, width=width), out, test_strips)
    print(f"Strips with masks: {strips}, test strips: {test_strips}, in {out}")


@app.command(epilog="Example: steelscan convert data/severstal coco/ --to coco")
def convert(
    source: AnyDataSet,
    target: Annotated[Path, typer.Argument(help="New or empty folder.")],
    to: To,
    from_: From = None,
    pictures: Annotated[bool, typer.Option(help="Copy the pictures as well.")] = True,
    images: Images = None,
    on_error: OnError = "stop",
) -> None:
    """Write a data set in another annotation format, and report what that format cannot store."""
    from steelscan import formats

    converted = formats.convert(
        source, target, to, from_, copy_pictures=pictures, on_error=on_error, images=images
    )
    print(converted.text())
    print(f"Data set in the format {to}: {target}")
