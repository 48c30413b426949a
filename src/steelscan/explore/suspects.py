"""Labels worth a second look, found without a network. Nothing here says that they are wrong."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.explore.gather import StripFacts
from steelscan.explore.labels import LabelTable

SPECK = 3.66e-4
"""Pieces under this share of the picture are specks: the 1st place's 150 pixels (K:114254) of its
strips, at the size of any picture."""

_UNUSUAL = 3.5
"""Masks so many robust standard deviations off their class's usual area are unusual (Iglewicz and
Hoaglin 1993)."""

_FEWEST = 20
"""A class with fewer masks has no usual area."""

_APART = 2.0
"""Masks of one class on near-duplicates differ when one is so many times larger."""

_ROUNDED = 0.0001
"""A share of a table of labels has two decimals of a per cent; it may be cut off, not rounded."""

KINDS = {
    "twin": "Near-duplicates labelled differently",
    "shared": "Pixels with two classes",
    "table": "Masks that the table of labels contradicts",
    "sliver": "Pieces one pixel wide",
    "speck": "Specks",
    "area": "Masks of unusual area",
}
"""The kinds of suspects, the surest first."""


class Suspect(NamedTuple):
    """A label that deserves a look."""

    kind: str
    strip: int
    """Place in the list of strips."""

    class_index: int | None
    """None where several classes are meant."""

    weight: float
    """The larger, the sooner it should be looked at; comparable within a kind."""

    why: str


def speck_limit(pixels: int, given: int | None = None) -> int:
    """Below how many pixels a piece is a speck on a picture of so many, if none is given."""
    return max(2, round(SPECK * pixels)) if given is None else given


def find_suspects(
    strips: Sequence[StripFacts],
    names: Sequence[str],
    groups: NDArray[np.int64] | None,
    labels: LabelTable | None,
    speck: int | None = None,
) -> tuple[Suspect, ...]:
    """All suspects, by kind and within it the gravest first; ``names`` are those of the classes."""
    found = [
        *(twins(strips, names, groups) if groups is not None else ()),
        *_shared(strips, names),
        *(_contradicted(strips, names, labels) if labels is not None else ()),
        *_slivers(strips),
        *_specks(strips, speck),
        *unusual_areas(strips, len(names)),
    ]
    order = list(KINDS)
    return tuple(sorted(found, key=lambda each: (order.index(each.kind), -each.weight)))


def twins(
    strips: Sequence[StripFacts], names: Sequence[str], groups: NDArray[np.int64]
) -> Iterator[Suspect]:
    """Strips whose near-duplicate has other classes, or a mask of quite another size.

    Each is told beside the first strip of its group.
    """
    for members in members_of(groups):
        first = strips[members[0]]
        for at in members[1:]:
            differing = _differences(first, strips[at], names)
            if differing:
                why = f"{first.name} shows the same steel: {'; '.join(differing)}"
                yield Suspect("twin", at, None, float(len(differing)), why)


def members_of(groups: NDArray[np.int64]) -> list[list[int]]:
    """The members of each group of two or more, in their order."""
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    return [part.tolist() for part in np.split(order, starts[1:]) if len(part) > 1]


def _differences(one: StripFacts, other: StripFacts, names: Sequence[str]) -> list[str]:
    found = []
    for name, left, right in zip(names, one.shapes, other.shapes, strict=True):
        if left is None and right is None:
            continue
        if left is None or right is None:
            found.append(f"class {name} is only {'here' if left is None else 'there'}")
        elif max(left.share, right.share) > _APART * min(left.share, right.share):
            sizes = f"{right.pixels} pixels here, {left.pixels} there"
            found.append(f"class {name} has {sizes}")
    return found


def _shared(strips: Sequence[StripFacts], names: Sequence[str]) -> Iterator[Suspect]:
    for at, strip in enumerate(strips):
        for (one, other), pixels in strip.shared.items():
            why = f"{pixels} pixels belong to class {names[one]} and to class {names[other]}"
            yield Suspect("shared", at, None, float(pixels), why)


def _contradicted(
    strips: Sequence[StripFacts], names: Sequence[str], labels: LabelTable
) -> Iterator[Suspect]:
    rows = {name: row for row, name in enumerate(labels.names)}
    for at, strip in enumerate(strips):
        row = rows.get(strip.name)
        if row is None:
            continue
        for index, (name, shape) in enumerate(zip(names, strip.shapes, strict=True)):
            told = bool(labels.present[row, index])
            if told and shape is None:
                why = f"the table has class {name} here, the masks have not"
                yield Suspect("table", at, index, 1.0, why)
            elif shape is not None and not told:
                why = f"the masks have class {name} here, the table has not"
                yield Suspect("table", at, index, 1.0, why)
            elif shape is not None and labels.shares is not None:
                said = float(labels.shares[row, index])
                if abs(said - shape.share) > _ROUNDED:
                    why = f"class {name} covers {shape.share:.2%}, the table says {said:.2%}"
                    yield Suspect("table", at, index, abs(said - shape.share), why)


def _slivers(strips: Sequence[StripFacts]) -> Iterator[Suspect]:
    for at, strip in enumerate(strips):
        for index, shape in enumerate(strip.shapes):
            if shape is not None and shape.slivers:
                pieces = len(shape.pieces)
                why = f"{shape.slivers} of {pieces} {_pieces(pieces)} one pixel wide everywhere"
                yield Suspect("sliver", at, index, float(shape.slivers), why)


def _specks(strips: Sequence[StripFacts], given: int | None) -> Iterator[Suspect]:
    for at, strip in enumerate(strips):
        limit = speck_limit(strip.frame.pixels, given)
        for index, shape in enumerate(strip.shapes):
            if shape is None or shape.pieces[0] >= limit:
                continue
            count, smallest = int((shape.pieces < limit).sum()), int(shape.pieces[0])
            pieces = len(shape.pieces)
            why = f"{count} of {pieces} {_pieces(pieces)} under {limit} pixels; the smallest"
            yield Suspect("speck", at, index, limit / smallest, f"{why} has {smallest}")


def _pieces(count: int) -> str:
    return "piece is" if count == 1 else "pieces are"


def unusual_areas(strips: Sequence[StripFacts], classes: int) -> Iterator[Suspect]:
    """Masks far off the median of their class, by the logarithm of their share of the picture."""
    for index in range(classes):
        held = [
            (at, shape)
            for at, strip in enumerate(strips)
            for shape in [strip.shapes[index]]
            if shape is not None
        ]
        if len(held) < _FEWEST:
            continue
        sizes = np.log([shape.share for _, shape in held])
        median = np.median(sizes)
        apart = np.abs(sizes - median)
        # Where more than half of the masks are of one size, the mean stands in for the median.
        deviation = 1.4826 * np.median(apart) or 1.2533 * np.mean(apart)
        if deviation <= 0:
            continue
        for (at, shape), off in zip(held, (sizes - median) / deviation, strict=True):
            if abs(off) > _UNUSUAL:
                times = float(np.exp(abs(off) * deviation))
                size = "larger" if off > 0 else "smaller"
                why = f"{shape.pixels} pixels, {times:.0f} times {size} than the class's median"
                yield Suspect("area", at, index, float(abs(off)), why)
