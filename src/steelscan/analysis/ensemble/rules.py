"""The rules that can combine the networks of a run's last step. No torch here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from steelscan.decision import SoftGate
from steelscan.prediction import Average, Ensemble, LogitMean, Mean, PowerMean
from steelscan.recipes import Recipe, Segment

_AVERAGES: dict[str, tuple[Average, str]] = {
    "mean": (Mean(), "the mean of the probabilities"),
    "logit mean": (LogitMean(), "the probability of the mean logit"),
    "raw power mean": (PowerMean(t=0.5, form="raw"), "the mean of square roots, not squared again"),
    "mixed power mean": (
        PowerMean(t=0.5, form="starter"),
        "the mean for the original view, square roots for mirrored views",
    ),
    "power mean": (PowerMean(t=0.5, form="true"), "the mean of square roots, squared again"),
    "root mean square": (PowerMean(t=2.0, form="true"), "the root of the mean of squares"),
}


@dataclass(frozen=True)
class CombiningRule:
    """How the outputs of networks are combined.

    ``average`` None is voting. ``gate`` "recipe" keeps the recipe's gates; "soft" multiplies by
    the class probabilities instead of the gate that they would open; "none" leaves that gate out.
    """

    name: str
    meaning: str
    average: Average | None
    gate: Literal["recipe", "soft", "none"] = "recipe"


def combining_rules(recipe: Recipe) -> tuple[CombiningRule, ...]:
    """Return the rules that a recipe's last step allows; its own comes first."""
    segment = last_segment(recipe)
    own = own_rule(segment)
    others = [
        CombiningRule(name, meaning, average)
        for name, (average, meaning) in _AVERAGES.items()
        if average != own.average and _fits(segment.ensemble, average)
    ]
    return (own, *others, _VOTING, *_gates(recipe, segment, own))


def own_rule(segment: Segment) -> CombiningRule:
    """Return the rule of a step in its recipe."""
    average = segment.ensemble.average
    for name, (known, meaning) in _AVERAGES.items():
        if known == average:
            return CombiningRule(name, meaning, average)
    settings = ", ".join(f"{key} {value}" for key, value in average if key != "kind")
    return CombiningRule(f"{average.kind} ({settings})", "the recipe's own", average)


def gates_by_classifier(recipe: Recipe) -> bool:
    """Return whether soft gating would use a classifier, and not aux heads."""
    (*others, last) = recipe.decision.stages
    return last.segmenter.gate is None and not others and bool(last.classifiers)


def last_segment(recipe: Recipe) -> Segment:
    """Return the last step that segments, with its networks."""
    step = recipe.named[recipe.decision.last.segmenter.name]
    assert isinstance(step, Segment)
    return step


_VOTING = CombiningRule(
    "voting", "a pixel counts if more than half of the networks are above its threshold", None
)


def _gates(recipe: Recipe, segment: Segment, own: CombiningRule) -> Iterator[CombiningRule]:
    if segment.gate is not None:
        yield CombiningRule(
            "no gate", f"{own.name}, without the gate of the aux heads", own.average, "none"
        )
    if gates_by_classifier(recipe) or (segment.gate and not isinstance(segment.gate, SoftGate)):
        source = "the classifier" if segment.gate is None else "the aux heads"
        meaning = f"{own.name}, times the class probabilities of {source}"
        yield CombiningRule("soft gating", meaning, own.average, "soft")


def _fits(ensemble: Ensemble, average: Average) -> bool:
    try:
        ensemble.but(average=average)
    except ValidationError:
        return False
    return True
