"""Near-duplicates: strips that show the same piece of steel must stand on one side of a split.

Links between strips are found by fingerprint, strongest first, and join their strips to groups.
One strip that overlaps the next, and that the next, would chain a whole coil; so a group past
`LARGEST` strips grows only by others that are like many of its own, and what is cut is told.
"""

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.data.duplicates.fingerprint import (
    Fingerprint,
    fingerprint,
    likeness,
    nearest,
    proof,
    stacked,
)
from steelscan.strip import Picture, track

LARGEST = 20
"""Strips up to which single links make a group. The largest group of one magnetic tile under all
its lightings has 7, those of the competition 2 (44 known pairs)."""

_NEIGHBOURS = 10
_MOST_NEIGHBOURS = 80
_TOLD = 3
"""Chains, and large groups, that are told one by one."""

_MUTUAL = 0.5
"""Share of the pairs across two groups that must be alike when the two make a large one."""

_SAMPLE = 4
"""Strips of each group that are compared for that."""


@dataclass(frozen=True)
class Chain:
    """Strips that hang together link by link, cut at weak links into groups."""

    strips: tuple[int, ...]
    """Places of the strips, rising."""

    groups: int
    """How many groups were made of them."""

    cut: int
    """Links between strips of different groups: near-duplicates that a split may part."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of near-duplicates of every strip, and what had to be decided about them."""

    numbers: NDArray[np.int64]
    """int64 ``(strips,)``, from 0 in the order of the strips."""

    chains: tuple[Chain, ...] = ()
    """Chains that were cut, the longest first."""

    untold: int = 0
    """Strips with too little texture to be told from others; each is a group of its own."""

    named: bool = False
    """Whether ``groups.csv`` names them."""

    def notes(self, names: Sequence[str]) -> list[str]:
        """What a user must know of these groups, as sentences; [] when nothing was decided."""
        told = []
        if self.untold:
            told.append(
                f"Near-duplicates: {self.untold} of {len(self.numbers)} strips have too little "
                "texture to be told from others; each stands alone."
            )
        told += [
            f"Near-duplicates: {len(chain.strips)} strips around {names[chain.strips[0]]} hang "
            f"together only link by link; cut at the weakest links into {chain.groups} groups, "
            f"{chain.cut} like pairs stand in different ones."
            for chain in self.chains[:_TOLD]
        ]
        if len(self.chains) > _TOLD:
            strips = sum(len(chain.strips) for chain in self.chains[_TOLD:])
            told.append(f"Near-duplicates: {strips} strips of shorter chains were cut likewise.")
        return told if self.named else [*told, *self._large(names)]

    def _large(self, names: Sequence[str]) -> Iterator[str]:
        """A sentence on each of the largest groups past `LARGEST`, and on the rest of them."""
        sizes = np.bincount(self.numbers, minlength=1)
        large = [at for at in np.argsort(-sizes, kind="stable").tolist() if sizes[at] > LARGEST]
        for number in large[:_TOLD]:
            first = names[int(np.flatnonzero(self.numbers == number)[0])]
            yield f"Near-duplicates: {sizes[number]} strips are one group, that of {first}."
        if len(large) > _TOLD:
            strips = int(sizes[large[_TOLD:]].sum())
            yield (
                f"Near-duplicates: {strips} strips stand in {len(large) - _TOLD} more groups of "
                f"over {LARGEST}."
            )


def group_strips(dataset: Dataset) -> NDArray[np.int64]:
    """Number the group of near-duplicates of each strip; the numbers of `find_groups`."""
    return find_groups(dataset).numbers


def find_groups(dataset: Dataset, *, look: bool = False) -> Groups:
    """Find the group of near-duplicates of each strip.

    Groups are those of ``groups.csv``, else (or with ``look``) found by fingerprint, which reads
    all pictures, 18 kB kept of each. Strips without texture stay alone, or all dark ones would be
    one group. Raises PictureError.
    """
    if dataset.group_labels is not None and not look:
        return Groups(_numbered(dataset.group_labels), named=True)
    return join_prints(take_prints(dataset))


def take_prints(dataset: Dataset) -> list[Fingerprint]:
    """The fingerprints of all strips, in order. Raises PictureError."""
    return list(track(_in_threads(dataset), "Looking for near-duplicates", len(dataset)))


def group_pictures(pictures: Iterable[Picture]) -> NDArray[np.int64]:
    """Number the group of near-duplicates of each picture, int64 ``(pictures,)``, from 0."""
    return group_prints([fingerprint(picture) for picture in pictures])


def group_prints(prints: Sequence[Fingerprint]) -> NDArray[np.int64]:
    """Number the group of near-duplicates of each fingerprint, int64 ``(prints,)``, from 0."""
    return join_prints(prints).numbers


def join_prints(prints: Sequence[Fingerprint]) -> Groups:
    """Group strips by their fingerprints; the order in which they are given makes no difference."""
    digests = [each.digest for each in prints]
    order = sorted(range(len(prints)), key=digests.__getitem__)
    sorted_prints = [prints[at] for at in order]
    found = find_links(sorted_prints)
    leads = _grow(sorted_prints, found)
    lead = np.empty(len(prints), np.int64)
    lead[order] = leads
    links = [(order[one], order[other]) for one, other, _ in found]
    untold = sum(not each.telling for each in prints)
    return Groups(_numbered(lead.tolist()), tuple(_chains(lead, links)), untold)


