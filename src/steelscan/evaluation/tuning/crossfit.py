"""Cross-fitting: thresholds chosen on some groups of strips and scored on the others.

A score on the strips that were searched is too high, because the search also fits their noise.
Here the groups are split into parts; the search sees all groups but those of one part, and its
choice is scored on that part. All parts together score every strip, and no group is ever on both
sides. The in-sample score less this out-of-sample score is the optimism.

Intervals come from resamples of whole groups. Each is searched and scored anew from the start:
with the choice held fixed they would be too narrow, because other strips lead to another choice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, compress
from math import nan, sqrt
from statistics import NormalDist
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.evaluation.statistics import Estimate
from steelscan.evaluation.tuning.class_search import SearchMethod
from steelscan.strip import Spec
from steelscan.strip.errors import InputError

T = TypeVar("T")

_RESAMPLED_OPTIMISM = sqrt(2)
"""On a resample the search fits the noise of the strips and that of the draw, which is as large:
the optimism has twice the variance that it has on the strips themselves (benchmarks/luck.py)."""


class CrossFitOptions(Spec):
    """How thresholds are searched and cross-fitted, and which gains are accepted.

    A setting is changed if the interval of its gain, at ``confidence``, is above 0. ``gain`` is
    the gain of interest, as Dice per group with the class; the result names the number of groups
    that would show it with a chance of ``power``.
    """

    by: SearchMethod = "search"
    parts: int = Field(default=5, ge=2)
    repeats: int = Field(default=2, ge=1)
    resamples: int = Field(default=60, ge=0)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    gain: float = Field(default=0.05, gt=0, le=1)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    seed: int = Field(default=0, ge=0)


class Search(Protocol[T]):
    """What `crossfit` needs of a search: a way to choose, and the score of each strip.

    ``times`` is how often each resample contains each strip, float64 ``(resamples, strips)``.
    """

    @property
    def default(self) -> T:
        """The choice that is kept unless a better one is found."""

    @property
    def positive(self) -> NDArray[np.bool_]:
        """The strips with the class that is searched for, bool ``(strips,)``."""

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Return whether the objective is defined on all resamples."""

    def choose(self, times: NDArray[np.float64]) -> Sequence[T]:
        """Return the best choice on each resample."""

    def strip_scores(self, chosen: T) -> NDArray[np.float64]:
        """Return the score of each strip with a choice, float64 ``(strips, columns)``."""

    def total(self, times: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
        """Return the score of one resample, ``times`` float64 ``(strips,)``, from its strips'."""


class FixedSearch(Generic[T]):
    """A search that always keeps its default."""

    def __init__(self, search: Search[T]) -> None:
        self.default, self.positive = search.default, search.positive
        self.strip_scores, self.total = search.strip_scores, search.total
        self._defined = search.defined

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Return whether the objective is defined on all strips, the first row of ``times``."""
        return self._defined(times[:1])

    def choose(self, times: NDArray[np.float64]) -> Sequence[T]:
        """Return the default for every resample."""
        return [self.default] * len(times)


class CrossFitScores(NamedTuple):
    """Three scores: float64, one number, or one per resample."""

    default: NDArray[np.float64]
    """With the defaults."""
    in_sample: NDArray[np.float64]
    """With the choice on all strips, on these strips."""
    out_of_sample: NDArray[np.float64]
    """On each strip with the choice that was made without its part."""


@dataclass(frozen=True, eq=False)
class CrossFit(Generic[T]):
    """The result of a cross-fitted search."""

    chosen: T
    """On all strips."""
    chosen_without_part: tuple[T, ...]
    """Without each part, repeat by repeat."""
    scores: CrossFitScores
    resampled: CrossFitScores
    """The same on each resample of groups; nan if it is not defined there."""
    gains: NDArray[np.float64]
    """Out-of-sample gain of each strip over the defaults: ``(strips, columns)``."""
    confidence: float

    def score(self, which: int) -> Estimate:
        """Return one of the three `CrossFitScores` with its interval."""
        return self._estimate(self.scores[which], self.resampled[which])

    @property
    def gain(self) -> Estimate:
        """How much the search improves strips that it did not use."""
        values = (each.out_of_sample - each.default for each in (self.scores, self.resampled))
        return self._estimate(*values)

    @property
    def optimism(self) -> Estimate:
        """The in-sample score less the out-of-sample score."""
        value, resampled = (
            each.in_sample - each.out_of_sample for each in (self.scores, self.resampled)
        )
        return self._estimate(value, resampled / _RESAMPLED_OPTIMISM)

    def _estimate(self, value: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
        """Add the interval, unless fewer than two or less than half of the draws are known."""
        known = drawn[~np.isnan(drawn)]
        if len(known) < max(2, len(drawn) / 2):
            return Estimate(float(value))
        reach = NormalDist().inv_cdf((1 + self.confidence) / 2) * float(known.std(ddof=1))
        return Estimate(float(value), float(value) - reach, float(value) + reach)


class _Draw(NamedTuple):
    """One resample and its splits into parts, int64 ``(strips,)`` each."""

    times: NDArray[np.float64]
    parts: list[NDArray[np.int64]]

    def training_sets(self, parts: int) -> NDArray[np.float64]:
        """Return all strips, and all but each part: float64 ``(1 + splits * parts, strips)``."""
        without = [
            self.times * (part_of != part) for part_of in self.parts for part in range(parts)
        ]
        return np.stack([self.times, *without])


def crossfit(
    search: Search[T], groups: NDArray[np.int64], options: CrossFitOptions | None = None
) -> CrossFit[T]:
    """Search all strips, and all but each of some parts; then the same on resamples of groups.

    ``groups`` is int64 ``(strips,)``. The same seed gives the same parts and resamples. A resample
    without what the objective needs, such as strips with the class, is left out. Raises
    InputError for fewer groups than parts.
    """
    options = options or CrossFitOptions()
    draws = [_all_strips(search, groups, options), *_resamples(search, groups, options)]
    sets = [draw.training_sets(options.parts) for draw in draws]
    defined = [True, *(search.defined(each) for each in sets[1:])]
    choices = iter(search.choose(np.concatenate(list(compress(sets, defined)))))
    strip_scores = cache(search.strip_scores)
    totals, first = [], None
    for draw, complete in zip(draws, defined, strict=True):
        if not complete:
            totals.append([nan] * 3)
            continue
        chosen = next(choices)
        without = [[next(choices) for _ in range(options.parts)] for _ in draw.parts]
        default, in_sample = strip_scores(search.default), strip_scores(chosen)
        out_of_sample = np.zeros_like(in_sample)
        for part_of, choices_of_split in zip(draw.parts, without, strict=True):
            for part, choice in enumerate(choices_of_split):
                rows = part_of == part
                out_of_sample[rows] += strip_scores(choice)[rows] / len(draw.parts)
        three = (default, in_sample, out_of_sample)
        totals.append([search.total(draw.times, scores) for scores in three])
        if first is None:
            first = chosen, tuple(chain.from_iterable(without)), out_of_sample - default
    assert first is not None  # the first draw is all strips
    table = np.array(totals).T
    return CrossFit(
        chosen=first[0],
        chosen_without_part=first[1],
        scores=CrossFitScores(*table[:, 0]),
        resampled=CrossFitScores(*table[:, 1:]),
        gains=first[2],
        confidence=options.confidence,
    )


def can_crossfit(search: Search[T], groups: NDArray[np.int64], options: CrossFitOptions) -> bool:
    """Return whether `crossfit` is defined on all strips, and on all but those of each part."""
    return search.defined(_all_strips(search, groups, options).training_sets(options.parts))


def mean_crossfit(parts: Sequence[CrossFit[T]]) -> CrossFit[tuple[T, ...]]:
    """Join cross-fits of the same groups and options; the scores are the means of theirs."""
    scores, resampled = (
        CrossFitScores(*np.mean([getattr(each, name) for each in parts], axis=0))
        for name in ("scores", "resampled")
    )
    return CrossFit(
        chosen=tuple(each.chosen for each in parts),
        chosen_without_part=tuple(zip(*(each.chosen_without_part for each in parts), strict=True)),
        scores=scores,
        resampled=resampled,
        gains=np.hstack([each.gains for each in parts]),
        confidence=parts[0].confidence,
    )


def assign_parts(
    groups: NDArray[np.int64], positive: NDArray[np.bool_], parts: int, seed: int
) -> NDArray[np.int64]:
    """Split whole groups into parts with similar numbers of positive strips.

    Returns the part of each strip, int64 ``(strips,)`` from 0. Groups with the most positive strips
    are assigned first, back and forth over the parts; ties are broken at random. Raises InputError
    for fewer groups than parts.

    `steelscan.data.folds.split_groups` ignores how many positive strips a group has. `make_folds`
    balances all classes, but takes a hundred times as long, and a resample is split here each time.
    """
    _, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member)
    if len(sizes) < parts:
        problem = f"are {len(sizes)}, too few for {parts} parts"
        remedy = f"Use a run with {parts} or more groups of validation strips: --set folds=N"
        raise InputError("groups of strips", problem, remedy)
    positives = np.bincount(member, positive)
    order = np.lexsort((np.random.default_rng(seed).random(len(sizes)), -sizes, -positives))
    back_and_forth = np.concatenate([np.arange(parts), np.arange(parts)[::-1]])
    part_of = np.empty(len(sizes), np.int64)
    part_of[order] = np.resize(back_and_forth, len(sizes))
    return part_of[member]


def _all_strips(search: Search[T], groups: NDArray[np.int64], options: CrossFitOptions) -> _Draw:
    splits = [
        assign_parts(groups, search.positive, options.parts, options.seed + repeat)
        for repeat in range(options.repeats)
    ]
    return _Draw(np.ones(len(groups)), splits)


def _resamples(
    search: Search[T], groups: NDArray[np.int64], options: CrossFitOptions
) -> Iterator[_Draw]:
    _, member = np.unique(groups, return_inverse=True)
    random = np.random.default_rng(options.seed)
    count = int(member.max()) + 1
    for number in range(1, options.resamples + 1):
        drawn = random.integers(count, size=count)
        times = np.bincount(drawn, minlength=count)[member].astype(np.float64)
        seed = options.seed + 1000 * number
        yield _Draw(times, [assign_parts(groups, search.positive, options.parts, seed)])
