"""What voters say of one strip, gathered: each class over those that know it. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.averages import Floats, mean_of


class Left(NamedTuple):
    """Voters that were not asked: how many know each class, by its id, and what all of them say."""

    knowing: Mapping[int, int]
    saying: float


@dataclass
class MapSum:
    """The sum, a class, of the maps of the voters that know it: only one voter's are held."""

    totals: dict[int, Floats] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, planes: Floats, classes: tuple[int, ...] | None) -> None:
        """Add the maps ``(classes, height, width)`` of a voter that knows these classes."""
        for known, plane in zip(ids_of(planes, classes), planes, strict=True):
            self.totals[known] = self.totals[known] + plane if known in self.totals else plane
            self.counts[known] = self.counts.get(known, 0) + 1

    def with_maps(self, planes: Floats, classes: tuple[int, ...] | None) -> "MapSum":
        """The sum with the maps of one voter more; this one stays as it is."""
        more = MapSum(dict(self.totals), dict(self.counts))
        more.add(planes, classes)
        return more

    def each_mean(self) -> Iterator[tuple[int, Floats]]:
        """The classes that are known, and the mean of each, one by one."""
        for known, total in self.totals.items():
            count = self.counts[known]
            yield known, total if count == 1 else total / np.float32(count)

    def means(self, left: Left | None = None) -> tuple[list[int], Floats]:
        """The classes that are known, and the mean of each, with what is ``left``.

        Only of classes that someone was asked about.
        """
        ids = sorted(self.totals)
        planes = []
        for known in ids:
            total, count = self.totals[known], self.counts[known]
            if left is not None:
                more = left.knowing.get(known, 0)
                total, count = total + np.float32(more * left.saying), count + more
            planes.append(total / np.float32(count))
        return ids, np.stack(planes)


@dataclass
class ClassMeans:
    """What voters say of whole strips: float ``(classes,)`` each, and of which classes."""

    said: list[Floats] = field(default_factory=list)
    ids: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, said: Floats, classes: tuple[int, ...] | None) -> None:
        """Add the answer of a voter that knows these classes."""
        self.said.append(said)
        self.ids.append(ids_of(said, classes))

    def means(self, left: Left | None = None) -> tuple[list[int], Floats]:
        """The classes that are known, and the mean of each over the voters that know it."""
        known = sorted(set(chain.from_iterable(self.ids)))
        means = []
        for class_id in known:
            words = [
                said[ids.index(class_id)]
                for said, ids in zip(self.said, self.ids, strict=True)
                if class_id in ids
            ]
            if left is not None:
                more = left.knowing.get(class_id, 0)
                words += [words[0].dtype.type(left.saying)] * more
            means.append(mean_of(words))
        return known, np.array(means)


def ids_of(answer: Floats, classes: tuple[int, ...] | None) -> tuple[int, ...]:
    """The ids of the classes of an answer ``(classes, ...)``; None: all, from 1."""
    return classes or tuple(range(1, len(answer) + 1))


def placed(
    ids: Sequence[int], probabilities: Floats, classes: int | None, unknown: float
) -> NDArray[np.float32]:
    """Probabilities ``(ids, ...)`` among those of all classes; of the others, this value."""
    whole = np.full((classes or ids[-1], *probabilities.shape[1:]), unknown, np.float32)
    whole[np.array(ids) - 1] = probabilities
    return whole
