"""The networks that a recipe fits, in the order of fitting."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from steelscan.prediction import EncoderOf, Member
from steelscan.recipes import Recipe


@dataclass(frozen=True)
class Task:
    """One network to fit: a member of a step, the fold that validates it, and the round.

    ``step`` is the name of its step in `Recipe.named`; ``round`` is that of the pseudo-labels that
    it is trained on, 0 for none.
    """

    step: str
    number: int
    member: Member
    fold: int
    round: int = 0

    @property
    def label(self) -> str:
        """Its name in progress lines and reports."""
        label = f"{self.step} {self.member.name}, fold {self.fold}"
        return f"{label}, round {self.round}" if self.round else label


def tasks(recipe: Recipe, folds: Sequence[int], round_: int = 0) -> list[Task]:
    """Return every network of a recipe in a round, for these folds, in the order of fitting.

    Those that give others their encoder come first. A network that is not trained on pseudo-labels
    is that of round 0.
    """
    unsorted = [
        Task(name, number, member, fold, round_ if recipe.trains_on_pseudo_labels(member) else 0)
        for name, step in recipe.named.items()
        for number, member in enumerate(step.ensemble.members)
        for fold in folds
        if member.folds is None or fold in member.folds
    ]
    return sorted(unsorted, key=lambda task: _waits(task.member))


def fitted_before(recipe: Recipe, task: Task) -> tuple[str, ...]:
    """Return the steps before a task's own whose networks are all fitted when it is."""
    earlier = takewhile(lambda named: named[0] != task.step, recipe.named.items())
    waits = _waits(task.member)
    return tuple(
        name for name, step in earlier if waits or not any(map(_waits, step.ensemble.members))
    )


def steps_needed(recipe: Recipe, task: Task) -> list[str]:
    """Return the steps whose out-of-fold outputs a task needs: to validate, or to choose strips."""
    steps = set(fitted_before(recipe, task))
    if task.member.needs_class_probabilities:
        steps.add("classify")
    return [name for name in recipe.named if name in steps]


def encoder_source(recipe: Recipe, task: Task, round_: int) -> Task | None:
    """Return the task of the network whose encoder a task's own starts with; None without one."""
    start = task.member.start
    if not isinstance(start, EncoderOf):
        return None
    (source,) = (
        other
        for other in tasks(recipe, (task.fold,), round_)
        if (other.step, other.member.name) == (start.step, start.member)
    )
    return source


def tasks_needed(recipe: Recipe, task: Task, round_: int) -> list[Task]:
    """Return the tasks that must be done before a task of a round can begin.

    Those of the network that gives its encoder, and of all networks of `steps_needed`.
    """
    source, steps = encoder_source(recipe, task, round_), steps_needed(recipe, task)
    every = tasks(recipe, recipe.folds.validation, round_)
    return [other for other in every if other == source or other.step in steps]


def _waits(member: Member) -> bool:
    """Return whether a member is fitted after the others, because it starts from one of them."""
    return isinstance(member.start, EncoderOf)
