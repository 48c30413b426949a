"""Fingerprints of pictures, to find pictures that show the same piece of steel.

Every picture gets two fingerprints, both independent of brightness and contrast: a spectrum, which
a shift does not change and whose nearest neighbours are candidates, and a fine picture, by which
each candidate is compared at all small shifts. Whole bright or dark rows and columns are removed
from the fine picture: rolling streaks, scratches and a dirty sensor are the same on all strips of a
coil and prove nothing.
"""

import hashlib
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Picture

_SIDE = 64
"""Rows and columns of the small picture whose spectrum is computed."""

_WAVES = 16
"""Frequencies kept per axis; higher ones change when a JPEG is saved again."""

_FINE_PIXELS = 16384
_SHIFT = 0.1
"""Largest shift between two pictures, as a share of their sides."""

_TEXTURE = 0.15
"""Contrast of a fine fingerprint below which it contains only camera noise."""

SAME = 0.5
"""Correlation from which two strips show the same steel. Unrelated Severstal strips are below 0.2,
altered copies above 0.6 except on nearly flat steel; NEU and the magnetic tiles have few pairs
between 0.4 and 0.6 (measured on 52, 725 and 665 pictures)."""

_PATTERN = 0.7
"""Likeness of a picture to itself, shifted, from which it is a pattern. NEU and the magnetic tiles
stay under 0.66, Severstal strips under 0.45 save for a checker plate (0.94) and a black one."""

_AROUND = 6
"""Shifts of a fine fingerprint, in pixels, at which any picture is like itself."""

_BLOCK = 256


class Fingerprint(NamedTuple):
    """The data by which the near-duplicates of a picture are found; about 18 kB."""

    spectrum: NDArray[np.float32]
    """float32 ``(465,)`` of length 1: the strength of each wave, without its phase."""

    fine: NDArray[np.uint8]
    """uint8 ``(height, width)``, about 16,384 pixels, in the picture's proportions."""

    has_texture: bool
    """Whether the strip has enough texture to be distinguished from others."""

    required: float = SAME
    """Likeness from which another picture shows the same steel; more than `SAME` for a pattern."""

    @property
    def digest(self) -> bytes:
        """Hash of the fine picture; sorting by it does not depend on the order of files."""
        return hashlib.blake2b(self.fine.tobytes(), digest_size=16).digest()


def fingerprint(picture: Picture) -> Fingerprint:
    """Compute the fingerprint of a picture, uint8 ``(height, width)``."""
    height, width = picture.shape
    shrink = (_FINE_PIXELS / picture.size) ** 0.5
    fine = _even(picture, max(1, round(width * shrink)), max(1, round(height * shrink)))
    fine += fine.mean() - fine.mean(axis=0) - fine.mean(axis=1, keepdims=True)
    kept = np.clip(np.rint(fine * 20 + 128), 0, 255).astype(np.uint8)
    return Fingerprint(
        spectrum=_spectrum(_even(picture, _SIDE, _SIDE)),
        fine=kept,
        has_texture=bool(fine.std() >= _TEXTURE),
        required=_required(kept),
    )


def likeness(one: Fingerprint, other: Fingerprint) -> float:
    """Return the highest correlation of two fine fingerprints over all small shifts, -1 to 1."""
    return float(_correlations(one.fine, other.fine).max())


def alignment(one: Fingerprint, other: Fingerprint) -> tuple[float, int, int]:
    """Return the likeness, and by how many of their pixels the other is shifted down and right."""
    correlations = _correlations(one.fine, other.fine)
    row, column = np.unravel_index(int(correlations.argmax()), correlations.shape)
    height, width = (
        whole - moves + 1 for whole, moves in zip(other.fine.shape, correlations.shape, strict=True)
    )
    top, left = (one.fine.shape[0] - height) // 2, (one.fine.shape[1] - width) // 2
    return float(correlations.max()), int(row) - top, int(column) - left


def required_likeness(one: Fingerprint, other: Fingerprint) -> float:
    """Return the likeness from which two pictures show the same steel."""
    return max(one.required, other.required)


def nearest(
    queries: NDArray[np.float32], spectra: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """Return the rows of ``spectra`` most like each query, int64 ``(queries, count)``.

    Both are float32 ``(strips, waves)`` with rows of length 1. Memory grows with the number of
    strips, not with its square; time with ``queries`` times ``spectra``.
    """
    neighbours = np.empty((len(queries), count), np.int64)
    for start in range(0, len(queries), _BLOCK):
        closeness = queries[start : start + _BLOCK] @ spectra.T
        rows = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
        neighbours[start : start + _BLOCK] = rows
    return neighbours


def _even(picture: Picture, width: int, height: int) -> NDArray[np.float32]:
    """Shrink a picture and remove its lighting: mean 0 and contrast 1 around each pixel."""
    shrunk = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(shrunk.astype(np.float32), (0, 0), 1)
    detail = small - cv2.GaussianBlur(small, (0, 0), 4)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 8))
    # One grey level is added so that noise on even steel is not amplified to texture.
    even: NDArray[np.float32] = np.clip(detail / (contrast + 1), -3, 3)
    return even


def _spectrum(even: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the magnitudes of the low waves of a square picture, with mean 0 and length 1.

    A shift of a periodic picture changes only phases; a window that fades towards the edges makes
    this nearly true for small shifts of any picture.
    """
    fade = np.hanning(len(even)).astype(np.float32)
    waves = np.abs(np.fft.rfft2((even - even.mean()) * fade[:, None] * fade))
    # Waves that are constant along a row are left out: every strip has streaks of the rolls.
    kept = np.concatenate([waves[:_WAVES, 1:_WAVES], waves[1 - _WAVES :, 1:_WAVES]])
    flat = np.log1p(kept).reshape(-1)
    flat -= flat.mean()
    spectrum: NDArray[np.float32] = flat / max(float(np.linalg.norm(flat)), 1e-6)
    return spectrum.astype(np.float32)


def _correlations(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Correlate the middle of the one with the other at every small shift."""
    height, width = (min(sides) for sides in zip(one.shape, other.shape, strict=True))
    core = _middle(one, height - 2 * round(height * _SHIFT), width - 2 * round(width * _SHIFT))
    return np.asarray(cv2.matchTemplate(other, core, cv2.TM_CCOEFF_NORMED), np.float32)


def _required(fine: NDArray[np.uint8]) -> float:
    """Return the likeness that another picture must reach: `SAME`, or more for a pattern.

    A checker plate is as much like any other of its kind as like itself, shifted: the limit is
    half-way from there to 1.
    """
    correlations = _correlations(fine, fine)
    top, left = correlations.shape[0] // 2, correlations.shape[1] // 2
    correlations[
        max(top - _AROUND, 0) : top + _AROUND + 1, max(left - _AROUND, 0) : left + _AROUND + 1
    ] = -1
    itself = float(correlations.max())
    return (1 + itself) / 2 if itself > _PATTERN else SAME


def _middle(fine: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = (fine.shape[0] - height) // 2, (fine.shape[1] - width) // 2
    return fine[top : top + height, left : left + width]
