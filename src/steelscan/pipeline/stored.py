"""What a finished run says of the strips that judge it, from its stores: no network is asked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.pipeline.decide import Said, consult, decide
from steelscan.pipeline.pairs_file import Judged, read_judged
from steelscan.pipeline.recipe import Classify, Recipe, Segment
from steelscan.pipeline.run import RunFolder, RunRecord, Tuned, tasks
from steelscan.pipeline.strip_score import class_scores, class_words
from steelscan.prediction import KeptProbabilities
from steelscan.strip import Frame, Masks, RunError, read_rows


@dataclass(frozen=True)
class _Stores:
    masks: KeptProbabilities | None
    classes: KeptProbabilities | None


class StoredAnswers:
    """The out-of-fold and held-out answers of a run, by the names of its strips."""

    def __init__(self, run: RunFolder, dataset: Dataset | None = None) -> None:
        """Open what a run has kept.

        Masks are made only with the ``dataset``, which knows the sizes of strips. Raises RunError
        for a folder that is no finished run, or one of other data.
        """
        self.recipe: Recipe = run.load_recipe()
        self.record: RunRecord = run.load_record()
        self.tuned: Tuned = run.load_tuned()
        self.parts: dict[str, Judged] = read_judged(run, len(self.record.classes))
        self._run = run
        self._frames: Sequence[Frame] = ()
        if dataset is not None:
            if dataset.fingerprint != self.record.fingerprint:
                found = f"was made from other data than {dataset.root}"
                raise RunError(run.path, found, "Name the data that it was trained on")
            self._frames = dataset.frames

    def scores(self, images: Iterable[str]) -> NDArray[np.float64]:
        """The score of each class on each of these strips, float64 ``(strips, classes)``."""
        count = len(self.record.classes)
        rows = [
            class_scores(self.recipe, partial(self._said, self._row[name]), count)
            for name in images
        ]
        return np.array(rows).reshape(-1, count)

    def words(self, images: Iterable[str]) -> NDArray[np.float64]:
        """What is said of each class on these whole strips, float64 ``(strips, classes)``."""
        count = len(self.record.classes)
        rows = [
            class_words(self.recipe, partial(self._said, self._row[name]), count) for name in images
        ]
        return np.array(rows).reshape(-1, count)

    def masks(self, image: str) -> Masks:
        """The masks that the run made of a strip. Raises RunError."""
        row = self._row[image]
        if not self._frames:
            found = "does not know how large its strips are"
            raise RunError(self._run.path, found, "Name its data as well")
        said = partial(self._said, row)
        opened = consult(self.recipe, said, len(self.record.classes), self._frames[row])
        return decide(opened, self.tuned.rules)

    def _said(self, row: int, name: str) -> Said:
        stores = self._stores[name]
        masks, classes = (
            None if each is None else each[row] for each in (stores.masks, stores.classes)
        )
        return Said(
            None if masks is None else masks.astype(np.uint8, copy=False),
            None if classes is None else classes.astype(np.float32, copy=False),
        )

    @cached_property
    def _row(self) -> dict[str, int]:
        """The place of each strip in the stores, by its name: that of the data set's order."""
        path = self._run.folds
        table = read_rows(self._run.read(path), path, "Give the same train command again")
        if "image" not in table.columns:
            raise RunError(path, "has no column image", "Give the same train command again")
        return {image: row for row, image in enumerate(table["image"])}

    @cached_property
    def _stores(self) -> dict[str, _Stores]:
        return {name: self._open(name, step) for name, step in self.recipe.named.items()}

    def _open(self, name: str, step: Classify | Segment) -> _Stores:
        fitted = tasks(self.recipe, self.recipe.folds.validation, self.tuned.round)
        last = max(task.round for task in fitted if task.step == name)

        def kept(store: str, frames: Sequence[Frame] = ()) -> KeptProbabilities:
            return KeptProbabilities(self._run.probabilities(store, last), frames)

        if isinstance(step, Classify):
            return _Stores(None, kept(name))
        second = None if step.gate is None else kept(f"{name}-classes")
        return _Stores(kept(name, self._frames), second)
