"""Verbs that make a bundle, and keys to sign it: export and keygen."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import DataOfRun, RunPath, Sign, Thresholds


@app.command(epilog="Example: steelscan export runs/first --out model.steelscan")
def export(
    run: RunPath,
    out: Annotated[Path, typer.Option(help="The bundle: one file.")],
    data: DataOfRun = None,
    strips: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Maximum number of strips to compare on.")
    ] = 100,
    written_for: Annotated[
        Literal["onnx", "openvino"],
        typer.Option("--format", help="Runtime that will run the networks."),
    ] = "onnx",
    thresholds: Thresholds = None,
    mm_per_pixel: Annotated[
        float | None, typer.Option(help="Side of a pixel on the steel in mm, to be stored.")
    ] = None,
    escape_budget: Annotated[
        float | None,
        typer.Option(
            help="Stop early: skip the remaining networks for strips that the first ones call "
            "clean. The largest share of defective strips that this may lose."
        ),
    ] = None,
    sign: Sign = None,
) -> None:
    """Write a finished run as one file that makes the same decisions without PyTorch.

    The decisions of the bundle are compared with those of the run; if they differ, nothing is
    written.
    """
    from steelscan.bundle import BUNDLE_KIND
    from steelscan.bundle.export.export import export as export_run
    from steelscan.strip.files import check_output

    check_output(out, BUNDLE_KIND)
    done = export_run(
        run,
        out,
        data=data,
        strips=strips,
        written_for=written_for,
        thresholds=thresholds,
        mm_per_pixel=mm_per_pixel,
        escape_budget=escape_budget,
        sign=sign,
    )
    if done.early is not None:
        print(f"Early exit: {done.early.text()}")
    print(f"Same decisions: {done.parity.text()}")
    print(f"Bundle ({done.bytes / 1e6:.1f} MB): {done.path}")


@app.command(epilog="Example: steelscan keygen keys/mill")
def keygen(
    name: Annotated[
        Path, typer.Argument(help="Name of both files, without .private.pem and .public.pem.")
    ],
) -> None:
    """Make a pair of keys: a private one to sign bundles, a public one to check the signature."""
    from steelscan.bundle import make_keys

    private, public = make_keys(name)
    print(f"Private key: {private}. Keep it secret; sign with steelscan export --sign")
    print(f"Public key: {public}. Check bundles with --require-signed-by")
