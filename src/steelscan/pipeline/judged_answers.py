"""What a finished run said of each strip that judged it: scores, words and masks. No torch."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.pipeline.decide import Ask
from steelscan.pipeline.pairs_file import Judged, read_judged
from steelscan.pipeline.recipe import Recipe
from steelscan.pipeline.run import RunFolder, RunRecord
from steelscan.pipeline.stored import StoredAnswers
from steelscan.pipeline.strip_score import class_scores, class_words
from steelscan.strip import Masks, RunError


class JudgedAnswers(StoredAnswers):
    """The out-of-fold and held-out answers of a run, by the names of its strips."""

    def __init__(self, run: RunFolder, dataset: Dataset) -> None:
        """Open what a run has kept.

        Raises RunError for a folder that is no finished run, is one of other data, or lacks the
        answer for a strip that judged it.
        """
        super().__init__(run, dataset)
        self.recipe: Recipe = run.load_recipe()
        self.record: RunRecord = run.load_record()
        self.parts: dict[str, Judged] = read_judged(run, len(self.record.classes))
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
