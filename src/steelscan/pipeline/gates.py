"""The thresholds of gates, tuned by F1 or by cost and put into a recipe. No torch here."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import Decision, HardGate
from steelscan.evaluation.tuning import (
    ClassSearch,
    CrossFitOptions,
    GateChoice,
    tune_by_cost,
    tune_f1,
)
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import PerClass, Share, Spec, per_class
from steelscan.strip.errors import RunError


class F1Scores(Spec):
    """F1 of a class with the recipe's threshold and with the best one.

    The latter on the strips that were searched, and on others.
    """

    default: float
    in_sample: float
    out_of_sample: float


class TunedGate(Spec):
    """The threshold of a step's gate; ``step`` is its name in the run.

    If it was tuned first, by F1 or by cost, ``reasons`` are why each class was tuned or not, as
    part of a sentence. By F1, ``f1`` holds the scores of each class, None for a class that was not
    searched.
    """

    step: str
    threshold: PerClass[Share]
    f1: tuple[F1Scores | None, ...] = ()
    reasons: tuple[str, ...] = ()

    def sentences(self, names: Sequence[str]) -> list[str]:
        """Return a sentence per class if it was tuned; ``names`` are those of the classes."""
        thresholds = per_class(self.threshold, len(names), "gate")
        if not self.reasons:
            return []
        return [
            f"Gate of step {self.step}, class {name}: {self._shown(value)} ({reason})."
            for name, value, reason in zip(names, thresholds, self.reasons, strict=True)
        ]

    def _shown(self, value: float) -> str:
        return f"{value:.4g}" if value or self.f1 else "given up"


class ChosenGates(NamedTuple):
    """All gates of a recipe, tuned before its masks."""

    gates: tuple[TunedGate, ...]
    without_own: tuple[tuple[TunedGate, ...], ...]
    """For each strip the gates that are chosen without its part of the groups."""

    def sentences(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return a sentence per gate and class; ``names`` are those of the classes."""
        return tuple(sentence for gate in self.gates for sentence in gate.sentences(names))


def gate_thresholds(recipe: Recipe) -> dict[str, PerClass[float]]:
    """Return the thresholds of each step that has a gate with thresholds, by its name."""
    found: dict[str, PerClass[float]] = {}
    for name, step in recipe.named.items():
        match step:
            case Classify():
                found[name] = step.threshold
            case Segment(gate=HardGate() as gate):
                found[name] = gate.threshold
    return found


def tune_gates(
    recipe: Recipe,
    probabilities_of: Callable[[str], NDArray[np.float32]],
    present: NDArray[np.bool_],
    groups: NDArray[np.int64],
    options: CrossFitOptions,
    positives: int,
) -> ChosenGates:
    """Tune all gates of a recipe by F1 (`tune_f1`), each on all strips that are given.

    ``probabilities_of`` returns the class probabilities of a step, ``(strips, classes)`` like
    ``present``; ``groups`` is int64 ``(strips,)``.
    """
    gates, columns = [], []
    for name, threshold in gate_thresholds(recipe).items():
        defaults = per_class(threshold, present.shape[1], "gate")
        values = probabilities_of(name)
        choices = tune_f1(values, present, groups, defaults, options, positives)
        gates.append(_gate(name, choices))
        columns.append(_thresholds_without_own(choices))
    return ChosenGates(tuple(gates), _without_own(list(gate_thresholds(recipe)), columns))


def gates_by_cost(
    recipe: Recipe,
    searches_of: Callable[[Decision, Collection[str]], Sequence[ClassSearch]],
    probabilities_of: Callable[[str], NDArray[np.float32]],
    groups: NDArray[np.int64],
    options: CrossFitOptions,
) -> ChosenGates:
    """Lower the gates of a recipe that cost more than they save (`tune_by_cost`).

    One after another in the order of the steps: those before as they were chosen, those after it
    open, so that none hides what another one costs.

    ``searches_of`` returns the search of each class, with the recipe's thresholds, behind a
    decision in which some steps close nothing; ``probabilities_of`` the class probabilities of a
    step, ``(strips, classes)``; ``groups`` is int64 ``(strips,)``.
    """
    thresholds, gates, columns = gate_thresholds(recipe), list[TunedGate](), []
    neutral = recipe.tune is not None and recipe.tune.neutral
    for at, (name, threshold) in enumerate(thresholds.items()):
        step = recipe.named[name]
        classes = searches_of(with_gates(recipe, gates).decision, list(thresholds)[at:])
        choices = tune_by_cost(
            classes,
            probabilities_of(name),
            groups,
            per_class(threshold, len(classes), "gate"),
            options,
            whole_strips=isinstance(step, Classify) and step.gate == "image",
            neutral=neutral,
        )
        gates.append(_gate(name, choices).but(f1=()))
        columns.append(_thresholds_without_own(choices))
    return ChosenGates(tuple(gates), _without_own(list(thresholds), columns))


def _thresholds_without_own(choices: Sequence[GateChoice]) -> NDArray[np.float64]:
    return np.stack([choice.without_own for choice in choices], axis=1)


def _without_own(
    steps: Sequence[str], columns: Sequence[NDArray[np.float64]]
) -> tuple[tuple[TunedGate, ...], ...]:
    """Return the gates of each strip, from their thresholds ``(strips, classes)`` per step."""
    return tuple(
        tuple(
            TunedGate(step=step, threshold=tuple(row.tolist()))
            for step, row in zip(steps, rows, strict=True)
        )
        for rows in zip(*columns, strict=True)
    )


def _gate(name: str, choices: Sequence[GateChoice]) -> TunedGate:
    return TunedGate(
        step=name,
        threshold=tuple(choice.used for choice in choices),
        f1=tuple(
            None if choice.fit is None else F1Scores(**choice.fit.scores._asdict())
            for choice in choices
        ),
        reasons=tuple(choice.reason for choice in choices),
    )


def with_gates(recipe: Recipe, gates: Iterable[TunedGate]) -> Recipe:
    """Replace the thresholds of gates. Raises RunError if the recipe has no such gate."""
    for gate in gates:
        match recipe.named.get(gate.step):
            case Classify() as step:
                recipe = recipe.with_steps({gate.step: step.but(threshold=gate.threshold)})
            case Segment(gate=HardGate() as hard) as step:
                changed = hard.but(threshold=gate.threshold)
                recipe = recipe.with_steps({gate.step: step.but(gate=changed)})
            case _:
                problem = f"has no gate at step {gate.step}"
                raise RunError("tuned thresholds", problem, "Tune this run")
    return recipe
