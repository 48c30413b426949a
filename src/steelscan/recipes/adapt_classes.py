"""Adapt a recipe to other classes than those it was written for. No torch here.

Its per-class settings have no meaning for other classes: one neutral value for all replaces them.
Its networks of single classes are copied for each class of the data set.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from steelscan.decision import HardGate
from steelscan.losses import BCE, WherePresent
from steelscan.postprocess import (
    FillEdges,
    FillHoles,
    MinArea,
    Polygons,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    Triplet,
)
from steelscan.prediction import EncoderOf, Member
from steelscan.recipes.pseudo_labels import ConfidentClasses, ConfidentPixels
from steelscan.recipes.spec import Classify, Recipe
from steelscan.recipes.tuning import with_tuning
from steelscan.strip import Classes, Spec


class Neutral(NamedTuple):
    """How one value for all classes follows from those of single classes, and why."""

    of: Callable[[Sequence[Any]], Any]
    why: str
    in_pixels: bool = False
    """Whether the setting is an area or a length in pixels, which depends on the size of strips."""


_LEAST = Neutral(min, "the lowest of them, so that no class is missed because of a high value")
_NO_AREA = Neutral(lambda _: 0, "no area: those of single classes do not apply to others", True)

NEUTRAL: Mapping[tuple[type[Spec], str], Neutral] = {
    (Classify, "threshold"): _LEAST,
    (HardGate, "threshold"): _LEAST,
    # the lowest of both keeps their order: no pixel threshold exceeds its label threshold
    (Threshold, "label"): _LEAST,
    (Threshold, "pixel"): _LEAST,
    (Triplet, "top"): _LEAST,
    (Triplet, "bottom"): _LEAST,
    # with an area of 0 every class would pass, whatever the top threshold is
    (Triplet, "area"): Neutral(lambda _: 1, "one pixel: the top threshold alone decides", True),
    (MinArea, "pixels"): _NO_AREA,
    (ScaledMinArea, "pixels"): _NO_AREA,
    (ScaledMinArea, "factor"): Neutral(lambda _: 1.0, "the area is not scaled"),
    (RemoveSmallComponents, "pixels"): _NO_AREA,
    (FillHoles, "pixels"): _NO_AREA,
    (FillEdges, "pixels"): _NO_AREA,
    (Polygons, "eps"): Neutral(min, "the lowest of them, which changes outlines least", True),
    (BCE, "pos_weight"): Neutral(lambda _: 1.0, "defects and background have equal weights"),
    (WherePresent, "always"): Neutral(lambda _: True, "the masks are trained on clean crops too"),
    (ConfidentPixels, "dilation"): Neutral(lambda radii: int(median(radii)), "their median", True),
    # a wrong pseudo-label does harm, a missing one costs little
    (ConfidentClasses, "min_probability"): Neutral(max, "the highest of them"),
}
"""The neutral value of each setting that can have one value per class."""


def fit_to_classes(recipe: Recipe, classes: Classes) -> tuple[Recipe, list[str]]:
    """Return a recipe for the classes of a data set, and sentences on what was changed.

    A recipe that was written for these classes, or for any, is returned unchanged. Otherwise each
    setting with one value per class gets a neutral one for all (`NEUTRAL`), networks of single
    classes are copied for every class, and the last rules are tuned if the search supports them.
    """
    if recipe.written_for is None or recipe.written_for == classes.names:
        return recipe, []
    adapted, notes = _with_neutral_values(recipe)
    adapted, copied = _with_networks_per_class(adapted, len(classes))
    notes += copied
    if adapted != recipe:
        adapted, tuning = with_tuning(adapted)
        notes += tuning
    first = (
        f"Recipe {recipe.name} was written for the classes {', '.join(recipe.written_for)}; the "
        f"data set has {', '.join(classes.names)}. To set values per class, write a recipe file "
        "with these classes in written_for."
    )
    return adapted.but(written_for=classes.names), [first, *dict.fromkeys(notes)]


def _with_neutral_values(value: Any) -> tuple[Any, list[str]]:
    """Return a value without per-class settings at any depth, and sentences on the changes.

    A value without such settings is returned itself, not a copy.
    """
    if isinstance(value, tuple):
        pairs = [_with_neutral_values(each) for each in value]
        notes = [note for _, each in pairs for note in each]
        changed = any(new is not old for (new, _), old in zip(pairs, value, strict=True))
        return (tuple(new for new, _ in pairs) if changed else value), notes
    if not isinstance(value, Spec):
        return value, []
    changes, notes = {}, []
    for name in type(value).model_fields:
        old = getattr(value, name)
        neutral = NEUTRAL.get((type(value), name))
        field = f"{type(value).__name__}.{name}"
        new, more = (
            _with_neutral_values(old) if neutral is None else _neutral_value(field, old, neutral)
        )
        notes += more
        if new is not old:
            changes[name] = new
    return (value.but(**changes) if changes else value), notes


def _neutral_value(field: str, value: Any, neutral: Neutral) -> tuple[Any, list[str]]:
    """Return one value for all classes, and a sentence if it changed or may not fit."""
    if isinstance(value, tuple):
        one = neutral.of(value)
        each = ", ".join(map(str, value))
        return one, [f"{field} is {one} for all classes instead of {each} ({neutral.why})."]
    if neutral.in_pixels and value:
        return value, [f"{field} is {value}, in pixels of the strips it was written for."]
    return value, []


def _with_networks_per_class(recipe: Recipe, classes: int) -> tuple[Recipe, list[str]]:
    """Return the recipe with its networks of single classes copied for so many, and sentences."""
    copies = {name: _copies(recipe, name, classes) for name in recipe.named}
    members = {
        name: [_with_existing_start(copy, copies) for copy in own] for name, own in copies.items()
    }
    notes = [note for name in copies for note in _notes(recipe, name, members[name], copies[name])]
    return recipe.with_members(members), notes


class _Copy(NamedTuple):
    """A member of an adapted recipe: its original, and the only class of the copy (None: all)."""

    original: Member
    class_id: int | None
    folds: tuple[int, ...] | None

    @property
    def name(self) -> str:
        return _copy_name(self.original.name, self.class_id)


def _copy_name(original: str, class_id: int | None) -> str:
    return original if class_id is None else f"{original}, class {class_id}"


def _copies(recipe: Recipe, name: str, classes: int) -> list[_Copy]:
    """Return the members of an adapted step: those of all classes first, then class by class.

    Networks of several, but not all classes become networks of all.
    """
    members = recipe.named[name].ensemble.members
    several = [_Copy(each, None, each.folds) for each in members if not _has_one_class(each)]
    pattern = _pattern(recipe, name)
    same = [each for each in members if pattern is not None and each.classes == (pattern,)]
    covered = {fold for each in same for fold in recipe.folds_of(each)}
    # without a network of a class in some fold, all of its defects in that fold would be missed
    complete = covered == set(recipe.folds.validation)
    return several + [
        _Copy(each, class_id, each.folds if complete else None)
        for each in same
        for class_id in range(1, classes + 1)
    ]


def _pattern(recipe: Recipe, name: str) -> int | None:
    """Return the class whose networks are copied: the one with most folds, then most networks.

    None if no network of the step is for a single class.
    """
    folds: dict[int, list[int]] = {}
    for member in recipe.named[name].ensemble.members:
        if member.classes is not None and _has_one_class(member):
            folds.setdefault(member.classes[0], []).extend(recipe.folds_of(member))
    rank = {class_id: (len(set(each)), len(each)) for class_id, each in folds.items()}
    return max(sorted(rank), key=rank.__getitem__, default=None)


def _has_one_class(member: Member) -> bool:
    return member.classes is not None and len(member.classes) == 1


def _with_existing_start(copy: _Copy, new: Mapping[str, Sequence[_Copy]]) -> Member:
    """Return the member of a copy; it starts from a network that exists in the adapted recipe."""
    original, start = copy.original, copy.original.start
    if isinstance(start, EncoderOf):
        existing = {each.name for each in new[start.step]} if copy.folds == original.folds else {}
        names = (start.member, _copy_name(start.member, copy.class_id))
        source = next((name for name in names if name in existing), None)
        start = None if source is None else start.but(member=source)
    classes = None if copy.class_id is None else (copy.class_id,)
    return original.but(name=copy.name, classes=classes, folds=copy.folds, start=start)


def _notes(
    recipe: Recipe, name: str, members: Sequence[Member], copies: Sequence[_Copy]
) -> list[str]:
    """Return sentences on a step whose networks have other classes or another start than before."""
    before = recipe.named[name].ensemble.members
    pattern = _pattern(recipe, name)
    notes = []
    if pattern is not None:
        old, new = (sum(len(recipe.folds_of(each)) for each in all_) for all_ in (before, members))
        notes.append(
            f"Step {name}: every class gets the networks of class {pattern} ({new} networks "
            f"instead of {old})."
        )
    if any(member.classes is not None and not _has_one_class(member) for member in before):
        notes.append(f"Step {name}: networks of several classes are fitted for all.")
    if any(
        member.start is None and copy.original.start is not None
        for member, copy in zip(members, copies, strict=True)
    ):
        notes.append(f"Step {name}: some networks start without the encoder of another network.")
    return notes
