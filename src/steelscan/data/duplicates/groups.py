"""Groups of near-duplicates: strips that show the same piece of steel, to be kept in one fold.

Links between strips are found by fingerprint and join their strips to groups, strongest first. If
each strip overlaps the next, links chain a whole coil; so a group of more than `LARGEST` strips
grows only by others that are like many of its members, and the chains that were split are reported.
"""

import os
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.data.duplicates.fingerprints import (
    Fingerprint,
    fingerprint,
    likeness,
    nearest,
    required_likeness,
)
from steelscan.strip import map_ahead, track

LARGEST = 20
"""Up to this many strips, single links make a group. The largest group of one magnetic tile under
all its lightings has 7, those of the competition 2 (44 known pairs)."""

_NEIGHBOURS = 10
_MOST_NEIGHBOURS = 80
_LISTED = 3
"""Chains, and large groups, that are reported one by one."""

_MUTUAL = 0.5
"""Share of the pairs across two groups that must be alike to join them to a large one."""

_SAMPLE = 4
"""Strips of each group that are compared for `_MUTUAL`."""


@dataclass(frozen=True)
class Chain:
    """Strips that are linked one to the next, and were split into groups."""

    strips: tuple[int, ...]
    """Rows of the strips, rising."""

    groups: int
    """Number of groups that they were split into."""

    separated: int
    """Similar pairs in different groups: near-duplicates that folds may separate."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of near-duplicates of every strip, and the special cases."""

    numbers: NDArray[np.int64]
    """int64 ``(strips,)``, from 0 in the order of the strips."""

    links: tuple[tuple[int, int], ...] = ()
    """Pairs of similar strips that the groups were made of; () if ``groups.csv`` lists them."""

    chains: tuple[Chain, ...] = ()
    """Chains that were split, the longest first."""

    without_texture: int = 0
    """Strips with too little texture to be compared; each is a group of its own."""

    named: bool = False
    """Whether the groups are those of ``groups.csv``."""

    def notes(self, names: Sequence[str]) -> list[str]:
        """Return sentences on special cases of these groups; [] if there are none."""
        notes = []
        if self.without_texture:
            notes.append(
                f"Near-duplicates: {self.without_texture} of {len(self.numbers)} strips have too "
                "little texture to be compared; each is a group of its own."
            )
        notes += [
            f"Near-duplicates: {len(chain.strips)} strips around {names[chain.strips[0]]} form a "
            f"chain; it was split into {chain.groups} groups, which separates {chain.separated} "
            "similar pairs."
            for chain in self.chains[:_LISTED]
        ]
        if len(self.chains) > _LISTED:
            strips = sum(len(chain.strips) for chain in self.chains[_LISTED:])
            notes.append(f"Near-duplicates: shorter chains of {strips} strips were split, too.")
        return notes if self.named else [*notes, *self._large(names)]

    def _large(self, names: Sequence[str]) -> Iterator[str]:
        """Yield a sentence on each of the first groups larger than `LARGEST`, and on the others."""
        sizes = np.bincount(self.numbers, minlength=1)
        large = [at for at in np.argsort(-sizes, kind="stable").tolist() if sizes[at] > LARGEST]
        for number in large[:_LISTED]:
            first = names[int(np.flatnonzero(self.numbers == number)[0])]
            yield f"Near-duplicates: {sizes[number]} strips form one group, that of {first}."
        if len(large) > _LISTED:
            strips = int(sizes[large[_LISTED:]].sum())
            yield (
                f"Near-duplicates: {strips} strips are in {len(large) - _LISTED} more groups of "
                f"over {LARGEST}."
            )


def group_strips(dataset: Dataset) -> NDArray[np.int64]:
    """Return the group of near-duplicates of each strip: the numbers of `find_groups`."""
    return find_groups(dataset).numbers


def find_groups(dataset: Dataset, *, search: bool = False) -> Groups:
    """Find the group of near-duplicates of each strip.

    Groups are those of ``groups.csv``; without it, or with ``search``, they are found by
    fingerprint: all pictures are read, and 18 kB of each are kept. Strips without texture are
    groups of their own, or all dark ones would be one group. Raises PictureError.
    """
    if dataset.group_labels is not None and not search:
        return Groups(_numbered(dataset.group_labels), named=True)
    prints = track(_fingerprints(dataset), "Searching near-duplicates", len(dataset))
    return group_prints(list(prints))


def group_prints(prints: Sequence[Fingerprint]) -> Groups:
    """Group strips by their fingerprints; their order makes no difference."""
    digests = [each.digest for each in prints]
    order = sorted(range(len(prints)), key=digests.__getitem__)
    sorted_prints = [prints[at] for at in order]
    sorted_links = find_links(sorted_prints)
    leader = np.empty(len(prints), np.int64)
    leader[order] = _join(sorted_prints, sorted_links)
    links = tuple((order[one], order[other]) for one, other, _ in sorted_links)
    without = sum(not each.has_texture for each in prints)
    return Groups(_numbered(leader.tolist()), links, tuple(_chains(leader, links)), without)


