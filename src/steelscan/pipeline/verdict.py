"""Whether a run finds anything: compared with empty masks, per class, and per gate. No torch here.

All numbers are those of the evaluated strips; sentences on them are in `verdict_text`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt

from steelscan.evaluation.metrics import Pairs, paired_differences
from steelscan.pipeline.evidence import Cause, Evidence
from steelscan.pipeline.tuned_thresholds import TunedScore
from steelscan.pipeline.verdict_reasons import (
    FittedNetwork,
    Reason,
    missing_classes,
    reasons_of_masks,
    reasons_of_training,
)
from steelscan.recipes import Budget
from steelscan.strip import Spec

_ALMOST_ALL = 0.9
_FEWEST_CLEAN = 3


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
    reasons = [*reasons_of_training(first, networks), *missing_classes(evidence, names, trained)]
    if verdict.failed:
        reasons += reasons_of_masks(first, difference)
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
