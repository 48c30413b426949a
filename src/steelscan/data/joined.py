"""The strips of a data set followed by test strips with predicted masks."""

from collections.abc import Mapping, Sequence

import numpy as np

from steelscan.data.dataset import Dataset
from steelscan.strip import UNSURE, Frame, Masks, Picture, decode


class JoinedStrips:
    """The strips of a data set, and after them some of its test strips with predicted masks.

    ``predicted`` has the run lengths per class by the names of test strips; names that are not in
    the data set are ignored. Strips on which one of ``classes``, ids from 1 (None: all), is
    `UNSURE` are left out: masks of other classes that are unsure are empty, and must not be used.
    Pictures are read on demand, except for their headers.
    """

    def __init__(
        self,
        dataset: Dataset,
        predicted: Mapping[str, Sequence[str]],
        classes: tuple[int, ...] | None = None,
    ) -> None:
        self._dataset, self._own = dataset, len(dataset)
        planes = [each - 1 for each in classes or range(1, len(dataset.classes) + 1)]
        usable = {
            name: tuple("" if text == UNSURE else text for text in texts)
            for name, texts in predicted.items()
            if all(texts[plane] != UNSURE for plane in planes)
        }
        self._tests = [row for row, name in enumerate(dataset.test_names) if name in usable]
        self._texts = [usable[dataset.test_names[row]] for row in self._tests]
        self.frames: tuple[Frame, ...] = (
            *dataset.frames,
            *(dataset.test_frame(row) for row in self._tests),
        )
        present = np.array([[bool(text) for text in texts] for texts in self._texts], np.bool_)
        self.present = np.concatenate([dataset.present, present.reshape(-1, len(dataset.classes))])
        self.rows = np.arange(self._own, len(self.frames))
        """The rows of the strips with predicted masks, int64."""

    def picture(self, index: int) -> Picture:
        """Read the picture of a strip, uint8 ``(height, width)``. Raises PictureError."""
        if index < self._own:
            return self._dataset.picture(index)
        return self._dataset.test_picture(self._tests[index - self._own])

    def masks(self, index: int) -> Masks:
        """Return the masks of a strip, bool ``(classes, height, width)``. Raises MaskError."""
        if index < self._own:
            return self._dataset.masks(index)
        frame = self.frames[index]
        return np.stack([decode(text, frame) for text in self._texts[index - self._own]])
