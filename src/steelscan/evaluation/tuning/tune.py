"""Tuning that accounts for chance: only a gain on other strips changes a setting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.class_search import ClassSearch, ClassThresholds, SearchMethod
from steelscan.evaluation.tuning.crossfit import (
    CrossFit,
    CrossFitOptions,
    CrossFitScores,
    FixedSearch,
    can_crossfit,
    crossfit,
    mean_crossfit,
)
from steelscan.evaluation.tuning.groups_needed import (
    count_positives,
    fewest_groups,
    group_variance,
    groups_needed,
    pooled_variance,
)
from steelscan.evaluation.tuning.histograms import apply_image_gate
from steelscan.evaluation.tuning.image_gate import ImageGateSearch
from steelscan.evaluation.tuning.objectives import Objective, strip_weights
from steelscan.evaluation.tuning.surfaces import RuleKind
from steelscan.evaluation.tuning.tolerance import Plateau, plateau
from steelscan.strip import track

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TuningChoice(Generic[T]):
    """The result for the thresholds of one class, or for a gate of the image."""

    default: T
    best: T
    """The best on the strips searched; the default if none were searched."""
    used: T
    reason: str
    """Why, as part of a sentence."""
    strips: int
    """Strips with the class."""
    groups: int
    """Groups with the class."""
    groups_needed: int
    """Groups with the class that would show the gain of interest."""
    fit: CrossFit[T]
    searched: bool
    plateau: Plateau | None = None

    @property
    def tuned(self) -> bool:
        """Whether anything was changed."""
        return self.used != self.default


@dataclass(frozen=True, eq=False)
class Tuning:
    """The result for all thresholds of a run, on its validation strips."""

    classes: tuple[TuningChoice[ClassThresholds], ...]
    image_gate: TuningChoice[float] | None
    best: CrossFit[tuple[ClassThresholds, ...]]
    """The mean over all classes with the best thresholds, and the best gate of the image."""
    used: CrossFit[tuple[ClassThresholds, ...]]
    """The same with the thresholds used: the defaults where they are kept."""
    strips: int
    groups: int


def tune_thresholds(
    histograms: NDArray[np.int32],
    groups: NDArray[np.int64],
    defaults: Sequence[ClassThresholds],
    objectives: Sequence[Objective],
    options: CrossFitOptions | None = None,
    *,
    kind: RuleKind = "threshold",
    class_probabilities: NDArray[np.floating] | None = None,
    image_gate: float | None = None,
) -> Tuning:
    """Tune each class by itself, and then the gate of the image that opens all of them.

    The gate comes last: with thresholds that are far off it would close the strips they spoil.

    ``histograms`` is int32 ``(strips, 2, classes, 256)``, before the gates that are searched;
    ``groups`` int64 ``(strips,)``. ``class_probabilities``, ``(strips, classes)``, are compared
    with ``image_gate`` or with the gates of the ``defaults``. The expected Dice (``by="auto"``)
    does not determine ``image_gate``, which then keeps its value. Raises MaskError for other
    histograms, InputError if an objective is not defined or there are too few groups.
    """
    options = options or CrossFitOptions()
    searches_of = partial(_class_searches, objectives, kind, class_probabilities, options.by)
    gated = histograms
    if image_gate is not None and class_probabilities is not None:
        gated = apply_image_gate(histograms, class_probabilities, image_gate)
    searches = searches_of(gated, defaults)
    for search, objective in zip(searches, objectives, strict=True):
        strip_weights(search.true, objective)  # raises InputError
    choices = _tune_classes(searches, groups, options)
    best = mean_crossfit([choice.fit for choice in choices])
    used = mean_crossfit(
        [
            choice.fit if choice.tuned else crossfit(FixedSearch(search), groups, options)
            for search, choice in zip(searches, choices, strict=True)
        ]
    )
    gate = None
    if image_gate is not None and class_probabilities is not None and options.by == "search":
        ungated = searches_of(histograms, [choice.used for choice in choices])
        gate = _tune_gate(
            ImageGateSearch(ungated, class_probabilities, image_gate), groups, options
        )
        best = _with_gate(best, gate.fit)
        used = _with_gate(used, gate.fit) if gate.tuned else used
    return Tuning(tuple(choices), gate, best, used, len(groups), len(np.unique(groups)))


def _class_searches(
    objectives: Sequence[Objective],
    kind: RuleKind,
    class_probabilities: NDArray[np.floating] | None,
    by: SearchMethod,
    histograms: NDArray[np.int32],
    defaults: Sequence[ClassThresholds],
) -> list[ClassSearch]:
    """Return the search of each class."""
    return [
        ClassSearch(
            histograms[:, :, at],
            None if class_probabilities is None else class_probabilities[:, at],
            default,
            objective,
            kind,
            by,
        )
        for at, (default, objective) in enumerate(zip(defaults, objectives, strict=True))
    ]


def _with_gate(
    classes: CrossFit[tuple[ClassThresholds, ...]], gate: CrossFit[float]
) -> CrossFit[tuple[ClassThresholds, ...]]:
    """Add the gain of a gate of the image to the scores of the classes."""

    def added(one: CrossFitScores, of_gate: CrossFitScores) -> CrossFitScores:
        return CrossFitScores(
            one.default,
            one.in_sample + of_gate.in_sample - of_gate.default,
            one.out_of_sample + of_gate.out_of_sample - of_gate.default,
        )

    return replace(
        classes,
        scores=added(classes.scores, gate.scores),
        resampled=added(classes.resampled, gate.resampled),
    )


def _tune_gate(
    search: ImageGateSearch, groups: NDArray[np.int64], options: CrossFitOptions
) -> TuningChoice[float]:
    fewest = fewest_groups(options.confidence, options.parts)
    enough = len(np.unique(groups)) >= fewest
    searched = enough and can_crossfit(search, groups, options)
    fit = crossfit(search if searched else FixedSearch(search), groups, options)
    strips, positive_groups = count_positives(search.positive, groups)
    variance = group_variance(fit.gains.sum(axis=1), groups, positive_groups)
    needed = groups_needed(variance, options)
    accepted, reason = _accepted(fit, search.default, needed, positive_groups, options, "a defect")
    if not enough:
        reason = f"too few groups to search; {fewest} are needed"
    elif not searched:
        reason = "too few groups with each class, or without it, to search"
    used = fit.chosen if accepted else search.default
    return TuningChoice(
        search.default, fit.chosen, used, reason, strips, positive_groups, needed, fit, searched
    )


def _tune_classes(
    searches: Sequence[ClassSearch], groups: NDArray[np.int64], options: CrossFitOptions
) -> list[TuningChoice[ClassThresholds]]:
    fewest = fewest_groups(options.confidence, options.parts)
    can_search = [
        count_positives(search.positive, groups)[1] >= fewest
        and can_crossfit(search, groups, options)
        for search in searches
    ]
    fits = [
        crossfit(search if can else FixedSearch(search), groups, options)
        for search, can in zip(track(searches, "Tuning", len(searches)), can_search, strict=True)
    ]
    pooled = pooled_variance(searches, groups)
    return [
        _class_choice(search, fit, can, pooled, groups, options)
        for search, fit, can in zip(searches, fits, can_search, strict=True)
    ]


def _class_choice(
    search: ClassSearch,
    fit: CrossFit[ClassThresholds],
    searched: bool,
    pooled_variance: float,
    groups: NDArray[np.int64],
    options: CrossFitOptions,
) -> TuningChoice[ClassThresholds]:
    """Choose the thresholds of a class; if it was not searched, ``fit`` keeps the default."""
    strips, of_class = count_positives(search.positive, groups)
    variance = group_variance(fit.gains[:, 0], groups, of_class) if searched else pooled_variance
    needed = groups_needed(variance, options)
    accepted, reason = _accepted(fit, search.default, needed, of_class, options, "the class")
    if not searched and of_class >= fewest_groups(options.confidence, options.parts):
        reason = "too few groups without the class to search"
    elif not searched:
        few = f"{of_class} group{' has' if of_class == 1 else 's have'} this class"
        reason = f"{few}, too few to search; {needed} are needed{_to_show(options)}"
    used = fit.chosen if accepted else search.default
    return TuningChoice(
        search.default,
        fit.chosen,
        used,
        reason,
        strips,
        of_class,
        needed,
        fit,
        searched,
        plateau(search, used, groups) if searched else None,
    )


def _accepted(
    fit: CrossFit[T], default: T, needed: int, groups: int, options: CrossFitOptions, what: str
) -> tuple[bool, str]:
    """Return whether a gain is accepted, and why, as part of a sentence."""
    gain = fit.gain
    if fit.chosen == default:
        return False, "no setting is better"
    measured = f"{gain.text(sign=True)} on other strips"
    if gain.low > 0:
        return True, f"gain {measured}"
    if gain.high < 0:
        return False, f"the best setting is worse, {measured}"
    return False, (
        f"the gain, {measured}, may be chance; {needed} groups with {what} are needed"
        f"{_to_show(options)}, there are {groups}"
    )


def _to_show(options: CrossFitOptions) -> str:
    return f" to show a gain of {options.gain:g} in each"
