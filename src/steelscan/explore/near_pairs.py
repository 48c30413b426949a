"""Pairs of near-duplicates, aligned with each other, and the classes they are labelled apart by."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from steelscan.data.duplicates import Fingerprint, alignment, required_likeness
from steelscan.strip import Frame, Masks

_LARGE = 50
"""Up to this size, all pairs of a group of ``groups.csv`` are compared."""

_SAME_LABEL = 0.5
"""Dice of two masks of the same steel below which they differ."""


class NearPair(NamedTuple):
    """Two pictures of the same piece of steel, by their rows, and the offset between them."""

    one: int
    other: int
    likeness: float
    """Highest correlation over all offsets."""

    down: int
    """Row r of the one shows the steel in row ``r + down`` of the other, to a few pixels."""

    right: int
    """The same for columns."""


class LabelDifference(NamedTuple):
    """A class that is labelled differently on two pictures of the same piece of steel."""

    one: int
    other: int
    class_index: int
    """Counts from 0."""

    dice: float
    """Of both masks where the pictures overlap; 0 if one of them is empty there."""

    pixels: tuple[int, int]
    """Of both masks where the pictures overlap."""


def near_pairs(
    prints: Sequence[Fingerprint],
    frames: Sequence[Frame],
    links: Iterable[tuple[int, int]],
    labels: Sequence[str] | None = None,
) -> list[NearPair]:
    """Return the pairs of near-duplicates among pictures, the most alike first.

    Candidates are the ``links`` between pictures and the pairs of one group of ``labels`` (those
    of ``groups.csv``); only pictures that show the same steel become a pair.
    """
    candidates = {(min(pair), max(pair)) for pair in links}
    if labels is not None:
        candidates |= set(_pairs_of_groups(labels, prints))
    pairs = []
    for one, other in sorted(candidates):
        likeness, down, right = alignment(prints[one], prints[other])
        if likeness >= required_likeness(prints[one], prints[other]):
            scale = (frames[one].pixels / prints[one].fine.size) ** 0.5
            pairs.append(NearPair(one, other, likeness, round(down * scale), round(right * scale)))
    return sorted(pairs, key=lambda pair: -pair.likeness)


def _pairs_of_groups(
    labels: Sequence[str], prints: Sequence[Fingerprint]
) -> Iterator[tuple[int, int]]:
    """Yield the pairs of each group; of large groups, only `find_links` finds pairs."""
    members: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        if prints[row].has_texture:
            members.setdefault(label, []).append(row)
    for rows in members.values():
        if len(rows) <= _LARGE:
            yield from combinations(rows, 2)


def label_differences(
    pairs: Iterable[NearPair], masks: Callable[[int], Masks]
) -> Iterator[LabelDifference]:
    """Yield the classes that near-duplicates are labelled differently by, pair by pair.

    ``masks`` returns those of a picture by its row. Masks are compared where both pictures show
    the same steel; they differ if their Dice is below 0.5.
    """
    for pair in pairs:
        both = overlapping(masks(pair.one), masks(pair.other), pair.down, pair.right)
        for index, (one, other) in enumerate(zip(*both, strict=True)):
            pixels = int(np.count_nonzero(one)), int(np.count_nonzero(other))
            if not any(pixels):
                continue
            dice = 2 * int(np.count_nonzero(one & other)) / sum(pixels)
            if dice < _SAME_LABEL:
                yield LabelDifference(pair.one, pair.other, index, dice, pixels)


def overlapping(one: Masks, other: Masks, down: int, right: int) -> tuple[Masks, Masks]:
    """Cut two masks, ``(classes, height, width)``, to the steel that both pictures show.

    The steel at row r and column c of the one is at ``r + down``, ``c + right`` of the other.
    """
    cut = []
    for mask, sign in ((one, -1), (other, 1)):
        top, left = max(0, sign * down), max(0, sign * right)
        cut.append(mask[:, top:, left:])
    height, width = (min(each.shape[axis] for each in cut) for axis in (1, 2))
    return cut[0][:, :height, :width], cut[1][:, :height, :width]
