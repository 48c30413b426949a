"""Views: the same strip mirrored, and its masks mirrored back (test-time augmentation)."""

from torch import Tensor

from steelscan.prediction.specs import View

_AXES: dict[View, list[int]] = {"identity": [], "hflip": [-1], "vflip": [-2]}


def mirror(planes: Tensor, view: View) -> Tensor:
    """Mirror ``(..., height, width)`` for a view; doing it twice gives the original back."""
    axes = _AXES[view]
    return planes.flip(axes) if axes else planes
