"""A recipe on other classes than those it was written for. No torch here.

Its numbers of single classes say nothing of other classes: one neutral value for all stands in
their place. Its networks of single classes are spread over the classes that there are.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from steelscan.decision import HardGate, thresholds_of
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, WherePresent
from steelscan.postprocess import (
    FillEdges,
    FillHoles,
    MinArea,
    Polygons,
    RemoveSmallComponents,
    Rule,
    ScaledMinArea,
    Threshold,
    Triplet,
)
from steelscan.prediction import EncoderOf, Member
from steelscan.recipes.pseudo_labels import ConfidentClasses, ConfidentPixels
from steelscan.recipes.spec import Classify, Recipe, Segment, Step
from steelscan.strip import Classes, RecipeError, Spec


class Neutral(NamedTuple):
    """The one value that takes the place of those of single classes, and why it is that one."""

    of: Callable[[Sequence[Any]], Any]
    why: str
    in_pixels: bool = False
    """Whether the setting is an area or a length in pixels, and so of strips of one size."""


_LEAST = Neutral(min, "the least of them: no class is judged more strictly than one was")
_NO_AREA = Neutral(lambda _: 0, "no area: those of single classes say nothing of others", True)

NEUTRAL: Mapping[tuple[type[Spec], str], Neutral] = {
    (Classify, "threshold"): _LEAST,
    (HardGate, "threshold"): _LEAST,
    # The least of both keeps their order: where no pixel threshold was above its label's, none is.
    (Threshold, "label"): _LEAST,
    (Threshold, "pixel"): _LEAST,
    (Triplet, "top"): _LEAST,
    (Triplet, "bottom"): _LEAST,
    # With an area of 0 every class would pass, whatever the top threshold is.
    (Triplet, "area"): Neutral(lambda _: 1, "one pixel: the top threshold alone decides", True),
    (MinArea, "pixels"): _NO_AREA,
    (ScaledMinArea, "pixels"): _NO_AREA,
    (ScaledMinArea, "factor"): Neutral(lambda _: 1.0, "the area is not scaled"),
    (RemoveSmallComponents, "pixels"): _NO_AREA,
    (FillHoles, "pixels"): _NO_AREA,
    (FillEdges, "pixels"): _NO_AREA,
    (Polygons, "eps"): Neutral(min, "the least of them: outlines change least", True),
    (BCE, "pos_weight"): Neutral(lambda _: 1.0, "a defect weighs as much as sound steel"),
    (WherePresent, "always"): Neutral(lambda _: True, "clean crops teach, too, what is sound"),
    (ConfidentPixels, "grown"): Neutral(lambda radii: int(median(radii)), "their median", True),
    # A wrong pseudo-label is learned, one too few costs little.
    (ConfidentClasses, "least"): Neutral(max, "the highest of them: only what is sure teaches"),
}
"""What takes the place of the numbers of single classes, for each setting that can have such."""


def fit_to_classes(recipe: Recipe, classes: Classes) -> tuple[Recipe, list[str]]:
    """A recipe for the classes of a data set, and sentences on what it is other than as written.

    A recipe that was written for just these, or for any, stays as it is. Otherwise settings with
    one value a class get a neutral one for all (`NEUTRAL`), every class gets networks of its own
    where single classes had such, and the last rules are tuned where the search knows them.
    """
    if recipe.written_for is None or recipe.written_for == classes.names:
        return recipe, []
    fitted, notes = _without_tuples(recipe)
    fitted, spread = _spread(fitted, len(classes))
    notes += spread
    if fitted != recipe:
        fitted, tuning = _tuned(fitted, len(classes))
        notes.append(tuning)
    first = (
        f"Recipe {recipe.name} was written for the classes {', '.join(recipe.written_for)}, the "
        f"data set has {', '.join(classes.names)}; for numbers of your own a class, give a recipe "
        "file whose written_for names those."
    )
    return fitted.but(written_for=classes.names), [first, *dict.fromkeys(notes)]


def _without_tuples(value: Any) -> tuple[Any, list[str]]:
    """A value, at any depth without numbers of single classes; sentences on those and on sizes.

    What holds none is handed back itself, not a copy.
    """
    if isinstance(value, tuple):
        pairs = [_without_tuples(each) for each in value]
        notes = [note for _, told in pairs for note in told]
        changed = any(new is not old for (new, _), old in zip(pairs, value, strict=True))
        return (tuple(new for new, _ in pairs) if changed else value), notes
    if not isinstance(value, Spec):
        return value, []
    changes, notes = {}, []
    for name in type(value).model_fields:
        old = getattr(value, name)
        neutral = NEUTRAL.get((type(value), name))
        field = f"{type(value).__name__}.{name}"
        new, told = _without_tuples(old) if neutral is None else _fallen(field, old, neutral)
        notes += told
        if new is not old:
            changes[name] = new
    return (value.but(**changes) if changes else value), notes


def _fallen(field: str, value: Any, neutral: Neutral) -> tuple[Any, list[str]]:
    """One value for all classes in the place of a setting's, and a sentence where that tells."""
    if isinstance(value, tuple):
        one = neutral.of(value)
        each = ", ".join(map(str, value))
        return one, [f"{field}, by class {each}, is {one} for every class ({neutral.why})."]
    if neutral.in_pixels and value:
        return value, [f"{field} is {value}, in pixels of the strips it was written for."]
    return value, []


