"""Budgets: a recipe with all of its parts, in a fraction of its time. No torch here."""

from collections.abc import Mapping
from math import sqrt

from steelscan.data import Folds, LikeTest, Shrink
from steelscan.models import encoder_of
from steelscan.prediction import EncoderFittedFor, EncoderOf, Member
from steelscan.recipes.changes import changes, line, members_of, networks_of
from steelscan.recipes.limits import LIMITS, Limits, smaller_encoders
from steelscan.recipes.shrink import shrink_network, shrink_stages, with_samples
from steelscan.recipes.spec import Budget, NetworkStep, Recipe
from steelscan.recipes.tuning import with_tuning


def with_budget(recipe: Recipe, budget: Budget) -> Recipe:
    """Return a smaller recipe, whose ``changes`` describe how it differs.

    Steps, heads, losses, samplers, augmentations, views and rules stay. Strips and crops get
    smaller, encoders too, and decoders narrower; there are fewer folds, epochs, averaged
    checkpoints and rounds of pseudo-labels, and smaller batches. Members of a step that become
    equal are merged. All fits draw about equally many pixels of crops, whatever the number of
    strips. "small" raises learning rates that are published for far more steps, and holds strips
    out. Half precision, which saves time only on devices that support it, becomes single precision.
    The same budget again changes nothing. "full" changes nothing.
    """
    if budget in ("full", recipe.budget):
        return recipe
    limits = LIMITS[budget]
    folds, new_fold = _fewer_folds(recipe, limits)
    pseudo = recipe.pseudo_labels
    if pseudo is not None:
        pseudo = pseudo.but(rounds=min(pseudo.rounds, limits.rounds))
    encoders = smaller_encoders((encoder_of(each).encoder for each in networks_of(recipe)), limits)
    members = {
        name: [
            _shrink_member(member, new_fold, encoders, limits) for member in step.ensemble.members
        ]
        for name, step in recipe.named.items()
    }
    shrunk = recipe.with_members(members, folds=folds, pseudo_labels=pseudo)
    if limits.tuned:
        shrunk, _ = with_tuning(shrunk)
    area = _fit_area(_merge_equal_members(shrunk), limits)
    shrunk = shrunk.with_members(
        {
            name: [_with_samples(member, area, limits) for member in step.ensemble.members]
            for name, step in shrunk.named.items()
        }
    )
    merged = _merge_equal_members(shrunk)
    fewer = (
        line(f"networks of {name}:", [(len(old), len(merged.named[name].ensemble.members))])
        for name, old in members.items()
    )
    sentences = (*changes(recipe, shrunk), *filter(None, fewer))
    described = (f"Budget {budget}: {sentence}." for sentence in sentences)
    return merged.but(budget=budget, changes=(*recipe.changes, *described))


def _fewer_folds(recipe: Recipe, limits: Limits) -> tuple[Folds | LikeTest, dict[int, int]]:
    """Return the folds of a smaller recipe, and the new number of each validation fold.

    Without held-out folds one validation fold is left, or two if networks are trained on strips by
    their out-of-fold probabilities. With them those need validation folds that cover all strips
    that are not held out.
    """
    out_of_fold = any(member.needs_class_probabilities for member in members_of(recipe))
    folds, before = recipe.folds, recipe.folds.validation
    if not limits.held_out or folds.holdout:
        folds = folds.but(validation=before[: 2 if out_of_fold else 1])
    elif isinstance(folds, LikeTest):
        folds = folds.but(count=3, holdout=(2,))
    elif out_of_fold:
        folds = Folds(count=4, validation=(0, 1, 2), holdout=(3,))
    else:
        folds = Folds(count=5, validation=(0,), holdout=(4,))
    left = folds.validation
    return folds, {fold: left[at % len(left)] for at, fold in enumerate(before)}


def _shrink_member(
    member: Member, folds: Mapping[int, int], encoders: Mapping[str, str], limits: Limits
) -> Member:
    scale = _scale(member.resize, limits)
    start = member.start
    if isinstance(start, EncoderFittedFor):
        start = start.but(
            network=shrink_network(start.network, encoders),
            stages=shrink_stages(start.stages, scale, limits),
        )
    return member.but(
        network=shrink_network(member.network, encoders),
        stages=shrink_stages(member.stages, scale, limits),
        resize=Shrink(pixels=limits.pixels) if scale < 1 else member.resize,
        start=start,
        folds=member.folds and tuple(dict.fromkeys(folds[fold] for fold in member.folds)),
    )


def _fit_area(recipe: Recipe, limits: Limits) -> int:
    """Return the pixels of all crops of each fit of a smaller recipe."""
    if limits.area is None:
        return limits.fit_area
    fits, labels = 0, recipe.pseudo_labels
    for member in members_of(recipe):
        rounds = labels.rounds if labels and recipe.trains_on_pseudo_labels(member) else 0
        networks = 2 if isinstance(member.start, EncoderFittedFor) else 1
        fits += len(recipe.folds_of(member)) * networks * (1 + rounds)
    return min(limits.fit_area, limits.area // fits)


def _with_samples(member: Member, area: int, limits: Limits) -> Member:
    start = member.start
    if isinstance(start, EncoderFittedFor):
        start = start.but(stages=with_samples(start.stages, area, limits))
    return member.but(stages=with_samples(member.stages, area, limits), start=start)


def _scale(resize: Shrink | None, limits: Limits) -> float:
    """Return the factor for the sides of crops, so that they show as much of a strip as before.

    The size of strips without ``resize`` is unknown here; that of the competition's is taken.
    """
    pixels = 256 * 1600 if resize is None else resize.pixels
    return min(1.0, sqrt(limits.pixels / pixels))


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
