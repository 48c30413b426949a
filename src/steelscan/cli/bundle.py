"""Verbs of what is deployed: export, verify and keygen."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import BundleFile, Sign, SignedBy, Thresholds


@app.command(epilog="Example: steelscan export runs/first --out model.steelscan")
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    out: Annotated[Path, typer.Option(help="The bundle: one file.")],
    data: Annotated[
        Path | None, typer.Option(help="The run's data set, if it no longer lies where it lay.")
    ] = None,
    strips: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Strips to prove it on, at most.")
    ] = 100,
    written_for: Annotated[
        Literal["onnx", "openvino"],
        typer.Option("--format", help="The runtime that the networks are written for."),
    ] = "onnx",
    thresholds: Thresholds = None,
    mm_per_pixel: Annotated[
        float | None, typer.Option(help="Millimetres of steel that a pixel shows.")
    ] = None,
    escape_budget: Annotated[
        float | None,
        typer.Option(
            help="Share of defective strips that may leave early, unseen by most networks."
        ),
    ] = None,
    sign: Sign = None,
) -> None:
    """Write a finished run as one file that decides as it does, and needs no PyTorch.

    Decisions are held against the run's first; a bundle that decides otherwise is not written.
    """
    from steelscan.bundle import BUNDLE_KIND
    from steelscan.bundle.export.export import export as export_run
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
        sign=sign,
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
    threads: Annotated[
        int, typer.Option(min=1, max=256, help="Threads that work on each strip.")
    ] = 1,
    budget: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of verdicts that may flip, if not the usual."),
    ] = None,
    escape_budget: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of defective strips that may leave early unseen."),
    ] = None,
    signed_by: SignedBy = None,
) -> None:
    """Hold a bundle, on this machine, against what the trained networks decided.

    Of a folder, zip or pattern those strips are taken whose decisions the bundle records.
    """
    from steelscan.bundle.proof import signature_notes
    from steelscan.bundle.proof.verify import verify as verify_bundle

    parity = verify_bundle(
        bundle,
        data,
        threads=threads,
        budget=budget,
        escape_budget=escape_budget,
        signed_by=signed_by,
    )
    print(f"As trained: {parity.text()}")
    for line in signature_notes(bundle, signed_by):
        print(line)


@app.command(epilog="Example: steelscan keygen keys/plant")
def keygen(
    name: Annotated[
        Path, typer.Argument(help="Where to: NAME.private.pem and NAME.public.pem.", metavar="NAME")
    ],
) -> None:
    """Make a pair of keys: one to sign bundles with, and one to require its signature by."""
    from steelscan.bundle import make_keys

    private, public = make_keys(name)
    print(f"Sign with {private}, and keep it to yourself: steelscan export --sign")
    print(f"Require signatures by {public}: --require-signed-by")
