"""Which strips an epoch draws, and in which order."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from steelscan.strip import Spec, not_built


class EveryStrip(Spec):
    """Each strip once an epoch, in random order."""

    kind: Literal["every"] = "every"


class BalancedDraws(Spec):
    """``draws`` strips an epoch: a share of clean ones, the rest evenly from each class.

    A data set without clean strips, or without defects, gives its share to the others.
    """

    kind: Literal["balanced"] = "balanced"
    draws: PositiveInt
    clean: Annotated[float, Field(ge=0, le=1)] = 0.5


class WeightedDraws(Spec):
    """As many strips as there are, drawn with a weight each (3rd, K:117377).

    A strip's weight is that of its rarest label, one over the label's share of strips; sound steel
    is a label too.
    """

    built: ClassVar[bool] = False
    kind: Literal["weighted"] = "weighted"


class CycledDraws(Spec):
    """One clean strip, one of each class, again and again, until all clean strips have come.

    Each class goes through its strips in order and begins again (14th, K:114367). ``epoch``:
    "text" ends as the author wrote, with every clean strip; "code" as his program does, after as
    many draws as there are clean strips.
    """

    built: ClassVar[bool] = False
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

    built: ClassVar[bool] = False
    kind: Literal["defective"] = "defective"


class SuspectStrips(Spec):
    """Strips teach that hold the network's class, and those that the classifier suspects of it.

    These have an out-of-fold probability above ``above`` (9th, K:114297).
    """

    built: ClassVar[bool] = False
    kind: Literal["suspect"] = "suspect"
    above: Annotated[float, Field(ge=0, le=1)] = 0.01


Strips = Annotated[AllStrips | DefectiveStrips | SuspectStrips, Field(discriminator="kind")]


def draw(spec: Draws, present: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """The strips of one epoch, as rows of ``present``, bool ``(strips, classes)``."""
    if isinstance(spec, EveryStrip):
        return rng.permutation(len(present))
    if not isinstance(spec, BalancedDraws):
        raise not_built(spec)
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
