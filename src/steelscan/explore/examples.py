"""The choice of example strips: evenly spaced over the range, and the same for the same data."""

from collections.abc import Sequence

import numpy as np

from steelscan.explore.measurements import StripFacts, masks_of_class


def clean_examples(strips: Sequence[StripFacts], count: int) -> list[int]:
    """Return indices of clean strips, from the darkest to the brightest if there are pictures."""
    clean = [at for at, strip in enumerate(strips) if not strip.classes]
    brightness = {at: each.brightness for at in clean if (each := strips[at].exposure)}
    return spaced(sorted(clean, key=lambda at: brightness.get(at, 0.0)), count)


def class_examples(strips: Sequence[StripFacts], index: int, count: int) -> list[int]:
    """Return indices of strips with one class, from the smallest mask to the largest.

    Strips that have no other class are preferred.
    """
    size = {at: shape.share for at, shape in masks_of_class(strips, index)}
    ranked = sorted(size, key=size.__getitem__)
    chosen = spaced([at for at in ranked if len(strips[at].classes) == 1], count)
    others = [at for at in ranked if len(strips[at].classes) > 1]
    chosen += spaced(others, count - len(chosen))
    return sorted(chosen, key=size.__getitem__)


def mixed_examples(strips: Sequence[StripFacts], count: int) -> list[int]:
    """Return indices of strips with several classes, of as many combinations as possible.

    Strips with most classes come first, then those of the most frequent combination.
    """
    by_combination: dict[tuple[int, ...], list[int]] = {}
    for at, strip in enumerate(strips):
        if len(strip.classes) > 1:
            by_combination.setdefault(strip.classes, []).append(at)
    ranked = sorted(by_combination, key=lambda each: (-len(each), -len(by_combination[each]), each))
    most = max(map(len, by_combination.values()), default=0)
    chosen = [
        by_combination[classes][place]
        for place in range(min(most, count))
        for classes in ranked
        if place < len(by_combination[classes])
    ][:count]
    return sorted(chosen, key=lambda at: -len(strips[at].classes))


def spaced(ranked: Sequence[int], count: int) -> list[int]:
    """Return ``count`` items at even distances, or all if there are fewer."""
    if count >= len(ranked):
        return list(ranked)
    places = ((np.arange(max(count, 0)) + 0.5) * len(ranked) / max(count, 1)).astype(np.int64)
    return [ranked[at] for at in places.tolist()]
