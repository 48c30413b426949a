"""Where masks of several classes overlap."""

from typing import Literal

import numpy as np

from steelscan.postprocess.thresholds import Probabilities
from steelscan.strip import Masks, Spec


class OneClassAPixel(Spec):
    """Of several classes predicted at one pixel, only the most probable stays (55th).

    Among equals the one of the lowest id stays. True masks never overlap, and rules that add
    pixels can make overlaps: this rule belongs behind them.
    """

    kind: Literal["one_class_a_pixel"] = "one_class_a_pixel"


def one_class_a_pixel(masks: Masks, probabilities: Probabilities) -> Masks:
    """Leave at most one class set at each pixel; both arrays are ``(classes, height, width)``."""
    cleaned = masks.copy()
    set_classes = [index for index, mask in enumerate(masks) if mask.any()]
    if len(set_classes) < 2:
        return cleaned
    rows, columns = np.nonzero(masks[set_classes].sum(0, np.uint16) > 1)
    predicted = masks[:, rows, columns]
    competing = np.where(predicted, probabilities[:, rows, columns].astype(np.float32), -1)
    winner = competing.argmax(0)
    cleaned[:, rows, columns] = np.arange(len(masks))[:, None] == winner
    return cleaned
