"""Labels that predictions contradict: regions missed, denied, of another class, out of place.

The predictions must come from networks that were not fitted on the strip, or they repeat its
label. The kinds of errors are those of ObjectLab (Tkachenko, Thyagarajan and Mueller 2023,
arXiv:2309.00832: overlooked, swapped, badly located), for outlined regions in place of boxes, and
regions that the networks deny. That a class is believed as far as the networks usually know it is
the rule of confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Mask, Masks, connected_components

Kind = Literal["missed", "denied", "other class", "out of place"]

_TOUCHED = 0.1
"""Share of a region from which the other side agrees that there is something."""

_PEAK = 0.95
"""Quantile that stands for the highest probability in a region: a few pixels may err."""


class Region(NamedTuple):
    """A connected region of one class, labelled or found, and what is said of it."""

    class_index: int
    """Counts from 0."""
    pixels: int
    box: tuple[int, int, int, int]
    """Top, left, height, width."""
    mean: float
    """Mean probability of the class in the region."""
    peak: float
    """The 95 % quantile of that."""
    agreed: float
    """Share of its pixels to which the other side gives the same class."""
    rival: int | None
    """The class that the other side gives to most of its pixels, if that is another one."""
    rival_mean: float
    """Mean probability of the rival in the region; 0 without one."""


@dataclass(frozen=True)
class Regions:
    """All regions of a strip: of its label, and of what was found; and the Dice of each class.

    ``dice`` is float64 ``(classes,)``, not a number where label or prediction is empty.
    """

    labelled: tuple[Region, ...]
    found: tuple[Region, ...]
    dice: NDArray[np.float64]


class Contradiction(NamedTuple):
    """Why a label is suspected: ``score`` from 0 to 1 ranks, and is no probability."""

    kind: Kind
    class_index: int
    score: float
    box: tuple[int, int, int, int]
    probability: float
    """What the networks say: of a missed region its mean, of a denied one its highest; of another
    class that one's mean; of one out of place the Dice."""
    rival: int | None = None
    """The class that networks and label do not share, where there is one."""


def regions_of(levels: NDArray[np.uint8], found: Masks, label: Masks) -> Regions:
    """Lay label and prediction of a strip on each other.

    ``levels`` are probabilities as 255ths, uint8, ``found`` the masks made of them and ``label``
    those of the data set, bool; all ``(classes, height, width)``.
    """
    shared = (found & label).sum((1, 2)).astype(np.float64)
    sizes = found.sum((1, 2)), label.sum((1, 2))
    dice = np.full(len(label), np.nan)
    np.divide(2 * shared, sizes[0] + sizes[1], out=dice, where=(sizes[0] > 0) & (sizes[1] > 0))
    return Regions(_regions(levels, label, found), _regions(levels, found, label), dice)


def contradictions(strips: Sequence[Regions]) -> list[list[Contradiction]]:
    """Why the label of each strip is suspected, the worst first; [] where nothing speaks for it.

    A missed region counts by its probability, times the share of such regions that labels usually
    confirm; a denied one by how far below 1 its highest probability is, times how high that
    usually is for its class; another class by both; a class out of place by how far its Dice lies
    below the usual one. What the networks know badly weighs little so.
    """
    habits = _habits(strips)
    return [sorted(_of_strip(strip, habits), key=lambda each: -each.score) for strip in strips]


class _Habits(NamedTuple):
    """What is usual for each class, float64 ``(classes,)``."""

    peak: NDArray[np.float64]
    """Highest probability in labelled regions, the mean."""
    confirmed: NDArray[np.float64]
    """Share of found regions that a label of the class confirms."""
    dice: NDArray[np.float64]
    """Median Dice where both are there."""
    pixels: NDArray[np.float64]
    """Pixels of labelled regions, the median."""


def _habits(strips: Sequence[Regions]) -> _Habits:
    classes = len(strips[0].dice) if strips else 0
    peak, confirmed, dice, pixels = (np.zeros(classes) for _ in range(4))
    for at in range(classes):
        labelled = [each for strip in strips for each in strip.labelled if each.class_index == at]
        found = [each for strip in strips for each in strip.found if each.class_index == at]
        values = np.array([strip.dice[at] for strip in strips])
        known = values[~np.isnan(values)]
        peak[at] = np.mean([each.peak for each in labelled]) if labelled else 0.0
        # One more of either: two regions of which both are confirmed prove little.
        agreed = sum(each.agreed >= _TOUCHED for each in found)
        confirmed[at] = (agreed + 1) / (len(found) + 2)
        dice[at] = np.median(known) if known.size else 0.0
        pixels[at] = np.median([each.pixels for each in labelled]) if labelled else 1.0
    return _Habits(peak, confirmed, dice, pixels)


def _of_strip(strip: Regions, habits: _Habits) -> list[Contradiction]:
    told = []
    for each in strip.found:
        at = each.class_index
        if each.agreed < _TOUCHED:
            size = min(1.0, 4 * each.pixels / habits.pixels[at])  # a crumb is soon found by chance
            score = each.mean * habits.confirmed[at] * size
            if each.rival is None:
                told.append(Contradiction("missed", at, float(score), each.box, each.mean))
            else:
                doubted = 1 - each.rival_mean
                other = Contradiction(
                    "other class", each.rival, float(score * doubted), each.box, each.mean, at
                )
                told.append(other)
    for each in strip.labelled:
        at = each.class_index
        if each.agreed < _TOUCHED and each.rival is None:
            score = (1 - each.peak) * habits.peak[at]
            told.append(Contradiction("denied", at, float(score), each.box, each.peak))
    for at, value in enumerate(strip.dice.tolist()):
        if value < habits.dice[at]:  # not where it is not a number
            score = (1 - value / habits.dice[at]) * habits.peak[at]
            box = next(each.box for each in strip.labelled if each.class_index == at)
            told.append(Contradiction("out of place", at, float(score), box, value))
    return told


def _regions(levels: NDArray[np.uint8], own: Masks, other: Masks) -> tuple[Region, ...]:
    found = []
    for at in np.flatnonzero(own.any((1, 2))).tolist():
        labels, boxes, areas = connected_components(own[at])
        for number, (place, area) in enumerate(zip(boxes, areas, strict=True), start=1):
            top, left, height, width = place.tolist()
            box = (slice(None), slice(top, top + height), slice(left, left + width))
            inside: Mask = labels[box[1:]] == number
            corner = (top, left, height, width)
            found.append(_region(at, int(area), corner, levels[box], other[box], inside))
    return tuple(found)


def _region(
    at: int,
    pixels: int,
    box: tuple[int, int, int, int],
    levels: NDArray[np.uint8],
    other: Masks,
    inside: Mask,
) -> Region:
    """A region; ``levels`` and ``other`` are of its box, ``inside`` its pixels in that."""
    own = levels[at][inside]
    shares = other[:, inside].mean(1)
    rival = int(np.argmax(np.where(np.arange(len(shares)) == at, -1.0, shares)))
    rivals = rival if rival != at and shares[rival] >= 0.5 else None
    return Region(
        class_index=at,
        pixels=pixels,
        box=box,
        mean=float(own.mean()) / 255,
        peak=float(np.quantile(own, _PEAK)) / 255,
        agreed=float(shares[at]),
        rival=rivals,
        rival_mean=0.0 if rivals is None else float(levels[rivals][inside].mean()) / 255,
    )
