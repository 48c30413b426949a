"""Which strips an epoch draws, and in which order."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.strip import Count, RecipeError, Spec


class EveryStrip(Spec):
    """Each strip once an epoch, in random order."""

    kind: Literal["every"] = "every"


class BalancedDraws(Spec):
    """``draws`` strips an epoch: a share of clean ones, the rest evenly from each class.

    A data set without clean strips, or without defects, gives its share to the others.
    """

    kind: Literal["balanced"] = "balanced"
    draws: Count
    clean: Annotated[float, Field(ge=0, le=1)] = 0.5


class WeightedDraws(Spec):
    """As many strips as there are, drawn with a weight each, some often, some not (3rd, K:117377).

    A strip's weight is one over the number of strips that hold its rarest label; sound steel is a
    label too. What weights the 3rd had is not published.
    """

    kind: Literal["weighted"] = "weighted"


class CycledDraws(Spec):
    """One clean strip, then one of each class, again and again (14th, K:114367).

    Clean strips and each class go through their strips in order and begin again, also from epoch
    to epoch; a strip of two classes stands in both. ``epoch`` "text" ends as the author wrote it,
    when each clean strip has come once; "code" as his program does, after as many draws as there
    are clean strips, in random order. A data set without clean strips has its most frequent class
    in their place.
    """

    kind: Literal["cycled"] = "cycled"
    epoch: Literal["text", "code"] = "text"


Draws = Annotated[
    EveryStrip | BalancedDraws | WeightedDraws | CycledDraws, Field(discriminator="kind")
]


class AllStrips(Spec):
    """All strips teach."""

    kind: Literal["all"] = "all"


class DefectiveStrips(Spec):
    """Strips teach that hold a class the network answers for (12th, K:114309)."""

    kind: Literal["defective"] = "defective"


class SuspectStrips(Spec):
    """Strips teach that hold the network's class, and those that the classifier suspects of it.

    These have an out-of-fold probability above ``above`` (9th, K:114297).
    """

    kind: Literal["suspect"] = "suspect"
    above: Annotated[float, Field(ge=0, le=1)] = 0.01


Strips = Annotated[AllStrips | DefectiveStrips | SuspectStrips, Field(discriminator="kind")]


def draw(
    spec: Draws, present: NDArray[np.bool_], rng: np.random.Generator, epoch: int = 0
) -> NDArray[np.int64]:
    """The strips of one epoch, as rows of ``present``, bool ``(strips, classes)``.

    ``epoch`` counts from 0; only `CycledDraws` goes on where the epoch before ended.
    """
    match spec:
        case EveryStrip():
            return rng.permutation(len(present))
        case BalancedDraws():
            return _balanced(spec, present, rng)
        case WeightedDraws():
            weights = _weights(present)
            return rng.choice(len(present), len(present), p=weights / weights.sum())
        case CycledDraws():
            return _cycled(spec, present, rng, epoch)


def chosen(
    spec: Strips, present: NDArray[np.bool_], suspicion: NDArray[np.float32] | None = None
) -> NDArray[np.bool_]:
    """Which strips teach, bool ``(strips,)``.

    ``present`` is bool ``(strips, classes)`` for the classes of the network, ``suspicion`` what an
    out-of-fold classifier says of them, float ``(strips, classes)``. Raises RecipeError when that
    is needed and not there.
    """
    match spec:
        case AllStrips():
            return np.ones(len(present), np.bool_)
        case DefectiveStrips():
            return np.asarray(present.any(1))
        case SuspectStrips():
            if suspicion is None:
                found = "wants to know what a classifier suspects, and no step classifies before it"
                raise RecipeError("strips suspect", found, "Put a Classify step first")
            return np.asarray((present | (suspicion > spec.above)).any(1))


def join_share(
    drawn: NDArray[np.int64], pool: NDArray[np.int64], share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The strips of an epoch with others among them, so many that they are a ``share`` of all.

    Those drawn keep their order; where the others stand is random. None of the pool comes twice
    before all have come once; an empty pool adds none.
    """
    count = round(len(drawn) * share / (1 - share)) if len(pool) else 0
    return np.insert(drawn, rng.integers(0, len(drawn) + 1, count), _draw_pool(pool, count, rng))


def _weights(present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One over the number of strips of each strip's rarest label, ``(strips,)``."""
    labels = np.column_stack([present, ~present.any(1)])
    rarity = 1 / np.maximum(labels.sum(0), 1)
    return np.asarray((labels * rarity).max(1))


def _cycled(
    spec: CycledDraws, present: NDArray[np.bool_], rng: np.random.Generator, epoch: int
) -> NDArray[np.int64]:
    pools = [np.flatnonzero(~present.any(1)), *(np.flatnonzero(column) for column in present.T)]
    pools = [pool for pool in pools if len(pool)]
    leading = len(pools[0]) if not present.any(1).all() else max(map(len, pools))
    rounds = leading if spec.epoch == "text" else max(1, leading // len(pools))
    turns = epoch * rounds + np.arange(rounds)
    cycle = np.stack([pool[turns % len(pool)] for pool in pools], axis=1).reshape(-1)
    return cycle if spec.epoch == "text" else rng.permutation(cycle)


def _balanced(
    spec: BalancedDraws, present: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    pools = [np.flatnonzero(~present.any(1)), *(np.flatnonzero(column) for column in present.T)]
    defective = [pool for pool in pools[1:] if len(pool)]
    shares = np.array([spec.clean] + [(1 - spec.clean) / max(1, len(defective))] * len(defective))
    filled = [pools[0], *defective]
    if not len(pools[0]):
        shares[0] = 0
    if not shares.any():  # the side that has it all is missing: the other side takes it
        shares = np.array([float(len(pool) > 0) for pool in filled])
    counts = _whole(shares / shares.sum() * spec.draws, rng)
    drawn = [_draw_pool(pool, count, rng) for pool, count in zip(filled, counts, strict=True)]
    return rng.permutation(np.concatenate(drawn))


def _whole(shares: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
    """Round shares to whole numbers with the same sum, what is left over at random."""
    counts = np.floor(shares).astype(int)
    left = round(shares.sum()) - counts.sum()
    rest = shares - counts
    if left:
        extra = rng.choice(len(shares), left, replace=False, p=rest / rest.sum())
        counts[extra] += 1
    return [int(count) for count in counts]


def _draw_pool(pool: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw from a pool so that none comes a second time before all have come once."""
    rounds = [rng.permutation(pool) for _ in range(-(-count // max(1, len(pool))))]
    return np.concatenate([*rounds, pool[:0]])[:count]
