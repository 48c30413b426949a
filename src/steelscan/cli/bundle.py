"""Verbs of what is deployed: export and verify."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import BundleFile, Thresholds


@app.command(epilog="Example: steelscan export runs/first --out model.steelscan")
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    out: Annotated[Path, typer.Option(help="The bundle: one file.")],
    data: Annotated[
        Path | None, typer.Option(help="The run's data set, if it no longer lies where it lay.")
    ] = None,
    strips: Annotated[int, typer.Option(min=1, help="Strips to prove it on, at most.")] = 100,
    written_for: Annotated[
        Literal["onnx", "openvino", "torchscript"],
        typer.Option("--format", help="The runtime that the networks are written for."),
    ] = "onnx",
    thresholds: Thresholds = None,
    mm_per_pixel: Annotated[
        float | None, typer.Option(min=1e-6, help="Millimetres of steel that a pixel shows.")
    ] = None,
    escape_budget: Annotated[
        float | None,
        typer.Option(
            help="Share of defective strips that may leave early, unseen by most networks."
        ),
    ] = None,
) -> None:
    """Write a finished run as one file that decides as it does, and needs no PyTorch.

    Decisions are held against the run's first; a bundle that decides otherwise is not written.
    """
    from steelscan.bundle import BUNDLE_KIND
    from steelscan.bundle import export as export_run
    from steelscan.strip import check_output

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
    )
    if done.early is not None:
        print(f"Early: {done.early.text()}")
    print(f"Proven: {done.parity.text()}")
    print(f"Bundle ({done.bytes / 1e6:.1f} MB): {done.path}")


@app.command(epilog="Example: steelscan verify model.steelscan --data strips/")
def verify(
    bundle: BundleFile,
    data: Annotated[
        str | None,
        typer.Option(help="Strips that it was proven on; those it brings, if not given."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads that work on each strip.")] = 1,
) -> None:
    """Hold a bundle, on this machine, against what the trained networks decided.

    Of a folder, zip or pattern those strips are taken whose decisions the bundle records.
    """
    from steelscan.bundle import verify as verify_bundle

    parity = verify_bundle(bundle, data, threads=threads)
    print(f"As trained: {parity.text()}")