class _Copy(NamedTuple):
    """Whence a network of a fitted recipe comes: which member it was, and which class it knows."""

    member: int
    class_id: int | None
    """None: all classes."""


def _spread(recipe: Recipe, classes: int) -> tuple[Recipe, list[str]]:
    """The recipe with its networks of single classes spread over so many; sentences on them."""
    copies = {name: _copies(recipe, name, classes) for name in recipe.named}
    names = iter(copies)
    notes: list[str] = []
    steps: list[Step] = []
    for step in recipe.steps:
        if isinstance(step, Classify | Segment):
            name = next(names)
            members = tuple(_member(recipe, name, copy, copies) for copy in copies[name])
            notes += _spread_told(recipe, name, members, copies[name])
            steps.append(step.but(ensemble=step.ensemble.but(members=members)))
        else:
            steps.append(step)
    return recipe.but(steps=tuple(steps)), notes


def _copies(recipe: Recipe, name: str, classes: int) -> list[_Copy]:
    """What the networks of a step come from: those of all classes first, then class by class.

    Networks that know some of the classes, not one, know all.
    """
    members = recipe.named[name].ensemble.members
    whole = [_Copy(at, None) for at, each in enumerate(members) if not _knows_one(each)]
    pattern = _pattern(recipe, name)
    return whole + [
        _Copy(at, class_id)
        for at, member in enumerate(members)
        if pattern is not None and member.classes == (pattern,)
        for class_id in range(1, classes + 1)
    ]


def _pattern(recipe: Recipe, name: str) -> int | None:
    """The class whose networks all others get: that of most folds, of most networks, the first.

    None where no network of a step is that of a single class.
    """
    single = [each for each in recipe.named[name].ensemble.members if _knows_one(each)]
    folds: dict[int, list[int]] = {}
    for member in single:
        for class_id in member.classes or ():
            folds.setdefault(class_id, []).extend(recipe.folds_of(member))
    rank = {class_id: (len(set(each)), len(each)) for class_id, each in folds.items()}
    return max(sorted(rank), key=rank.__getitem__, default=None)


def _knows_one(member: Member) -> bool:
    return member.classes is not None and len(member.classes) == 1


def _member(
    recipe: Recipe, name: str, copy: _Copy, copies: Mapping[str, Sequence[_Copy]]
) -> Member:
    """A network of a fitted recipe, from the member that it comes from."""
    members = recipe.named[name].ensemble.members
    member = members[copy.member]
    classes = None if copy.class_id is None else (copy.class_id,)
    alike = [each for each in members if _knows_one(each) and each.classes == member.classes]
    judged = {fold for each in alike for fold in recipe.folds_of(each)}
    # A class that no network judges in some fold would be missed in all of its strips.
    folds = None if classes and judged != set(recipe.folds.validation) else member.folds
    start = member.start
    if isinstance(start, EncoderOf):
        start = _lender(start, copy, copies[start.step]) if folds == member.folds else None
    return member.but(classes=classes, folds=folds, start=start)


def _lender(start: EncoderOf, copy: _Copy, lenders: Sequence[_Copy]) -> EncoderOf | None:
    """Where the network now stands that lends its encoder; None when it is there no more."""
    for class_id in (None, copy.class_id):
        sought = _Copy(start.member, class_id)
        if sought in lenders:
            return start.but(member=lenders.index(sought))
    return None


def _spread_told(
    recipe: Recipe, name: str, members: Sequence[Member], copies: Sequence[_Copy]
) -> list[str]:
    """Sentences on a step whose networks know other classes than before, or start otherwise."""
    before = recipe.named[name].ensemble.members
    pattern = _pattern(recipe, name)
    notes = []
    if pattern is not None:
        old, new = (sum(len(recipe.folds_of(each)) for each in all_) for all_ in (before, members))
        notes.append(
            f"Step {name}: every class gets the networks that class {pattern} had, those of other "
            f"single classes go ({new} networks, {old} as written)."
        )
    if any(member.classes is not None and not _knows_one(member) for member in before):
        notes.append(f"Step {name}: networks of some classes know all.")
    if any(
        member.start is None and before[copy.member].start is not None
        for member, copy in zip(members, copies, strict=True)
    ):
        notes.append(f"Step {name}: networks whose lender of an encoder went begin without it.")
    return notes


def _tuned(recipe: Recipe, classes: int) -> tuple[Recipe, str]:
    """The recipe with a search of its last rules, where that knows them, and a sentence on it."""
    if not _can_be_searched(recipe.rules, classes):
        kinds = ", ".join(rule.kind for rule in recipe.rules)
        return recipe, f"The rules {kinds} cannot be tuned: all numbers stand as said here."
    tune = recipe.tune or Tune()
    searched = {"label": tune.label, "pixel": tune.pixel, "area": tune.area}
    told = ", ".join(name for name, wanted in searched.items() if wanted) or "nothing"
    sentence = f"Tuned out-of-fold from there: {told} of the last rules; all else stands as it is."
    return recipe.but(tune=tune), sentence


def _can_be_searched(rules: Sequence[Rule], classes: int) -> bool:
    try:
        thresholds_of(rules, classes)
    except RecipeError:
        return False
    return True
