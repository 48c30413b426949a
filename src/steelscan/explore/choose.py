"""Which strips stand as examples: spread over what there is, and the same for the same data."""

from collections.abc import Sequence

import numpy as np

from steelscan.explore.gather import StripFacts


def clean_examples(strips: Sequence[StripFacts], count: int) -> list[int]:
    """Places of clean strips, from the darkest to the brightest where there are pictures."""
    clean = [at for at, strip in enumerate(strips) if not any(strip.shapes)]
    return spaced(sorted(clean, key=lambda at: _brightness(strips[at])), count)


def class_examples(strips: Sequence[StripFacts], index: int, count: int) -> list[int]:
    """Places of strips with one class, from the smallest mask to the largest.

    Strips that hold no other class are preferred.
    """
    held = [at for at, strip in enumerate(strips) if strip.shapes[index] is not None]
    alone = [at for at in held if _classes(strips[at]) == 1]

    def size(at: int) -> float:
        shape = strips[at].shapes[index]
        return 0.0 if shape is None else shape.share

    chosen = spaced(sorted(alone, key=size), count)
    others = [at for at in held if at not in set(alone)]
    chosen += spaced(sorted(others, key=size), count - len(chosen))
    return sorted(chosen, key=size)


def mixed_examples(strips: Sequence[StripFacts], count: int) -> list[int]:
    """Places of strips with several classes: as many combinations as possible, then more of each.

    Those of most classes come first, then the most frequent.
    """
    by_combination: dict[tuple[int, ...], list[int]] = {}
    for at, strip in enumerate(strips):
        held = tuple(index for index, shape in enumerate(strip.shapes) if shape is not None)
        if len(held) > 1:
            by_combination.setdefault(held, []).append(at)
    ranked = sorted(by_combination, key=lambda held: (-len(held), -len(by_combination[held]), held))
    rounds = max(map(len, by_combination.values()), default=0)
    turns = [
        by_combination[held][turn]
        for turn in range(min(rounds, count))
        for held in ranked
        if turn < len(by_combination[held])
    ][:count]
    return sorted(turns, key=lambda at: -_classes(strips[at]))


def spaced(ranked: Sequence[int], count: int) -> list[int]:
    """``count`` of them at even distances, each the middle of its part; all if there are fewer."""
    if count >= len(ranked):
        return list(ranked)
    places = ((np.arange(max(count, 0)) + 0.5) * len(ranked) / max(count, 1)).astype(np.int64)
    return [ranked[at] for at in places.tolist()]


def _classes(strip: StripFacts) -> int:
    return sum(shape is not None for shape in strip.shapes)


def _brightness(strip: StripFacts) -> float:
    return 0.0 if strip.light is None else strip.light.brightness
