"""Describe in sentences what a budget or a setting changed in a recipe. No torch here."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from steelscan.data import WholeStrip
from steelscan.models import FPN, AsymmetricUnet, Network, PSPNet, TwoHeaded, Unet, encoder_of
from steelscan.prediction import EncoderFittedFor, Member
from steelscan.recipes.spec import Recipe
from steelscan.training import Training


def changes(before: Recipe, after: Recipe) -> tuple[str, ...]:
    """Return a sentence per topic in which two recipes with the same members and stages differ."""
    lines = (
        line(topic, zip(labels(topic, before), labels(topic, after), strict=True))
        for topic in _TOPICS
    )
    return tuple(filter(None, lines))


def labels(topic: str, recipe: Recipe) -> Iterable[object]:
    """Return the labels of a recipe's values of one topic, a key of `_TOPICS`."""
    return _TOPICS[topic](recipe)


def line(topic: str, pairs: Iterable[tuple[object, object]]) -> str:
    """Return "topic old became new", once per new value; empty if nothing changed."""
    became: dict[object, list[str]] = {}
    for old, new in dict.fromkeys(pairs):
        if old != new:
            became.setdefault(new, []).append(str(old))
    parts = (f"{', '.join(olds)} became {new}" for new, olds in became.items())
    return f"{topic} {'; '.join(parts)}" if became else ""


def members_of(recipe: Recipe) -> Iterator[Member]:
    """Yield all members of a recipe's steps, in order."""
    return (member for step in recipe.network_steps for member in step.ensemble.members)


def networks_of(recipe: Recipe) -> Iterator[Network]:
    """Yield all networks that are fitted, including those fitted only for their encoders."""
    for member in members_of(recipe):
        yield member.network
        if isinstance(member.start, EncoderFittedFor):
            yield member.start.network


def _stages(recipe: Recipe) -> Iterator[Training]:
    return (stage for member in members_of(recipe) for stage in member.all_stages)


def _channels(network: Network) -> str:
    """Return the channels of a decoder that a budget can change."""
    match network:
        case TwoHeaded():
            return _channels(network.segmenter)
        case Unet():
            channels = network.decoder_channels
        case FPN():
            channels = (network.pyramid_channels, network.segmentation_channels)
        case PSPNet():
            channels = (network.decoder_channels,)
        case AsymmetricUnet():
            channels = (*network.centre_channels, *network.middle_channels, network.block_channels)
        case _:
            channels = ()
    return "-".join(map(str, channels))


def _crops(recipe: Recipe) -> Iterator[str]:
    for stage in _stages(recipe):
        for each in stage.passes:
            crop = each.crop
            yield "whole" if isinstance(crop, WholeStrip) else f"{crop.height}x{crop.width}"


def _batches(recipe: Recipe) -> Iterator[str]:
    for stage in _stages(recipe):
        per_step = f" ({stage.accumulate_to} a step)" if stage.accumulate_to else ""
        yield f"{stage.batch}{per_step}"
        yield from (str(each.batch) for each in stage.extra_passes)


def _rates(recipe: Recipe) -> Iterator[str]:
    for stage in _stages(recipe):
        rates = stage.optimizer
        encoder = "" if rates.encoder_lr is None else f" (encoder {rates.encoder_lr:g})"
        yield f"{rates.lr:g}{encoder}"


def _folds(recipe: Recipe) -> str:
    """Return "0, 1 of 5", with the held-out folds."""
    folds = recipe.folds
    held_out = f" ({' and '.join(map(str, folds.holdout))} held out)" if folds.holdout else ""
    return f"{', '.join(map(str, folds.validation))} of {folds.count}{held_out}"


def _tuned(recipe: Recipe) -> str:
    """Return which thresholds are tuned out of fold."""
    tune = recipe.tune
    if tune is None:
        return "none"
    names = [name for name in ("label", "pixel", "area") if name not in tune.fixed]
    return ", ".join(names + ([] if tune.gates == "keep" else [f"gates by {tune.gates}"]))


def _samples(stage: Training) -> str:
    if stage.min_samples is not None and stage.min_samples == stage.max_samples:
        return str(stage.max_samples)
    return _at_most(stage.max_samples)


def _at_most(number: int | None) -> str:
    return "all" if number is None else f"at most {number}"


_TOPICS: Mapping[str, Callable[[Recipe], Iterable[object]]] = {
    "encoder": lambda recipe: (encoder_of(each).encoder for each in networks_of(recipe)),
    "decoder channels": lambda recipe: map(_channels, networks_of(recipe)),
    "stem": lambda recipe: (encoder_of(each).stem for each in networks_of(recipe)),
    "validation folds": lambda recipe: [_folds(recipe)],
    "thresholds tuned out of fold:": lambda recipe: [_tuned(recipe)],
    "networks that predict pseudo-labels:": lambda recipe: [
        recipe.pseudo_labels and recipe.pseudo_labels.predicted_by
    ],
    "pixels of a strip in a network:": lambda recipe: (
        _at_most(member.resize.pixels if member.resize else None) for member in members_of(recipe)
    ),
    "crop": _crops,
    "batch": _batches,
    "strips per epoch:": lambda recipe: map(_samples, _stages(recipe)),
    "patience": lambda recipe: (
        getattr(stage.schedule, "patience", None) for stage in _stages(recipe)
    ),
    "cooldown": lambda recipe: (
        getattr(stage.schedule, "cooldown", None) for stage in _stages(recipe)
    ),
    "precision": lambda recipe: (stage.precision for stage in _stages(recipe)),
    "learning rate": _rates,
    "epochs": lambda recipe: (stage.epochs for stage in _stages(recipe)),
    "strips in a validation:": lambda recipe: (
        _at_most(stage.validate_on) for stage in _stages(recipe)
    ),
    "averaged checkpoints": lambda recipe: (
        getattr(stage.keep, "count", None) for stage in _stages(recipe)
    ),
    "rounds of pseudo-labels": lambda recipe: [
        recipe.pseudo_labels.rounds if recipe.pseudo_labels else None
    ],
}
"""What a budget or a setting can change: per topic a label for each value in a recipe."""
