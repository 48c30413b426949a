"""Options that several verbs take."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def fetched_path(text: str) -> Path:
    """Return a path, or that of a local copy of what is at a URL, which is fetched."""
    if "://" not in text:
        return Path(text)
    from steelscan.strip.remote import fetched

    return fetched(text)


def output_path(text: str | Path) -> Path:
    """Return the path of a folder for results. Raises InputError for a URL."""
    if isinstance(text, str) and "://" in text:
        from steelscan.strip.errors import InputError

        raise InputError(text, "is a URL, and results are written to a disk", "Name a folder")
    return Path(text)


def run_output_path(text: str) -> Path:
    """Return the path of a folder for a run, or that of a local copy of one at a URL, if any."""
    if "://" not in text:
        return Path(text)
    from steelscan.strip.remote import LocalCopy

    copy = LocalCopy.of(text)
    copy.fetch()
    return copy.path


FETCHED: Any = {"parser": fetched_path, "metavar": "<path>"}
RunPath = Annotated[Path, typer.Argument(help="Folder or URL of a finished run.", **FETCHED)]
BundleFile = Annotated[Path, typer.Argument(help="Bundle that steelscan export wrote.")]
Sign = Annotated[
    Path | None, typer.Option(help="Private key to sign the bundle with; see steelscan keygen.")
]
SignedBy = Annotated[
    Path | None,
    typer.Option("--require-signed-by", help="Public key that must have signed the bundle."),
]
Data = Annotated[
    Path, typer.Option(help="Data set: a folder, a zip, or the URL of one.", **FETCHED)
]
DataOfRun = Annotated[
    Path | None, typer.Option(help="Data set of the run, if it was moved since.", **FETCHED)
]
Out = Annotated[
    Path, typer.Option(help="Folder for the results.", parser=output_path, metavar="<path>")
]
RunOut = Annotated[
    Path, typer.Option(help="Folder or URL for the run.", parser=run_output_path, metavar="<path>")
]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder or zip of the pictures, if they are not in the data set."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random numbers.")]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where networks run; auto: a GPU if there is one; cuda:1 is the second GPU.",
    ),
]
Workers = Annotated[
    int,
    typer.Option(min=0, max=256, help="Processes that load training strips; 0: none besides this."),
]
Jobs = Annotated[
    int,
    typer.Option(
        min=0,
        max=256,
        help="Networks fitted at once, each with a share of the cores; 0: as many as pay off here.",
    ),
]
Weights = Annotated[
    Literal["auto", "random", "required", "hub"],
    typer.Option(
        help="Initial weights. auto: the recipe's if they are here; random; required: stop if the "
        "recipe's are not here; hub: download those first."
    ),
]
WeightsDir = Annotated[
    Path | None,
    typer.Option(
        help="Store of pretrained weights; else $STEELSCAN_WEIGHTS, or the user's data folder."
    ),
]
StartFrom = Annotated[
    Path | None,
    typer.Option(help="Run, or checkpoint, with whose weights every network starts (fine-tuning)."),
]
Track = Annotated[
    Literal["tensorboard", "mlflow", "wandb"] | None,
    typer.Option(help="Tracker that settings, losses, rates, validations and overlays go to, too."),
]
OnError = Annotated[
    Literal["stop", "skip"], typer.Option(help="What to do if a file cannot be read.")
]
Thresholds = Annotated[
    Path | None, typer.Option(help="thresholds.json that steelscan tune wrote for this run.")
]
MmPerPixel = Annotated[
    float | None,
    typer.Option(min=1e-6, max=1000, help="Side of a pixel in mm; sizes are then in mm2."),
]


def given(context: typer.Context, name: str) -> bool:
    """Return whether the user gave a parameter on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_unused(context: typer.Context, names: str, why: str) -> None:
    """Raise InputError for options that were given but have no effect.

    Args:
        context: The context of the verb.
        names: Names of the parameters, separated by blanks.
        why: The end of the sentence "has no effect ...".
    """
    for name in names.split():
        if given(context, name):
            from steelscan.strip.errors import InputError

            option: Any = next(each for each in context.command.params if each.name == name)
            raise InputError(option.opts[0], f"has no effect {why}", "Leave it out")


def check_writable(*files: Path | None) -> None:
    """Raise OutputError, before any work, for files that cannot be written at the end."""
    from steelscan.strip.errors import OutputError
    from steelscan.strip.files import output_folder

    for file in files:
        if file is not None:
            if file.exists() and not file.is_file():
                kind = "a folder" if file.is_dir() else "not a regular file"
                raise OutputError(file, f"is {kind}", "Name a new file")
            output_folder(file.parent)
