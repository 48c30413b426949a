"""Pairs of near-duplicates, and how the one lies on the other: for comparing their labels."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from steelscan.data import Dataset
from steelscan.data.duplicates import Fingerprint, find_links, laid_on, proof, take_prints

_LARGE = 50
"""Pictures of a named group from which not all of its pairs are tried."""


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


def near_pairs(dataset: Dataset) -> list[NearPair]:
    """All pairs of near-duplicates among a data set's strips, the most alike first.

    They are found by fingerprint, which reads all pictures; what ``groups.csv`` joins is compared
    too, but only pictures that really show the same steel are a pair. Raises PictureError.
    """
    prints = take_prints(dataset)
    candidates = {(one, other) for one, other, _ in find_links(prints)}
    if dataset.group_labels is not None:
        candidates |= set(_within(dataset.group_labels, prints))
    found = []
    for one, other in sorted(candidates):
        same, down, right = laid_on(prints[one], prints[other])
        if same >= proof(prints[one], prints[other]):
            scale = (dataset.frames[one].pixels / prints[one].fine.size) ** 0.5
            found.append(NearPair(one, other, same, round(down * scale), round(right * scale)))
    return sorted(found, key=lambda pair: -pair.likeness)


def _within(labels: Sequence[str], prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Pairs of telling pictures of one named group; a large group's nearest are tried anyway."""
    members: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        if prints[row].telling:
            members.setdefault(label, []).append(row)
    for rows in members.values():
        if len(rows) <= _LARGE:
            yield from combinations(rows, 2)
