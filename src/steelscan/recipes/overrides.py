"""Change a few values of a recipe from the command line, as KEY=VALUE. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from math import lcm
from typing import Any

from pydantic import ValidationError

from steelscan.data import Folds
from steelscan.models import Network, TwoHeaded
from steelscan.prediction import EncoderFittedFor, Member
from steelscan.recipes.changes import labels, line, members_of
from steelscan.recipes.files import reason_of
from steelscan.recipes.spec import Recipe
from steelscan.strip.errors import RecipeError
from steelscan.training import Plateau, Training


def with_overrides(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return the recipe with some values replaced, one after another.

    Each setting is ``KEY=VALUE``, ``STEP.KEY=VALUE`` or ``STEP.MEMBER.KEY=VALUE``: for the whole
    recipe, or for the members of one step. Keys:

    - ``epochs``: of every training stage.
    - ``batch``: of every stage. Further passes keep their ratio to it; an accumulated batch stays,
      rounded down to whole batches, at least one.
    - ``encoder``: of every network, also of those that are fitted only for their encoder.
    - ``folds``: how many validation folds there are, the first ones that are not held out; only
      for the whole recipe.
    - ``lr``: of the first stage of each member. All its other rates (of further stages, of
      encoders, the lowest one of a plateau schedule) keep their ratio to it.

    ``changes`` of the result describe each. Raises RecipeError, naming the setting.
    """
    for setting in settings:
        recipe = _with_override(recipe, setting)
    return recipe


def _with_override(recipe: Recipe, setting: str) -> Recipe:
    where = f"--set {setting}"
    key, equals, text = setting.rpartition("=")
    scope, _, name = key.rpartition(".")
    if not equals or not text:
        raise RecipeError(where, "has no value", "Write KEY=VALUE, for example epochs=20")
    if name == _FOLDS and scope:
        raise RecipeError(where, "is for a part; all of a recipe has the same folds", "Use folds=N")
    if name == _FOLDS:
        return _with_folds(recipe, _converted(text, int, where), where)
    if name not in _KEYS:
        found = f"has the unknown key {name!r}; there are {', '.join((*_KEYS, _FOLDS))}"
        raise RecipeError(where, found, "Change other values in a recipe file (steelscan show)")
    topic, convert, change = _KEYS[name]
    chosen = _chosen(recipe, scope, where)
    value = _converted(text, convert, where)
    try:
        members = {
            step: [
                change(member, value) if member.name in names else member
                for member in recipe.named[step].ensemble.members
            ]
            for step, names in chosen.items()
        }
        changed = recipe.with_members(members)
    except ValidationError as error:
        remedy = "Give another value"
        if name == "encoder" and scope:
            remedy += ", or set the encoder of the whole recipe"
        raise RecipeError(where, reason_of(error)[1], remedy) from None
    sentence = line("", zip(labels(topic, recipe), labels(topic, changed), strict=True))
    if not sentence:
        return recipe
    return changed.but(changes=(*recipe.changes, f"Set {key}:{sentence}."))


def _with_folds(recipe: Recipe, count: int, where: str) -> Recipe:
    """Return the recipe with so many validation folds. Raises RecipeError if it cannot have them.

    Every member must be fitted for all validation folds, and is then fitted for all new ones.
    """
    folds, members = recipe.folds, list(members_of(recipe))
    if not isinstance(folds, Folds):
        found = "is not possible: the validation strips of this recipe are those most like the test"
        raise RecipeError(where, found, "Leave it out")
    free = [fold for fold in range(folds.count) if fold not in folds.holdout]
    if not 1 <= count <= len(free):
        held = f", and holds {len(folds.holdout)} of them out" if folds.holdout else ""
        found = f"is not possible: the recipe has {folds.count} folds{held}"
        raise RecipeError(where, found, f"Give a number from 1 to {len(free)}")
    for member in members:
        own = recipe.folds_of(member)
        if set(own) != set(folds.validation):
            numbers = ", ".join(map(str, own))
            found = f"is not possible: network {member.name} is fitted for fold {numbers} alone"
            raise RecipeError(where, found, "Change the folds in a recipe file (steelscan show)")
    if count == 1 and any(member.needs_class_probabilities for member in members):
        found = "is too few: networks train on class probabilities that need a second fold"
        raise RecipeError(where, found, "Give 2 or more")
    changed = recipe.with_members(
        {
            name: [member.but(folds=None) for member in step.ensemble.members]
            for name, step in recipe.named.items()
        },
        folds=folds.but(validation=tuple(free[:count])),
    )
    topic = "validation folds"
    sentence = line(topic, zip(labels(topic, recipe), labels(topic, changed), strict=True))
    if not sentence:
        return recipe
    return changed.but(changes=(*recipe.changes, f"Set folds: {sentence}."))


