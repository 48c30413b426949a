"""What a finished run said of the strips that it judged, read from its folder. No torch here."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, read_folds
from steelscan.pipeline.decide import Said, consult, decide, weighed
from steelscan.pipeline.recipe import Segment
from steelscan.pipeline.run import RunFolder, tasks
from steelscan.prediction import ProbabilityStore
from steelscan.strip import Frame, Masks, RunError


class StoredAnswers:
    """Probabilities and decisions for strips that the networks asked were not fitted on."""

    def __init__(self, run: RunFolder, dataset: Dataset) -> None:
        """Open a run of this data set.

        Raises RunError when the folder is no run, not finished, without its probabilities, or of
        another data set.
        """
        record, self._recipe, self._tuned = run.load_record(), run.load_recipe(), run.load_tuned()
        if record.fingerprint != dataset.fingerprint:
            found = "was made from other data, or from these with other labels"
            raise RunError(run.path, found, "Name the data set that it was trained on")
        self._dataset = dataset
        self._masks: dict[str, ProbabilityStore] = {}
        self._classes: dict[str, ProbabilityStore] = {}
        for name, step in self._recipe.named.items():
            if isinstance(step, Segment):
                self._masks[name] = self._open(run, name, name, dataset.frames)
                if step.gate is not None:
                    self._classes[name] = self._open(run, name, f"{name}-classes", ())
            else:
                self._classes[name] = self._open(run, name, name, ())
        folds = read_folds(run.folds, dataset.names)
        judging = (*self._recipe.folds.holdout, *self._recipe.folds.validation)
        stores = [*self._masks.values(), *self._classes.values()]
        rows = [
            row
            for row in np.flatnonzero(np.isin(folds, judging)).tolist()
            if all(row in store for store in stores)
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
        classes, frame = len(self._dataset.classes), self._dataset.frames[row]
        opened = consult(self._recipe, partial(self._said, row), classes, frame)
        return decide(opened, self._tuned.rules)

    def _said(self, row: int, name: str) -> Said:
        masks, classes = self._masks.get(name), self._classes.get(name)
        return Said(
            None if masks is None else masks[row].astype(np.uint8, copy=False),
            None if classes is None else classes[row].astype(np.float32, copy=False),
        )

    def _open(
        self, run: RunFolder, step: str, name: str, frames: tuple[Frame, ...]
    ) -> ProbabilityStore:
        validation = self._recipe.folds.validation
        fitted = tasks(self._recipe, validation, self._tuned.round)
        last = max(task.round for task in fitted if task.step == step)
        folder = run.probabilities(name, last)
        if not (folder / "levels.zarr" / "zarr.json").exists():
            found = f"holds no probabilities of the step {step}"
            raise RunError(run.path, found, "Give the same train command again: it asks anew")
        strips = len(self._dataset)
        return ProbabilityStore(folder, strips, len(self._dataset.classes), frames)
