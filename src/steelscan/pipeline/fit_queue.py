"""What a round fits and predicts, in which order, and at the same time. No torch here.

The order, and how many fits share the cores, depend only on the recipe and the number of jobs,
never on how long a fit takes or which fits are done: a run that was stopped ends with the same
numbers.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from steelscan.pipeline.fit_tasks import Task, steps_needed, tasks_needed
from steelscan.recipes import Recipe


@dataclass(frozen=True)
class CoreShare:
    """What one fit has of the ``cores``, which ``fits`` at the same time share."""

    cores: int
    fits: int = 1

    @property
    def threads(self) -> int:
        """The threads of the fit, at least 1."""
        return max(1, self.cores // self.fits)


def waves(recipe: Recipe, tasks: Sequence[Task], jobs: int) -> list[list[Task]]:
    """Return the tasks of a round in groups of at most ``jobs``, in the order of fitting.

    No task of a group needs one of the same group or of a later one.
    """
    needed = _labels_needed(recipe, tasks)
    left, order = list(tasks), list[list[Task]]()
    while left:
        labels = {task.label for task in left}
        wave = [task for task in left if needed[task.label].isdisjoint(labels)][:jobs]
        assert wave, f"networks of {recipe.name} wait for each other"
        order.append(wave)
        done = {task.label for task in wave}
        left = [task for task in left if task.label not in done]
    return order


def _labels_needed(recipe: Recipe, tasks: Sequence[Task]) -> dict[str, set[str]]:
    """Return the labels of all tasks that each of the tasks of a round needs, by its label."""
    return {
        task.label: {needed.label for needed in tasks_needed(recipe, task, task.round)}
        for task in tasks
    }


@dataclass(frozen=True)
class Prediction:
    """The out-of-fold outputs of a step: computed once, before the fits that read them."""

    step: str

    @property
    def label(self) -> str:
        """Its name in progress lines."""
        return f"predictions of {self.step}"


Work: TypeAlias = Task | Prediction


class FitQueue:
    """The graph of a round: what is to be done, what is being done, and what needs what.

    With ``jobs`` at most so many fits share the ``cores`` at the same time; with None, each fit has
    so many cores, and something else limits how many run. ``steps`` are predicted in any case,
    others if a fit reads them.
    """

    def __init__(
        self,
        recipe: Recipe,
        tasks: Sequence[Task],
        jobs: int | None,
        cores: int,
        steps: Iterable[str] = (),
    ) -> None:
        self._needed = _labels_needed(recipe, tasks)
        reads = {task.label: steps_needed(recipe, task) for task in tasks}
        predicted = {*steps, *(step for names in reads.values() for step in names)}
        for label, names in reads.items():
            self._needed[label] |= {Prediction(step).label for step in names}
        self._waiting: dict[str, tuple[Work, CoreShare, Fraction]] = {}
        for step in filter(predicted.__contains__, recipe.named):
            work = Prediction(step)
            self._needed[work.label] = {task.label for task in tasks if task.step == step}
            self._waiting[work.label] = work, CoreShare(cores), Fraction(0)
        for group in waves(recipe, tasks, jobs or len(tasks)):
            for task in group:
                share = CoreShare(cores, len(group) if jobs else 1)
                self._waiting[task.label] = task, share, Fraction(1 if jobs else 0, share.fits)
        self._order = list(self._waiting)
        self._running: dict[str, tuple[Work, CoreShare, Fraction]] = {}
        self._undone = set(self._waiting)

    def __bool__(self) -> bool:
        """Return whether there is something to do that does not need what has failed."""
        return bool(self._waiting or self._running)

    @property
    def running(self) -> int:
        """How many works are being done."""
        return len(self._running)

    def take(self, skip: Collection[str] = ()) -> tuple[Work, CoreShare] | None:
        """Return what can begin next, and its share of the cores; None if nothing can.

        All that it needs is done, the fits that run leave its share free, and its label is not in
        ``skip``.
        """
        for label in self._order:
            if label not in self._waiting or label in skip:
                continue
            if not self._needed[label].isdisjoint(self._undone):
                continue
            work, share, part = self._waiting[label]
            if sum(taken for *_, taken in self._running.values()) + part > 1:
                return None  # later tasks do not overtake one that needs more cores
            self._running[label] = self._waiting.pop(label)
            return work, share
        return None

    def done(self, work: Work) -> None:
        """Record that something is done."""
        del self._running[work.label]
        self._undone.remove(work.label)

    def again(self, work: Work) -> None:
        """Record that something is to be done again, or later."""
        self._waiting[work.label] = self._running.pop(work.label)

    def failed(self, work: Work) -> None:
        """Record that something cannot be done; all that needs it is left out."""
        del self._running[work.label]
        lost = {work.label}
        while more := {
            label for label in self._waiting if not lost.isdisjoint(self._needed[label])
        }:
            lost |= more
            for label in more:
                del self._waiting[label]
