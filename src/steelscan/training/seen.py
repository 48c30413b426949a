"""Strips at the size at which a network sees them, read from disk once while there is room."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Shrink, resize_masks, resize_picture
from steelscan.strip import Frame, Masks, Picture

_ROOM = 512 * 2**20
"""Bytes that are kept; at 128x800 pixels about 2,600 strips with one class each."""


class Strips(Protocol):
    """What crops are cut from: a data set, or the strips of one as a network sees them."""

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The size of each strip."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """Bool ``(strips, classes)``: which classes each strip holds."""

    def picture(self, index: int, /) -> Picture:
        """Picture of a strip, uint8 ``(height, width)``."""

    def masks(self, index: int, /) -> Masks:
        """Masks of a strip, bool ``(classes, height, width)``."""


_Seen = tuple[Picture, list[int], Masks]
"""A picture, the classes that are there, and only their planes."""


class SeenStrips:
    """Strips resized; a fit that comes to a strip again finds it in memory.

    Those that come first are kept, until ``room`` bytes are full. A copy sent to another process
    keeps nothing, or each would fill its own. Of ``classes``, ids from 1, only those are seen, as
    if the strips held no others (None: all).
    """

    def __init__(
        self,
        strips: Strips,
        resize: Shrink | None,
        room: int = _ROOM,
        *,
        classes: tuple[int, ...] | None = None,
    ) -> None:
        self._strips, self._resize, self._room = strips, resize, room
        every = range(1, strips.present.shape[1] + 1)
        self._planes = [known - 1 for known in classes or every]
        self._kept: dict[int, _Seen] = {}
        self._last: tuple[int, _Seen] | None = None
        self.present = strips.present[:, self._planes]
        self.frames = tuple(resize.frame(one) if resize else one for one in strips.frames)

    def picture(self, index: int) -> Picture:
        """Picture of a strip, uint8 ``(height, width)``. Raises PictureError."""
        return self._seen(index)[0]

    def masks(self, index: int) -> Masks:
        """Masks of a strip, bool ``(classes, height, width)``. Raises MaskError."""
        _, classes, planes = self._seen(index)
        masks = np.zeros((self.present.shape[1], *self.frames[index]), np.bool_)
        masks[classes] = planes
        return masks

    def _seen(self, index: int) -> _Seen:
        if index in self._kept:
            return self._kept[index]
        if self._last is None or self._last[0] != index:  # its masks are asked for next
            self._last = index, self._read(index)
        return self._last[1]

    def _read(self, index: int) -> _Seen:
        frame = self.frames[index]
        masks = resize_masks(self._strips.masks(index)[self._planes], frame)
        classes = np.flatnonzero(masks.any((1, 2))).tolist()
        picture = resize_picture(self._strips.picture(index), frame)
        seen = picture, classes, masks[classes]
        size = seen[0].nbytes + seen[2].nbytes
        if size <= self._room:
            self._room -= size
            self._kept[index] = seen
        return seen

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}, "_last": None, "_room": 0}
