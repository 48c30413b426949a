"""Tuned thresholds as a file of their own, which one run takes. No torch here.

They stand beside a run and never in it: what a run recorded was scored with its own thresholds.
"""

import hashlib
from pathlib import Path

from pydantic import NonNegativeInt, ValidationError

from steelscan.decision import HardGate
from steelscan.pipeline.run_folder import RunFolder
from steelscan.postprocess import Rule
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import PerClass, RunError, Share, Spec


class TunedGate(Spec):
    """The threshold of a step's gate; ``step`` is its name in the run."""

    step: str
    threshold: PerClass[Share]


class TunedScore(Spec):
    """A number, and the ends of its interval; None where there is none."""

    value: float | None
    low: float | None
    high: float | None


class TunedThresholds(Spec):
    """The last rules of a run and maybe a gate, tuned, and what they are worth.

    ``before``, ``searched`` and ``unsearched`` are the score with the recipe's numbers, with the
    best ones on the strips searched, and the same on strips not searched: the one to believe.
    """

    run: str
    """SHA-256 of what the run was made from."""
    round: NonNegativeInt
    rules: tuple[Rule, ...]
    gate: TunedGate | None = None
    objective: str
    before: TunedScore
    searched: TunedScore
    unsearched: TunedScore
    used: TunedScore
    """Of these very rules: defaults where those were kept."""
    reasons: tuple[str, ...]


def mark(run: RunFolder) -> str:
    """SHA-256 of the recipe and the record of a run."""
    return hashlib.sha256(run.recipe.read_bytes() + run.record.read_bytes()).hexdigest()


def read_tuned(path: Path, run: RunFolder) -> TunedThresholds:
    """Read tuned thresholds of a run.

    Raises RunError for a file that cannot be read, and for thresholds of another run or round.
    """
    remedy = f"Make one with: steelscan tune {run.path} --data DATA"
    try:
        tuned = TunedThresholds.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(path, f"cannot be read ({error.strerror})", remedy) from None
    except ValidationError as error:
        found = f"holds no tuned thresholds ({error.errors()[0]['msg']})"
        raise RunError(path, found, remedy) from None
    if (tuned.run, tuned.round) != (mark(run), run.load_tuned().round):
        raise RunError(path, f"was tuned for another run than {run.path}", remedy)
    return tuned


def with_gate(recipe: Recipe, gate: TunedGate) -> Recipe:
    """The recipe with a gate's threshold in place of its own. Raises RunError without the gate."""
    steps = list(recipe.steps)
    step = recipe.named.get(gate.step)
    match step:
        case Classify():
            changed: Classify | Segment = step.but(threshold=gate.threshold)
        case Segment(gate=HardGate() as hard):
            changed = step.but(gate=hard.but(threshold=gate.threshold))
        case _:
            found = f"has no gate at step {gate.step}"
            raise RunError("tuned thresholds", found, "Tune this run")
    at = list(recipe.named).index(gate.step)
    places = [place for place, each in enumerate(steps) if isinstance(each, Classify | Segment)]
    steps[places[at]] = changed
    return recipe.but(steps=tuple(steps))
