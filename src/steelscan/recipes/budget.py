"""Budgets: a recipe with all of its parts, in a fraction of its time. No torch here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lcm, sqrt

from steelscan.data import Crop, Shrink, WholeStrip
from steelscan.models import (
    FPN,
    AsymmetricUnet,
    Network,
    PSPNet,
    Segmenter,
    TwoHeaded,
    Unet,
    encoder_of,
)
from steelscan.prediction import EncoderFittedFor, EncoderOf, Member
from steelscan.recipes.spec import Budget, Classify, Recipe, Segment, Step
from steelscan.training import BestAverage, Keep, Training

_STRIDE = 32
"""Sides of crops are multiples of this."""


@dataclass(frozen=True)
class _Limits:
    """The most that a budget leaves of each thing; None: as much as there is."""

    pixels: int
    """Of a strip, as networks see it."""
    folds: int
    epochs: int
    batch: int
    area: int
    """Pixels of the crops of an epoch, in all."""
    judges: int
    """Strips on which a network is validated while it is fitted."""
    checkpoints: int
    rounds: int | None
    width: int
    """Of decoders: so many times the narrowest."""
    encoders: Mapping[str, str]
    """What stands in for an encoder."""


_EFFICIENTNETS = tuple(f"tf_efficientnet_b{size}" for size in range(8))
_SE_RESNETS = ("legacy_senet154", "legacy_seresnext101_32x4d", "legacy_seresnext50_32x4d")

_STAND_INS = {
    **dict.fromkeys(_EFFICIENTNETS, ("tf_efficientnet_lite0", "test_efficientnet")),
    **dict.fromkeys(_SE_RESNETS, ("legacy_seresnext26_32x4d", "test_resnet")),
    "legacy_seresnext26_32x4d": ("legacy_seresnext26_32x4d", "test_resnet"),
    "seresnext50_32x4d": ("seresnext26d_32x4d", "test_resnet"),
    "seresnext26d_32x4d": ("seresnext26d_32x4d", "test_resnet"),
    "resnet34": ("resnet18", "test_resnet"),
    "resnet18": ("resnet18", "test_resnet"),
    "densenet201": ("densenet121", "test_resnet"),
    "densenet121": ("densenet121", "test_resnet"),
    "mobilenetv2_100": ("mobilenetv2_050", "mobilenetv2_035"),
    "mobilenetv2_050": ("mobilenetv2_050", "mobilenetv2_035"),
}
"""Encoder: its stand-ins when the budget is small, and tiny. Others stay as they are.

