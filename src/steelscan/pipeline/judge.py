"""The strips that judge a run: what its networks say of them, which rules that suggests."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation import Pairs, count_levels, count_pixels, search_thresholds
from steelscan.pipeline.decide import decide, gated, numbers, passing, with_numbers
from steelscan.pipeline.fitted import load_voters
from steelscan.pipeline.plan import Plan
from steelscan.pipeline.recipe import Classify, Segment
from steelscan.pipeline.run import Tuned
from steelscan.postprocess import Rule
from steelscan.prediction import ProbabilityStore, predict_classes, predict_masks, to_levels
from steelscan.strip import Masks, track


class Answers:
    """What the networks say of every strip that judges, kept in the run's stores."""

    def __init__(self, plan: Plan) -> None:
        """Ask the networks about each strip that has no answer yet."""
        self._plan = plan
        recipe = plan.recipe
        self._classes = self._asked(recipe.classify) if recipe.classify else None
        self._masks = self._asked(recipe.segment)

    def passing(self, row: int) -> NDArray[np.bool_]:
        """The classes that may be outlined on a strip, bool ``(classes,)``."""
        said = np.zeros(self._plan.classes) if self._classes is None else self._classes[row]
        return passing(self._plan.recipe.classify, said.astype(np.float32))

    def levels(self, row: int) -> NDArray[np.uint8]:
        """The mask probabilities of a strip, uint8 ``(classes, height, width)``."""
        return self._masks[row].astype(np.uint8, copy=False)

    def masks(self, row: int, rules: Sequence[Rule]) -> Masks:
        """The masks that rules make of what was said of a strip."""
        return decide(self.levels(row), self.passing(row), rules)

    def _asked(self, step: Classify | Segment) -> ProbabilityStore:
        plan = self._plan
        outlines = isinstance(step, Segment)
        store = ProbabilityStore(
            plan.run.probabilities(step.kind),
            len(plan.dataset),
            plan.classes,
            plan.dataset.frames if outlines else (),
        )
        views = step.ensemble.views
        for folds, rows in plan.judged_by:
            missing = [int(row) for row in rows if row not in store]
            if not missing:
                continue
            voters = load_voters(plan.run, step, folds, plan.classes, plan.accelerator.device)
            for row in track(missing, f"Asking step {step.kind}", len(missing)):
                picture = plan.dataset.picture(row)
                if outlines:
                    store[row] = to_levels(predict_masks(voters, views, picture))
                else:
                    store[row] = predict_classes(voters, views, picture)
        return store


def tune(plan: Plan, answers: Answers) -> Tuned:
    """The rules of the recipe, with the numbers that judge best out-of-fold where it says so."""
    rules, wanted = plan.recipe.rules, plan.recipe.tune
    if wanted is None:
        return Tuned(rules=rules)
    rows = plan.rows(*plan.recipe.folds.validation).tolist()
    counted = [
        count_levels(gated(answers.levels(row), answers.passing(row)), plan.dataset.masks(row))
        for row in track(rows, "Searching thresholds", len(rows))
    ]
    found = search_thresholds(np.stack(counted), numbers(rules, plan.classes), wanted)
    return Tuned(rules=with_numbers(found), search=found)


def pairs_of(plan: Plan, answers: Answers, rules: Sequence[Rule], rows: NDArray[np.int64]) -> Pairs:
    """Count predicted, true and shared pixels of some strips."""
    return Pairs.of(list(_counted(plan, answers, rules, rows.tolist())))


def _counted(
    plan: Plan, answers: Answers, rules: Sequence[Rule], rows: Sequence[int]
) -> Iterator[NDArray[np.int64]]:
    for row in track(rows, "Scoring", len(rows)):
        yield count_pixels(answers.masks(row, rules), plan.dataset.masks(row))
