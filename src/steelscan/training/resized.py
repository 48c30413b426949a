"""Strips at the size that a network takes, cached in memory."""

from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Shrink, resize_masks, resize_picture
from steelscan.strip import Frame, Masks, Picture

_CACHE_BYTES = 512 * 2**20
"""At 128x800 pixels about 2,600 strips with one class each."""


class Strips(Protocol):
    """What crops are cut from: a data set, or its strips resized for a network."""

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The size of each strip."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """Bool ``(strips, classes)``: which classes each strip holds."""

    def picture(self, index: int, /) -> Picture:
        """Return the picture of a strip, uint8 ``(height, width)``."""

    def masks(self, index: int, /) -> Masks:
        """Return the masks of a strip, bool ``(classes, height, width)``."""


_Cached = tuple[Picture, list[int], Masks]
"""A picture, the indices of its classes, and only their masks."""


class ResizedStrips:
    """Strips resized and cached: the first ones, until the cache holds ``cache_bytes``.

    Only ``classes``, ids from 1, exist for the network (None: all). A copy sent to another process
    has no cache, or each process would fill its own.
    """

    def __init__(
        self,
        strips: Strips,
        resize: Shrink | None,
        cache_bytes: int = _CACHE_BYTES,
        *,
        classes: tuple[int, ...] | None = None,
    ) -> None:
        self._strips, self._resize, self._free = strips, resize, cache_bytes
        every = range(1, strips.present.shape[1] + 1)
        self._planes = [class_id - 1 for class_id in classes or every]
        self._cache: dict[int, _Cached] = {}
        self._last: tuple[int, _Cached] | None = None
        self.present = strips.present[:, self._planes]
        self.frames = tuple(map(cache(resize.frame), strips.frames)) if resize else strips.frames

    def picture(self, index: int) -> Picture:
        """Return the picture of a strip, uint8 ``(height, width)``. Raises PictureError."""
        return self._resized(index)[0]

    def masks(self, index: int) -> Masks:
        """Return the masks of a strip, bool ``(classes, height, width)``. Raises MaskError."""
        _, classes, planes = self._resized(index)
        masks = np.zeros((self.present.shape[1], *self.frames[index]), np.bool_)
        masks[classes] = planes
        return masks

    def _resized(self, index: int) -> _Cached:
        if index in self._cache:
            return self._cache[index]
        if self._last is None or self._last[0] != index:  # callers read the masks next
            self._last = index, self._read(index)
        return self._last[1]

    def _read(self, index: int) -> _Cached:
        frame = self.frames[index]
        masks = resize_masks(self._strips.masks(index)[self._planes], frame)
        classes = np.flatnonzero(masks.any((1, 2))).tolist()
        picture = resize_picture(self._strips.picture(index), frame)
        resized = picture, classes, masks[classes]
        size = resized[0].nbytes + resized[2].nbytes
        if size <= self._free:
            self._free -= size
            self._cache[index] = resized
        return resized

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}, "_last": None, "_free": 0}
