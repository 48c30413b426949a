"""The strips that judge a run: what its networks say of them, which rules that suggests."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import numbers, with_numbers
from steelscan.decision.decide import decide
from steelscan.evaluation.metrics import Pairs, count_pixels
from steelscan.evaluation.tuning import count_levels, search_thresholds
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.networks import ask, load_models
from steelscan.pipeline.run_folder import Tuned
from steelscan.pipeline.stored import StepOutputs, Stores, store_folders
from steelscan.postprocess import Rule
from steelscan.prediction import ProbabilityStore
from steelscan.recipes import Classify, Segment
from steelscan.strip import Masks, track


class Answers(StepOutputs):
    """What the networks say of every strip that judges, kept in the run's stores."""

    def __init__(self, context: RunContext) -> None:
        """Ask the networks about each strip that has no answer yet."""
        stores = {name: _asked(context, name, step) for name, step in context.recipe.named.items()}
        super().__init__(context.recipe, context.dataset, stores)

    def masks(self, row: int, rules: Sequence[Rule]) -> Masks:
        """The masks that rules make of what was said of a strip."""
        return decide(self.opened(row), rules)


def suspicion(context: RunContext, strips: int) -> NDArray[np.float32]:
    """What the first classifier says out-of-fold, float32 ``(strips, classes)``.

    Strips that no network judges are not suspected of anything, nor are those, up to so many
    ``strips``, that stand after those of the data set.
    """
    _, said = _asked(context, "classify", context.recipe.named["classify"])
    assert said is not None
    found = np.zeros((strips, context.classes), np.float32)
    for _, rows in context.judged_by:
        for row in rows.tolist():
            found[row] = said[row]
    return found


def _asked(context: RunContext, name: str, step: Classify | Segment) -> Stores:
    """The stores of a step, after its networks were asked about each strip that is not in them."""
    folders = store_folders(context.run, context.recipe, name, step, context.round)
    masks, classes = (
        None if folder is None else ProbabilityStore(folder, *_shape(context), frames)
        for folder, frames in zip(folders, (context.dataset.frames, ()), strict=True)
    )
    stores = [store for store in (masks, classes) if store is not None]
    for folds, rows in context.judged_by:
        missing = [int(row) for row in rows if any(row not in store for store in stores)]
        if not missing:
            continue
        fitted = context.tasks(name, folds)
        models = load_models(context.run, fitted, context.classes, context.accelerator.device)
        for row in track(missing, f"Asking step {name}", len(missing)):
            said = ask(step, models, context.dataset.picture(row), context.classes)
            if masks is not None and said.levels is not None:
                masks[row] = said.levels
            if classes is not None and said.classes is not None:
                classes[row] = said.classes
    return masks, classes


def _shape(context: RunContext) -> tuple[int, int]:
    return len(context.dataset), context.classes


def tune(context: RunContext, answers: Answers) -> Tuned:
    """The last rules of the recipe, with the numbers that judge best where it says so.

    Judged out-of-fold, after all gates. Rules before `KeepPresent` are not searched.
    """
    rules, wanted = context.recipe.rules, context.recipe.tune
    if wanted is None:
        return Tuned(rules=rules, round=context.round)
    rows = context.rows(*context.recipe.folds.validation).tolist()
    counted = [
        count_levels(answers.opened(row).levels, context.dataset.masks(row))
        for row in track(rows, "Searching thresholds", len(rows))
    ]
    found = search_thresholds(np.stack(counted), numbers(rules, context.classes), wanted)
    return Tuned(rules=with_numbers(found), search=found, round=context.round)


def pairs_of(
    context: RunContext, answers: Answers, rules: Sequence[Rule], rows: NDArray[np.int64]
) -> Pairs:
    """Count predicted, true and shared pixels of some strips."""
    return Pairs.of(list(_counted(context, answers, rules, rows.tolist())))


def _counted(
    context: RunContext, answers: Answers, rules: Sequence[Rule], rows: Sequence[int]
) -> Iterator[NDArray[np.int64]]:
    for row in track(rows, "Scoring", len(rows)):
        yield count_pixels(answers.masks(row, rules), context.dataset.masks(row))
