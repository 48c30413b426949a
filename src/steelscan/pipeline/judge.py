"""The strips that judge a run: what its networks say of them, which rules that suggests."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation import Pairs, count_levels, count_pixels, search_thresholds
from steelscan.pipeline.decide import Opened, Said, consult, decide, numbers, with_numbers
from steelscan.pipeline.fitted import ask, load_voters
from steelscan.pipeline.plan import Plan
from steelscan.pipeline.recipe import Classify, Segment
from steelscan.pipeline.run import Tuned
from steelscan.postprocess import Rule
from steelscan.prediction import ProbabilityStore
from steelscan.strip import Frame, Masks, track

_Stores: TypeAlias = tuple[ProbabilityStore | None, ProbabilityStore | None]
"""The answers of a step: of its heads for masks, and for classes."""


class Answers:
    """What the networks say of every strip that judges, kept in the run's stores."""

    def __init__(self, plan: Plan) -> None:
        """Ask the networks about each strip that has no answer yet."""
        self._plan = plan
        self._stores = {name: _asked(plan, name, step) for name, step in plan.recipe.named.items()}

    def opened(self, row: int) -> Opened:
        """What the last rules of the recipe get to see of a strip."""
        plan = self._plan
        said = partial(self._said, row)
        return consult(plan.recipe, said, plan.classes, plan.dataset.frames[row])

    def masks(self, row: int, rules: Sequence[Rule]) -> Masks:
        """The masks that rules make of what was said of a strip."""
        return decide(self.opened(row), rules)

    def _said(self, row: int, name: str) -> Said:
        masks, classes = self._stores[name]
        return Said(
            None if masks is None else masks[row].astype(np.uint8, copy=False),
            None if classes is None else classes[row].astype(np.float32, copy=False),
        )


def suspicion(plan: Plan, strips: int) -> NDArray[np.float32]:
    """What the first classifier says out-of-fold, float32 ``(strips, classes)``.

    Strips that no network judges are not suspected of anything, nor are those, up to so many
    ``strips``, that stand after those of the data set.
    """
    _, said = _asked(plan, "classify", plan.recipe.named["classify"])
    assert said is not None
    found = np.zeros((strips, plan.classes), np.float32)
    for _, rows in plan.judged_by:
        for row in rows.tolist():
            found[row] = said[row]
    return found


def _asked(plan: Plan, name: str, step: Classify | Segment) -> _Stores:
    """The stores of a step, after its networks were asked about each strip that is not in them."""
    masks = _store(plan, name, name, plan.dataset.frames) if isinstance(step, Segment) else None
    classes = None
    if isinstance(step, Classify):
        classes = _store(plan, name, name, ())
    elif step.gate is not None:
        classes = _store(plan, name, f"{name}-classes", ())
    stores = [store for store in (masks, classes) if store is not None]
    for folds, rows in plan.judged_by:
        missing = [int(row) for row in rows if any(row not in store for store in stores)]
        if not missing:
            continue
        fitted = plan.tasks(name, folds)
        voters = load_voters(plan.run, fitted, plan.classes, plan.accelerator.device)
        for row in track(missing, f"Asking step {name}", len(missing)):
            said = ask(step, voters, plan.dataset.picture(row), plan.classes)
            if masks is not None and said.levels is not None:
                masks[row] = said.levels
            if classes is not None and said.classes is not None:
                classes[row] = said.classes
    return masks, classes


def _store(plan: Plan, step: str, name: str, frames: Sequence[Frame]) -> ProbabilityStore:
    """A store of what a step says; that of an earlier round where no network has changed since."""
    last = max(task.round for task in plan.tasks(step, plan.recipe.folds.validation))
    folder = plan.run.probabilities(name, last)
    return ProbabilityStore(folder, len(plan.dataset), plan.classes, frames)


def tune(plan: Plan, answers: Answers) -> Tuned:
    """The last rules of the recipe, with the numbers that judge best where it says so.

    Judged out-of-fold, after all gates. Rules before `KeepFound` are not searched.
    """
    rules, wanted = plan.recipe.rules, plan.recipe.tune
    if wanted is None:
        return Tuned(rules=rules, round=plan.round)
    rows = plan.rows(*plan.recipe.folds.validation).tolist()
    counted = [
        count_levels(answers.opened(row).levels, plan.dataset.masks(row))
        for row in track(rows, "Searching thresholds", len(rows))
    ]
    found = search_thresholds(np.stack(counted), numbers(rules, plan.classes), wanted)
    return Tuned(rules=with_numbers(found), search=found, round=plan.round)


def pairs_of(plan: Plan, answers: Answers, rules: Sequence[Rule], rows: NDArray[np.int64]) -> Pairs:
    """Count predicted, true and shared pixels of some strips."""
    return Pairs.of(list(_counted(plan, answers, rules, rows.tolist())))


def _counted(
    plan: Plan, answers: Answers, rules: Sequence[Rule], rows: Sequence[int]
) -> Iterator[NDArray[np.int64]]:
    for row in track(rows, "Scoring", len(rows)):
        yield count_pixels(answers.masks(row, rules), plan.dataset.masks(row))