def _converted(text: str, convert: Callable[[str], Any], where: str) -> Any:
    """Return the value of a text. Raises RecipeError if it is not a number of the key's kind."""
    try:
        if convert is str or text.isascii():
            return convert(text)
    except ValueError:
        pass
    kind = "a whole number" if convert is int else "a number"
    raise RecipeError(where, f"{text!r} is not {kind}", "Give another value")


def _chosen(recipe: Recipe, scope: str, where: str) -> Mapping[str, Sequence[str]]:
    """Return the names of the chosen members of each chosen step."""
    members = {
        name: [member.name for member in step.ensemble.members]
        for name, step in recipe.named.items()
    }
    if not scope:
        return members
    step, dot, member = scope.partition(".")
    if step not in members:
        found = f"names the step {step!r}; the recipe has {', '.join(members)}"
        raise RecipeError(where, found, "Use one of them, as in segment.epochs=20")
    if dot and member not in members[step]:
        found = f"names the member {member!r}; {step} has {', '.join(members[step])}"
        raise RecipeError(where, found, f"Use one of them, or {step} alone for all")
    return {step: [member] if dot else members[step]}


def _each_stage(member: Member, change: Callable[[Training], Training]) -> Member:
    start = member.start
    if isinstance(start, EncoderFittedFor):
        start = start.but(stages=tuple(map(change, start.stages)))
    return member.but(stages=tuple(map(change, member.stages)), start=start)


def _with_epochs(member: Member, epochs: int) -> Member:
    return _each_stage(member, lambda stage: stage.but(epochs=epochs))


def _with_batch(member: Member, batch: int) -> Member:
    def changed(stage: Training) -> Training:
        passes = tuple(
            each.but(batch=max(1, round(each.batch * batch / stage.batch)))
            for each in stage.extra_passes
        )
        per_step = stage.accumulate_to
        if per_step is not None:
            whole = max(1, lcm(batch, *(each.batch for each in passes)))
            per_step = max(1, per_step // whole) * whole
        return stage.but(batch=batch, extra_passes=passes, accumulate_to=per_step)

    return _each_stage(member, changed)


def _with_encoder(member: Member, encoder: str) -> Member:
    def changed(network: Network) -> Network:
        if isinstance(network, TwoHeaded):
            return network.but(segmenter=network.segmenter.but(encoder=encoder))
        return network.but(encoder=encoder)

    start = member.start
    if isinstance(start, EncoderFittedFor):
        start = start.but(network=changed(start.network))
    return member.but(network=changed(member.network), start=start)


def _with_lr(member: Member, lr: float) -> Member:
    first = member.stages[0].optimizer.lr

    def scaled(rate: float) -> float:
        return float(f"{rate * (lr / first):.12g}")  # without the rounding errors of the ratio

    def changed(stage: Training) -> Training:
        rates, schedule = stage.optimizer, stage.schedule
        encoder = None if rates.encoder_lr is None else scaled(rates.encoder_lr)
        if isinstance(schedule, Plateau):
            schedule = schedule.but(min_lr=scaled(schedule.min_lr))
        optimizer = rates.but(lr=scaled(rates.lr), encoder_lr=encoder)
        return stage.but(optimizer=optimizer, schedule=schedule)

    return _each_stage(member, changed)


_FOLDS = "folds"
"""The key of the validation folds, which no part has for itself."""

_KEYS: Mapping[str, tuple[str, Callable[[str], Any], Callable[[Member, Any], Member]]] = {
    "epochs": ("epochs", int, _with_epochs),
    "batch": ("batch", int, _with_batch),
    "encoder": ("encoder", str, _with_encoder),
    "lr": ("learning rate", float, _with_lr),
}
"""Per key: its topic in `changes`, how its text is converted, and what it changes in a member."""
