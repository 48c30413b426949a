"""Where on a strip anything is predicted at all."""

import cv2
import numpy as np

from steelscan.strip import Masks


def box_of(masks: Masks) -> tuple[slice, slice]:
    """The rows and columns between which all pixels of all classes lie; none for empty masks.

    No rule needs to look beyond: background at the box's border either lies at the picture's
    border, or goes on outside, where there is nothing but background.
    """
    boxes = [cv2.boundingRect(mask.view(np.uint8)) for mask in masks if mask.any()]
    if not boxes:
        return slice(0), slice(0)
    left, top, width, height = np.array(boxes).T
    rows = slice(int(top.min()), int((top + height).max()))
    return rows, slice(int(left.min()), int((left + width).max()))
