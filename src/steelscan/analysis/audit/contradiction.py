"""Labels that predictions contradict: regions missed, denied, of another class, out of place.

The predictions must come from networks that were not trained on the strip, or they repeat its
label. The kinds of errors are those of ObjectLab (Tkachenko, Thyagarajan and Mueller 2023,
arXiv:2309.00832: overlooked, swapped, badly located), for regions in place of boxes, and labelled
regions that are not predicted ("denied"). Scores are relative to the usual probability of each
class, as in confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Mask, Masks, connected_components

Kind = Literal["missed", "denied", "other class", "out of place"]

_TOUCHED = 0.1
"""A region is confirmed if the other mask of its class covers at least this share of it."""

_PEAK = 0.95
"""Quantile used as the highest probability in a region; a few pixels may be wrong."""


class Region(NamedTuple):
    """A connected region of one class, labelled or predicted."""

    class_index: int
    """Counts from 0."""
    pixels: int
    box: tuple[int, int, int, int]
    """Top, left, height, width."""
    mean: float
    """Mean probability of the class in the region."""
    peak: float
    """95 % quantile of that probability."""
    agreed: float
    """Share of its pixels with the same class in the other mask."""
    rival: int | None
    """The class of at least half its pixels in the other mask, if it is another class."""
    rival_mean: float
    """Mean probability of the rival in the region; 0 without one."""


@dataclass(frozen=True)
class Regions:
    """All regions of a strip, labelled and predicted, and the Dice of each class.

    ``dice`` is float64 ``(classes,)``, NaN if label or prediction is empty.
    """

    labelled: tuple[Region, ...]
    predicted: tuple[Region, ...]
    dice: NDArray[np.float64]


class Contradiction(NamedTuple):
    """A possible label error; ``score`` from 0 to 1 is for ranking and is no probability."""

    kind: Kind
    class_index: int
    score: float
    box: tuple[int, int, int, int]
    probability: float
    """Of a missed region the mean, of a denied one the highest; of another class the mean of that
    class; of one out of place the Dice."""
    rival: int | None = None
    """The labelled class, if another one is predicted."""


def regions_of(probabilities_u8: NDArray[np.uint8], predicted: Masks, label: Masks) -> Regions:
    """Compare label and prediction of a strip.

    ``probabilities_u8`` is uint8, 255 for certain; ``predicted`` the masks made from it and
    ``label`` those of the data set, bool; all ``(classes, height, width)``.
    """
    shared = (predicted & label).sum((1, 2)).astype(np.float64)
    sizes = predicted.sum((1, 2)), label.sum((1, 2))
    dice = np.full(len(label), np.nan)
    np.divide(2 * shared, sizes[0] + sizes[1], out=dice, where=(sizes[0] > 0) & (sizes[1] > 0))
    labelled = _regions(probabilities_u8, label, predicted)
    return Regions(labelled, _regions(probabilities_u8, predicted, label), dice)


def contradictions(strips: Sequence[Regions]) -> list[list[Contradiction]]:
    """Return the possible label errors of each strip, the worst first.

    The score of a missed region is its probability, times the share of such regions that labels
    usually confirm; of a denied one how far its highest probability is below 1, times the usual
    one of its class; of another class both; of a class out of place how far its Dice is below the
    usual one. So classes that the networks predict badly get low scores.
    """
    usual = _usual(strips)
    return [sorted(_of_strip(strip, usual), key=lambda each: -each.score) for strip in strips]


class _Usual(NamedTuple):
    """Usual values of each class, float64 ``(classes,)``."""

    peak: NDArray[np.float64]
    """Mean of the highest probability in labelled regions."""
    confirmed: NDArray[np.float64]
    """Share of predicted regions that a label of the class confirms."""
    dice: NDArray[np.float64]
    """Median Dice if both are present."""
    pixels: NDArray[np.float64]
    """Median size of labelled regions in pixels."""


def _usual(strips: Sequence[Regions]) -> _Usual:
    classes = len(strips[0].dice) if strips else 0
    peak, confirmed, dice, pixels = (np.zeros(classes) for _ in range(4))
    for at in range(classes):
        labelled = [each for strip in strips for each in strip.labelled if each.class_index == at]
        predicted = [each for strip in strips for each in strip.predicted if each.class_index == at]
        values = np.array([strip.dice[at] for strip in strips])
        known = values[~np.isnan(values)]
        peak[at] = np.mean([each.peak for each in labelled]) if labelled else 0.0
        # One more of each: two regions that are both confirmed prove little.
        agreed = sum(each.agreed >= _TOUCHED for each in predicted)
        confirmed[at] = (agreed + 1) / (len(predicted) + 2)
        dice[at] = np.median(known) if known.size else 0.0
        pixels[at] = np.median([each.pixels for each in labelled]) if labelled else 1.0
    return _Usual(peak, confirmed, dice, pixels)


def _of_strip(strip: Regions, usual: _Usual) -> list[Contradiction]:
    errors = []
    for each in strip.predicted:
        at = each.class_index
        if each.agreed < _TOUCHED:
            size = min(1.0, 4 * each.pixels / usual.pixels[at])  # tiny ones are often noise
            score = each.mean * usual.confirmed[at] * size
            if each.rival is None:
                errors.append(Contradiction("missed", at, float(score), each.box, each.mean))
            else:
                score *= 1 - each.rival_mean
                errors.append(
                    Contradiction("other class", each.rival, float(score), each.box, each.mean, at)
                )
    for each in strip.labelled:
        at = each.class_index
        if each.agreed < _TOUCHED and each.rival is None:
            score = (1 - each.peak) * usual.peak[at]
            errors.append(Contradiction("denied", at, float(score), each.box, each.peak))
    for at, value in enumerate(strip.dice.tolist()):
        if value < usual.dice[at]:  # False for NaN
            score = (1 - value / usual.dice[at]) * usual.peak[at]
            box = next(each.box for each in strip.labelled if each.class_index == at)
            errors.append(Contradiction("out of place", at, float(score), box, value))
    return errors


def _regions(probabilities_u8: NDArray[np.uint8], own: Masks, other: Masks) -> tuple[Region, ...]:
    """Return the connected regions of the masks ``own``, compared with ``other``."""
    regions = []
    for at in np.flatnonzero(own.any((1, 2))).tolist():
        labels, boxes, areas = connected_components(own[at])
        for number, (place, area) in enumerate(zip(boxes, areas, strict=True), start=1):
            top, left, height, width = place.tolist()
            cut = (slice(None), slice(top, top + height), slice(left, left + width))
            region: Mask = labels[cut[1:]] == number
            box = (top, left, height, width)
            regions.append(_region(at, int(area), box, probabilities_u8[cut], other[cut], region))
    return tuple(regions)


def _region(
    at: int,
    pixels: int,
    box: tuple[int, int, int, int],
    probabilities_u8: NDArray[np.uint8],
    other: Masks,
    region: Mask,
) -> Region:
    """Measure a region; the arrays are cut to its box, ``region`` are its pixels there."""
    own = probabilities_u8[at][region]
    shares = other[:, region].mean(1)
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
        rival_mean=0.0 if rivals is None else float(probabilities_u8[rivals][region].mean()) / 255,
    )
