"""The command line itself: what all verbs share, and how an error of the user is told."""

import sys
from typing import Annotated

import typer

from steelscan import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find and outline defects on steel strip.",
)


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    if version:
        print(f"steelscan {__version__}")
        raise typer.Exit
    _common_state["debug"] = debug


_common_state = {"debug": False}


_TRAIN = {
    "accelerate",
    "albumentations",
    "onnx",
    "safetensors",
    "segmentation_models_pytorch",
    "timm",
    "torch",
    "zarr",
}
"""What the extra `train` installs, by the names that are imported."""


def _missing_part(error: Exception) -> Exception | None:
    """What to say when a package of the extra `train` is not installed."""
    if not isinstance(error, ModuleNotFoundError) or error.name not in _TRAIN:
        return None
    from steelscan.strip import MissingPartError

    found = f"needs {error.name}, which is not installed"
    return MissingPartError("this verb", found, "Run: pip install 'steelscan[train]'")


def main() -> None:
    """Run the command line; a user's error is one line and exit status 2."""
    try:
        app()
    except Exception as error:
        from steelscan.strip import SteelscanError  # not before: --help must come at once

        error = _missing_part(error) or error
        if not isinstance(error, SteelscanError) or _common_state["debug"]:
            raise
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
