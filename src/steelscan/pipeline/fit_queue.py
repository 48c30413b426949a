"""Which networks of a round are fitted at the same time, and in which order. No torch here.

The order, and how many fits share the cores, depend only on the recipe and the number of jobs,
never on how long a fit takes or which fits are done: a run that was stopped ends with the same
numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from steelscan.pipeline.fit_tasks import Task, tasks_needed
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


def _labels_needed(recipe: Recipe, tasks: Sequence[Task]) -> Mapping[str, set[str]]:
    """Return the labels of all tasks that each of the tasks of a round needs, by its label."""
    return {
        task.label: {needed.label for needed in tasks_needed(recipe, task, task.round)}
        for task in tasks
    }


class FitQueue:
    """The tasks of a round that are to be done, and those that are being done."""

    def __init__(self, recipe: Recipe, tasks: Sequence[Task], jobs: int, cores: int) -> None:
        groups = waves(recipe, tasks, jobs)
        self._needed = _labels_needed(recipe, tasks)
        self._waiting = [(task, CoreShare(cores, len(group))) for group in groups for task in group]
        self._running: dict[str, Fraction] = {}
        self._undone = {task.label for task in tasks}

    def __bool__(self) -> bool:
        """Return whether a task is not done."""
        return bool(self._undone)

    def take(self) -> tuple[Task, CoreShare] | None:
        """Return the next task that can begin now, and its share of the cores; None if none can.

        All tasks that it needs are done, and the fits that run leave its share free.
        """
        for position, (task, share) in enumerate(self._waiting):
            if not self._needed[task.label].isdisjoint(self._undone):
                continue
            own = Fraction(1, share.fits)
            if sum(self._running.values()) + own > 1:
                return None  # later tasks do not overtake one that needs more cores
            del self._waiting[position]
            self._running[task.label] = own
            return task, share
        return None

    def done(self, task: Task) -> None:
        """Record that a task is done."""
        del self._running[task.label]
        self._undone.remove(task.label)