def find_links(prints: Sequence[Fingerprint]) -> list[tuple[int, int, float]]:
    """Pairs of strips that are one, ``(one, other, likeness)`` with one < other, likest first.

    Each strip is held against its nearest neighbours by spectrum; one that is like half of them
    is held against twice as many, up to `_MOST_NEIGHBOURS`. Of strips with the same fingerprint
    one stands for all.
    """
    firsts, links = _copies(prints)
    if firsts.size < 2:
        return links
    spectra = stacked([prints[at] for at in firsts.tolist()])
    most = min(_MOST_NEIGHBOURS + 1, firsts.size)
    tried: dict[tuple[int, int], bool] = {}
    asked, kept = np.arange(firsts.size), min(_NEIGHBOURS + 1, firsts.size)
    while asked.size:
        alike = np.zeros(asked.size, np.int64)
        around = nearest(spectra[asked], spectra, kept)
        for row, (at, others) in enumerate(zip(asked.tolist(), around.tolist(), strict=True)):
            for pair in ((min(at, other), max(at, other)) for other in others if other != at):
                if pair not in tried:
                    one, other = firsts[list(pair)].tolist()
                    like = likeness(prints[one], prints[other])
                    tried[pair] = like >= proof(prints[one], prints[other])
                    if tried[pair]:
                        links.append((one, other, like))
                alike[row] += tried[pair]
        asked = asked[2 * alike >= kept - 1] if kept < most else asked[:0]
        kept = min(2 * kept, most)
    return sorted(links, key=lambda link: (-link[2], link[0], link[1]))


def _copies(
    prints: Sequence[Fingerprint],
) -> tuple[NDArray[np.int64], list[tuple[int, int, float]]]:
    """Telling strips without those of the same fingerprint as an earlier one, and their links."""
    last: dict[bytes, int] = {}
    firsts, links = [], []
    for at, each in enumerate(prints):
        if each.telling:
            if each.digest in last:
                links.append((last[each.digest], at, 1.0))
            else:
                firsts.append(at)
            last[each.digest] = at
    return np.array(firsts, np.int64), links


class _Forest:
    """Groups as they grow: each strip leads to another of its group, the last to itself."""

    def __init__(self, count: int) -> None:
        self._leader = list(range(count))
        self.members = {at: [at] for at in range(count)}

    def lead(self, member: int) -> int:
        leader = self._leader
        while leader[member] != member:
            leader[member] = member = leader[leader[member]]
        return member

    def join(self, one: int, other: int) -> None:
        self._leader[other] = one
        self.members[one] += self.members.pop(other)


def _grow(prints: Sequence[Fingerprint], links: Sequence[tuple[int, int, float]]) -> list[int]:
    """Join strips along links, the strongest first; the leader of each strip's group."""
    forest = _Forest(len(prints))
    refused: set[tuple[int, int, int, int]] = set()
    for one, other, _ in links:
        first, second = sorted((forest.lead(one), forest.lead(other)))
        if first == second:
            continue
        ours, theirs = forest.members[first], forest.members[second]
        asked = (first, len(ours), second, len(theirs))
        if asked in refused:
            continue
        if len(ours) + len(theirs) > LARGEST and not _mutual(prints, ours, theirs):
            refused.add(asked)
            continue
        forest.join(first, second)
    return [forest.lead(at) for at in range(len(prints))]


def _mutual(prints: Sequence[Fingerprint], ours: Sequence[int], theirs: Sequence[int]) -> bool:
    """Whether two groups are alike as a whole, and not at one link only."""
    pairs = [(prints[one], prints[other]) for one, other in product(_spread(ours), _spread(theirs))]
    alike = sum(likeness(one, other) >= proof(one, other) for one, other in pairs)
    return alike >= _MUTUAL * len(pairs)


def _spread(members: Sequence[int]) -> list[int]:
    """A few members, spread over all."""
    ranked = sorted(members)
    places = np.linspace(0, len(ranked) - 1, min(_SAMPLE, len(ranked))).round().astype(int)
    return [ranked[place] for place in places]


def _chains(lead: NDArray[np.int64], links: Sequence[tuple[int, int]]) -> Iterator[Chain]:
    """What hangs together by links and stands in several groups, the longest first."""
    whole = _Forest(len(lead))
    for one, other in links:
        first, second = whole.lead(one), whole.lead(other)
        if first != second:
            whole.join(first, second)
    cut: dict[int, int] = {}
    for one, other in links:
        if lead[one] != lead[other]:
            cut[whole.lead(one)] = cut.get(whole.lead(one), 0) + 1
    for top in sorted(cut, key=lambda top: (-len(whole.members[top]), min(whole.members[top]))):
        strips = tuple(sorted(whole.members[top]))
        yield Chain(strips, len(set(lead[list(strips)].tolist())), cut[top])


def _in_threads(dataset: Dataset) -> Iterator[Fingerprint]:
    """The fingerprints of all strips in order; decoding and shrinking leave Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from pool.map(lambda at: fingerprint(dataset.picture(at)), range(len(dataset)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _numbered(labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Number labels from 0 in the order of their first appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)
