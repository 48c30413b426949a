"""What the networks of a run said of the strips that judge it, as its folder keeps it. No torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, read_folds
from steelscan.pipeline.decide import Opened, Said, consult, decide, weighed
from steelscan.pipeline.recipe import Classify, Recipe, Segment
from steelscan.pipeline.run import RunFolder, tasks
from steelscan.prediction import ProbabilityStore
from steelscan.strip import Frame, Masks, RunError

Stores: TypeAlias = tuple[ProbabilityStore | None, ProbabilityStore | None]
"""The answers of a step: of its heads for masks, and for classes."""


class KeptAnswers:
    """What is kept of the answers of each step, by its name, and what they come to."""

    def __init__(self, recipe: Recipe, dataset: Dataset, stores: Mapping[str, Stores]) -> None:
        self._recipe, self._dataset, self._stores = recipe, dataset, stores

    def opened(self, row: int) -> Opened:
        """What the last rules of the recipe get to see of a strip."""

        def said(name: str, _: object) -> Said:
            return self._said(row, name)

        return consult(self._recipe, said, len(self._dataset.classes), self._dataset.frames[row])

    def said(self, row: int, name: str) -> Said:
        """What the networks of a step, by its name, say of a strip."""
        return self._said(row, name)

    def _said(self, row: int, name: str) -> Said:
        masks, classes = self._stores[name]
        return Said(
            None if masks is None else masks[row].astype(np.uint8, copy=False),
            None if classes is None else classes[row].astype(np.float32, copy=False),
        )


class StoredAnswers(KeptAnswers):
    """Probabilities and decisions for strips that the networks asked were not fitted on."""

    def __init__(self, run: RunFolder, dataset: Dataset) -> None:
        """Open a run of this data set, to read it only.

        Raises RunError when the folder is no run, not finished, without its probabilities, or of
        another data set.
        """
        record, recipe, self._tuned = run.load_record(), run.load_recipe(), run.load_tuned()
        if record.fingerprint != dataset.fingerprint:
            found = "was made from other data, or from these with other labels"
            raise RunError(run.path, found, "Name the data set that it was trained on")
        stores: dict[str, Stores] = {}
        for name, step in recipe.named.items():
            masks, classes = store_folders(run, recipe, name, step, self._tuned.round)
            stores[name] = (
                None if masks is None else _to_read(run, name, masks, dataset.frames),
                None if classes is None else _to_read(run, name, classes, ()),
            )
        super().__init__(recipe, dataset, stores)
        folds = read_folds(run.folds, dataset.names)
        judging = (*recipe.folds.holdout, *recipe.folds.validation)
        every = [store for pair in stores.values() for store in pair if store is not None]
        rows = [
            row
            for row in np.flatnonzero(np.isin(folds, judging)).tolist()
            if all(row in store for store in every)
        ]
        self.rows: NDArray[np.int64] = np.array(rows, np.int64)
        """The strips that were judged, int64, by their places in the data set."""

    def levels(self, row: int) -> NDArray[np.uint8]:
        """Probabilities of pixels as 255ths before any strip is cleared, by the last segmenters.

        uint8 ``(classes, height, width)``.
        """
        name, step = self._recipe.rounds[-1].segment
        return weighed(step, self._said(row, name))

    def masks(self, row: int) -> Masks:
        """What the run decided, bool ``(classes, height, width)``."""
        return decide(self.opened(row), self._tuned.rules)


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


def _to_read(run: RunFolder, step: str, folder: Path, frames: Sequence[Frame]) -> ProbabilityStore:
    if not (folder / "levels.zarr" / "zarr.json").exists():
        found = f"holds no probabilities of the step {step}"
        raise RunError(run.path, found, "Give the same train command again: it asks anew")
    return ProbabilityStore.to_read(folder, frames)
