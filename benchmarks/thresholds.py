"""The exact threshold search on as many strips as the competition, against the usual loop.

Only histograms are simulated, with the competition's share of strips with each class: clean steel
and defects, each with Beta-distributed probabilities, and a false alarm on one clean pair in
twenty. The position of pixels does not affect thresholds, areas and Dice, so maps for the loop
are made from the histograms of some strips of the most frequent class.

The loop is that of public kernels, without the search for connected components that most of them
have: for each setting and each strip, threshold the float32 map, compare its maximum and its area,
and compute Dice. It scores settings drawn from the grid until its time is over; each score must
equal that of the search on the same strips. Its rate is scaled to all strips. A second loop does
the same with triplets behind a gate. The time to count the histograms of all maps is measured on
the same strips and scaled. Seconds are CPU time, MiB the peak of the process during a row,
minus what it held before (Linux only).

Run: OMP_NUM_THREADS=1 python benchmarks/thresholds.py
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from quick import print_result
from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    EscapeWeighted,
    MeanDice,
    Objective,
    RuleKind,
    Thresholds,
    search_thresholds,
    strip_histograms,
)
from steelscan.strip import Frame

FRAME = Frame(256, 1600)
STRIPS = 12_568
POSITIVES = (897, 247, 5150, 801)
AREAS = (4000, 3500, 20_000, 30_000)
"""About half of the defects of each class are larger, in pixels."""
FREQUENT = 2
FALSE_ALARMS = 0.05
START = ClassThresholds(None, 0.5, 0.5, 600)
GATED = START._replace(gate=0.5)
GOAL_SECONDS, GOAL_MIB, GOAL_TIMES = 10, 2048, 1000

T = TypeVar("T")


def beta(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the chance of each stored probability: ``(n, 256)`` from ``(n,)`` each."""
    middle = (np.arange(256) + 0.5) / 256
    logs = (one[:, None] - 1) * np.log(middle) + (other[:, None] - 1) * np.log1p(-middle)
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=1, keepdims=True), np.float64)


