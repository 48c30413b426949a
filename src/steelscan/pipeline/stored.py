"""The out-of-fold and held-out outputs of a run, as its folder stores them. No torch here."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.decision import (
    Decision,
    RuleInput,
    StepOutput,
    StripOutputs,
    class_probabilities,
    class_scores,
    gated,
    masks_of,
    run_steps,
)
from steelscan.pipeline.fit_tasks import tasks
from steelscan.pipeline.pixel_counts import Evaluated, read_evaluated
from steelscan.pipeline.run_folder import TRAIN_AGAIN, RunFolder
from steelscan.pipeline.run_record import RunRecord
from steelscan.prediction import ProbabilityStore
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import Frame, Masks
from steelscan.strip.errors import RunError


class StepStores(NamedTuple):
    """The stores of a step's outputs; None if the step has no such output."""

    pixels: ProbabilityStore | None
    classes: ProbabilityStore | None

    def has(self, row: int) -> bool:
        """Return whether the output of a strip is stored."""
        return all(store is None or row in store for store in self)

    def output(self, row: int) -> StepOutput:
        """Read the output of a strip."""
        pixels, classes = self
        return StepOutput(
            None if pixels is None else pixels[row].astype(np.uint8, copy=False),
            None if classes is None else classes[row].astype(np.float32, copy=False),
        )


@dataclass(frozen=True)
class _StripOfRun:
    """The stored outputs of one strip; `StripOutputs`."""

    stores: Mapping[str, StepStores]
    row: int

    def output(self, step: str, open_classes: NDArray[np.bool_]) -> StepOutput:
        """Read the output of a step."""
        del open_classes
        return self.stores[step].output(self.row)


class RunOutputs:
    """The stored outputs of each step, by its name, for the strips of a data set."""

    def __init__(self, recipe: Recipe, dataset: Dataset, stores: Mapping[str, StepStores]) -> None:
        self.decision = recipe.decision
        self._dataset, self._stores = dataset, stores

    def decided_by(self, decision: Decision) -> Self:
        """Return the same outputs with another decision, such as one with tuned gates."""
        other = copy(self)
        other.decision = decision
        return other

    def outputs(self, row: int) -> StripOutputs:
        """Return the outputs of a strip; they are read when they are needed."""
        return _StripOfRun(self._stores, row)

    def rule_input(self, row: int, ungated: Collection[str] = ()) -> RuleInput:
        """Return what the last rules of the recipe get for a strip.

        The steps named in ``ungated`` close nothing.
        """
        classes, frame = len(self._dataset.classes), self._dataset.frames[row]
        return run_steps(self.decision, self.outputs(row), classes, frame, ungated)


class StoredOutputs(RunOutputs):
    """The outputs and masks of strips that the networks were not fitted on."""

    def __init__(self, run: RunFolder, dataset: Dataset) -> None:
        """Open a run of this data set, to read it only.

        Raises RunError if the folder is no run, not finished, without its probabilities, or of
        another data set.
        """
        self.recipe: Recipe = run.load_tuned_recipe()
        self.record: RunRecord = run.load_record()
        tuned = run.load_tuned()
        run.check_data(dataset)
        stores = open_stores(run, self.recipe, tuned.round, dataset)
        super().__init__(self.recipe, dataset, stores)
        self.decision = self.decision.with_rules(tuned.rules)
        folds = run.load_folds(dataset.names, parted=self.record.folds is not None)
        evaluated = (*self.recipe.folds.holdout, *self.recipe.folds.validation)
        self.rows: NDArray[np.int64] = np.flatnonzero(np.isin(folds, evaluated))
        """The evaluated strips, int64, by their positions in the data set."""
        self.folds: NDArray[np.int64] = folds[self.rows]
        """The fold of each of them, int64."""
        for row in self.rows.tolist():
            check_stored(run, stores, row, dataset.names[row])

    def pixel_probabilities(self, row: int) -> NDArray[np.uint8]:
        """Return the last segmenter's probabilities as 255ths, before any class is closed.

        uint8 ``(classes, height, width)``.
        """
        step = self.decision.last.segmenter
        return gated(step.gate, self._stores[step.name].output(row))

    def masks(self, row: int) -> Masks:
        """Return the masks of a strip, bool ``(classes, height, width)``."""
        return masks_of(self.rule_input(row), self.decision.last.rules)


