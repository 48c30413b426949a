"""Optimism and gain as `steelscan tune` estimates them, against the truth on simulated strips.

Strips come in groups of up to three that resemble each other: presence of the class, size and
confidence of the network share 70 % of their variance. Each of many sets is tuned as `steelscan
tune` does, and the result is scored on a large set that was not searched. "no gain": the search
starts at the best thresholds of the large set. "planted": it starts at label 0.5, pixel 0.5, no
area, which scores low because the network's probabilities are low.

kept: sets on which the defaults were kept. gain, optimism: means over sets of the estimate and of
the truth. The true optimism is the in-sample score of the best thresholds, minus their score on the
large set, minus how much easier these strips are. That is the difference between both scores for
the best thresholds of the large set, which were not chosen on these strips. within: intervals that
contain the true mean.

Run: OMP_NUM_THREADS=1 python benchmarks/luck.py
"""

import argparse
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quick import print_result
from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    CrossFitOptions,
    MeanDice,
    tune_thresholds,
)
from thresholds import beta

PIXELS = 40_960
COMMON = 0.7
"""Share of the variance that strips of a group have in common."""
POOR = ClassThresholds(None, 0.5, 0.5, 0)
LARGE = 6000


class Strips(NamedTuple):
    """One class: int32 ``(strips, 2, 256)``, int64 ``(strips,)``, float64 ``(strips,)``."""

    histograms: NDArray[np.int32]
    groups: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def simulate(strips: int, rng: np.random.Generator, share: float = 0.3) -> Strips:
    """Simulate strips: a ``share`` has the class; one in ten others has a false alarm."""
    groups = np.repeat(np.arange(strips), rng.integers(1, 4, strips))[:strips]

    def drawn() -> NDArray[np.float64]:
        of_group = rng.standard_normal(strips)[groups]
        own = rng.standard_normal(strips)
        return np.asarray(np.sqrt(COMMON) * of_group + np.sqrt(1 - COMMON) * own, np.float64)

    held = drawn() > np.quantile(rng.standard_normal(20_000), 1 - share)
    alarm = ~held & (drawn() > 1.3)
    areas = np.clip(2000 * np.exp(0.8 * drawn()), 40, PIXELS // 2).astype(int)
    areas[alarm] //= 4
    areas[~held & ~alarm] = 0
    alpha = np.where(held, 2.5, 1.75) * np.exp(0.4 * drawn())
    defect = rng.multinomial(areas, beta(alpha, np.full(strips, 1.5)))
    clean = rng.multinomial(PIXELS - areas, beta(np.full(strips, 0.6), np.exp(3.2 + 0.4 * drawn())))
    histograms = np.stack([defect + clean, defect * held[:, None]], axis=1).astype(np.int32)
    probabilities = 1 / (1 + np.exp(-(np.where(held, 1.5, -1.5) + drawn())))
    return Strips(histograms, groups, probabilities)


class Large:
    """A large set: the score of any thresholds."""

    def __init__(self, rng: np.random.Generator, strips: int = LARGE) -> None:
        made = simulate(strips, rng)
        self._search = ClassSearch(made.histograms, None, POOR, MeanDice())
        (self.best,) = self._search.choose(np.ones((1, strips)))
        self._weights = self._search.weights(np.ones(strips))
        self._scores: dict[ClassThresholds, float] = {}

    def score(self, thresholds: ClassThresholds) -> float:
        """Return the score of thresholds on strips of this kind."""
        if thresholds not in self._scores:
            values = self._search.strip_scores(thresholds)
            self._scores[thresholds] = float((self._weights * values).sum())
        return self._scores[thresholds]

    def easier(self, made: Strips) -> float:
        """Return how much more the best thresholds score on some strips than on the large set."""
        search = ClassSearch(made.histograms, None, self.best, MeanDice())
        weights = search.weights(np.ones(len(made.histograms)))
        return float((weights * search.strip_scores(self.best)).sum()) - self.score(self.best)


class Result(NamedTuple):
    """Means over many sets of strips."""

    kept: float
    gain: float
    true_gain: float
    gain_within: float
    optimism: float
    true_optimism: float
    optimism_within: float
    score_within: float


def repeated(
    large: Large, start: ClassThresholds, strips: int, sets: int, seed: int, share: float = 0.3
) -> Result:
    """Tune many sets of strips from the same start."""
    options = CrossFitOptions(seed=seed)
    rows = []
    for number in range(sets):
        made = simulate(strips, np.random.default_rng((seed, strips, number)), share)
        done = tune_thresholds(
            made.histograms[:, :, None], made.groups, [start], [MeanDice()], options
        )
        (choice,) = done.classes
        fit = choice.fit
        gain, optimism, score = fit.gain, fit.optimism, fit.score(2)
        true = large.score(fit.chosen)
        rows.append(
            (
                choice.tuned,
                *(gain.value, gain.low, gain.high),
                *(optimism.value, optimism.low, optimism.high),
                *(score.low, score.high, true),
                fit.scores.in_sample - true - large.easier(made),
            )
        )
    table = np.array(rows, np.float64)
    tuned, gain_, low, high, optimism_, low_o, high_o, low_s, high_s, true_, flattered = table.T
    true_gain = true_.mean() - large.score(start)
    return Result(
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
    parser.add_argument("--sets", type=int, default=200, help="simulated sets per row")
    parser.add_argument("--strips", type=int, nargs="+", default=[60, 120, 300, 1000])
    parser.add_argument("--quick", action="store_true", help="40 sets of 60 and 120 strips")
    options = parser.parse_args()
    if options.quick:
        options.sets, options.strips = 40, [60, 120]
    start = time.process_time()
    large = Large(np.random.default_rng(0))
    print(f"best on {LARGE} strips: {large.best}, {large.score(large.best):.4f}")
    print(f"poor: {POOR}, {large.score(POOR):.4f}")
    print(
        "| start | strips | kept | gain | true | within | optimism | true | within | score within |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    within = []
    for name, thresholds in {"no gain": large.best, "planted": POOR}.items():
        for strips in options.strips:
            result = repeated(large, thresholds, strips, options.sets, seed=1)
            print(
                f"| {name} | {strips} | {100 * result.kept:.1f} % | {result.gain:+.4f} "
                f"| {result.true_gain:+.4f} | {100 * result.gain_within:.0f} % "
                f"| {result.optimism:.4f} | {result.true_optimism:.4f} "
                f"| {100 * result.optimism_within:.0f} % | {100 * result.score_within:.0f} % |",
                flush=True,
            )
            within.append(result.gain_within)
    print(f"{options.sets} sets per row, {time.process_time() - start:.0f} s of CPU time")
    share = float(np.mean(within))
    print_result("intervals with the true gain", "intervals stated at 0.95", share, ">= 0.85")


if __name__ == "__main__":
    main()
