"""Whether a run finds anything: compared with empty masks, per class, and per gate. No torch here.

All numbers are those of the evaluated strips; sentences on them are in `verdict_text`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from steelscan.evaluation.metrics import Difference, Pairs, paired_differences
from steelscan.pipeline.evidence import Cause, Evidence
from steelscan.pipeline.tuned_thresholds import TunedScore
from steelscan.recipes import Budget
from steelscan.strip import Spec

FEW_STEPS = 300
"""Fewer optimizer steps than this are a likely reason (ours: `quick` finds defects after 384)."""

_FEW_GROUPS = 5
"""So many groups with another score can all favour one side by chance."""

_ALMOST_ALL = 0.9
_FEWEST_CLEAN = 3


class FittedNetwork(Spec):
    """How long a network was fitted, and whether it started with random weights."""

    step: str
    label: str
    epochs: PositiveInt
    steps: NonNegativeInt
    """Of the optimizer; at most so many, if a classifier selected the training strips."""
    random_weights: bool


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


class Loss(Spec):
    """On how many strips a class was lost by one cause."""

    cause: Cause
    strips: PositiveInt


class NeverFound(Spec):
    """A class that is on strips of a part, where no predicted pixel is a true one."""

    name: str
    part: str
    strips: PositiveInt
    losses: tuple[Loss, ...]
    """By cause, in the order of the steps and rules; together all strips."""
    without_gates: NonNegativeInt
    """Strips on which it would be found without any gate."""
    elsewhere: tuple[tuple[str, NonNegativeInt, PositiveInt], ...]
    """Of other parts with the class: their name, strips on which it is found, and all strips."""
    trained: bool
    """Whether a training strip has the class."""


class GateCost(Spec):
    """What a gate costs and gains for a class, all other gates being as they are.

    A class is found on a strip if a predicted pixel is a true one.
    """

    gate: str
    name: str
    defective: NonNegativeInt
    lost: NonNegativeInt
    """Strips on which the class is not found, and would be without the gate."""
    clean: NonNegativeInt
    saved: NonNegativeInt
    """Strips without the class that are empty, and would have a false alarm without the gate."""


class Verdict(Spec):
    """Whether a run is better than empty masks on the first part of its evaluated strips."""

    budget: Budget
    part: str
    strips: PositiveInt
    defective: NonNegativeInt
    """Pairs of strip and class with a defect."""
    mean_dice: float
    empty: float
    """Mean Dice of empty masks."""
    gain: TunedScore
    """The difference of the two, with its paired interval."""
    compared: Literal["better", "worse", "not distinguishable"]
    predicted: NonNegativeInt
    """Strips with any mask."""
    clean: NonNegativeInt
    stopped: NonNegativeInt
    """Clean strips with any mask."""
    reasons: tuple[Reason, ...]
    """What is known of the causes, if it is not better or predicts masks almost everywhere."""
    never_found: tuple[NeverFound, ...]
    gates: tuple[GateCost, ...]
    """Of the strips out of fold."""

    @property
    def everywhere(self) -> bool:
        """Whether almost all clean strips have a mask."""
        return self.clean >= _FEWEST_CLEAN and self.stopped >= _ALMOST_ALL * self.clean

    @property
    def failed(self) -> bool:
        """Whether it is not shown to be better than empty masks, though there are defects."""
        return self.defective > 0 and self.compared != "better"


def verdict_of(
    evidence: Mapping[str, Evidence],
    groups: Mapping[str, NDArray[np.int64]],
    names: Sequence[str],
    budget: Budget,
    networks: Sequence[FittedNetwork],
    trained: NDArray[np.bool_],
) -> Verdict:
    """Return the verdict on a run from its parts, of which the first is the headline.

    ``groups`` are those of the strips of each part, ``trained`` is bool ``(classes,)``: whether a
    training strip has the class.
    """
    part, first = next(iter(evidence.items()))
    pairs = first.pairs
    difference = paired_differences(pairs.emptied(), pairs, groups[part]).mean_dice
    true, masked = pairs.truth > 0, pairs.predicted.any(1)
    clean = ~true.any(1)
    verdict = Verdict(
        budget=budget,
        part=part,
        strips=len(pairs),
        defective=int(true.sum()),
        mean_dice=difference.other,
        empty=difference.one,
        gain=TunedScore.of(difference.estimate),
        compared=difference.verdict,
        predicted=int(masked.sum()),
        clean=int(clean.sum()),
        stopped=int((clean & masked).sum()),
        reasons=(),
        never_found=never_found(evidence, names, trained),
        gates=gate_costs(evidence["out of fold"], names) if "out of fold" in evidence else (),
    )
    if not (verdict.failed or verdict.everywhere):
        return verdict
    missing = [
        NoPositives(strips=kind, classes=tuple(np.array(names)[absent].tolist()))
        for kind, absent in _absent(evidence, trained).items()
        if absent.any()
    ]
    reasons = [*_of_training(first, networks), *missing]
    if verdict.failed:
        reasons += _of_masks(first, difference)
    return verdict.but(reasons=tuple(reasons))


def never_found(
    evidence: Mapping[str, Evidence], names: Sequence[str], trained: NDArray[np.bool_]
) -> tuple[NeverFound, ...]:
    """Return the classes that are not found on any strip of the first part that has them."""
    found = []
    for at, name in enumerate(names):
        with_it = {part: _count(each.pairs, at) for part, each in evidence.items()}
        with_it = {part: counts for part, counts in with_it.items() if counts[1]}
        part, (hits, strips) = next(iter(with_it.items()), ("", (1, 0)))
        if hits:
            continue
        each = evidence[part]
        found.append(
            NeverFound(
                name=name,
                part=part,
                strips=strips,
                losses=_losses(each, at),
                without_gates=_count(each.without_gates, at)[0],
                elsewhere=tuple((other, *with_it[other]) for other in with_it if other != part),
                trained=bool(trained[at]),
            )
        )
    return tuple(found)


def gate_costs(evidence: Evidence, names: Sequence[str]) -> tuple[GateCost, ...]:
    """Return what each gate costs and gains per class on the strips of a part."""
    pairs, costs = evidence.pairs, []
    true, empty, missed = pairs.truth > 0, pairs.predicted == 0, pairs.shared == 0
    for gate, without in evidence.without.items():
        lost = true & missed & (without.shared > 0)
        saved = ~true & empty & (without.predicted > 0)
        columns = [each.sum(0).tolist() for each in (true, lost, ~true, saved)]
        costs += [
            GateCost(gate=gate, name=name, defective=one, lost=two, clean=three, saved=four)
            for name, one, two, three, four in zip(names, *columns, strict=True)
        ]
    return tuple(costs)


def _count(pairs: Pairs, at: int) -> tuple[int, int]:
    """Return on how many strips a class is found, and on how many it is."""
    return int((pairs.shared[:, at] > 0).sum()), int((pairs.truth[:, at] > 0).sum())


def _losses(evidence: Evidence, at: int) -> tuple[Loss, ...]:
    counts = [int((evidence.lost[:, at] == cause).sum()) for cause in range(len(evidence.causes))]
    pairs = zip(evidence.causes, counts, strict=True)
    return tuple(Loss(cause=cause, strips=count) for cause, count in pairs if count)


def _absent(
    evidence: Mapping[str, Evidence], trained: NDArray[np.bool_]
) -> dict[Literal["training", "validation"], NDArray[np.bool_]]:
    """Return the evaluated classes that no training strip, or no validation strip, has."""
    present = {part: np.asarray((each.pairs.truth > 0).any(0)) for part, each in evidence.items()}
    evaluated = np.asarray(np.any(list(present.values()), axis=0))
    validated = present.get("out of fold", evaluated)
    return {"training": evaluated & ~trained, "validation": evaluated & ~validated}


def _of_training(evidence: Evidence, networks: Sequence[FittedNetwork]) -> list[Reason]:
    """Return reasons in how networks were fitted; classifiers count if gates lost most defects."""
    segmenters = [each for each in networks if each.step.startswith("segment")]
    gated = _lost_by(evidence, {"gate"}) * 2 > int((evidence.pairs.truth > 0).sum())
    shortest = min(networks if gated else segmenters, key=lambda each: each.steps)
    reasons: list[Reason] = []
    if shortest.steps < FEW_STEPS:
        reasons.append(FewSteps(network=shortest))
    if all(each.random_weights for each in segmenters):
        reasons.append(RandomWeights(networks=len(segmenters)))
    return reasons


def _of_masks(evidence: Evidence, difference: Difference) -> list[Reason]:
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
