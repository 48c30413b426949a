"""What the networks of a run said, kept in its stores, and what is made of it. No torch here."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from steelscan.data import Dataset
from steelscan.pipeline.decide import Opened, Said, consult, decide
from steelscan.pipeline.recipe import Classify, Recipe, Segment
from steelscan.pipeline.run import RunFolder, tasks
from steelscan.postprocess import Rule
from steelscan.strip import Frame, Masks

if TYPE_CHECKING:
    from steelscan.prediction import ProbabilityStore

Stores: TypeAlias = "tuple[ProbabilityStore | None, ProbabilityStore | None]"
"""The answers of a step: of its heads for masks, and for classes."""


class StoredAnswers:
    """What the networks of a recipe said of strips, by the names of its steps."""

    def __init__(self, recipe: Recipe, dataset: Dataset, stores: Mapping[str, Stores]) -> None:
        self._recipe, self._dataset, self._stores = recipe, dataset, stores

    @classmethod
    def of_finished(cls, run: RunFolder, dataset: Dataset) -> Self:
        """Open the stores of a finished run, to read them only. Raises RunError."""
        from steelscan.prediction import ProbabilityStore

        recipe, round_ = run.load_recipe(), run.load_tuned().round

        def opened(folder: Path, frames: Sequence[Frame]) -> ProbabilityStore:
            return ProbabilityStore.to_read(folder, frames)

        stores: dict[str, Stores] = {}
        for name, step in recipe.named.items():
            places = store_folders(run, recipe, name, step, round_)
            masks, classes = places
            stores[name] = (
                None if masks is None else opened(masks, dataset.frames),
                None if classes is None else opened(classes, ()),
            )
        return cls(recipe, dataset, stores)

    def opened(self, row: int) -> Opened:
        """What the last rules of the recipe get to see of a strip."""
        said = partial(self._said, row)
        return consult(self._recipe, said, len(self._dataset.classes), self._dataset.frames[row])

    def masks(self, row: int, rules: Sequence[Rule]) -> Masks:
        """The masks that rules make of what was said of a strip."""
        return decide(self.opened(row), rules)

    def _said(self, row: int, name: str) -> Said:
        masks, classes = self._stores[name]
        return Said(
            None if masks is None else masks[row].astype(np.uint8, copy=False),
            None if classes is None else classes[row].astype(np.float32, copy=False),
        )


def store_folders(
    run: RunFolder, recipe: Recipe, name: str, step: Classify | Segment, round_: int
) -> tuple[Path | None, Path | None]:
    """Where what a step says is kept, of masks and of classes; None where it says nothing of them.

    Of a round in which none of its networks changed, it is that of the round before.
    """
    fitted = tasks(recipe, recipe.folds.validation, round_)
    last = max(task.round for task in fitted if task.step == name)
    if isinstance(step, Classify):
        return None, run.probabilities(name, last)
    masks = run.probabilities(name, last)
    return masks, run.probabilities(f"{name}-classes", last) if step.gate is not None else None
