"""What became of a recipe that was shrunk, in sentences. No torch here."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from steelscan.data import WholeStrip
from steelscan.models import AsymmetricUnet, Fpn, Network, Psp, TwoHeaded, Unet, encoder_of
from steelscan.pipeline.recipe import Recipe
from steelscan.prediction import EncoderFittedFor, Member
from steelscan.training import Training


def changes(before: Recipe, after: Recipe) -> tuple[str, ...]:
    """A sentence on each topic in which two recipes of as many networks and stages differ."""
    lines = (
        line(topic, zip(labels(before), labels(after), strict=True))
        for topic, labels in _TOPICS.items()
    )
    return tuple(filter(None, lines))


def line(topic: str, pairs: Iterable[tuple[object, object]]) -> str:
    """What became what, each once, those that became the same together; empty: nothing changed."""
    became: dict[object, list[str]] = {}
    for old, new in dict.fromkeys(pairs):
        if old != new:
            became.setdefault(new, []).append(str(old))
    changes = (f"{', '.join(olds)} became {new}" for new, olds in became.items())
    return f"{topic} {'; '.join(changes)}" if became else ""


def members(recipe: Recipe) -> Iterator[Member]:
    """All members of a recipe's steps, in order."""
    return (member for step in recipe.asking for member in step.ensemble.members)


def _networks(recipe: Recipe) -> Iterator[Network]:
    """All networks that are fitted, those that only lend their encoders too."""
    for member in members(recipe):
        yield member.network
        if isinstance(member.start, EncoderFittedFor):
            yield member.start.network


def _stages(recipe: Recipe) -> Iterator[Training]:
    return (stage for member in members(recipe) for stage in member.all_stages)


def _channels(network: Network) -> str:
    """The widths of a decoder, as far as budgets change them."""
    match network:
        case TwoHeaded():
            return _channels(network.segmenter)
        case Unet():
            widths = network.decoder_channels
        case Fpn():
            widths = (network.pyramid_channels, network.segmentation_channels)
        case Psp():
            widths = (network.decoder_channels,)
        case AsymmetricUnet():
            widths = (*network.centre_channels, *network.middle_channels, network.block_channels)
        case _:
            widths = ()
    return "-".join(map(str, widths))


def _crop_labels(recipe: Recipe) -> Iterator[str]:
    for stage in _stages(recipe):
        for crop in (stage.crop, *(each.crop for each in stage.more_passes)):
            yield "whole" if isinstance(crop, WholeStrip) else f"{crop.height}x{crop.width}"


def _batch_labels(recipe: Recipe) -> Iterator[str]:
    for stage in _stages(recipe):
        together = f" ({stage.accumulate_to} a step)" if stage.accumulate_to else ""
        yield f"{stage.batch}{together}"
        yield from (str(each.batch) for each in stage.more_passes)


def _at_most(number: int | None) -> str:
    return "all" if number is None else f"at most {number}"


_TOPICS: Mapping[str, Callable[[Recipe], Iterable[object]]] = {
    "encoder": lambda recipe: (encoder_of(each).encoder for each in _networks(recipe)),
    "decoder channels": lambda recipe: map(_channels, _networks(recipe)),
    "validation folds": lambda recipe: [", ".join(map(str, recipe.folds.validation))],
    "pixels that a network sees of a strip:": lambda recipe: (
        _at_most(member.resize.pixels if member.resize else None) for member in members(recipe)
    ),
    "crop": _crop_labels,
    "batch": _batch_labels,
    "draws an epoch:": lambda recipe: (_at_most(stage.most_draws) for stage in _stages(recipe)),
    "precision": lambda recipe: (stage.precision for stage in _stages(recipe)),
    "epochs": lambda recipe: (stage.epochs for stage in _stages(recipe)),
    "strips that validate a fit:": lambda recipe: (
        _at_most(stage.validate_on) for stage in _stages(recipe)
    ),
    "averaged checkpoints": lambda recipe: (
        getattr(stage.keep, "count", None) for stage in _stages(recipe)
    ),
    "rounds of pseudo-labels": lambda recipe: [
        recipe.pseudo_labels.rounds if recipe.pseudo_labels else None
    ],
}
"""What a budget changes, and how to say it: a label for each place in a recipe."""
