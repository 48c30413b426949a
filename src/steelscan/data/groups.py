"""Near-duplicates: strips that show the same piece of steel must stand on one side of a split.

Every picture gets two fingerprints, both free of brightness and contrast: a coarse one, whose
nearest neighbours are candidates, and a fine one, by which each candidate is tried at all small
shifts. What runs straight along a whole row or column is taken out of the fine one: rolling
streaks, scratches and a dirty sensor look alike on all strips of a coil and prove nothing.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.data.dataset import Dataset
from steelscan.strip import Picture, track

_COARSE_SIDE = 32
_FINE_PIXELS = 16384
_NEIGHBOURS = 10
_SHIFT = 0.1
"""How far one picture may lie beside the other, as a share of its sides."""

_SAME = 0.5
"""Correlation from which two strips are one. Unrelated Severstal strips stay under 0.2, altered
copies above 0.6 save on nearly flat steel; NEU and the magnetic tiles have few pairs between 0.4
and 0.6 (measured on 52, 725 and 665 pictures)."""

_TEXTURE = 0.15
"""Contrast of a fine fingerprint below which it holds noise of the camera and nothing else."""

_BLOCK = 1024

_LARGE = 50
"""Pictures of a named group from which not all of its pairs are tried."""


class Fingerprint(NamedTuple):
    """What is kept of a picture to find its near-duplicates; about 20 kB."""

    coarse: NDArray[np.float32]
    """float32 ``(1024,)`` of length 1."""

    fine: NDArray[np.uint8]
    """uint8 ``(height, width)``, about 16,384 pixels, of the picture's proportions."""

    telling: bool
    """Whether the strip has texture enough to be told from others."""


class NearPair(NamedTuple):
    """Two pictures of the same piece of steel, by their places, and how they lie on each other."""

    one: int
    other: int
    likeness: float
    """Correlation where it is highest."""

    down: int
    """What is in row r of the one is in row ``r + down`` of the other, to some pixels."""

    right: int
    """The same for columns."""


def group_strips(dataset: Dataset) -> NDArray[np.int64]:
    """Number the group of near-duplicates of each strip, int64 ``(strips,)``, from 0.

    Groups are those of ``groups.csv``, else found by fingerprint, which reads all pictures (6 ms
    and 20 kB each). Strips without texture stay alone, or all dark ones would be one group.
    Raises PictureError.
    """
    if dataset.group_labels is not None:
        return _numbered(dataset.group_labels)
    pictures = (dataset.picture(index) for index in range(len(dataset)))
    return group_pictures(track(pictures, "Looking for near-duplicates", len(dataset)))


def group_pictures(pictures: Iterable[Picture]) -> NDArray[np.int64]:
    """Number the group of near-duplicates of each picture, int64 ``(pictures,)``, from 0."""
    return group_prints([fingerprint(picture) for picture in pictures])


def group_prints(prints: Sequence[Fingerprint]) -> NDArray[np.int64]:
    """Number the group of near-duplicates of each fingerprint, int64 ``(prints,)``, from 0."""
    leader = list(range(len(prints)))

    def lead(member: int) -> int:
        while leader[member] != member:
            leader[member] = member = leader[leader[member]]
        return member

    for one, other in _candidates(prints):
        if lead(one) != lead(other) and likeness(prints[one], prints[other]) >= _SAME:
            leader[lead(one)] = lead(other)
    return _numbered([lead(member) for member in range(len(prints))])


def near_pairs(dataset: Dataset) -> list[NearPair]:
    """All pairs of near-duplicates among a data set's strips, the most alike first.

    They are found by fingerprint, which reads all pictures; what ``groups.csv`` joins is compared
    too, but only pictures that really show the same steel are a pair. Raises PictureError.
    """
    rows = range(len(dataset))
    shown = track(map(dataset.picture, rows), "Looking for near-duplicates", len(dataset))
    prints = [fingerprint(picture) for picture in shown]
    candidates = set(_candidates(prints))
    if dataset.group_labels is not None:
        candidates |= set(_within(dataset.group_labels, prints))
    found = []
    for one, other in sorted(candidates):
        same, down, right = _laid_on(prints[one], prints[other])
        if same >= _SAME:
            scale = (dataset.frames[one].pixels / prints[one].fine.size) ** 0.5
            found.append(NearPair(one, other, same, round(down * scale), round(right * scale)))
    return sorted(found, key=lambda pair: -pair.likeness)


