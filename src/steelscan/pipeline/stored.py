"""What the networks of a run said of the strips that judge it, as its folder keeps it. No torch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.decision import (
    Ask,
    RuleInput,
    StepOutput,
    class_scores,
    class_words,
    consult,
    weighed,
)
from steelscan.decision.decide import decide
from steelscan.pipeline.fit_tasks import tasks
from steelscan.pipeline.pixel_counts import Evaluated, read_evaluated
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.run_record import RunRecord
from steelscan.prediction import ProbabilityStore
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import Frame, Masks, RunError

Stores: TypeAlias = tuple[ProbabilityStore | None, ProbabilityStore | None]
"""The answers of a step: of its heads for masks, and for classes."""


class StepOutputs:
    """What is kept of the answers of each step, by its name, and what they come to."""

    def __init__(self, recipe: Recipe, dataset: Dataset, stores: Mapping[str, Stores]) -> None:
        self._recipe, self._dataset, self._stores = recipe, dataset, stores

    def opened(self, row: int) -> RuleInput:
        """What the last rules of the recipe get to see of a strip."""

        def said(name: str, _: object) -> StepOutput:
            return self._said(row, name)

        return consult(self._recipe, said, len(self._dataset.classes), self._dataset.frames[row])

    def said(self, row: int, name: str) -> StepOutput:
        """What the networks of a step, by its name, say of a strip."""
        return self._said(row, name)

    def _said(self, row: int, name: str) -> StepOutput:
        masks, classes = self._stores[name]
        return StepOutput(
            None if masks is None else masks[row].astype(np.uint8, copy=False),
            None if classes is None else classes[row].astype(np.float32, copy=False),
        )


class StoredOutputs(StepOutputs):
    """Probabilities and decisions for strips that the networks asked were not fitted on."""

    def __init__(self, run: RunFolder, dataset: Dataset) -> None:
        """Open a run of this data set, to read it only.

        Raises RunError when the folder is no run, not finished, without its probabilities, or of
        another data set.
        """
        record, recipe, self._tuned = run.load_record(), run.load_recipe(), run.load_tuned()
        run.check_data(dataset)
        super().__init__(recipe, dataset, stores_to_read(run, recipe, self._tuned.round, dataset))
        folds = run.load_folds(dataset.names, parted=record.folds is not None)
        judging = (*recipe.folds.holdout, *recipe.folds.validation)
        self.rows: NDArray[np.int64] = np.flatnonzero(np.isin(folds, judging))
        """The strips that were judged, int64, by their places in the data set."""
        for row in self.rows.tolist():
            check_stored(run, self._stores, row, dataset.names[row])

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


def stores_to_read(
    run: RunFolder, recipe: Recipe, round_: int, dataset: Dataset
) -> dict[str, Stores]:
    """The stores of each step, to read them only. Raises RunError where one is not to be read."""
    stores: dict[str, Stores] = {}
    strips, classes = len(dataset), len(dataset.classes)
    for name, step in recipe.named.items():
        masks, words = store_folders(run, recipe, name, step, round_)
        stores[name] = (
            None if masks is None else _to_read(masks, strips, classes, dataset.frames),
            None if words is None else _to_read(words, strips, classes, ()),
        )
    return stores


def check_stored(run: RunFolder, stores: Mapping[str, Stores], row: int, image: str) -> None:
    """Raise RunError when the stores of some step hold no answer for a strip."""
    for name, pair in stores.items():
        if any(store is not None and row not in store for store in pair):
            found = f"holds no probabilities of {image} at step {name}"
            raise RunError(run.path, found, "Give the same train command again")


def _to_read(folder: Path, strips: int, classes: int, frames: Sequence[Frame]) -> ProbabilityStore:
    if not folder.exists():
        remedy = "Give the same train command again: it fits no network twice"
        raise RunError(folder, "holds no probabilities: it is missing", remedy)
    return ProbabilityStore.to_read(folder, strips, classes, frames)


class EvaluatedOutputs(StoredOutputs):
    """The out-of-fold and held-out answers of a run, by the names of its strips."""

    def __init__(self, run: RunFolder, dataset: Dataset) -> None:
        """Open what a run has kept.

        Raises RunError for a folder that is no finished run, is one of other data, or lacks the
        answer for a strip that judged it.
        """
        super().__init__(run, dataset)
        self.recipe: Recipe = run.load_recipe()
        self.record: RunRecord = run.load_record()
        self.parts: dict[str, Evaluated] = read_evaluated(run, len(self.record.classes))
        self._row = {name: row for row, name in enumerate(dataset.names)}
        counted = {self._row.get(image) for part in self.parts.values() for image in part.images}
        if counted != set(self.rows.tolist()):
            found = f"counts other strips than those that judge by {run.folds.name}"
            raise RunError(run.pairs, found, "Remove both and give the same train command again")

    def scores(self, images: Iterable[str]) -> NDArray[np.float64]:
        """The score of each class on each of these strips, float64 ``(strips, classes)``."""
        return self._each(class_scores, images)

    def words(self, images: Iterable[str]) -> NDArray[np.float64]:
        """What is said of each class on these whole strips, float64 ``(strips, classes)``."""
        return self._each(class_words, images)

    def masks_of(self, image: str) -> Masks:
        """The masks that the run made of a strip, bool ``(classes, height, width)``."""
        return self.masks(self._row[image])

    def _each(
        self,
        work: Callable[[Recipe, Ask, int], NDArray[np.float64]],
        images: Iterable[str],
    ) -> NDArray[np.float64]:
        count = len(self.record.classes)
        rows = [work(self.recipe, partial(self._said, self._row[name]), count) for name in images]
        return np.array(rows).reshape(-1, count)
