"""What tuning chooses from: the strips of one class at any numbers, and the ways to choose."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics import Pairs, dice
from steelscan.evaluation.tuning.gates import Kind, or_sure
from steelscan.evaluation.tuning.search import Tune, axes_of, calm_place
from steelscan.evaluation.tuning.sets import Behind, SetSurfaces
from steelscan.evaluation.tuning.surfaces import (
    Grid,
    Objective,
    Setting,
    can_weigh,
    from_lowest,
    pair_scores,
    set_weights,
    strip_weights,
)
from steelscan.postprocess import lowest_level
from steelscan.strip import InputError

By: TypeAlias = Literal["search", "auto"]
"""How numbers are chosen: by their score, or by `decision_threshold`."""

_AT_ONCE = 1 << 23
"""Scores held at a time."""

GATES = np.round(np.array([0, 0.01, 0.02, *np.arange(1, 20) / 20]), 2)
"""Gates tried for a class: many classifiers say nearly nothing of most strips."""


class Numbers(NamedTuple):
    """The thresholds of one class; no ``gate`` where none is searched.

    Of a triplet ``label`` is the top and ``pixel`` the bottom.
    """

    gate: float | None
    label: float
    pixel: float
    area: int

    def __str__(self) -> str:
        gate = "" if self.gate is None else f"gate {self.gate:.2f}, "
        return f"{gate}label {self.label:.2f}, pixel {self.pixel:.2f}, area {self.area}"


class Candidates:
    """One class on the strips that judge: what it scores at any numbers, and which are best."""

    def __init__(
        self,
        levels: NDArray[np.int32],
        words: NDArray[np.floating] | None,
        default: Numbers,
        objective: Objective,
        kind: Kind = "threshold",
        by: By = "search",
    ) -> None:
        """``levels`` is one class of `count_levels`; ``words`` what its gate asks, if it has one.

        Raises MaskError for other levels, InputError where the objective is not defined.
        """
        self.default, self.kind, self._by = default, kind, by
        self.levels, self._objective = levels, objective
        self.words = words if default.gate is not None else None
        self._predicted, self._shared = from_lowest(levels[:, 0]), from_lowest(levels[:, 1])
        self.true = self._shared[:, 0]
        self.holds = np.asarray(self.true > 0)
        strip_weights(self.true, objective)  # refused here where it is not defined
        self.axes = _axes(levels, default)

    def pairs(self, numbers: Numbers) -> Pairs:
        """The pairs at some numbers, ``(strips, 1)``."""
        mask = self._predicted[:, lowest_level(numbers.pixel)]
        top = self._predicted[:, lowest_level(numbers.label)]
        if self.kind == "threshold":
            kept = (top > 0) & (mask >= numbers.area)
        else:
            kept = top >= numbers.area
        if self.words is not None and numbers.gate is not None:
            kept &= or_sure(self.words) > numbers.gate
        shared = self._shared[:, lowest_level(numbers.pixel)]
        return Pairs((mask * kept)[:, None], self.true[:, None], (shared * kept)[:, None])

    def values(self, chosen: Numbers) -> NDArray[np.float64]:
        """What each strip scores at some numbers, float64 ``(strips, 1)``."""
        return pair_scores(self.pairs(chosen), self._objective)

    def empty_values(self) -> NDArray[np.float64]:
        """What each strip scores with an empty mask, float64 ``(strips, 1)``."""
        return pair_scores(self.pairs(self.default).emptied(), self._objective)

    def weights(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much each strip counts in a set, float64 ``(strips, 1)``."""
        return set_weights(times, self.true, self._objective)[:, None]

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Whether each set of strips, ``(sets, strips)``, has strips of all sorts that count."""
        return all(can_weigh(each, self.true, self._objective) for each in times)

    def grid(self) -> Grid:
        """The thresholds that are tried."""
        label, pixel = (
            np.array([lowest_level(each) for each in axis.tolist()]) for axis in self.axes[1:3]
        )
        return Grid(label, pixel, self.axes[3])

    def surfaces(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores of sets of strips, ``(sets, gates, labels, pixels, areas)``.

        ``times`` is float64 ``(sets, strips)``: how often each set holds each strip.
        """
        return self._surfaces.scores(times)

    @cached_property
    def _surfaces(self) -> SetSurfaces:
        behind = None if self.words is None else Behind(self.words, self.axes[0])
        return SetSurfaces(self.levels, self.grid(), self._objective, self.kind, behind)

    def choose(self, times: NDArray[np.float64]) -> Sequence[Numbers]:
        """The numbers that are best on each set of strips, in the way that was asked for."""
        return self._decided(times) if self._by == "auto" else self._searched(times)

    def _searched(self, times: NDArray[np.float64]) -> Sequence[Numbers]:
        """All settings are scored, and that in the middle of a plateau is taken (`calm_place`)."""
        origin = self.place(self.default)
        step = max(1, _AT_ONCE // int(np.prod([len(axis) for axis in self.axes])))
        return [
            self.numbers(calm_place(scores, origin, (1, 1, 1, 1)))
            for start in range(0, len(times), step)
            for scores in self.surfaces(times[start : start + step])
        ]

    def _decided(self, times: NDArray[np.float64]) -> Sequence[Numbers]:
        """The gate, or without one the label threshold, that follows from the expected Dice.

        What is compared with it must be a chance: it is taken as if the gate's word, or the
        highest probability of the map, were one.
        """
        always = self.default._replace(gate=None, label=0.0, area=0)
        values = dice(self.pairs(always))[:, 0]
        found = []
        for each in times:
            expected = dice_if_predicted(values, each * self.holds)
            if expected is None:
                found.append(self.default)
                continue
            least = round(decision_threshold(expected), 3)
            behind = self.words is not None
            changed = {"gate": least} if behind else {"label": least}
            found.append(self.default._replace(**changed))  # type: ignore[arg-type]
        return found

    def place(self, numbers: Numbers) -> tuple[int, ...]:
        """Where numbers stand on the axes, or stand next."""
        at = [0 if self.words is None else _nearest(self.axes[0], numbers.gate or 0.0)]
        at += [
            _nearest(axis, value) for axis, value in zip(self.axes[1:], numbers[1:], strict=True)
        ]
        return tuple(at)

    def numbers(self, at: Sequence[int]) -> Numbers:
        """The numbers at a place of the axes."""
        gate = None if self.words is None else float(self.axes[0][at[0]])
        label, pixel, area = (
            axis[place] for axis, place in zip(self.axes[1:], at[1:], strict=True)
        )
        return Numbers(gate, float(label), float(pixel), int(area))


class _Axes(NamedTuple):
    gate: NDArray[np.float64]
    label: NDArray[np.float64]
    pixel: NDArray[np.float64]
    area: NDArray[np.int64]


def _axes(levels: NDArray[np.int32], default: Numbers) -> _Axes:
    label, pixel, area = axes_of(Setting(*default[1:]), Tune(), levels)
    gates = GATES if default.gate is None else np.union1d(GATES, default.gate)
    return _Axes(gates, label, pixel, area)


def _nearest(axis: NDArray[np.number[Any]], value: float) -> int:
    return int(np.abs(axis - value).argmin())


def decision_threshold(dice: float) -> float:
    """The chance above which a mask pays whose Dice would be ``dice`` if the defect is there.

    From 0.5 for a perfect mask to 1 for a worthless one. Raises InputError outside 0 to 1.
    """
    if not 0 <= dice <= 1:
        raise InputError("expected Dice", f"is {dice}", "Give a share from 0 to 1")
    return 1 / (1 + dice)


def dice_if_predicted(values: NDArray[np.float64], times: NDArray[np.float64]) -> float | None:
    """The mean Dice of masks on strips that hold the class; None where there are none.

    ``values`` is the Dice of the mask, float64 ``(strips,)``, made as if every strip were
    predicted; ``times`` how often each strip that holds the class counts, 0 for all others.
    """
    return float(times @ values / times.sum()) if times.any() else None
