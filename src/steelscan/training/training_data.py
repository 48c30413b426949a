"""What one network is fitted on: which strips, and which of them in a stage."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Shrink
from steelscan.training.crops import EpochCrops
from steelscan.training.resized import ResizedStrips, Strips
from steelscan.training.sampling import select_strips
from steelscan.training.specs import Training


@dataclass(frozen=True)
class TrainingData:
    """What a network is fitted on: ``rows`` of strips, their size, and the random seed.

    ``classes``, ids from 1, are those of the network, one output each (None: all). ``pseudo`` are
    the rows with pseudo-labels. ``class_probabilities``, float32 ``(strips, classes)``, are those
    of an out-of-fold classifier for all classes.
    """

    strips: Strips
    rows: NDArray[np.int64]
    resize: Shrink | None
    seed: int
    classes: tuple[int, ...] | None = None
    pseudo: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    class_probabilities: NDArray[np.float32] | None = None

    def for_stage(self, training: Training) -> Self:
        """Return the data with only the strips of a stage, or with all if there are none."""
        planes = [class_id - 1 for class_id in self.classes] if self.classes else slice(None)
        kept = []
        for rows in (self.rows, self.pseudo):
            given = self.class_probabilities
            probabilities = None if given is None else given[rows][:, planes]
            present = self.strips.present[rows][:, planes]
            kept.append(rows[select_strips(training.strips, present, probabilities)])
        return replace(self, rows=kept[0], pseudo=kept[1]) if len(kept[0]) else self

    def crops(self, training: Training) -> EpochCrops:
        """Return the first crops of a stage's first epoch, to be counted or timed."""
        data = self.for_stage(training)
        strips = ResizedStrips(self.strips, self.resize, classes=self.classes)
        return EpochCrops(strips, data.rows, training, (self.seed, 0, 0), data.pseudo)
