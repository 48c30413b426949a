"""Why a run may find nothing: how networks were fitted and masks were made. No torch here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from steelscan.evaluation.metrics import Difference
from steelscan.pipeline.evidence import Evidence
from steelscan.strip import Spec

FEW_STEPS = 300
"""Fewer optimizer steps than this are a likely reason (ours: `quick` finds defects after 384)."""

_FEW_GROUPS = 5
"""So many groups with another score can all favour one side by chance."""


class FittedNetwork(Spec):
    """How long a network was fitted, and what it started with."""

    step: str
    label: str
    epochs: PositiveInt
    steps: NonNegativeInt
    """Of the optimizer; at most so many, if a classifier selected the training strips."""
    random_weights: bool
    fine_tuned: bool = False
    """Whether it started from a fitted network: then few steps are no fault."""


class FewSteps(Spec):
    """A network was fitted for few steps."""

    kind: Literal["few_steps"] = "few_steps"
    network: FittedNetwork


class RandomWeights(Spec):
    """All networks that predict pixels started with random weights."""

    kind: Literal["random_weights"] = "random_weights"
    networks: PositiveInt


class NoPositives(Spec):
    """Classes are on evaluated strips, and on none of the strips of a kind."""

    kind: Literal["no_positives"] = "no_positives"
    strips: Literal["training", "validation"]
    classes: tuple[str, ...]


class LostBefore(Spec):
    """Most pairs with a defect were lost by gates, or because probabilities are too low."""

    kind: Literal["lost"] = "lost"
    by: Literal["gate", "threshold"]
    pairs: PositiveInt
    defective: PositiveInt


class FalseAlarms(Spec):
    """Masks on pairs without a defect cost more than those on defects gain."""

    kind: Literal["false_alarms"] = "false_alarms"
    pairs: PositiveInt
    clean: PositiveInt


class FewGroups(Spec):
    """The score is higher, but differs on too few groups of strips to show it."""

    kind: Literal["few_groups"] = "few_groups"
    groups: NonNegativeInt


Reason: TypeAlias = Annotated[
    FewSteps | RandomWeights | NoPositives | LostBefore | FalseAlarms | FewGroups,
    Field(discriminator="kind"),
]


def missing_classes(
    evidence: Mapping[str, Evidence], names: Sequence[str], trained: NDArray[np.bool_]
) -> list[Reason]:
    """Return the evaluated classes that no training strip has, or no validation strip.

    ``trained`` is bool ``(classes,)``: whether a training strip has the class.
    """
    return [
        NoPositives(strips=kind, classes=tuple(np.array(names)[absent].tolist()))
        for kind, absent in _absent(evidence, trained).items()
        if absent.any()
    ]


def _absent(
    evidence: Mapping[str, Evidence], trained: NDArray[np.bool_]
) -> dict[Literal["training", "validation"], NDArray[np.bool_]]:
    """Return the evaluated classes that no training strip, or no validation strip, has."""
    present = {part: np.asarray((each.pairs.truth > 0).any(0)) for part, each in evidence.items()}
    evaluated = np.asarray(np.any(list(present.values()), axis=0))
    validated = present.get("out of fold", evaluated)
    return {"training": evaluated & ~trained, "validation": evaluated & ~validated}


def reasons_of_training(evidence: Evidence, networks: Sequence[FittedNetwork]) -> list[Reason]:
    """Return reasons in how networks were fitted; classifiers count if gates lost most defects."""
    segmenters = [each for each in networks if each.step.startswith("segment")]
    gated = _lost_by(evidence, {"gate"}) * 2 > int((evidence.pairs.truth > 0).sum())
    shortest = min(networks if gated else segmenters, key=lambda each: each.steps)
    reasons: list[Reason] = []
    if shortest.steps < FEW_STEPS and not shortest.fine_tuned:
        reasons.append(FewSteps(network=shortest))
    if all(each.random_weights for each in segmenters):
        reasons.append(RandomWeights(networks=len(segmenters)))
    return reasons


def reasons_of_masks(evidence: Evidence, difference: Difference) -> list[Reason]:
    """Return reasons in how masks were made."""
    pairs, reasons = evidence.pairs, list[Reason]()
    defective = int((pairs.truth > 0).sum())
    gates, thresholds = _lost_by(evidence, {"gate"}), _lost_by(evidence, {"pixel", "label"})
    if gates * 2 > defective:
        reasons.append(LostBefore(by="gate", pairs=gates, defective=defective))
    if thresholds * 2 > defective:
        reasons.append(LostBefore(by="threshold", pairs=thresholds, defective=defective))
    clean = pairs.truth == 0
    alarms = int((clean & (pairs.predicted > 0)).sum())
    if alarms and difference.value <= 0:
        reasons.append(FalseAlarms(pairs=alarms, clean=int(clean.sum())))
    if difference.value > 0 and difference.differing <= _FEW_GROUPS:
        reasons.append(FewGroups(groups=difference.differing))
    return reasons


def _lost_by(evidence: Evidence, kinds: set[str]) -> int:
    """Return how many pairs with a defect were lost by causes of some kinds."""
    chosen = [at for at, cause in enumerate(evidence.causes) if cause.kind in kinds]
    return int(np.isin(evidence.lost, chosen).sum())