class EvaluatedOutputs(StoredOutputs):
    """Stored outputs by the names of the strips, with the parts of the run."""

    def __init__(self, run: RunFolder, dataset: Dataset) -> None:
        """Open a finished run.

        Raises RunError as `StoredOutputs` does, and if the strips with pixel counts are not those
        of the folds.
        """
        super().__init__(run, dataset)
        self.parts: dict[str, Evaluated] = read_evaluated(run, len(self.record.classes))
        self._row = {name: row for row, name in enumerate(dataset.names)}
        counted = {self._row.get(image) for part in self.parts.values() for image in part.images}
        if counted != set(self.rows.tolist()):
            found = f"counts other strips than those evaluated by {run.folds.name}"
            raise RunError(run.pairs, found, "Remove both and give the same train command again")

    def scores(self, images: Iterable[str]) -> NDArray[np.float64]:
        """Return `class_scores` of some strips, float64 ``(strips, classes)``."""
        count = len(self.record.classes)
        rows = [class_scores(self.decision, self._of(name), count) for name in images]
        return np.array(rows).reshape(-1, count)

    def class_probabilities(self, images: Iterable[str]) -> NDArray[np.float64]:
        """Return `class_probabilities` of some strips, float64 ``(strips, classes)``."""
        count = len(self.record.classes)
        rows = [class_probabilities(self.decision, self._of(name), count) for name in images]
        return np.array(rows).reshape(-1, count)

    def masks_of(self, image: str) -> Masks:
        """Return the masks of the run, bool ``(classes, height, width)``."""
        return self.masks(self._row[image])

    def _of(self, image: str) -> StripOutputs:
        return self.outputs(self._row[image])


def store_folders(
    run: RunFolder, recipe: Recipe, name: str, step: Classify | Segment, round_: int
) -> tuple[Path | None, Path | None]:
    """Return where the pixel and the class outputs of a step are stored; None if it has none.

    In a round that changed none of its networks, that is the folder of an earlier round.
    """
    fitted = tasks(recipe, recipe.folds.validation, round_)
    last = max(task.round for task in fitted if task.step == name)
    if isinstance(step, Classify):
        return None, run.probabilities(name, last)
    pixels = run.probabilities(name, last)
    return pixels, run.probabilities(f"{name}-classes", last) if step.gate is not None else None


def open_stores(
    run: RunFolder, recipe: Recipe, round_: int, dataset: Dataset
) -> dict[str, StepStores]:
    """Open the stores of each step, to read them only. Raises RunError if one cannot be read."""
    strips, classes = len(dataset), len(dataset.classes)

    def opened(folder: Path | None, frames: Sequence[Frame]) -> ProbabilityStore | None:
        if folder is None:
            return None
        if not folder.exists():
            raise RunError(folder, "holds no probabilities: it is missing", TRAIN_AGAIN)
        return ProbabilityStore.to_read(folder, strips, classes, frames)

    stores: dict[str, StepStores] = {}
    for name, step in recipe.named.items():
        pixels, of_classes = store_folders(run, recipe, name, step, round_)
        stores[name] = StepStores(opened(pixels, dataset.frames), opened(of_classes, ()))
    return stores


def check_stored(run: RunFolder, stores: Mapping[str, StepStores], row: int, image: str) -> None:
    """Raise RunError if the stores of some step hold no output for a strip."""
    for name, each in stores.items():
        if not each.has(row):
            found = f"holds no probabilities of {image} at step {name}"
            raise RunError(run.path, found, TRAIN_AGAIN)
