"""Pixel counts of evaluated strips with and without gates, and where defects were lost. No torch.

A run stores the outputs of every step for every class, so the masks without a gate are made from
the same outputs. One strip is in memory at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.decision import (
    Decision,
    GivenOutputs,
    RuleInput,
    gate_steps,
    masks_of,
    open_classes,
    run_steps,
)
from steelscan.evaluation.metrics import Pairs, PixelCounts, count_pixels
from steelscan.pipeline.stored import RunOutputs
from steelscan.postprocess import Rule, Threshold, Triplet, lowest_u8_above
from steelscan.strip import Frame, Masks, Spec, per_class, track

ALL_GATES = "all gates"
"""The name of all gates together, where each gate has its own."""

_FOUND = -1


class Cause(Spec):
    """Where a class that is on a strip was lost; ``name`` is that of the step or the rule.

    "gate": a step closed the class. "pixel": no pixel is above the pixel threshold. "label": the
    label threshold, or the area of a triplet, was not reached. "rule": a rule removed the mask.
    "place": there is a mask, and it shares no pixel with the true one.
    """

    kind: Literal["gate", "pixel", "label", "rule", "place"]
    name: str = ""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the evaluated strips of a part of a run show."""

    pairs: Pairs
    """With all gates, as the run predicts."""
    without: Mapping[str, Pairs]
    """Without one gate, by its step; if there are several, without all of them, too."""
    causes: tuple[Cause, ...]
    """All causes that are possible, in the order of the steps and rules."""
    lost: NDArray[np.int8]
    """int8 ``(strips, classes)``: the position of the cause by which a class that is on a strip
    was lost; -1 if a predicted pixel is a true one, and if the class is not on the strip."""

    @property
    def without_gates(self) -> Pairs:
        """The pixel counts without any gate."""
        return self.pairs if not self.without else list(self.without.values())[-1]


def gather(
    outputs: RunOutputs, dataset: Dataset, rules: Sequence[Rule], rows: NDArray[np.int64]
) -> Evidence:
    """Count the pixels of some strips, with all gates and without each, and look for lost defects.

    ``rules`` are the last rules of the run, ``rows`` the strips by their positions in the data set.
    """
    gates = gate_steps(outputs.decision)
    variants: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in gates]
    if len(gates) > 1:
        variants.append((ALL_GATES, gates))
    counts: list[PixelCounts] = []
    without: dict[str, list[PixelCounts]] = {name: [] for name, _ in variants}
    lost = np.full((len(rows), len(dataset.classes)), _FOUND, np.int8)
    for at, row in enumerate(track(rows.tolist(), "Scoring", len(rows))):
        strip = _Strip.read(outputs, dataset, rules, row)
        counts.append(strip.counts)
        for name, ungated in variants:
            without[name].append(strip.counts_without(ungated))
        lost[at] = strip.lost()
    return Evidence(
        Pairs.of(counts),
        {name: Pairs.of(each) for name, each in without.items()},
        possible_causes(outputs.decision, rules),
        lost,
    )


def possible_causes(decision: Decision, rules: Sequence[Rule]) -> tuple[Cause, ...]:
    """Return all causes by which a class can be lost, in the order of the steps and rules."""
    return (
        *(Cause(kind="gate", name=name) for name in gate_steps(decision)),
        Cause(kind="pixel"),
        Cause(kind="label"),
        *(Cause(kind="rule", name=rule.kind) for rule in rules[1:]),
        Cause(kind="place"),
    )


class _Strip(NamedTuple):
    """One strip: its stored outputs, its true masks, and what the run predicts on it."""

    decision: Decision
    rules: Sequence[Rule]
    outputs: GivenOutputs
    truth: Masks
    given: RuleInput
    counts: PixelCounts

    @classmethod
    def read(
        cls, outputs: RunOutputs, dataset: Dataset, rules: Sequence[Rule], row: int
    ) -> "_Strip":
        """Read the outputs of a strip once, and make its masks."""
        decision, truth = outputs.decision, dataset.masks(row)
        every, stored = np.ones(len(truth), np.bool_), outputs.outputs(row)
        read = GivenOutputs({name: stored.output(name, every) for name in decision.steps})
        given = run_steps(decision, read, len(truth), dataset.frames[row])
        counts = count_pixels(masks_of(given, rules), truth)
        return cls(decision, rules, read, truth, given, counts)

    def without(self, ungated: Sequence[str]) -> RuleInput:
        """Return what the last rules get if some steps close nothing."""
        classes, height, width = self.given.pixels.shape
        return run_steps(self.decision, self.outputs, classes, Frame(height, width), ungated)

    def counts_without(self, ungated: Sequence[str]) -> PixelCounts:
        """Return the pixel counts if some steps close nothing."""
        given = self.without(ungated)
        if np.array_equal(given.pixels, self.given.pixels):  # these gates were open
            return self.counts
        return count_pixels(masks_of(given, self.rules), self.truth)

    def lost(self) -> NDArray[np.int8]:
        """Return by which cause each class was lost, int8 ``(classes,)``, as in `Evidence`."""
        predicted, true, shared = self.counts
        missed = (true > 0) & (shared == 0)
        causes = np.full(len(missed), _FOUND, np.int8)
        if not missed.any():
            return causes
        tests = [*self._closed(), ~self._above_pixel_threshold(self.given), *self._emptied()]
        for at, applies in enumerate([*tests, predicted > 0]):
            causes[missed & (causes == _FOUND) & applies] = at
        return causes

    def _closed(self) -> list[NDArray[np.bool_]]:
        """Return which classes are closed when each gate has been passed, in their order.

        The last segmenter's own gate may only reduce probabilities: it closes a class that has a
        pixel above the pixel threshold without it, and none with it.
        """
        gates, own = gate_steps(self.decision), self.decision.last.segmenter.name
        closed = []
        for at, name in enumerate(gates):
            if name == own:
                now, before = map(self._above_pixel_threshold, (self.given, self.without((own,))))
                closed.append(before & ~now)
            else:
                later = gates[at + 1 :]
                state = open_classes(self.decision, self.outputs, len(self.truth), later)
                closed.append(~state.open)
        return closed

    def _emptied(self) -> list[NDArray[np.bool_]]:
        """Return which classes have no mask after the first rule, after two rules, and so on."""
        counts = range(1, len(self.rules) + 1)
        masks = (masks_of(self.given, self.rules[:count]) for count in counts)
        return [np.asarray(~each.any((1, 2))) for each in masks]

    def _above_pixel_threshold(self, given: RuleInput) -> NDArray[np.bool_]:
        """Return which classes have a pixel above the pixel threshold, bool ``(classes,)``."""
        match self.rules[0]:
            case Threshold(pixel=value) | Triplet(bottom=value):
                values = per_class(value, len(self.truth), "pixel threshold")
            case rule:
                raise AssertionError(f"rules begin with {rule.kind}")
        least = [lowest_u8_above(each) for each in values]
        return np.asarray(given.pixels.max((1, 2)) >= np.array(least))
