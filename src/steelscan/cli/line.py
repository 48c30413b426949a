"""The verb that checks whether a machine keeps up with a line: line."""

from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import JsonFile, Scans, Strips
from steelscan.cli.options import BundleFile


@app.command(epilog="Example: steelscan line model.steelscan --speed 2 --mm-per-pixel 0.5")
def line(
    bundle: BundleFile,
    speed: Annotated[float, typer.Option(help="Speed of the line in metres per second.")],
    mm_per_pixel: Annotated[
        float | None, typer.Option(help="Side of a pixel in mm, if the bundle does not store it.")
    ] = None,
    width_mm: Annotated[
        float | None, typer.Option(help="Width of the steel in mm; sets the strips across.")
    ] = None,
    strips_across: Annotated[
        int | None, typer.Option(help="Strips side by side; 1 if neither is given.")
    ] = None,
    sides: Annotated[int, typer.Option(min=1, max=2, help="Sides of the steel to inspect.")] = 1,
    along: Annotated[
        Literal["width", "height"],
        typer.Option(help="Side of a picture that is parallel to the rolling direction."),
    ] = "width",
    data: Strips = None,
    strips: Scans = 100,
    cores: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Number of CPU cores used, all if not given; for more than this machine has, the "
            "time is extrapolated.",
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Measure whether this machine keeps up with a line, on real strips.

    If running all networks is too slow, it prints the share of strips that must be decided by the
    first one.
    """
    from steelscan.inspection import line_request, line_text, measure_line
    from steelscan.strip.files import FileKind, check_output, write_json

    if json is not None:
        check_output(json, FileKind.json("report of steelscan line", "machine", "line", "costs_ms"))
    request = line_request(
        speed=speed,
        mm_per_pixel=mm_per_pixel,
        width_mm=width_mm,
        strips_across=strips_across,
        sides=sides,
        along=along,
    )
    result = measure_line(bundle, request, data=data, strips=strips, cores=cores)
    print(line_text(result))
    if json is not None:
        write_json(json, result.model_dump(mode="json"))
        print(f"JSON: {json}")
