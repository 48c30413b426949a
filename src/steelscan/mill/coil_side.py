"""One side of a coil: pictures and masks of any of its columns."""

import numpy as np

from steelscan.mill.coil_defects import CoilDefect, CoilDefects
from steelscan.mill.coil_spec import CoilMill
from steelscan.mill.coil_steel import CoilSteel
from steelscan.strip import Masks, Picture
from steelscan.strip.errors import InputError


class CoilSide:
    """A long steel surface with defects; memory does not grow with its length."""

    def __init__(self, mill: CoilMill, coil: int, side: int) -> None:
        """Draw its style and its roll mark. Raises InputError if the mill has no such side."""
        if not (0 <= coil < mill.coils and side in (0, 1)):
            problem = f"the mill has {mill.coils} coils of 2 sides"
            raise InputError(f"coil {coil}, side {side}", problem, "Give numbers from 0")
        self._mill = mill
        self._steel = CoilSteel(mill, coil, side)
        self._defects = CoilDefects(mill, coil, side)
        self.mark = self._defects.mark

    def picture(self, start: int, stop: int) -> Picture:
        """Return the columns from ``start`` to before ``stop``: uint8 ``(across, columns)``."""
        surface, noise = self._steel.surface(start, stop)
        for patch in self._defects.patches(start, stop):
            low, high = max(start, patch.start), min(stop, patch.stop)
            if low < high:
                across = slice(patch.left, patch.left + patch.factor.shape[1])
                part = patch.factor[low - patch.start : high - patch.start]
                surface[low - start : high - start, across] *= part
        return np.ascontiguousarray(self._steel.expose(surface, noise).astype(np.uint8).T)

    def masks(self, start: int, stop: int) -> Masks:
        """Return the masks of these columns: bool ``(4, across, columns)``."""
        drawn = np.zeros((4, stop - start, self._mill.across), np.bool_)
        for patch in self._defects.patches(start, stop):
            low, high = max(start, patch.start), min(stop, patch.stop)
            if low < high:
                across = slice(patch.left, patch.left + patch.factor.shape[1])
                part = patch.masks[:, low - patch.start : high - patch.start]
                drawn[:, low - start : high - start, across] |= part
        return np.ascontiguousarray(drawn.transpose(0, 2, 1))

    def defects(self) -> list[CoilDefect]:
        """Return all defects, sorted by their start."""
        patches = self._defects.patches(0, self._mill.length)
        return sorted(
            (defect for patch in patches for defect in patch.defects()),
            key=lambda defect: (defect.start, defect.left, defect.class_id),
        )
