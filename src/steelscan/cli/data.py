"""The verbs that write data sets: mill and convert."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import AnyDataSet, From, To
from steelscan.cli.options import Images, OnError, Seed, refuse_unused


@app.command(epilog="Example: steelscan mill strips/ --strips 200 --seed 1")
def mill(
    context: typer.Context,
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
    coils: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Number of coils to cut the strips from; 0: none."),
    ] = 0,
    strips_per_coil: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="Strips of each camera of a coil side."),
    ] = 20,
    cameras: Annotated[int, typer.Option(min=1, max=64, help="Cameras of a coil side.")] = 4,
    overlap: Annotated[
        int,
        typer.Option(
            min=-8192, max=8191, help="Columns that the next strip repeats; negative: a gap."
        ),
    ] = 0,
    mm_per_pixel: Annotated[
        float, typer.Option(min=0.01, max=100, help="Side of a pixel on a coil in mm.")
    ] = 1.0,
) -> None:
    """Make synthetic strips with defects and exact masks.

    With --coils they are cut from long surfaces with roll marks. geometry.csv has the places of the
    strips, defects.csv and roll_marks.csv the truth.
    """
    from steelscan.mill import CoilMill, Mill, write_coils, write_mill
    from steelscan.strip.errors import InputError

    if coils:
        refuse_unused(context, "strips test_strips", "with --coils")
        if overlap >= width:
            problem = f"is {overlap}, and a strip has {width} columns"
            raise InputError("--overlap", problem, "Give fewer columns")
        whole = CoilMill(
            coils=coils,
            seed=seed,
            height=height,
            width=width,
            strips_per_coil=strips_per_coil,
            cameras=cameras,
            overlap=overlap,
            mm_per_pixel=mm_per_pixel,
        )
        print(f"Coils: {coils}, strips with masks: {write_coils(whole, out)}, in {out}")
        return
    refuse_unused(context, "strips_per_coil cameras overlap mm_per_pixel", "without --coils")
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
