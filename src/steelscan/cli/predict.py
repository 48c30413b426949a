"""The verb that finds defects in pictures, with a run or a bundle: predict."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import (
    FETCHED,
    Device,
    OnError,
    Out,
    SignedBy,
    Thresholds,
    given,
    refuse_unused,
)


@app.command(epilog="Example: steelscan predict runs/first new_strips/ --out predicted")
def predict(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(help="Folder of a finished run, or a bundle, or the URL of one.", **FETCHED),
    ],
    images: Annotated[str, typer.Argument(help="Folder, picture, zip, or quoted glob pattern.")],
    out: Out,
    device: Device = "auto",
    on_error: OnError = "stop",
    overlays: Annotated[bool, typer.Option(help="Draw the outlines on the pictures.")] = True,
    thresholds: Thresholds = None,
    cores: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, help="Number of CPU cores used, one per picture (bundles only)."
        ),
    ] = None,
    signed_by: SignedBy = None,
) -> None:
    """Find and outline defects: masks, overlays and a submission.csv.

    An interrupted command continues if you repeat it. A bundle needs no PyTorch. Exit status 3
    if pictures could not be read and --on-error skip is given: their rows contain "unread", and
    skipped.csv lists the reasons.
    """
    if run.is_dir():
        from steelscan.pipeline import predict as predict_pictures

        refuse_unused(context, "cores signed_by", "for a run, only for a bundle")
        done = predict_pictures(
            run,
            images,
            out,
            device=device,
            on_error=on_error,
            overlays=overlays,
            thresholds=thresholds,
        )
    else:
        from steelscan.bundle import scan_pictures

        _check_bundle(context, run)
        done = scan_pictures(
            run,
            images,
            out,
            on_error=on_error,
            overlays=overlays,
            cores=cores,
            signed_by=signed_by,
        )
    from steelscan.pages import plural

    for note in done.notes:
        print(f"Note: {note}")
    counts = ", ".join(f"{name}: {count}" for name, count in done.per_class.items())
    pictures = f"{done.pictures} {plural(done.pictures, 'picture')}"
    print(f"{pictures}, {done.clean} without defects; per class: {counts}")
    print(f"Masks{', overlays' if overlays else ''} and submission.csv: {out}")
    if done.skipped:
        print(f"{len(done.skipped)} could not be read: {out / 'skipped.csv'}")
        raise typer.Exit(3)


def _check_bundle(context: typer.Context, bundle: Path) -> None:
    """Raise InputError if there is no such file, or for options that only a run has."""
    from steelscan.strip.errors import InputError

    if not bundle.exists():
        remedy = "Name a file that steelscan export wrote, or a folder that steelscan train wrote"
        raise InputError(bundle, "is neither a run folder nor a bundle: it does not exist", remedy)
    refuse_unused(context, "device", "for a bundle, which runs on the CPU")
    if given(context, "thresholds"):
        remedy = "Give them to steelscan export"
        raise InputError("--thresholds", "cannot be changed in a bundle", remedy)
