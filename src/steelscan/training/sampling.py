"""Which strips a network trains on, and which of them an epoch draws, in which order."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.strip import Share, Spec
from steelscan.strip.errors import RecipeError

Count = Annotated[int, Field(gt=0, le=10_000_000)]
"""A number of samples, batches or epochs; a larger one is a typing error."""


class EveryStrip(Spec):
    """Draw each strip once per epoch, in random order."""

    kind: Literal["every"] = "every"


class BalancedSampler(Spec):
    """Draw ``samples`` strips per epoch: a share of ``clean`` ones, the rest evenly per class.

    If a data set has no clean strips, or no defects, the others take their share.
    """

    kind: Literal["balanced"] = "balanced"
    samples: Count
    clean: Share = 0.5


class WeightedSampler(Spec):
    """Draw as many strips as there are, with replacement and with weights (3rd, K:117377).

    The weight of a strip is one over the number of strips with its rarest label; "clean" is a
    label too. The weights of the 3rd place are not published.
    """

    kind: Literal["weighted"] = "weighted"


class CycledSampler(Spec):
    """Draw one clean strip, then one of each class, again and again (14th, K:114367).

    The clean strips and the strips of each class are drawn in order and start again at their end,
    also from epoch to epoch; a strip with two classes belongs to both. With ``each_clean_once`` an
    epoch ends when each clean strip was drawn once, as the author's text describes it. Otherwise
    it ends after as many strips as there are clean ones, in random order, as his program does.
    If a data set has no clean strips, its most frequent class takes their place.
    """

    kind: Literal["cycled"] = "cycled"
    each_clean_once: bool = True


Sampler = Annotated[
    EveryStrip | BalancedSampler | WeightedSampler | CycledSampler, Field(discriminator="kind")
]


class AllStrips(Spec):
    """Train on all strips."""

    kind: Literal["all"] = "all"


class DefectiveStrips(Spec):
    """Train on strips that hold a class of the network (12th, K:114309)."""

    kind: Literal["defective"] = "defective"


class SuspectStrips(Spec):
    """Train on strips that hold a class of the network, or that a classifier suspects of it.

    A strip is suspect if its out-of-fold probability is higher than ``above`` (9th, K:114297).
    """

    kind: Literal["suspect"] = "suspect"
    above: Share = 0.01


StripSelection = Annotated[AllStrips | DefectiveStrips | SuspectStrips, Field(discriminator="kind")]


def draw(
    spec: Sampler, present: NDArray[np.bool_], rng: np.random.Generator, epoch: int = 0
) -> NDArray[np.int64]:
    """Return the strips of one epoch, as rows of ``present``, bool ``(strips, classes)``.

    ``epoch`` counts from 0; only `CycledSampler` continues where the last epoch ended.
    """
    match spec:
        case EveryStrip():
            return rng.permutation(len(present))
        case BalancedSampler():
            return _balanced(spec, present, rng)
        case WeightedSampler():
            weights = _weights(present)
            return rng.choice(len(present), len(present), p=weights / weights.sum())
        case CycledSampler():
            return _cycled(spec, present, rng, epoch)


def select_strips(
    spec: StripSelection,
    present: NDArray[np.bool_],
    probabilities: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_]:
    """Return which strips a network trains on, bool ``(strips,)``.

    ``present`` is bool ``(strips, classes)`` for the classes of the network; ``probabilities``,
    float ``(strips, classes)``, are those of an out-of-fold classifier. Raises RecipeError if they
    are needed and missing.
    """
    match spec:
        case AllStrips():
            return np.ones(len(present), np.bool_)
        case DefectiveStrips():
            return np.asarray(present.any(1))
        case SuspectStrips():
            if probabilities is None:
                found = "needs the probabilities of a classifier, and no step before it has one"
                raise RecipeError("strips suspect", found, "Put a Classify step first")
            return np.asarray((present | (probabilities > spec.above)).any(1))


def insert_share(
    drawn: NDArray[np.int64], pool: NDArray[np.int64], share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return an epoch's strips with strips of a pool inserted, which become a ``share`` of all.

    The drawn strips keep their order; the inserted ones are at random positions. No strip of the
    pool is used twice before all are used once; an empty pool adds none.
    """
    count = round(len(drawn) * share / (1 - share)) if len(pool) else 0
    return np.insert(drawn, rng.integers(0, len(drawn) + 1, count), _draw_pool(pool, count, rng))


def _weights(present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return one over the number of strips with each strip's rarest label, ``(strips,)``."""
    labels = np.column_stack([present, ~present.any(1)])
    rarity = 1 / np.maximum(labels.sum(0), 1)
    return np.asarray((labels * rarity).max(1))


def _pools(present: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the rows of the clean strips, then those of each class."""
    return [np.flatnonzero(~present.any(1)), *map(np.flatnonzero, present.T)]


def _cycled(
    spec: CycledSampler, present: NDArray[np.bool_], rng: np.random.Generator, epoch: int
) -> NDArray[np.int64]:
    pools = [pool for pool in _pools(present) if len(pool)]
    leading = len(pools[0]) if not present.any(1).all() else max(map(len, pools))
    rounds = leading if spec.each_clean_once else max(1, leading // len(pools))
    positions = epoch * rounds + np.arange(rounds)
    cycle = np.stack([pool[positions % len(pool)] for pool in pools], axis=1).reshape(-1)
    return cycle if spec.each_clean_once else rng.permutation(cycle)


def _balanced(
    spec: BalancedSampler, present: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    clean, *classes = _pools(present)
    defective = [pool for pool in classes if len(pool)]
    shares = np.array([spec.clean] + [(1 - spec.clean) / max(1, len(defective))] * len(defective))
    pools = [clean, *defective]
    if not len(clean):
        shares[0] = 0
    if not shares.any():  # strips of only one kind: they take the whole share
        shares = np.array([float(len(pool) > 0) for pool in pools])
    counts = _whole(shares / shares.sum() * spec.samples, rng)
    drawn = [_draw_pool(pool, count, rng) for pool, count in zip(pools, counts, strict=True)]
    return rng.permutation(np.concatenate(drawn))


def _whole(shares: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
    """Round shares to whole numbers with the same sum; assign the remainder at random."""
    counts = np.floor(shares).astype(int)
    left = round(shares.sum()) - counts.sum()
    rest = shares - counts
    if left:
        extra = rng.choice(len(shares), left, replace=False, p=rest / rest.sum())
        counts[extra] += 1
    return [int(count) for count in counts]


def _draw_pool(pool: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw from a pool; no strip is drawn twice before all are drawn once."""
    rounds = [rng.permutation(pool) for _ in range(-(-count // max(1, len(pool))))]
    return np.concatenate([*rounds, pool[:0]])[:count]
