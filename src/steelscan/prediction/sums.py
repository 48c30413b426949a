"""Sums of the outputs of several models for one strip, per class. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.averages import Floats


class Remaining(NamedTuple):
    """Models that have not predicted yet: how many predict each class, and what they may give."""

    counts: Mapping[int, int]
    """Number of models, by class id."""
    probability: float
    """The value that all of them are assumed to give: 0 for a lower bound, 1 for an upper one."""


@dataclass
class ClassSums:
    """Per class, the sum of the outputs of the models that predict it.

    An output is ``(classes,)`` or ``(classes, height, width)``; only the sums are kept.
    """

    totals: dict[int, Floats] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, output: Floats, classes: tuple[int, ...] | None) -> None:
        """Add the output of a model that predicts these classes."""
        for class_id, plane in zip(ids_of(output, classes), output, strict=True):
            before = self.totals.get(class_id)
            self.totals[class_id] = plane if before is None else before + plane
            self.counts[class_id] = self.counts.get(class_id, 0) + 1

    def plus(self, output: Floats, classes: tuple[int, ...] | None) -> "ClassSums":
        """Return the sums with one more model; these stay as they are."""
        more = ClassSums(dict(self.totals), dict(self.counts))
        more.add(output, classes)
        return more

    def each_mean(self) -> Iterator[tuple[int, Floats]]:
        """Yield each class that some model predicts, and its mean, one at a time."""
        for class_id, total in self.totals.items():
            count = self.counts[class_id]
            yield class_id, total if count == 1 else total / total.dtype.type(count)

    def means(self, remaining: Remaining | None = None) -> tuple[list[int], Floats]:
        """Return the classes that some model predicts, and their means, ``(ids, ...)``."""
        ids = sorted(self.totals)
        planes = []
        for class_id in ids:
            total, count = self.totals[class_id], self.counts[class_id]
            if remaining is not None:
                more = remaining.counts.get(class_id, 0)
                total = total + total.dtype.type(more * remaining.probability)
                count += more
            planes.append(total / total.dtype.type(count))
        return ids, np.stack(planes)


def ids_of(output: Floats, classes: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the class ids of an output ``(classes, ...)``; None means all, from 1."""
    return classes or tuple(range(1, len(output) + 1))


def for_all_classes(
    ids: Sequence[int], probabilities: Floats, classes: int | None, missing: float
) -> NDArray[np.float32]:
    """Place probabilities ``(ids, ...)`` among all classes; the other classes get ``missing``."""
    whole = np.full((classes or ids[-1], *probabilities.shape[1:]), missing, np.float32)
    whole[np.array(ids) - 1] = probabilities
    return whole
