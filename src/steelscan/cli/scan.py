"""The verb that scans any number of pictures with a bundle: scan."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Out, SignedBy, refuse_unused


@app.command(epilog="Example: steelscan scan model.steelscan strips/ --out scanned")
def scan(
    context: typer.Context,
    out: Out,
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle that steelscan export wrote.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Argument(
            help="Folder, picture, zip, quoted glob pattern, text file with a path or URL per line,"
            " or URL of fsspec."
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="local: processes of this machine; ray: actors of a Ray cluster."),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Workers, a core each; one per core if not given."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster; without it Ray runs on this machine."),
    ] = None,
    shard: Annotated[
        str, typer.Option(help="Scan only this part of the pictures, as 2/8; merge later.")
    ] = "1/1",
    shard_size: Annotated[
        int, typer.Option(min=1, max=100_000, help="Pictures of a file of results.")
    ] = 200,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Scan shards with unreadable pictures again.")
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Only merge the parts of a scan: needs --out alone.")
    ] = False,
    signed_by: SignedBy = None,
) -> None:
    """Scan a folder, a bucket or a list of any number of pictures with a bundle.

    Writes strips.parquet (a row per picture: verdict, classes), defects.parquet (a row per defect:
    box, area, score, run length) and errors.csv. An interrupted command continues if you repeat it.
    Several machines may work in one folder, with --engine ray or one --shard each. Exit status 3 if
    pictures could not be scanned: their verdict is "error".
    """
    from steelscan.inspection.scan import ScanOptions, ScanSummary, scan_source
    from steelscan.inspection.scan import merge as merge_parts
    from steelscan.pages import plural

    done: ScanSummary | None
    if merge:
        names = "bundle source engine workers address shard shard_size retry_errors signed_by"
        refuse_unused(context, names, "with --merge")
        done = merge_parts(out)
    else:
        if engine == "local":
            refuse_unused(context, "address", "with --engine local")
        if bundle is None or source is None:
            raise typer.BadParameter("give BUNDLE and SOURCE, or --merge")
        options = ScanOptions(engine, workers, address, shard_size, shard, retry_errors, signed_by)
        done = scan_source(bundle, source, out, options)
    if done is None:
        print(f"Part {shard} is done. When all are: steelscan scan --merge --out {out}")
        return
    counts = ", ".join(f"{name}: {count}" for name, count in done.per_class.items())
    pictures = f"{done.pictures} {plural(done.pictures, 'picture')}"
    print(f"{pictures}, {done.clean} without defects; strips per class: {counts}")
    print(f"strips.parquet and defects.parquet: {out}")
    if done.errors:
        print(f"{done.errors} could not be scanned: {out / 'errors.csv'}")
        raise typer.Exit(3)
