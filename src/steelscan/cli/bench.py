"""The verb that measures how fast bundles are: bench."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import JsonFile, Scans, Strips


@app.command(epilog="Example: steelscan bench model.steelscan --data strips/ --cores 1,4")
def bench(
    bundles: Annotated[list[Path], typer.Argument(help="One bundle, or several to compare.")],
    data: Strips = None,
    strips: Scans = 100,
    cores: Annotated[
        str,
        typer.Option(help="Numbers of CPU cores used, such as 1,2; one and all if not given."),
    ] = "",
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade/--no-cascade",
            help="Skip networks that cannot change the result, or only those behind closed gates.",
        ),
    ] = True,
    json: JsonFile = None,
) -> None:
    """Measure bundles on this machine with real strips: speed, memory, time to start.

    Each number of cores is used in two ways: all on one strip, and one strip per core.
    """
    from steelscan.bundle.bench import bench_json, bench_text, read_threads
    from steelscan.bundle.bench.bench import bench as measure
    from steelscan.strip.files import FileKind, check_output, write_json

    if json is not None:
        check_output(json, FileKind.json("report of steelscan bench", "machine", "measured"))
    result = measure(
        bundles, data=data, strips=strips, threads=read_threads(cores), cascade=cascade
    )
    print(bench_text(result))
    if json is not None:
        write_json(json, bench_json(result))
        print(f"JSON: {json}")
