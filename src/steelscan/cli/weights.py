"""The verb with verbs of its own: weights list, fetch and add."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import Group
from steelscan.cli.options import WeightsDir

weights = Group(
    "weights",
    "Show, download or add the ImageNet weights that recipes start from.",
    "Example: steelscan weights list first_place",
)


@weights.command(name="list", epilog="Example: steelscan weights list first_place")
def list_(
    recipe: Annotated[
        str | None,
        typer.Argument(help="Name of a recipe, or a JSON or Python file; all if not given."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    weights_dir: WeightsDir = None,
) -> None:
    """List the encoders of recipes, and where their weights are or can be had.

    Uses no network. Sizes of weights that are not here are estimated.
    """
    from steelscan.pipeline.weights import list_weights

    found = list_weights(recipe, weights_dir)
    print(found.model_dump_json(indent=2) if json else found.table())


@weights.command(epilog="Example: steelscan weights fetch first_place, or: weights fetch resnet34")
def fetch(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE|ENCODER", help="Recipes, or encoders as timm names them."),
    ],
    weights_dir: WeightsDir = None,
) -> None:
    """Download weights into the store, from where timm has them (mostly the Hugging Face hub).

    A recipe stands for those of its encoders that are not here; a named encoder is replaced.
    Prints licence and size first. The store is a folder that can be copied to an offline machine.
    """
    from steelscan.pipeline.weights import fetch_targets

    fetch_targets(targets, weights_dir, lambda line: print(line, flush=True))


@weights.command(epilog="Example: steelscan weights add resnet34 resnet34-b627a593.pth")
def add(
    encoder: Annotated[str, typer.Argument(help="Name of an encoder in timm.")],
    file: Annotated[
        Path, typer.Argument(help="File of tensors: .safetensors, or .pth without code.")
    ],
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    weights_dir: WeightsDir = None,
) -> None:
    """Add a file of weights to the store, after checking that it fits the encoder."""
    from steelscan.pipeline.weights import add_file

    print(add_file(encoder, file, licence, weights_dir))