def find_links(prints: Sequence[Fingerprint]) -> list[tuple[int, int, float]]:
    """Return similar pairs ``(one, other, likeness)`` with one < other, the most alike first.

    Each strip is compared with its nearest neighbours by spectrum; a strip that is like half of
    them is compared with twice as many, up to `_MOST_NEIGHBOURS`. Of strips with the same
    fingerprint only one is compared.
    """
    firsts, links = _copies(prints)
    if firsts.size < 2:
        return links
    spectra = np.stack([prints[at].spectrum for at in firsts.tolist()])
    most = min(_MOST_NEIGHBOURS + 1, firsts.size)
    tried: dict[tuple[int, int], bool] = {}
    queries, count = np.arange(firsts.size), min(_NEIGHBOURS + 1, firsts.size)
    while queries.size:
        alike = np.zeros(queries.size, np.int64)
        around = nearest(spectra[queries], spectra, count)
        for row, (at, others) in enumerate(zip(queries.tolist(), around.tolist(), strict=True)):
            for pair in ((min(at, other), max(at, other)) for other in others if other != at):
                if pair not in tried:
                    one, other = firsts[list(pair)].tolist()
                    like = likeness(prints[one], prints[other])
                    tried[pair] = like >= required_likeness(prints[one], prints[other])
                    if tried[pair]:
                        links.append((one, other, like))
                alike[row] += tried[pair]
        queries = queries[2 * alike >= count - 1] if count < most else queries[:0]
        count = min(2 * count, most)
    return sorted(links, key=lambda link: (-link[2], link[0], link[1]))


def _copies(
    prints: Sequence[Fingerprint],
) -> tuple[NDArray[np.int64], list[tuple[int, int, float]]]:
    """Return the strips with texture, the first of each fingerprint, and links to their copies."""
    last: dict[bytes, int] = {}
    firsts, links = [], []
    for at, each in enumerate(prints):
        if each.has_texture:
            if each.digest in last:
                links.append((last[each.digest], at, 1.0))
            else:
                firsts.append(at)
            last[each.digest] = at
    return np.array(firsts, np.int64), links


def _join(prints: Sequence[Fingerprint], links: Sequence[tuple[int, int, float]]) -> list[int]:
    """Join strips along links, the strongest first; return the first strip of each one's group."""
    from scipy.cluster.hierarchy import DisjointSet

    groups = DisjointSet(range(len(prints)))
    refused: set[tuple[int, int, int, int]] = set()
    for one, other, _ in links:
        if groups.connected(one, other):
            continue
        ours, theirs = sorted((groups.subset(one), groups.subset(other)), key=min)
        attempt = (min(ours), len(ours), min(theirs), len(theirs))
        if attempt in refused:
            continue
        if len(ours) + len(theirs) > LARGEST and not _mutual(prints, ours, theirs):
            refused.add(attempt)
            continue
        groups.merge(one, other)
    return [min(groups.subset(at)) for at in range(len(prints))]


def _mutual(prints: Sequence[Fingerprint], ours: Set[int], theirs: Set[int]) -> bool:
    """Return whether many members of two groups are alike, and not only the two of one link."""
    pairs = [(prints[one], prints[other]) for one, other in product(_sample(ours), _sample(theirs))]
    alike = sum(likeness(one, other) >= required_likeness(one, other) for one, other in pairs)
    return alike >= _MUTUAL * len(pairs)


def _sample(members: Set[int]) -> list[int]:
    """Return a few members at even distances."""
    ranked = sorted(members)
    places = np.linspace(0, len(ranked) - 1, min(_SAMPLE, len(ranked))).round().astype(int)
    return [ranked[place] for place in places]


def _chains(leader: NDArray[np.int64], links: Sequence[tuple[int, int]]) -> Iterator[Chain]:
    """Yield strips that are linked and in several groups, the longest chain first."""
    from scipy.cluster.hierarchy import DisjointSet

    whole = DisjointSet(range(len(leader)))
    for one, other in links:
        whole.merge(one, other)
    separated = Counter(whole[one] for one, other in links if leader[one] != leader[other])
    chains = {top: tuple(sorted(whole.subset(top))) for top in separated}
    for top, strips in sorted(chains.items(), key=lambda each: (-len(each[1]), each[1][0])):
        yield Chain(strips, len(set(leader[list(strips)].tolist())), separated[top])


def _fingerprints(dataset: Dataset) -> Iterator[Fingerprint]:
    """Yield the fingerprints of all strips in order; threads help, as decoding frees the lock."""
    rows = range(len(dataset))
    for result in map_ahead(
        lambda row: fingerprint(dataset.picture(row)), rows, os.cpu_count() or 1
    ):
        yield result()


def _numbered(labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Number labels from 0 in the order of their first appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)
