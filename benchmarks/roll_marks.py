"""False alarms and power of the search for roll marks, on simulated coils.

Coils without roll marks: defects at random, in clusters, in one burst, in a band along an edge, at
several densities. Coils with a planted mark: 30 % of its repeats missing, a jitter of 3 mm, and
background. As in Sensors 2012, 12(8), 10788, planted coils are in two halves:
choose settings by the first number only (even seeds), and verify them by the second (odd seeds).

Run: python benchmarks/roll_marks.py [--coils 1000] [--quick]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import polars as pl
from scipy.stats import beta

from steelscan.inspection.roll_marks import RollSearch, find_roll_marks, least_repeats

LENGTH, WIDTH = 400.0, 1200.0
SEARCHES = {"unknown rolls": RollSearch(), "three rolls": RollSearch(rolls_mm=(420, 510, 1200))}

Places = tuple[np.ndarray, np.ndarray]


def uniform(rng: np.random.Generator, count: int) -> Places:
    """Return positions (m) and offsets (mm) at random."""
    return rng.uniform(0, LENGTH, count), rng.uniform(0, WIDTH, count)


def clusters(rng: np.random.Generator, count: int) -> Places:
    """Return clusters of about eight defects, 0.1 m long and 20 mm wide."""
    along, across = uniform(rng, max(count // 8, 1))
    parent = rng.integers(0, along.size, count)
    return along[parent] + rng.normal(0, 0.05, count), across[parent] + rng.normal(0, 10, count)


def burst(rng: np.random.Generator, count: int) -> Places:
    """Return defects at random, and as many in half a metre."""
    along, across = uniform(rng, count)
    half = rng.permutation(count)[: count // 2]
    along[half] = rng.uniform(0, LENGTH - 0.5) + rng.uniform(0, 0.5, half.size)
    across[half] = rng.uniform(0, WIDTH - 50) + rng.uniform(0, 50, half.size)
    return along, across


def edge(rng: np.random.Generator, count: int) -> Places:
    """Return defects within 30 mm of an edge."""
    return rng.uniform(0, LENGTH, count), rng.uniform(0, 30, count)


def table(places: Places) -> pl.DataFrame:
    """Return a table of small defects of one class and side."""
    along, across = places
    return pl.DataFrame(
        {
            "side": ["top"] * along.size,
            "class": np.ones(along.size, np.int64),
            "start_m": along - 0.002,
            "end_m": along + 0.002,
            "left_mm": across - 2,
            "right_mm": across + 2,
        }
    )


def planted(rng: np.random.Generator, background: int) -> tuple[pl.DataFrame, float]:
    """Return a coil with a roll mark, and its period in metres."""
    period = np.pi * rng.choice([0.42, 0.51, 1.2]) * rng.uniform(0.985, 1.015)
    repeats = np.arange(rng.uniform(0, period), LENGTH, period)
    repeats = repeats[rng.random(repeats.size) >= 0.3]
    along, across = uniform(rng, background)
    mark = rng.uniform(20, WIDTH - 20) + rng.normal(0, 3, repeats.size)
    along = np.concatenate([along, repeats + rng.normal(0, 0.003, repeats.size)])
    return table((along, np.concatenate([across, mark]))), float(period)


def false_alarms(
    coils: int, search: RollSearch, kind: Callable[[np.random.Generator, int], Places], count: int
) -> int:
    """Return the number of coils without roll marks in which one is found."""
    rngs = (np.random.default_rng([7, seed]) for seed in range(coils))
    return sum(
        bool(find_roll_marks(table(kind(rng, count)), LENGTH, WIDTH, search)) for rng in rngs
    )


def found(coils: int, search: RollSearch, background: int, half: int) -> int:
    """Return the number of planted coils whose first mark has the period within 1 %."""
    right = 0
    for seed in range(half, 2 * coils, 2):
        defects, period = planted(np.random.default_rng([8, seed]), background)
        marks = find_roll_marks(defects, LENGTH, WIDTH, search)
        right += bool(marks) and abs(marks[0].period_m / period - 1) <= 0.01
    return right


def main() -> None:
    """Print false alarms, power and time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coils", type=int, default=1000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    coils = 20 if options.quick else options.coils
    for name, search in SEARCHES.items():
        print(f"{name}: at least {least_repeats(LENGTH, WIDTH, search)} repeats", flush=True)
        for kind in (uniform, clusters, burst, edge):
            for count in (30, 300, 3000):
                alarms = false_alarms(coils, search, kind, count)
                highest = beta.ppf(0.95, alarms + 1, max(coils - alarms, 1))
                print(f"  {kind.__name__:9} {count:5} defects: {alarms} of {coils} coils with false"
                      f" alarms (at most {highest:.2%} at 95 %)", flush=True)  # fmt: skip
        for background in (0, 300, 3000):
            halves = [found(coils // 2, search, background, half) for half in (0, 1)]
            print(f"  planted, background {background}: found {halves[0]} and {halves[1]}"
                  f" of {coils // 2} each", flush=True)  # fmt: skip
    defects = table(uniform(np.random.default_rng(0), 200_000))
    start = time.perf_counter()
    find_roll_marks(defects, 10_000, WIDTH)
    print(f"200,000 defects on 10 km: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
