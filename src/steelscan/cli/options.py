"""Options that several verbs take."""

from pathlib import Path
from typing import Annotated, Literal

import typer

BundleFile = Annotated[Path, typer.Argument(help="A bundle that steelscan export wrote.")]
Sign = Annotated[
    Path | None, typer.Option(help="Private key to sign it with; steelscan keygen makes one.")
]
SignedBy = Annotated[
    Path | None,
    typer.Option("--require-signed-by", help="Public key that must have signed the bundle."),
]
Data = Annotated[Path, typer.Option(help="Data set: a folder or a zip.")]
Out = Annotated[Path, typer.Option(help="Folder for the results; the same one goes on.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder or zip of the pictures, if they lie elsewhere."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random.")]
Device = Annotated[Literal["auto", "cpu"], typer.Option(help="Where networks run.")]
Workers = Annotated[
    int, typer.Option(min=0, max=256, help="Processes that read strips for training.")
]
Weights = Annotated[
    Literal["auto", "random"],
    typer.Option(help="First weights: as the recipe says if installed here, or random."),
]
OnError = Annotated[
    Literal["stop", "skip"], typer.Option(help="What to do with a file that cannot be used.")
]
Thresholds = Annotated[
    Path | None, typer.Option(help="File that steelscan tune wrote for this run.")
]
MmPerPixel = Annotated[
    float | None,
    typer.Option(min=1e-6, max=1000, help="Side of a pixel in mm: sizes are then in mm2."),
]


def refuse_unused(context: typer.Context, names: str, why: str) -> None:
    """Raise InputError for options that were given but have no effect here.

    ``names`` are those of the parameters, with blanks between; ``why`` ends "has no effect ...".
    """
    for name in names.split():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            from steelscan.strip import InputError

            option = f"--{name.strip('_').replace('_', '-')}"
            raise InputError(option, f"has no effect {why}", "Leave it out")


def check_writable(*files: Path | None) -> None:
    """Raise OutputError, before any work, for files that cannot be written in the end."""
    from steelscan.strip import OutputError, output_folder

    for file in files:
        if file is not None:
            if file.exists() and not file.is_file():
                kind = "a folder" if file.is_dir() else "no ordinary file"
                raise OutputError(file, f"is {kind}", "Name a new file")
            output_folder(file.parent)
