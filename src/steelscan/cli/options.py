"""Options that several verbs take."""

from pathlib import Path
from typing import Annotated, Literal

import typer

BundleFile = Annotated[Path, typer.Argument(help="A bundle that steelscan export wrote.")]
Data = Annotated[Path, typer.Option(help="Data set: a folder or a zip.")]
Out = Annotated[Path, typer.Option(help="Folder for the results; the same one goes on.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder or zip of the pictures, if they lie elsewhere."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Device = Annotated[Literal["auto", "cpu"], typer.Option(help="Where networks run.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read strips for training.")]
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
