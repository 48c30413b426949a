"""Labels worth a second look, found in the labels alone; `explore` and `audit` share these rules.

Limits are relative to the picture, so they mean the same for every camera. A suspect is not proven
wrong: a person has to look at it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.explore.explored_data import ExploredData
from steelscan.explore.labels import LabelTable
from steelscan.explore.measurements import Measurements, StripFacts, masks_of_class
from steelscan.explore.near_pairs import label_differences
from steelscan.explore.shape import MaskShape, Parts
from steelscan.pages import plural

SPECK = 3.66e-4
"""Pieces and holes under this share of the picture are specks and pinholes: the 150 pixels of the
1st place (K:114254) on 256x1600, at the size of any picture."""

_ODD = 3.5
"""Robust standard deviations from which a size is odd (Iglewicz and Hoaglin 1993)."""

_FEWEST = 20
"""A class with fewer masks has no usual size."""

_NORMAL = 1.4826
"""Standard deviation over median absolute deviation, of a normal distribution."""

_LEAST_DEVIATION = 0.25
"""Of the logarithm of sizes: among masks within a quarter of each other, none is odd."""

_ROUNDED = 0.0001
"""A share in a table of labels has two decimals of a per cent; it may be truncated."""

_COPIES_DIFFER, _TABLE_DIFFERS, _SHARED, _ODD_SIZE = 0.9, 0.6, 0.6, 0.5
_SPECK, _SLIVER, _PINHOLE = 0.2, 0.15, 0.1
"""Highest score of each kind; specks, slivers and pinholes are seldom more than a slip."""

KINDS = {
    "copies differ": "Near-duplicates labelled differently",
    "shared pixels": "Pixels with two classes",
    "table differs": "Masks that contradict the table of labels",
    "odd size": "Masks of unusual size",
    "speck": "Specks",
    "sliver": "Lines one pixel wide",
    "pinhole": "Pinholes",
}
"""The kinds of suspects with their headings, the most serious first."""


@dataclass(frozen=True)
class Suspect:
    """A label that deserves a second look."""

    kind: str
    image: str
    strip: int
    """Index in `Measurements.strips`."""

    class_index: int | None
    """Counts from 0; None if several classes are concerned."""

    class_name: str | None
    score: float
    """0 to 1; it ranks suspects and is no probability."""

    reason: str
    box: tuple[int, int, int, int] | None = None
    """Top, left, height and width of the smallest part concerned, in pixels."""

    near_duplicate: int | None = None
    """Index in `Measurements.strips` of the picture that is labelled differently."""


def speck_limit(pixels: int, given: int | None = None) -> int:
    """Return below how many pixels a piece is a speck on a picture of ``pixels``, unless given."""
    return max(2, round(SPECK * pixels)) if given is None else given


def find_suspects(
    data: ExploredData, measured: Measurements, speck: int | None = None
) -> tuple[Suspect, ...]:
    """Return all suspects, by kind, and within a kind the highest score first.

    ``speck`` replaces the limit in pixels of specks and pinholes. Raises MaskError if masks of
    near-duplicates cannot be read again.
    """
    strips, names = measured.strips, data.classes.names
    suspects = [
        *_copies_that_differ(data, measured),
        *_shared_pixels(strips, names),
        *(_table_differs(strips, names, data.labels) if data.labels is not None else ()),
        *_odd_sizes(strips, names),
        *_small_parts(strips, names, speck),
    ]
    order = list(KINDS)
    return tuple(sorted(suspects, key=lambda each: (order.index(each.kind), -each.score)))


def _copies_that_differ(data: ExploredData, measured: Measurements) -> Iterator[Suspect]:
    """Yield both pictures of each pair of near-duplicates that are labelled differently."""
    strips = measured.strips
    differences = label_differences(
        measured.near_pairs, lambda strip: data.masks(strips[strip].row)
    )
    for each in differences:
        name = data.classes.names[each.class_index]
        ends = ((each.one, each.pixels[0]), (each.other, each.pixels[1]))
        for (strip, own), (copy, others) in (ends, ends[::-1]):
            reason = (
                f"class {name}: {own} pixels here, {others} pixels of the same steel on "
                f"{strips[copy].name}"
            )
            if own and others:
                reason += f", and at another place (Dice {each.dice:.2f})"
            yield Suspect(
                "copies differ", strips[strip].name, strip, each.class_index, name,
                _COPIES_DIFFER * (1 - each.dice), reason, near_duplicate=copy,
            )  # fmt: skip


def _shared_pixels(strips: Sequence[StripFacts], names: Sequence[str]) -> Iterator[Suspect]:
    for at, strip in enumerate(strips):
        for (one, other), pixels in strip.shared.items():
            smaller = min(_pixels(strip.shapes[one]), _pixels(strip.shapes[other]))
            reason = f"{pixels} pixels belong to class {names[one]} and to class {names[other]}"
            score = _graded(_SHARED, 1 - pixels / smaller)
            yield Suspect("shared pixels", strip.name, at, None, None, score, reason)


def _table_differs(
    strips: Sequence[StripFacts], names: Sequence[str], labels: LabelTable
) -> Iterator[Suspect]:
    rows = {name: row for row, name in enumerate(labels.names)}
    for at, strip in enumerate(strips):
        row = rows.get(strip.name)
        if row is None:
            continue
        for index, (name, shape) in enumerate(zip(names, strip.shapes, strict=True)):
            listed, reason, score = bool(labels.present[row, index]), "", _TABLE_DIFFERS
            if listed and shape is None:
                reason = f"class {name} is in the table of labels, but not in the masks"
            elif shape is not None and not listed:
                reason = f"class {name} is in the masks, but not in the table of labels"
            elif shape is not None and labels.shares is not None:
                share = float(labels.shares[row, index])
                if abs(share - shape.share) > _ROUNDED:
                    reason = (
                        f"class {name} covers {shape.share:.2%}, by the table of labels {share:.2%}"
                    )
                    score = _graded(_TABLE_DIFFERS / 2, 1 - min(1.0, abs(share - shape.share)))
            if reason:
                yield Suspect("table differs", strip.name, at, index, name, score, reason)


def _odd_sizes(strips: Sequence[StripFacts], names: Sequence[str]) -> Iterator[Suspect]:
    for index, name in enumerate(names):
        masks = masks_of_class(strips, index)
        shares = np.array([shape.share for _, shape in masks])
        usual = float(np.median(shares)) if masks else 0.0
        for (at, shape), off in zip(masks, size_deviations(shares).tolist(), strict=True):
            if abs(off) < _ODD:
                continue
            times = max(shape.share / usual, usual / shape.share)
            size = "larger" if off > 0 else "smaller"
            reason = (
                f"class {name} has {shape.pixels} pixels, {times:.1f} times {size} than the "
                "median of its class"
            )
            score = _ODD_SIZE * min(1.0, abs(off) / (2 * _ODD))
            yield Suspect("odd size", strips[at].name, at, index, name, score, reason)


def size_deviations(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each mask of a class is from the usual size, float64 ``(masks,)``.

    ``shares`` are the masks' shares of their pictures. The result counts robust standard
    deviations of the logarithm from its median, below 0 for small masks; all are 0 if there are
    fewer than 20 masks.
    """
    if len(shares) < _FEWEST:
        return np.zeros(len(shares))
    sizes = np.log(shares)
    off = sizes - np.median(sizes)
    deviations: NDArray[np.float64] = off / max(
        _NORMAL * float(np.median(np.abs(off))), _LEAST_DEVIATION
    )
    return deviations


