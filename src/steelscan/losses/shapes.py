"""How a value a class lies along logits."""

from torch import Tensor


def along_classes(values: Tensor, logits: Tensor) -> Tensor:
    """Reshape ``(classes,)`` so that it broadcasts over ``(strips, classes, ...)``."""
    return values.reshape(-1, *[1] * (logits.ndim - 2))
