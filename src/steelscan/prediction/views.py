"""Views: the same strip mirrored, and the masks mirrored back (test-time augmentation)."""

from torch import Tensor

from steelscan.prediction.specs import View

_AXES: dict[View, list[int]] = {"identity": [], "hflip": [-1], "vflip": [-2]}


def turn(planes: Tensor, view: View) -> Tensor:
    """Mirror ``(..., height, width)`` as the view says; doing it twice undoes it."""
    axes = _AXES[view]
    return planes.flip(axes) if axes else planes
