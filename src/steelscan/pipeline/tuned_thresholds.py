"""Tuned thresholds as a file of their own, for one run. No torch here.

They are kept apart from the run, because what a run recorded was scored with its own thresholds.
"""

from math import isnan
from pathlib import Path
from typing import Self

from pydantic import NonNegativeInt, ValidationError

from steelscan.evaluation.statistics import Estimate
from steelscan.pipeline.gates import TunedGate
from steelscan.pipeline.run_folder import RunFolder
from steelscan.postprocess import Rule
from steelscan.strip import Spec
from steelscan.strip.errors import RunError


class TunedScore(Spec):
    """A score and its interval; None if unknown."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, estimate: Estimate) -> Self:
        """Convert an estimate, in which unknown numbers are NaN."""
        numbers = (estimate.value, estimate.low, estimate.high)
        value, low, high = (None if isnan(each) else each for each in numbers)
        return cls(value=value, low=low, high=high)


class TunedThresholds(Spec):
    """Tuned thresholds for the last rules of a run, perhaps for gates, and their scores.

    ``default``, ``in_sample`` and ``out_of_sample`` are the score with the recipe's thresholds,
    with the best ones on the strips searched, and on strips that were not searched. The last is
    the unbiased one.
    """

    run: str
    """SHA-256 of what the run was made from."""
    round: NonNegativeInt
    rules: tuple[Rule, ...]
    gates: tuple[TunedGate, ...] = ()
    objective: str
    default: TunedScore
    in_sample: TunedScore
    out_of_sample: TunedScore
    used: TunedScore
    """Of the rules in this file, which are the defaults where those were kept."""
    reasons: tuple[str, ...]


def read_tuned(path: Path, run: RunFolder) -> TunedThresholds:
    """Read tuned thresholds of a run.

    Raises RunError if the file cannot be read, or was made for another run or round.
    """
    remedy = f"Make one with: steelscan tune {run.path} --data DATA"
    try:
        tuned = TunedThresholds.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(path, f"cannot be read ({error.strerror})", remedy) from None
    except ValidationError as error:
        first = error.errors()[0]
        reason = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        found = f"has no valid tuned thresholds, or is of another version ({reason})"
        raise RunError(path, found, remedy) from None
    if (tuned.run, tuned.round) != (run.digest(), run.load_tuned().round):
        raise RunError(path, f"was tuned for another run than {run.path}", remedy)
    return tuned
