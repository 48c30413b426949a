"""Thresholds of classifiers with the best F1 (12th, K:114309), cross-fitted like all others.

F1 of a class is 2 TP / (2 TP + FP + FN) over strips, where a strip is positive if the probability
of the class is above the threshold. It is not a mean over strips, and depends on no mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.crossfit import (
    CrossFit,
    CrossFitOptions,
    assign_parts,
    can_crossfit,
    crossfit,
)

_EQUALLY_GOOD = 1e-12


class F1Search:
    """A classifier's threshold for one class: its F1 anywhere, and the best of all thresholds."""

    def __init__(
        self, probabilities: NDArray[np.floating], present: NDArray[np.bool_], default: float
    ) -> None:
        """``probabilities`` of the class, without NaN, and ``present`` are ``(strips,)``."""
        self.default, self.positive = default, present
        self._values = np.asarray(probabilities, np.float64)
        self._order = np.argsort(-self._values, kind="stable")
        ordered = self._values[self._order]
        lower = np.append(ordered[1:], 0.0)
        ends = np.flatnonzero(ordered > lower)  # equal probabilities pass together
        self._candidates = np.append((ordered[ends] + lower[ends]) / 2, default)
        self._passing = np.append(ends + 1, (self._values > default).sum())

    def strip_scores(self, chosen: float) -> NDArray[np.float64]:
        """Return whether each strip is a true positive, and whether it passes: ``(strips, 2)``."""
        passes = self._values > chosen
        return np.stack([passes & self.positive, passes], axis=1).astype(np.float64)

    def total(self, times: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
        """Return the F1 of a resample."""
        hits, passed = times @ scores
        return float(2 * hits / (passed + times @ self.positive))

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Return whether every resample, ``(resamples, strips)``, has a strip with the class."""
        return bool((times @ self.positive > 0).all())

    def choose(self, times: NDArray[np.float64]) -> Sequence[float]:
        """Return the threshold with the best F1 of each resample.

        Thresholds lie midway between two probabilities, or are the default. Of those with equal F1
        the one nearest to the default is returned.
        """
        nothing = np.zeros((len(times), 1))
        ordered = times[:, self._order]
        passed, hits = (
            np.hstack([nothing, each.cumsum(axis=1)])[:, self._passing]
            for each in (ordered, ordered * self.positive[self._order])
        )
        scores = 2 * hits / (passed + (times @ self.positive)[:, None])
        good = scores >= scores.max(axis=1, keepdims=True) - _EQUALLY_GOOD
        away = np.where(good, np.abs(self._candidates - self.default), np.inf)
        return [float(each) for each in self._candidates[away.argmin(axis=1)]]


@dataclass(frozen=True, eq=False)
class GateChoice:
    """The threshold of a classifier for one class."""

    default: float
    best: float
    """The one with the best F1 on the strips searched; the default if none were searched."""
    used: float
    without_own: NDArray[np.float64]
    """For each strip the threshold that is chosen without its part, float64 ``(strips,)``."""
    reason: str
    """Why, as part of a sentence."""
    fit: CrossFit[float] | None = None
    """None if nothing was searched."""


def tune_f1(
    class_probabilities: NDArray[np.floating],
    present: NDArray[np.bool_],
    groups: NDArray[np.int64],
    defaults: Sequence[float],
    options: CrossFitOptions,
    positives: int = 8,
) -> list[GateChoice]:
    """Choose the threshold of each class by F1.

    ``class_probabilities`` and ``present`` are ``(strips, classes)``, NaN for strips that no
    network of the class predicted; ``groups`` int64 ``(strips,)``. A class on fewer than
    ``positives`` strips keeps its default, and so does one for which the best threshold does not
    raise F1 on other strips: if ``options`` have resamples, by more than chance.
    """
    return [
        _tune_class(class_probabilities[:, at], present[:, at], groups, default, options, positives)
        for at, default in enumerate(defaults)
    ]


def _tune_class(
    values: NDArray[np.floating],
    present: NDArray[np.bool_],
    groups: NDArray[np.int64],
    default: float,
    options: CrossFitOptions,
    positives: int,
) -> GateChoice:
    elsewhere = np.full(len(values), default)

    def kept(reason: str) -> GateChoice:
        return GateChoice(default, default, default, elsewhere, reason)

    known = ~np.isnan(values)
    if not known.any():
        return kept("no network predicts this class")
    count = int(present[known].sum())
    if count < positives:
        few = f"{count} strips have" if count > 1 else f"{'one' if count else 'no'} strip has"
        return kept(f"{few} this class, {positives} are needed")
    search, groups = F1Search(values[known], present[known], default), groups[known]
    few_groups = len(np.unique(groups)) < options.parts
    if few_groups or not can_crossfit(search, groups, options):
        return kept("too few groups with this class to search")
    fit = crossfit(search, groups, options)
    scores = "F1 {:.3f} -> {:.3f}, {:.3f} on other strips".format(*fit.scores)
    gain = fit.gain
    if not (gain.low if options.resamples else gain.value) > 0:
        reason = f"{scores}: no gain, or one that may be chance"
        return GateChoice(default, fit.chosen, default, elsewhere, reason, fit)
    part_of = assign_parts(groups, search.positive, options.parts, options.seed)
    elsewhere[known] = np.array(fit.chosen_without_part[: options.parts])[part_of]
    return GateChoice(default, fit.chosen, fit.chosen, elsewhere, scores, fit)
