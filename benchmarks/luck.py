"""What tuning says of luck, beside the truth: simulated strips, and fresh ones of the same kind.

Strips come in groups of up to three that resemble each other: whether they hold the class, how
large it is and how sure the network is share 70 % of their variance. On each of many sets the
search is let loose as `steelscan tune` lets it; what it chose is judged on a large set that it
never saw. "no gain": the search begins at the numbers that are best on the large set. "planted":
it begins at label 0.5, pixel 0.5, no area, which the network's low confidence makes poor.

kept: sets on which the defaults stood. gain, optimism: means over sets of the estimate and of the
truth. The true optimism is what the found scores on its own strips, less what it scores on the
large set, and less by how much these strips are easier: what the best numbers of the large set, on
which no search had a say, score more on them. within: intervals that hold the true mean of what
they are for.

Run: OMP_NUM_THREADS=1 python benchmarks/luck.py
"""

import argparse
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning import Candidates, CarefulTune, MeanDice, Numbers, tune_carefully

PIXELS = 40_960
COMMON = 0.7
"""Share of the variance that strips of a group have in common."""
POOR = Numbers(None, 0.5, 0.5, 0)
LARGE = 6000
MIDDLE = (np.arange(256) + 0.5) / 256


class Strips(NamedTuple):
    """One class: levels int32 ``(strips, 2, 256)``; groups int64, words float64 ``(strips,)``."""

    levels: NDArray[np.int32]
    groups: NDArray[np.int64]
    words: NDArray[np.float64]


def beta(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance of each level under Beta distributions: ``(n, 256)`` from ``(n,)`` each."""
    logs = (one[:, None] - 1) * np.log(MIDDLE) + (other[:, None] - 1) * np.log1p(-MIDDLE)
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=1, keepdims=True), np.float64)


def simulate(strips: int, rng: np.random.Generator, share: float = 0.3) -> Strips:
    """Strips of which about a ``share`` holds the class; one in ten others has a false alarm."""
    groups = np.repeat(np.arange(strips), rng.integers(1, 4, strips))[:strips]

    def drawn() -> NDArray[np.float64]:
        of_group = rng.standard_normal(strips)[groups]
        own = rng.standard_normal(strips)
        return np.asarray(np.sqrt(COMMON) * of_group + np.sqrt(1 - COMMON) * own, np.float64)

    place = drawn()
    held = place > np.quantile(rng.standard_normal(20_000), 1 - share)
    alarm = ~held & (drawn() > 1.3)
    areas = np.clip(2000 * np.exp(0.8 * drawn()), 40, PIXELS // 2).astype(int)
    areas[alarm] //= 4
    areas[~held & ~alarm] = 0
    sure = np.where(held, 2.5, 1.75) * np.exp(0.4 * drawn())
    defect = rng.multinomial(areas, beta(sure, np.full(strips, 1.5)))
    sound = rng.multinomial(PIXELS - areas, beta(np.full(strips, 0.6), np.exp(3.2 + 0.4 * drawn())))
    levels = np.stack([defect + sound, defect * held[:, None]], axis=1).astype(np.int32)
    words = 1 / (1 + np.exp(-(np.where(held, 1.5, -1.5) + drawn())))
    return Strips(levels, groups, words)


class Large:
    """A large set: what any numbers are worth."""

    def __init__(self, rng: np.random.Generator, strips: int = LARGE) -> None:
        made = simulate(strips, rng)
        self._candidates = Candidates(made.levels, None, POOR, MeanDice())
        (self.best,) = self._candidates.choose(np.ones((1, strips)))
        self._weights = self._candidates.weights(np.ones(strips))
        self._known: dict[Numbers, float] = {}

    def score(self, numbers: Numbers) -> float:
        """The score of numbers on strips of this kind."""
        if numbers not in self._known:
            values = self._candidates.values(numbers)
            self._known[numbers] = float((self._weights * values).sum())
        return self._known[numbers]

    def luck(self, made: Strips) -> float:
        """By how much the best numbers of the large set score more on some strips than here."""
        candidates = Candidates(made.levels, None, self.best, MeanDice())
        weights = candidates.weights(np.ones(len(made.levels)))
        return float((weights * candidates.values(self.best)).sum()) - self.score(self.best)


class Found(NamedTuple):
    """What came of many sets of strips."""

    kept: float
    gain: float
    true_gain: float
    gain_within: float
    optimism: float
    true_optimism: float
    optimism_within: float
    score_within: float


def repeated(
    large: Large, start: Numbers, strips: int, sets: int, seed: int, share: float = 0.3
) -> Found:
    """Tune many sets of so many strips from the same start."""
    tune = CarefulTune(seed=seed)
    rows = []
    for number in range(sets):
        made = simulate(strips, np.random.default_rng((seed, strips, number)), share)
        done = tune_carefully(made.levels[:, :, None], made.groups, [start], [MeanDice()], tune)
        (decision,) = done.classes
        fit = decision.fit
        gain, optimism, score = fit.gain, fit.optimism, fit.score(2)
        true = large.score(fit.chosen)
        rows.append(
            (
                decision.tuned,
                *(gain.value, gain.low, gain.high),
                *(optimism.value, optimism.low, optimism.high),
                *(score.low, score.high, true),
                fit.found.searched - true - large.luck(made),
            )
        )
    table = np.array(rows, np.float64)
    tuned, gain_, low, high, optimism_, low_o, high_o, low_s, high_s, true_, flattered = table.T
    true_gain = true_.mean() - large.score(start)
    return Found(
        kept=1 - tuned.mean(),
        gain=gain_.mean(),
        true_gain=true_gain,
        gain_within=np.mean((low <= true_gain) & (true_gain <= high)),
        optimism=optimism_.mean(),
        true_optimism=flattered.mean(),
        optimism_within=np.mean((low_o <= flattered.mean()) & (flattered.mean() <= high_o)),
        score_within=np.mean((low_s <= true_.mean()) & (true_.mean() <= high_s)),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="simulated sets a line")
    parser.add_argument("--strips", type=int, nargs="+", default=[60, 120, 300, 1000])
    options = parser.parse_args()
    start = time.process_time()
    large = Large(np.random.default_rng(0))
    print(f"best on {LARGE} strips: {large.best}, {large.score(large.best):.4f}")
    print(f"poor: {POOR}, {large.score(POOR):.4f}")
    print(
        "| start | strips | kept | gain | true | within | optimism | true | within | score within |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, numbers in {"no gain": large.best, "planted": POOR}.items():
        for strips in options.strips:
            found = repeated(large, numbers, strips, options.sets, seed=1)
            print(
                f"| {name} | {strips} | {100 * found.kept:.1f} % | {found.gain:+.4f} "
                f"| {found.true_gain:+.4f} | {100 * found.gain_within:.0f} % "
                f"| {found.optimism:.4f} | {found.true_optimism:.4f} "
                f"| {100 * found.optimism_within:.0f} % | {100 * found.score_within:.0f} % |",
                flush=True,
            )
    print(f"{options.sets} sets a line, {time.process_time() - start:.0f} s of the processor")


if __name__ == "__main__":
    main()
