"""The thresholds of gates, tuned by F1 and put into a recipe. No torch here."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import HardGate
from steelscan.evaluation.tuning import CrossFitOptions, GateChoice, tune_f1
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

    If it was tuned by F1, ``f1`` holds the scores of each class, None for a class that was not
    searched, and ``reasons`` why each was tuned or not, as part of a sentence.
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
            f"Gate of step {self.step}, class {name}: {value:.4g} ({reason})."
            for name, value, reason in zip(names, thresholds, self.reasons, strict=True)
        ]


class F1Gates(NamedTuple):
    """All gates of a recipe, tuned by F1."""

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
) -> F1Gates:
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
        columns.append((name, np.stack([choice.without_own for choice in choices], axis=1)))
    without_own = tuple(
        tuple(TunedGate(step=name, threshold=tuple(rows[at].tolist())) for name, rows in columns)
        for at in range(len(groups))
    )
    return F1Gates(tuple(gates), without_own)


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
