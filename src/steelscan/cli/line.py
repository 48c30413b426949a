"""Verbs of a bundle on a line: bench and plan."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import BundleFile

Pictures = Annotated[
    str | None,
    typer.Option(help="Strips to scan: folder, zip or pattern; those it brings, if not given."),
]
Scans = Annotated[
    int, typer.Option("--strips", min=1, max=1_000_000, help="Strips to scan, at least.")
]
Json = Annotated[Path | None, typer.Option("--json", help="JSON file for all numbers.")]


@app.command(epilog="Example: steelscan bench model.steelscan --data strips/ --threads 1,4")
def bench(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, one or several to compare.")],
    data: Pictures = None,
    strips: Scans = 100,
    threads: Annotated[
        str, typer.Option(help="Numbers of cores to try, such as 1,2; else 1 and all.")
    ] = "",
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade/--no-cascade",
            help="Whether strips leave once all is decided; else by gates alone.",
        ),
    ] = True,
    json: Json = None,
) -> None:
    """Say how fast bundles are on this machine, on real strips: speed, memory, time to start.

    Cores are used in two ways: several on one strip, and several strips at once.
    """
    from steelscan.bundle.bench import bench_json, bench_text, read_threads
    from steelscan.bundle.bench.bench import bench as measure
    from steelscan.strip import check_output, json_kind, write_json

    if json is not None:
        check_output(json, json_kind("report of steelscan bench", "machine", "measured"))
    found = measure(
        bundles, data=data, strips=strips, threads=read_threads(threads), cascade=cascade
    )
    print(bench_text(found))
    if json is not None:
        write_json(json, bench_json(found))
        print(f"JSON: {json}")


@app.command(epilog="Example: steelscan plan model.steelscan --speed 2 --mm-per-pixel 0.5")
def plan(
    bundle: BundleFile,
    speed: Annotated[float, typer.Option(help="Metres a second that the line makes.")],
    mm_per_pixel: Annotated[
        float | None, typer.Option(help="Millimetres that a pixel shows, if the bundle is silent.")
    ] = None,
    width_mm: Annotated[
        float | None, typer.Option(help="Width of the steel in mm: as many strips as cover it.")
    ] = None,
    strips_across: Annotated[
        int | None, typer.Option(help="Strips side by side; 1 if neither is given.")
    ] = None,
    sides: Annotated[int, typer.Option(min=1, max=2, help="Sides of the steel.")] = 1,
    along: Annotated[
        Literal["width", "height"], typer.Option(help="Side of a picture that lies along the line.")
    ] = "width",
    cores: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Cores to plan with; all of this machine's if not."),
    ] = None,
    data: Pictures = None,
    strips: Scans = 100,
    json: Json = None,
) -> None:
    """Say whether this machine keeps up with a line: measured here, on real strips.

    With all networks asked; and what share of strips must leave early where that is too slow.
    """
    from steelscan.inspection import line_asked, plan_json, plan_text
    from steelscan.inspection import plan as measure
    from steelscan.strip import check_output, json_kind, write_json

    if json is not None:
        check_output(json, json_kind("report of steelscan plan", "machine", "line", "costs_ms"))
    asked = line_asked(
        speed=speed,
        mm_per_pixel=mm_per_pixel,
        width_mm=width_mm,
        strips_across=strips_across,
        sides=sides,
        along=along,
    )
    found = measure(bundle, asked, data=data, strips=strips, cores=cores)
    print(plan_text(found))
    if json is not None:
        write_json(json, plan_json(found))
        print(f"JSON: {json}")