def _small_parts(
    strips: Sequence[StripFacts], names: Sequence[str], given: int | None
) -> Iterator[Suspect]:
    for at, strip in enumerate(strips):
        limit = speck_limit(strip.frame.pixels, given)
        for index, (name, shape) in enumerate(zip(names, strip.shapes, strict=True)):
            if shape is None:
                continue
            for kind, highest, parts in (
                ("speck", _SPECK, _below(shape.pieces, limit)),
                ("pinhole", _PINHOLE, _below(shape.holes, limit)),
                ("sliver", _SLIVER, shape.slivers),
            ):
                if len(parts):
                    pixels, top, left, height, width = parts[0].tolist()
                    size = f"under {limit} pixels; the smallest has {pixels}"
                    score = _graded(highest, pixels / limit)
                    if kind == "sliver":
                        size, score = f"one pixel wide; the shortest has {pixels} pixels", highest
                    reason = f"class {name} has {len(parts)} {plural(len(parts), kind)} {size}"
                    box = (top, left, height, width)
                    yield Suspect(kind, strip.name, at, index, name, score, reason, box)


def _below(parts: Parts, limit: int) -> Parts:
    return parts[parts[:, 0] < limit]


def _graded(highest: float, doubt: float) -> float:
    """Return a score between half of the highest and the highest; ``doubt`` is from 0 to 1."""
    return highest * (1 - doubt / 2)


def _pixels(shape: MaskShape | None) -> int:
    return 0 if shape is None else shape.pixels
