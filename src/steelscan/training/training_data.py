"""What one network is fitted on: which strips, and which of them teach in a stage."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Shrink
from steelscan.training.crops import EpochCrops
from steelscan.training.sampling import chosen
from steelscan.training.seen import SeenStrips, Strips
from steelscan.training.specs import Training


@dataclass(frozen=True)
class TrainingData:
    """What a network is fitted on: strips, which of them, at which size, with which seed.

    Of ``classes``, ids from 1, the network learns only those, one output each (None: all).
    ``pseudo`` are the rows that are pseudo-labelled. ``suspicion`` is what an out-of-fold
    classifier says of all classes of each strip, float32 ``(strips, classes)``.
    """

    strips: Strips
    rows: NDArray[np.int64]
    resize: Shrink | None
    seed: int
    classes: tuple[int, ...] | None = None
    pseudo: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    suspicion: NDArray[np.float32] | None = None

    def taught(self, training: Training) -> Self:
        """The same, with only the strips that teach in a stage; with all where none would."""
        planes = [known - 1 for known in self.classes] if self.classes else slice(None)
        kept = []
        for rows in (self.rows, self.pseudo):
            suspicion = None if self.suspicion is None else self.suspicion[rows][:, planes]
            present = self.strips.present[rows][:, planes]
            kept.append(rows[chosen(training.strips, present, suspicion)])
        return replace(self, rows=kept[0], pseudo=kept[1]) if len(kept[0]) else self

    def crops(self, training: Training) -> EpochCrops:
        """The first crops of a stage's first epoch, read anew: to be counted, or tried."""
        taught, seen = (
            self.taught(training),
            SeenStrips(self.strips, self.resize, classes=self.classes),
        )
        return EpochCrops(seen, taught.rows, training, (self.seed, 0, 0), taught.pseudo)