def simulate(positives: int, area: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Simulate the histograms of one class: int32 ``(strips, 2, 256)``."""
    held = rng.permutation(STRIPS) < positives
    alarm = ~held & (rng.random(STRIPS) < FALSE_ALARMS)
    sizes = np.clip(area * np.exp(rng.standard_normal(STRIPS)), 50, FRAME.pixels // 2).astype(int)
    sizes[alarm] = np.clip(sizes[alarm] // 8, 10, None)
    sizes[~held & ~alarm] = 0
    alpha = np.where(held, rng.uniform(1.5, 8, STRIPS), 2.0)
    defect = rng.multinomial(sizes, beta(alpha, np.full(STRIPS, 1.5)))
    clean = rng.multinomial(
        FRAME.pixels - sizes, beta(np.ones(STRIPS), np.exp(rng.uniform(4, 7, STRIPS)))
    )
    true = defect * held[:, None]
    return np.stack([defect + clean, true], axis=1).astype(np.int32)


def classify(counts: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Simulate a classifier that is mostly right: float32 ``(strips,)``."""
    held = counts[:, 1].any(axis=1)
    return np.where(held, rng.beta(6, 1, STRIPS), rng.beta(1, 6, STRIPS)).astype(np.float32)


class Map(NamedTuple):
    """One strip of one class."""

    probabilities: NDArray[np.float32]
    truth: NDArray[np.bool_]
    class_probability: float


def lay_out(counts: NDArray[np.int32], class_probability: float) -> Map:
    """Make a map with the histograms of one strip, int32 ``(2, 256)``."""
    parts = [counts[1], counts[0] - counts[1]]
    pixels = np.concatenate([np.repeat(np.arange(256), part) for part in parts])
    truth = np.arange(len(pixels)) < counts[1].sum()
    plane = (pixels / 255).astype(np.float32)
    return Map(plane.reshape(FRAME), truth.reshape(FRAME), class_probability)


def usual_loop(maps: Sequence[Map], at: ClassThresholds) -> float:
    """Return mean Dice at one setting by the loop of public kernels; with a gate of a triplet."""
    scores = []
    for plane, truth, class_probability in maps:
        mask = plane > at.pixel
        if at.gate is None:
            kept = plane.max() > at.label and mask.sum() >= at.area
        else:
            kept = class_probability > at.gate and (plane > at.label).sum() >= at.area
        if not kept:
            mask = np.zeros_like(mask)
        sizes = mask.sum() + truth.sum()
        scores.append(2 * (mask & truth).sum() / sizes if sizes else 1.0)
    return float(np.mean(scores))


def memory(name: str) -> float:
    """Return a row of this process's status in MiB: VmRSS is held now, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) / 1024


def measured(work: Callable[[], T]) -> tuple[T, float, float]:
    """Return the result of some work, its CPU seconds, and its peak of memory in MiB."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak, see proc(5)
    before, start = memory("VmRSS"), time.process_time()
    result = work()
    return result, time.process_time() - start, memory("VmHWM") - before


def row(name: str, strips: int, settings: int, seconds: float, mib: float) -> float:
    """Print one row; return the settings per second of one class and all strips."""
    rate = settings / seconds * strips / STRIPS
    print(
        f"| {name} | {strips} | {settings:,} | {seconds:.2f} | {rate:,.3g} | {mib:.0f} |",
        flush=True,
    )
    return rate


def search(
    counts: NDArray[np.int32],
    probabilities: NDArray[np.float32] | None = None,
    objective: Objective | None = None,
    kind: RuleKind = "threshold",
) -> tuple[int, ClassThresholds]:
    """Score all settings of one class; return how many there are, and the best."""
    start = START if probabilities is None else GATED
    of_class = ClassSearch(counts, probabilities, start, objective or MeanDice(), kind)
    (best,) = of_class.choose(np.ones((1, len(counts))))
    return int(np.prod([len(axis) for axis in of_class.axes])), best


def all_classes(
    counts: Sequence[NDArray[np.int32]], probabilities: Sequence[NDArray[np.float32]]
) -> tuple[float, float, float]:
    """Print a row for each search of all classes; return rate, seconds and MiB of the first."""
    none = [None] * len(counts)
    escapes = EscapeWeighted(weight=1.0)
    ways: dict[str, tuple[Sequence[NDArray[np.float32] | None], Objective | None, RuleKind]] = {
        "thresholds": (none, None, "threshold"),
        "thresholds, escapes weighted": (none, escapes, "threshold"),
        "triplets": (none, None, "triplet"),
        "thresholds behind gates": (probabilities, None, "threshold"),
        "triplets behind gates": (probabilities, None, "triplet"),
    }
    results = []
    for name, (gates, objective, kind) in ways.items():

        def work(
            gates: Sequence[NDArray[np.float32] | None] = gates,
            objective: Objective | None = objective,
            kind: RuleKind = kind,
        ) -> int:
            pairs = zip(counts, gates, strict=True)
            return sum(search(each, gate, objective, kind)[0] for each, gate in pairs)

        settings, seconds, mib = measured(work)
        results.append((row(name, STRIPS, settings, seconds, mib), seconds, mib))
    together = np.stack(counts, axis=2)
    start = Thresholds(label=(0.5,) * 4, pixel=(0.5,) * 4, area=(600,) * 4)
    _, seconds, mib = measured(partial(search_thresholds, together, start))
    row("search_thresholds", STRIPS, sum(search(each)[0] for each in counts), seconds, mib)
    return results[0]


def loops(
    counts: NDArray[np.int32],
    probabilities: NDArray[np.float32],
    limit: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Print the rows of the usual loops on some strips of one class.

    Returns the rate of the first, and the seconds to count the histograms of all maps.
    """
    maps = [lay_out(each, float(p)) for each, p in zip(counts, probabilities, strict=True)]
    rate = 0.0
    for gated in (False, True):
        of_class = ClassSearch(
            counts,
            probabilities if gated else None,
            GATED if gated else START,
            MeanDice(),
            "triplet" if gated else "threshold",
        )
        scores = of_class.surfaces(np.ones((1, len(counts))))[0]
        differences, end = [], time.process_time() + limit / (1 + gated)
        start = time.process_time()
        while time.process_time() < end:
            index = tuple(rng.integers(0, scores.shape).tolist())
            differences.append(abs(usual_loop(maps, of_class.at(index)) - float(scores[index])))
        seconds = time.process_time() - start
        name = "usual loop, triplets behind gates" if gated else "usual loop"
        reached = row(name, len(counts), len(differences), seconds, 0)
        rate = rate or reached
        assert max(differences) < 1e-12
    stored = [(255 * each.probabilities).round().astype(np.uint8) for each in maps]
    start = time.process_time()
    for plane, (_, truth, _) in zip(stored, maps, strict=True):
        strip_histograms(plane[None], truth[None])
    counting = (time.process_time() - start) / len(maps) * STRIPS * len(POSITIVES)
    print(f"\ncounting the histograms of all maps before that, once: {counting:.0f} s")
    return rate, counting


def main() -> None:
    """Print the table and whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, default=100, help="strips of the usual loop")
    parser.add_argument("--seconds", type=float, default=20, help="time of the usual loop")
    parser.add_argument("--quick", action="store_true", help="3 seconds of the usual loop")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    counts = [simulate(*each, rng) for each in zip(POSITIVES, AREAS, strict=True)]
    probabilities = [classify(each, rng) for each in counts]
    held = sum(each.nbytes for each in counts) >> 20
    print(f"{STRIPS} strips, {len(counts)} classes; the histograms take {held} MiB")
    print("| way | strips | settings | seconds | settings per second of one class | MiB |")
    print("|---|---:|---:|---:|---:|---:|")
    rate, seconds, mib = all_classes(counts, probabilities)
    part = rng.permutation(STRIPS)[: options.strips]
    limit = 3 if options.quick else options.seconds
    loop_rate, counting = loops(counts[FREQUENT][part], probabilities[FREQUENT][part], limit, rng)
    met = {True: "met", False: "MISSED"}
    print(f"goal: all settings in {GOAL_SECONDS} s: {seconds:.1f} s, {met[seconds < GOAL_SECONDS]}")
    print(f"goal: in {GOAL_MIB} MiB: {mib:.0f} MiB, {met[mib < GOAL_MIB]}")
    times = rate / loop_rate
    counted = times * seconds / (seconds + counting)
    print(
        f"goal: {GOAL_TIMES} times the loop: {times:,.0f}, {met[times >= GOAL_TIMES]}"
        f" (with the counting: {counted:,.0f})"
    )
    print_result("settings scored per second", "the usual loop", times, f">= {GOAL_TIMES}")


if __name__ == "__main__":
    main()
