"""Verbs by which a finished run answers for pictures: predict and submit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Device, OnError, Out, SignedBy, Thresholds

if TYPE_CHECKING:
    from steelscan.decision import Prediction


@app.command(epilog="Example: steelscan predict runs/first new_strips/ --out predicted")
def predict(
    run: Annotated[
        Path, typer.Argument(help="Run folder of a finished training, or a bundle.", metavar="RUN")
    ],
    images: Annotated[str, typer.Argument(help="Folder, picture, zip, or quoted glob pattern.")],
    out: Out,
    device: Device = "auto",
    on_error: OnError = "stop",
    overlays: Annotated[bool, typer.Option(help="Draw the outlines on the pictures.")] = True,
    thresholds: Thresholds = None,
    cores: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Pictures at once, by a bundle; all cores if not given."),
    ] = None,
    signed_by: SignedBy = None,
) -> None:
    """Outline the defects of pictures: masks, overlays and a submission.csv.

    After an interruption the same command goes on where it stopped. A bundle needs no PyTorch.
    Masks and overlays of earlier predictions are never taken for pictures. Exit status 3 when
    pictures could not be read and --on-error skip is given: their rows say "unread", and
    skipped.csv says why.
    """
    if not run.is_dir():
        done = _scan(run, images, out, on_error, overlays, thresholds, cores, signed_by)
    else:
        from steelscan.pipeline import predict as predict_pictures

        _only_of_bundles(cores, signed_by)
        done = predict_pictures(
            run,
            images,
            out,
            device=device,
            on_error=on_error,
            overlays=overlays,
            thresholds=thresholds,
        )
    for note in done.notes:
        print(f"Note: {note}")
    found = ", ".join(f"{name}: {count}" for name, count in done.per_class.items())
    print(f"{done.pictures} pictures, {done.clean} without defect; with class {found}")
    print(f"Masks, overlays and submission.csv: {out}")
    if done.skipped:
        print(f"{len(done.skipped)} could not be read: {out / 'skipped.csv'}")
        raise typer.Exit(3)


def _scan(
    bundle: Path,
    images: str,
    out: Path,
    on_error: Literal["stop", "skip"],
    overlays: bool,
    thresholds: Path | None,
    cores: int | None,
    signed_by: Path | None,
) -> "Prediction":
    from steelscan.bundle import scan_pictures
    from steelscan.strip import InputError

    if not bundle.exists():
        remedy = "Name a file that steelscan export wrote, or a folder that steelscan train wrote"
        raise InputError(bundle, "is neither a run folder nor a bundle: it is not there", remedy)
    if thresholds is not None:
        remedy = "Give them to steelscan export"
        raise InputError("--thresholds", "go into a bundle when it is made", remedy)
    return scan_pictures(
        bundle,
        images,
        out,
        on_error=on_error,
        overlays=overlays,
        cores=cores,
        signed_by=signed_by,
    )


def _only_of_bundles(cores: int | None, signed_by: Path | None) -> None:
    """Refuse options that a run would leave unheard."""
    from steelscan.strip import InputError

    for option, value in (("--cores", cores), ("--require-signed-by", signed_by)):
        if value is not None:
            raise InputError(option, "is for bundles, and this is a run", "Leave it out")


@app.command(epilog="Example: steelscan submit runs/first --layout joined")
def submit(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV file; submission-LAYOUT.csv in the run if not given.")
    ] = None,
    layout: Annotated[
        Literal["joined", "columns"] | None,
        typer.Option(help="ImageId_ClassId with all rows, or ImageId,ClassId; as the data is."),
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Other pictures to answer: folder, zip, quoted pattern.")
    ] = None,
    device: Device = "auto",
    on_error: OnError = "stop",
    thresholds: Thresholds = None,
) -> None:
    """Write the submission of a finished run again, in either layout of the competition.

    With --images the networks answer those pictures instead, and --out is needed. A file that is
    there already is replaced only if it is a submission. Exit status 3 when pictures could not be
    read and --on-error skip is given: their rows say "unread" in place of run lengths.
    """
    from steelscan.pipeline import submit as submit_run

    done = submit_run(
        run,
        out,
        layout=layout,
        images=images,
        device=device,
        on_error=on_error,
        thresholds=thresholds,
    )
    print(done.text())
    if done.unread:
        raise typer.Exit(3)
