"""Run lengths: a mask as text, ``start length start length ...``.

Pixels are numbered from 1, down each column first and then to the right: in a frame of
256x1600 the pixel below the first is number 2, the pixel to its right is number 257. An empty
text is an empty mask. (Metric page of the Severstal competition; K:114297.)
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip.errors import MaskError
from steelscan.strip.faults import Fault
from steelscan.strip.frame import Frame, Mask

UNREAD = "unread"
"""Replaces the run lengths of every class of a picture that could not be read.

It is not a valid run length, so that no program mistakes such a picture for a clean strip.
"""

UNSURE = "unsure"
"""Replaces the run lengths of a class of a strip whose pseudo-label was not accepted.

It is not a valid run length, so that no program mistakes such a class for a clean one.
"""

_NUMBERS_AND_SPACE = b"0123456789 \t\r\n"
_REMEDY = "Give pairs 'start length' in ascending order, numbered from 1 down the columns"


def parse_runs(text: str, frame: Frame, where: object = "run lengths") -> NDArray[np.int64]:
    """Parse run lengths into int64 ``(runs, 2)``: first pixel, counted from 0, and length.

    Raises MaskError, naming ``where``, if the text is not a list of pairs, and if runs leave the
    frame, overlap or are out of order.
    """
    if text == UNREAD:
        problem = "marks a picture that could not be read"
        raise MaskError(where, problem, "Predict that picture again, or remove its rows")
    if text == UNSURE:
        problem = "marks a class whose pseudo-label was not accepted"
        raise MaskError(where, problem, "Use the classes with run lengths only")
    if text.encode(errors="replace").translate(None, _NUMBERS_AND_SPACE):
        problem = f"run lengths are not only numbers: {text[:40]!r}"
        raise MaskError(where, problem, _REMEDY, Fault.RUNS)
    if not text or text.isspace():
        return np.empty((0, 2), np.int64)
    numbers = np.fromstring(text, dtype=np.int64, sep=" ")
    if numbers.size % 2:
        problem = f"the count of numbers is odd ({numbers.size})"
        raise MaskError(where, problem, _REMEDY, Fault.RUNS)
    runs = numbers.reshape(-1, 2)
    starts, lengths = runs[:, 0], runs[:, 1]
    last = frame.pixels
    if numbers.min() < 1 or numbers.max() > last or (starts + lengths).max() > last + 1:
        problem = f"run lengths reach outside the frame {frame}, which has pixels 1 to {last}"
        raise MaskError(where, problem, _REMEDY, Fault.OUTSIDE)
    overlapping = starts[1:] < starts[:-1] + lengths[:-1]
    if overlapping.any():
        at = starts[1:][overlapping][0]
        problem = f"the run at pixel {at} overlaps the one before it"
        raise MaskError(where, problem, _REMEDY, Fault.RUNS)
    starts -= 1
    return runs


def decode(text: str, frame: Frame, where: object = "run lengths") -> Mask:
    """Decode run lengths to a mask, bool ``(height, width)``. Raises MaskError as `parse_runs`."""
    mask = np.zeros(frame, np.bool_)
    runs = parse_runs(text, frame, where)
    if not len(runs):
        return mask
    left, right = runs[0, 0] // frame.height, (runs[-1].sum() - 1) // frame.height + 1
    first, pixels = left * frame.height, (right - left) * frame.height
    edges = np.column_stack([runs[:, 0], runs.sum(axis=1)]).reshape(-1) - first
    lengths = np.diff(edges, prepend=0, append=pixels)
    defective = np.arange(len(lengths)) % 2 == 1  # every other run
    columns = np.repeat(defective.view(np.uint8), lengths).reshape(right - left, frame.height)
    mask[:, left:right] = cv2.transpose(columns).view(np.bool_)
    return mask


def encode(mask: Mask) -> str:
    """Encode a mask, bool ``(height, width)``, as run lengths.

    Raises MaskError if the array is not bool with two axes.
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise MaskError(
            "mask", f"is {mask.dtype} with {mask.ndim} axes", "Give a bool array (height, width)"
        )
    filled = np.flatnonzero(mask.any(axis=0))
    if not filled.size:
        return ""
    left, right = filled[0], filled[-1] + 1
    columns = np.ascontiguousarray(mask[:, left:right]).view(np.uint8)
    changes = _changes(np.asarray(cv2.transpose(columns), np.uint8).reshape(-1))
    changes[1::2] -= changes[::2]
    changes[::2] += left * len(mask) + 1
    return str(changes.tolist())[1:-1].replace(",", "")  # faster than join


def _changes(flat: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the positions at which 0 changes to 1 and back, up to one past the last pixel."""
    edges = np.zeros(-(-(flat.size + 1) // 8) * 8, np.uint8)
    edges[0], edges[flat.size] = flat[0], flat[-1]
    np.bitwise_xor(flat[1:], flat[:-1], out=edges[1 : flat.size])
    blocks = np.flatnonzero(edges.view(np.uint64) != 0)  # most blocks of 8 pixels have no edge
    at, offset = np.nonzero(edges.reshape(-1, 8)[blocks])
    return np.asarray(blocks[at] * 8 + offset, np.int64)