Lite0 is the one whose ImageNet weights can be installed; those called ``test`` are timm's own
miniatures, with half a million weights at most. All have maps of strides 2 to 32.
"""

_LIMITS = {
    "small": _Limits(
        pixels=128 * 800,
        folds=1,
        epochs=8,
        batch=8,
        area=64 * 128 * 256,
        judges=24,
        checkpoints=3,
        rounds=None,
        width=2,
        encoders={name: small for name, (small, _) in _STAND_INS.items()},
    ),
    "tiny": _Limits(
        pixels=128 * 800,
        folds=1,
        epochs=3,
        batch=4,
        area=32 * 128 * 256,
        judges=16,
        checkpoints=2,
        rounds=1,
        width=1,
        encoders={name: tiny for name, (_, tiny) in _STAND_INS.items()},
    ),
}


def with_budget(recipe: Recipe, budget: Budget) -> Recipe:
    """Shrink what costs a recipe its time; its ``changes`` then say what became of it.

    Steps, heads, losses, samplers, augmentations, views and rules stay. Strips are seen smaller,
    and crops with them; encoders become smaller ones, and decoders narrower; folds, epochs, what
    an epoch draws, batches and what is averaged become fewer; a step's networks that are alike by
    then become one. Half precision, which only saves time where a device knows it, becomes whole.
    Nothing grows, and the same budget again changes nothing. "full" changes nothing.
    """
    if budget == "full":
        return recipe
    limits = _LIMITS[budget]
    validation = recipe.folds.validation
    suspects = any(member.wants_suspicion for member in members(recipe))
    # What is suspected is known of the folds that validate, and learned for the others of them.
    left = validation[: max(limits.folds, 2 if suspects else 1)]
    folds = {fold: left[at % len(left)] for at, fold in enumerate(validation)}
    pseudo = recipe.pseudo_labels
    if pseudo is not None and limits.rounds is not None:
        pseudo = pseudo.but(rounds=min(pseudo.rounds, limits.rounds))
    shrunk = recipe.but(
        steps=tuple(_step(step, folds, limits) for step in recipe.steps),
        folds=recipe.folds.but(validation=left),
        pseudo_labels=pseudo,
    )
    single = _without_copies(shrunk)
    fewer = (
        line(f"networks of {name}:", [(_size(step), _size(single.named[name]))])
        for name, step in shrunk.named.items()
    )
    told = (*changes(recipe, shrunk), *filter(None, fewer))
    said = (f"Budget {budget}: {sentence}." for sentence in told)
    return single.but(budget=budget, changes=(*recipe.changes, *said))


def _step(step: Step, folds: Mapping[int, int], limits: _Limits) -> Step:
    if not isinstance(step, Classify | Segment):
        return step
    members = tuple(_member(member, folds, limits) for member in step.ensemble.members)
    return step.but(ensemble=step.ensemble.but(members=members))


def _member(member: Member, folds: Mapping[int, int], limits: _Limits) -> Member:
    scale = _scale(member.resize, limits)
    start = member.start
    if isinstance(start, EncoderFittedFor):
        stages = tuple(_stage(stage, scale, limits) for stage in start.stages)
        start = start.but(network=_network(start.network, limits), stages=stages)
    return member.but(
        network=_network(member.network, limits),
        stages=tuple(_stage(stage, scale, limits) for stage in member.stages),
        resize=Shrink(pixels=limits.pixels) if scale < 1 else member.resize,
        start=start,
        folds=member.folds and tuple(dict.fromkeys(folds[fold] for fold in member.folds)),
    )


def _scale(resize: Shrink | None, limits: _Limits) -> float:
    """How much smaller the sides of crops become, so that they show about as much of a strip.

    How large strips are that are seen whole is not known here; half is right for those of the
    competition.
    """
    return 0.5 if resize is None else min(1.0, sqrt(limits.pixels / resize.pixels))


def _network(network: Network, limits: _Limits) -> Network:
    if isinstance(network, TwoHeaded):
        return network.but(segmenter=_network(network.segmenter, limits))
    network = network.but(encoder=limits.encoders.get(network.encoder, network.encoder))
    return network if network.kind == "classifier" else _narrow(network, limits.width)


def _narrow(network: Segmenter, width: int) -> Segmenter:
    """The same network with at most so many times the fewest channels in its decoder.

    Those are not fewer than attention (a sixteenth of them) and group norms (of 32) take.
    """

    def most(channels: Sequence[int], *fewest: int) -> tuple[int, ...]:
        pairs = zip(channels, fewest, strict=False)
        return tuple(min(channel, width * few) for channel, few in pairs)

    match network:
        case Unet():
            return network.but(decoder_channels=most(network.decoder_channels, 64, 32, 16, 16, 16))
        case FPN():
            pyramid, segmentation = most(
                (network.pyramid_channels, network.segmentation_channels), 64, 32
            )
            return network.but(pyramid_channels=pyramid, segmentation_channels=segmentation)
        case PSPNet():
            (channels,) = most((network.decoder_channels,), 64)
            return network.but(decoder_channels=channels)
        case _:
            (block,) = most((network.block_channels,), 16)
            return network.but(
                centre_channels=most(network.centre_channels, 64, 32),
                middle_channels=most(network.middle_channels, 32, 32, 32, 32),
                block_channels=block,
            )


def _stage(stage: Training, scale: float, limits: _Limits) -> Training:
    crops = _crops((stage.crop, *(each.crop for each in stage.more_passes)), scale)
    sizes = [stage.batch, *(each.batch for each in stage.more_passes)]
    batches = _batches(sizes, limits.batch)
    together = stage.accumulate_to
    if together is not None and batches != sizes:
        whole = lcm(*batches)
        together = max(1, together // stage.batch * batches[0] // whole) * whole
    return stage.but(
        crop=crops[0],
        more_passes=tuple(
            each.but(crop=crop, batch=batch)
            for each, crop, batch in zip(stage.more_passes, crops[1:], batches[1:], strict=True)
        ),
        most_draws=_most_draws(stage, crops, limits),
        batch=batches[0],
        accumulate_to=together,
        epochs=min(stage.epochs, limits.epochs),
        precision="float32",
        validate_on=min(stage.validate_on or limits.judges, limits.judges),
        keep=_keep(stage.keep, limits),
    )


def _crops(crops: Sequence[Crop], scale: float) -> tuple[Crop, ...]:
    """Crops with sides so much smaller, down to a multiple of the stride.

    Widths that differ go on to differ, as far as there is room below.
    """
    if scale == 1:
        return tuple(crops)
    widths: dict[int, int] = {}
    for width in sorted({crop.width for crop in crops if crop.kind != "whole"}, reverse=True):
        room = min(widths.values(), default=width + _STRIDE) - _STRIDE
        widths[width] = max(_STRIDE, min(_side(width, scale), room))
    return tuple(
        crop
        if isinstance(crop, WholeStrip)
        else crop.but(height=_side(crop.height, scale), width=widths[crop.width])
        for crop in crops
    )


def _side(side: int, scale: float) -> int:
    return max(_STRIDE, int(side * scale) // _STRIDE * _STRIDE)


def _batches(sizes: Sequence[int], most: int) -> list[int]:
    """Sizes of batches, halved until none is larger than this: their ratios stay, about.

    None falls below 2: batch norms want something to compare.
    """
    batches = list(sizes)
    while max(batches) > most:
        batches = [max(size // 2, min(size, 2)) for size in batches]
    return batches


def _most_draws(stage: Training, crops: Sequence[Crop], limits: _Limits) -> int:
    """Strips of an epoch whose crops, in all passes, have no more pixels than they may."""
    each = sum(
        limits.pixels if crop.kind == "whole" else crop.height * crop.width for crop in crops
    )
    most = max(limits.batch, limits.area // each)
    return most if stage.most_draws is None else min(most, stage.most_draws)


def _keep(keep: Keep, limits: _Limits) -> Keep:
    if not isinstance(keep, BestAverage):
        return keep
    return keep.but(count=min(keep.count, limits.checkpoints))


def _size(step: Classify | Segment) -> int:
    return len(step.ensemble.members)


def _without_copies(recipe: Recipe) -> Recipe:
    """The recipe with one of those networks of a step that are alike in all but their folds."""
    firsts = {name: _firsts(recipe, step.ensemble.members) for name, step in recipe.named.items()}
    asking = iter(firsts.values())

    def single(step: Step) -> Step:
        if not isinstance(step, Classify | Segment):
            return step
        kept = [step.ensemble.members[at] for at in sorted(set(next(asking)))]
        members = tuple(_moved(member, firsts) for member in kept)
        return step.but(ensemble=step.ensemble.but(members=members))

    return recipe.but(steps=tuple(map(single, recipe.steps)))


def _firsts(recipe: Recipe, members: Sequence[Member]) -> list[int]:
    """For each member of a step the place of the first that is like it."""

    def likeness(member: Member) -> tuple[Member, object]:
        start: object = member.start
        if isinstance(member.start, EncoderOf):
            lenders = recipe.named[member.start.step].ensemble.members
            start = lenders[member.start.member].but(folds=None)
        return member.but(folds=None, start=None), start

    alike = list(map(likeness, members))
    return [alike.index(each) for each in alike]


def _moved(member: Member, firsts: Mapping[str, Sequence[int]]) -> Member:
    """The member, whose encoder comes from where its lender, or one like it, has gone."""
    start = member.start
    if not isinstance(start, EncoderOf):
        return member
    places = firsts[start.step]
    at = sorted(set(places)).index(places[start.member])
    return member.but(start=start.but(member=at))


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
        case FPN():
            widths = (network.pyramid_channels, network.segmentation_channels)
        case PSPNet():
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
