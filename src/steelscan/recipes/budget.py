"""Budgets: a recipe with all of its parts, in a fraction of its time. No torch here."""

from collections.abc import Mapping
from math import sqrt

from steelscan.data import Shrink
from steelscan.prediction import EncoderFittedFor, EncoderOf, Member
from steelscan.recipes.changes import changes, line, members_of
from steelscan.recipes.limits import LIMITS, Limits
from steelscan.recipes.shrink import shrink_network, shrink_stage
from steelscan.recipes.spec import Budget, NetworkStep, Recipe


def with_budget(recipe: Recipe, budget: Budget) -> Recipe:
    """Return a smaller recipe, whose ``changes`` describe how it differs.

    Steps, heads, losses, samplers, augmentations, views and rules stay. Strips and crops get
    smaller, encoders too, and decoders narrower; there are fewer folds, epochs, strips per epoch,
    averaged checkpoints, and smaller batches. Members of a step that become equal are merged. Half
    precision, which saves time only on devices that support it, becomes single precision.
    Nothing grows, and the same budget again changes nothing. "full" changes nothing.
    """
    if budget == "full":
        return recipe
    limits = LIMITS[budget]
    validation = recipe.folds.validation
    out_of_fold = any(member.needs_class_probabilities for member in members_of(recipe))
    # out-of-fold probabilities of a fold's training strips need a second fold
    left = validation[: max(limits.folds, 2 if out_of_fold else 1)]
    folds = {fold: left[at % len(left)] for at, fold in enumerate(validation)}
    pseudo = recipe.pseudo_labels
    if pseudo is not None and limits.rounds is not None:
        pseudo = pseudo.but(rounds=min(pseudo.rounds, limits.rounds))
    members = {
        name: [_shrink_member(member, folds, limits) for member in step.ensemble.members]
        for name, step in recipe.named.items()
    }
    fewer_folds = recipe.folds.but(validation=left)
    shrunk = recipe.with_members(members, folds=fewer_folds, pseudo_labels=pseudo)
    merged = _merge_equal_members(shrunk)
    fewer = (
        line(f"networks of {name}:", [(len(old), len(merged.named[name].ensemble.members))])
        for name, old in members.items()
    )
    sentences = (*changes(recipe, shrunk), *filter(None, fewer))
    described = (f"Budget {budget}: {sentence}." for sentence in sentences)
    return merged.but(budget=budget, changes=(*recipe.changes, *described))


def _shrink_member(member: Member, folds: Mapping[int, int], limits: Limits) -> Member:
    scale = _scale(member.resize, limits)
    start = member.start
    if isinstance(start, EncoderFittedFor):
        stages = tuple(shrink_stage(stage, scale, limits) for stage in start.stages)
        start = start.but(network=shrink_network(start.network, limits), stages=stages)
    return member.but(
        network=shrink_network(member.network, limits),
        stages=tuple(shrink_stage(stage, scale, limits) for stage in member.stages),
        resize=Shrink(pixels=limits.pixels) if scale < 1 else member.resize,
        start=start,
        folds=member.folds and tuple(dict.fromkeys(folds[fold] for fold in member.folds)),
    )


def _scale(resize: Shrink | None, limits: Limits) -> float:
    """Return the factor for the sides of crops, so that they show as much of a strip as before.

    The size of strips without ``resize`` is unknown here; half is right for the competition.
    """
    return 0.5 if resize is None else min(1.0, sqrt(limits.pixels / resize.pixels))


def _merge_equal_members(recipe: Recipe) -> Recipe:
    """Return the recipe with one of the members of each step that differ only in their folds."""
    first = {name: _first_equal(recipe, step) for name, step in recipe.named.items()}

    def with_kept_start(member: Member) -> Member:
        start = member.start
        if isinstance(start, EncoderOf):
            start = start.but(member=first[start.step][start.member])
        return member.but(start=start)

    return recipe.with_members(
        {
            name: [
                with_kept_start(member)
                for member in step.ensemble.members
                if member.name in first[name].values()
            ]
            for name, step in recipe.named.items()
        }
    )


def _first_equal(recipe: Recipe, step: NetworkStep) -> dict[str, str]:
    """Return, for the name of each member of a step, that of the first equal one."""

    def key(member: Member) -> tuple[Member, object]:
        start: object = member.start
        if isinstance(member.start, EncoderOf):
            source = recipe.source_of(member.start)
            start = source and source.but(name="", folds=None)
        return member.but(name="", folds=None, start=None), start

    keys = list(map(key, step.ensemble.members))
    names = [member.name for member in step.ensemble.members]
    return {name: names[keys.index(each)] for name, each in zip(names, keys, strict=True)}
