"""The choice of example strips: evenly spaced over the range, and the same for the same data."""

from collections.abc import Sequence

import numpy as np

from steelscan.explore.measurements import StripFacts


def clean_examples(strips: Sequence[StripFacts], count: int) -> list[int]:
    """Return indices of clean strips, from the darkest to the brightest if there are pictures."""
    clean = [at for at, strip in enumerate(strips) if not any(strip.shapes)]
    return spaced(sorted(clean, key=lambda at: _brightness(strips[at])), count)


def class_examples(strips: Sequence[StripFacts], index: int, count: int) -> list[int]:
    """Return indices of strips with one class, from the smallest mask to the largest.

    Strips that have no other class are preferred.
    """
    with_class = [at for at, strip in enumerate(strips) if strip.shapes[index] is not None]
    alone = [at for at in with_class if _classes(strips[at]) == 1]

    def size(at: int) -> float:
        shape = strips[at].shapes[index]
        return 0.0 if shape is None else shape.share

    chosen = spaced(sorted(alone, key=size), count)
    others = [at for at in with_class if at not in set(alone)]
    chosen += spaced(sorted(others, key=size), count - len(chosen))
    return sorted(chosen, key=size)


def mixed_examples(strips: Sequence[StripFacts], count: int) -> list[int]:
    """Return indices of strips with several classes, of as many combinations as possible.

    Strips with most classes come first, then those of the most frequent combination.
    """
    by_combination: dict[tuple[int, ...], list[int]] = {}
    for at, strip in enumerate(strips):
        classes = tuple(index for index, shape in enumerate(strip.shapes) if shape is not None)
        if len(classes) > 1:
            by_combination.setdefault(classes, []).append(at)
    ranked = sorted(by_combination, key=lambda each: (-len(each), -len(by_combination[each]), each))
    most = max(map(len, by_combination.values()), default=0)
    chosen = [
        by_combination[classes][place]
        for place in range(min(most, count))
        for classes in ranked
        if place < len(by_combination[classes])
    ][:count]
    return sorted(chosen, key=lambda at: -_classes(strips[at]))


def spaced(ranked: Sequence[int], count: int) -> list[int]:
    """Return ``count`` items at even distances, or all if there are fewer."""
    if count >= len(ranked):
        return list(ranked)
    places = ((np.arange(max(count, 0)) + 0.5) * len(ranked) / max(count, 1)).astype(np.int64)
    return [ranked[at] for at in places.tolist()]


def _classes(strip: StripFacts) -> int:
    return sum(shape is not None for shape in strip.shapes)


def _brightness(strip: StripFacts) -> float:
    return 0.0 if strip.exposure is None else strip.exposure.brightness
