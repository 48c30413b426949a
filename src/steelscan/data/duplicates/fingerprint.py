"""What is kept of a picture to tell whether two of them show the same piece of steel.

Every picture gets two fingerprints, both free of brightness and contrast: a spectrum, which a
shift leaves as it is and whose nearest neighbours are candidates, and a fine picture, by which
each candidate is tried at all small shifts. What runs straight along a whole row or column is
taken out of the fine one: rolling streaks, scratches and a dirty sensor look alike on all strips
of a coil and prove nothing.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Picture

_SIDE = 64
"""Rows and columns of the small picture whose spectrum is taken."""

_WAVES = 16
"""Frequencies that are kept of each axis; finer ones change when a JPEG is written again."""

_FINE_PIXELS = 16384
_SHIFT = 0.1
"""How far one picture may lie beside the other, as a share of its sides."""

_TEXTURE = 0.15
"""Contrast of a fine fingerprint below which it holds noise of the camera and nothing else."""

SAME = 0.5
"""Correlation from which two strips are one. Unrelated Severstal strips stay under 0.2, altered
copies above 0.6 save on nearly flat steel; NEU and the magnetic tiles have few pairs between 0.4
and 0.6 (measured on 52, 725 and 665 pictures)."""

_PATTERN = 0.7
"""Likeness of a picture to itself, moved, from which it is a pattern. NEU and the magnetic tiles
stay under 0.66, Severstal strips under 0.45 save for a checker plate (0.94) and a black one."""

_AROUND = 6
"""Pixels of a fine fingerprint over which any picture is like itself."""

_BLOCK = 256


class Fingerprint(NamedTuple):
    """What is kept of a picture to find its near-duplicates; about 18 kB."""

    spectrum: NDArray[np.float32]
    """float32 ``(465,)`` of length 1: how strong each wave is, wherever it lies."""

    fine: NDArray[np.uint8]
    """uint8 ``(height, width)``, about 16,384 pixels, of the picture's proportions."""

    telling: bool
    """Whether the strip has texture enough to be told from others."""

    demand: float = SAME
    """Likeness from which another picture shows the same steel; more than `SAME` for a pattern."""

    @property
    def digest(self) -> bytes:
        """The same for the same picture, and no other: an order that no list of files decides."""
        return hashlib.blake2b(self.fine.tobytes(), digest_size=16).digest()


def fingerprint(picture: Picture) -> Fingerprint:
    """Take the fingerprint of a picture, uint8 ``(height, width)``."""
    height, width = picture.shape
    shrink = (_FINE_PIXELS / picture.size) ** 0.5
    fine = _even(picture, max(1, round(width * shrink)), max(1, round(height * shrink)))
    fine += fine.mean() - fine.mean(axis=0) - fine.mean(axis=1, keepdims=True)
    kept = np.clip(np.rint(fine * 20 + 128), 0, 255).astype(np.uint8)
    return Fingerprint(
        spectrum=_spectrum(_even(picture, _SIDE, _SIDE)),
        fine=kept,
        telling=bool(fine.std() >= _TEXTURE),
        demand=_demand(kept),
    )


def likeness(one: Fingerprint, other: Fingerprint) -> float:
    """Correlation of two fine fingerprints, -1 to 1, at the shift where it is highest."""
    return float(_correlations(one.fine, other.fine).max())


def laid_on(one: Fingerprint, other: Fingerprint) -> tuple[float, int, int]:
    """Likeness, and how far down and right the one's steel lies in the other, in their pixels."""
    found = _correlations(one.fine, other.fine)
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    height, width = (
        whole - moves + 1 for whole, moves in zip(other.fine.shape, found.shape, strict=True)
    )
    top, left = (one.fine.shape[0] - height) // 2, (one.fine.shape[1] - width) // 2
    return float(found.max()), int(row) - top, int(column) - left


def proof(one: Fingerprint, other: Fingerprint) -> float:
    """Likeness from which two pictures show the same steel."""
    return max(one.demand, other.demand)


def nearest(
    asked: NDArray[np.float32], spectra: NDArray[np.float32], kept: int
) -> NDArray[np.int64]:
    """The rows of ``spectra`` that are most like each row of ``asked``, int64 ``(asked, kept)``.

    Both are float32 ``(strips, waves)`` with rows of length 1. Memory grows with the strips, not
    with their square; time with ``asked`` times ``spectra``.
    """
    found = np.empty((len(asked), kept), np.int64)
    for start in range(0, len(asked), _BLOCK):
        closeness = asked[start : start + _BLOCK] @ spectra.T
        places = np.argpartition(-closeness, kept - 1, axis=1)[:, :kept]
        found[start : start + _BLOCK] = places
    return found


def stacked(prints: Sequence[Fingerprint]) -> NDArray[np.float32]:
    """The spectra of many fingerprints, float32 ``(strips, waves)``."""
    return np.stack([each.spectrum for each in prints])


def _even(picture: Picture, width: int, height: int) -> NDArray[np.float32]:
    """Shrink a picture and take out its lighting: mean 0 and contrast 1 around each pixel."""
    shrunk = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(shrunk.astype(np.float32), (0, 0), 1)
    detail = small - cv2.GaussianBlur(small, (0, 0), 4)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 8))
    # One grey level more, so that the noise of even steel is not blown up to texture.
    even: NDArray[np.float32] = np.clip(detail / (contrast + 1), -3, 3)
    return even


def _spectrum(even: NDArray[np.float32]) -> NDArray[np.float32]:
    """Magnitudes of the low waves of a square picture, as a vector of mean 0 and length 1.

    A shift moves only the phases of a picture that goes on past its edges; a window that fades
    towards the edges makes this hold for small shifts of one that does not.
    """
    fade = np.hanning(len(even)).astype(np.float32)
    waves = np.abs(np.fft.rfft2((even - even.mean()) * fade[:, None] * fade))
    # Waves that are the same along a whole row are left out: streaks of the rolls, on every strip.
    kept = np.concatenate([waves[:_WAVES, 1:_WAVES], waves[1 - _WAVES :, 1:_WAVES]])
    flat = np.log1p(kept).reshape(-1)
    flat -= flat.mean()
    spectrum: NDArray[np.float32] = flat / max(float(np.linalg.norm(flat)), 1e-6)
    return spectrum.astype(np.float32)


def _correlations(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Correlation of the middle of the one with the other at every small shift."""
    height, width = (min(sides) for sides in zip(one.shape, other.shape, strict=True))
    core = _middle(one, height - 2 * round(height * _SHIFT), width - 2 * round(width * _SHIFT))
    return np.asarray(cv2.matchTemplate(other, core, cv2.TM_CCOEFF_NORMED), np.float32)


def _demand(fine: NDArray[np.uint8]) -> float:
    """What another picture must reach: `SAME`, or, more of a pattern.

    A checker plate is like any other of its make, as it is like itself, moved: half the way from
    there to 1 is asked.
    """
    found = _correlations(fine, fine)
    top, left = found.shape[0] // 2, found.shape[1] // 2
    found[
        max(top - _AROUND, 0) : top + _AROUND + 1, max(left - _AROUND, 0) : left + _AROUND + 1
    ] = -1
    itself = float(found.max())
    return (1 + itself) / 2 if itself > _PATTERN else SAME


def _middle(fine: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = (fine.shape[0] - height) // 2, (fine.shape[1] - width) // 2
    return fine[top : top + height, left : left + width]