def fingerprint(picture: Picture) -> Fingerprint:
    """Take the fingerprint of a picture, uint8 ``(height, width)``."""
    height, width = picture.shape
    shrink = (_FINE_PIXELS / picture.size) ** 0.5
    fine = _even(picture, max(1, round(width * shrink)), max(1, round(height * shrink)), blur=1)
    fine += fine.mean() - fine.mean(axis=0) - fine.mean(axis=1, keepdims=True)
    coarse = _even(picture, 2 * _COARSE_SIDE, 2 * _COARSE_SIDE, blur=2)
    halved = cv2.resize(coarse, (_COARSE_SIDE, _COARSE_SIDE), interpolation=cv2.INTER_AREA)
    flat = halved.reshape(-1) - halved.mean()
    return Fingerprint(
        coarse=(flat / max(float(np.linalg.norm(flat)), 1e-6)).astype(np.float32),
        fine=np.clip(np.rint(fine * 20 + 128), 0, 255).astype(np.uint8),
        telling=bool(fine.std() >= _TEXTURE),
    )


def likeness(one: Fingerprint, other: Fingerprint) -> float:
    """Correlation of two fine fingerprints, -1 to 1, at the shift where it is highest."""
    return _laid_on(one, other)[0]


def _laid_on(one: Fingerprint, other: Fingerprint) -> tuple[float, int, int]:
    """Likeness, and how far down and right the one's steel lies in the other, in their pixels."""
    height = min(one.fine.shape[0], other.fine.shape[0])
    width = min(one.fine.shape[1], other.fine.shape[1])
    core = _middle(one.fine, height - 2 * round(height * _SHIFT), width - 2 * round(width * _SHIFT))
    found = np.asarray(cv2.matchTemplate(other.fine, core, cv2.TM_CCOEFF_NORMED))
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    top, left = (
        (whole - inner) // 2 for whole, inner in zip(one.fine.shape, core.shape, strict=True)
    )
    return float(found.max()), int(row) - top, int(column) - left


def _even(picture: Picture, width: int, height: int, blur: float) -> NDArray[np.float32]:
    """Shrink a picture and take out its lighting: mean 0 and contrast 1 around each pixel."""
    shrunk = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(shrunk.astype(np.float32), (0, 0), blur)
    detail = small - cv2.GaussianBlur(small, (0, 0), 4)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 8))
    # One grey level more, so that the noise of even steel is not blown up to texture.
    even: NDArray[np.float32] = np.clip(detail / (contrast + 1), -3, 3)
    return even


def _candidates(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Pairs worth a closer look: telling pictures and their nearest neighbours."""
    telling = np.flatnonzero([one.telling for one in prints])
    if telling.size < 2:
        return
    coarse = np.stack([prints[at].coarse for at in telling.tolist()])
    kept = min(_NEIGHBOURS, telling.size - 1)
    seen: set[tuple[int, int]] = set()
    for start in range(0, telling.size, _BLOCK):
        likeness_to_all = coarse[start : start + _BLOCK] @ coarse.T
        rows = np.arange(len(likeness_to_all))
        likeness_to_all[rows, start + rows] = -2  # not itself
        nearest = np.argpartition(-likeness_to_all, kept - 1, axis=1)[:, :kept]
        for row, others in zip(telling[start + rows].tolist(), telling[nearest], strict=True):
            seen.update((min(row, other), max(row, other)) for other in others.tolist())
    yield from sorted(seen)


def _within(labels: Sequence[str], prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Pairs of telling pictures of one named group; a large group's nearest are tried anyway."""
    members: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        if prints[row].telling:
            members.setdefault(label, []).append(row)
    for rows in members.values():
        if len(rows) <= _LARGE:
            yield from combinations(rows, 2)


def _middle(fine: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = (fine.shape[0] - height) // 2, (fine.shape[1] - width) // 2
    return fine[top : top + height, left : left + width]


def _numbered(labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Number labels from 0 in the order of their first appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)
