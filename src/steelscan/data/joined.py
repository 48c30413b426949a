"""Test strips with the masks that were answered for them, after the strips of a data set."""

from collections.abc import Mapping, Sequence

import numpy as np

from steelscan.data.dataset import Dataset
from steelscan.strip import Frame, Masks, Picture, decode


class JoinedStrips:
    """The strips of a data set, and after them some of its test strips with answered masks.

    ``answered`` has the run lengths of each class by the names of test strips; those that the data
    set has not are passed over. Only headers of pictures are read before a strip is asked for.
    """

    def __init__(self, dataset: Dataset, answered: Mapping[str, Sequence[str]]) -> None:
        self._dataset, self._own = dataset, len(dataset)
        self._tests = [row for row, name in enumerate(dataset.test_names) if name in answered]
        self._texts = [tuple(answered[dataset.test_names[row]]) for row in self._tests]
        self.frames: tuple[Frame, ...] = (
            *dataset.frames,
            *(dataset.test_frame(row) for row in self._tests),
        )
        held = np.array([[bool(text) for text in texts] for texts in self._texts], np.bool_)
        self.present = np.concatenate([dataset.present, held.reshape(-1, len(dataset.classes))])
        self.rows = np.arange(self._own, len(self.frames))
        """The rows of the strips with answered masks, int64."""

    def picture(self, index: int) -> Picture:
        """Picture of a strip, uint8 ``(height, width)``. Raises PictureError."""
        if index < self._own:
            return self._dataset.picture(index)
        return self._dataset.test_picture(self._tests[index - self._own])

    def masks(self, index: int) -> Masks:
        """Masks of a strip, bool ``(classes, height, width)``. Raises MaskError."""
        if index < self._own:
            return self._dataset.masks(index)
        frame = self.frames[index]
        return np.stack([decode(text, frame) for text in self._texts[index - self._own]])
