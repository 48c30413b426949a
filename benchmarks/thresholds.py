"""Every threshold of a whole set of strips, beside the usual loop over settings and strips.

As many strips as the competition has, with its shares of empty pairs. Only the counts of levels
are made: of sound steel and of defects, each with Beta-distributed probabilities of its own, and a
false alarm on one clean pair in twenty. Where pixels lie makes no difference to thresholds, areas
and Dice, so for some strips of the most frequent class maps are laid out from their counts.

The loop is the one of public kernels, without the search for connected components that most of them
have: for each setting, for each strip, threshold the float32 map, ask its highest value and its
area, count Dice. It gets settings of the full grid, drawn by chance, until its time is over; the
same settings on the same strips must score the same in the table of all. Its rate is scaled to all
strips. A second loop does the same with triplets behind a classifier's threshold. What counting the
levels of all maps would take is measured on the same strips and scaled. Seconds are those of the
processor, MiB the most that the process held during a line, less what it held before (Linux only).

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

from steelscan.evaluation.tuning import (
    EscapeWeighted,
    Grid,
    Setting,
    Thresholds,
    Tune,
    best,
    count_levels,
    every_level,
    gated_best,
    gated_surface,
    search_thresholds,
    surface,
    triplet_surface,
)
from steelscan.strip import Frame

FRAME = Frame(256, 1600)
STRIPS = 12_568
POSITIVES = (897, 247, 5150, 801)
AREAS = (4000, 3500, 20_000, 30_000)
"""About half of the defects of each class are larger, in pixels."""
FREQUENT = 2
FALSE_ALARMS = 0.05
GATES = np.arange(20) / 20
"""Thresholds of a classifier."""
GOAL_SECONDS, GOAL_MIB, GOAL_TIMES = 10, 2048, 1000

T = TypeVar("T")


def beta(levels_of: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance of each level under Beta distributions: ``(n, 256)`` from ``(n,)`` each."""
    middle = (np.arange(256) + 0.5) / 256
    logs = (levels_of[:, None] - 1) * np.log(middle) + (other[:, None] - 1) * np.log1p(-middle)
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=1, keepdims=True), np.float64)


def make_levels(positives: int, area: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Counts of one class, as `count_levels` gives them: int32 ``(strips, 2, 256)``."""
    held = rng.permutation(STRIPS) < positives
    alarm = ~held & (rng.random(STRIPS) < FALSE_ALARMS)
    sizes = np.clip(area * np.exp(rng.standard_normal(STRIPS)), 50, FRAME.pixels // 2).astype(int)
    sizes[alarm] = np.clip(sizes[alarm] // 8, 10, None)
    sizes[~held & ~alarm] = 0
    sure = np.where(held, rng.uniform(1.5, 8, STRIPS), 2.0)
    defect = rng.multinomial(sizes, beta(sure, np.full(STRIPS, 1.5)))
    sound = rng.multinomial(
        FRAME.pixels - sizes, beta(np.ones(STRIPS), np.exp(rng.uniform(4, 7, STRIPS)))
    )
    true = defect * held[:, None]
    return np.stack([defect + sound, true], axis=1).astype(np.int32)


def make_words(levels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float32]:
    """What a classifier says of each strip: mostly right, and rarely unsure."""
    held = levels[:, 1].any(axis=1)
    return np.where(held, rng.beta(6, 1, STRIPS), rng.beta(1, 6, STRIPS)).astype(np.float32)


class Map(NamedTuple):
    """One strip of one class."""

    probabilities: NDArray[np.float32]
    truth: NDArray[np.bool_]
    word: float = 1.0
    """What a classifier says of it."""


def lay_out(levels: NDArray[np.int32], word: float) -> Map:
    """A map with the counts of one strip, int32 ``(2, 256)``."""
    parts = [levels[1], levels[0] - levels[1]]
    pixels = np.concatenate([np.repeat(np.arange(256), part) for part in parts])
    truth = np.arange(len(pixels)) < levels[1].sum()
    plane = (pixels / 255).astype(np.float32)
    return Map(plane.reshape(FRAME), truth.reshape(FRAME), word)


def usual(maps: Sequence[Map], setting: Setting, gate: float | None = None) -> float:
    """Mean Dice at one setting, as the loop of public kernels finds it.

    With a gate the setting is a triplet behind it.
    """
    scores = []
    for plane, truth, word in maps:
        mask = plane > setting.pixel
        if gate is None:
            kept = plane.max() > setting.label and mask.sum() >= setting.area
        else:
            kept = word > gate and (plane > setting.label).sum() >= setting.area
        if not kept:
            mask = np.zeros_like(mask)
        sizes = mask.sum() + truth.sum()
        scores.append(2 * (mask & truth).sum() / sizes if sizes else 1.0)
    return float(np.mean(scores))


def memory(name: str) -> float:
    """A line of this process's status in MiB: VmRSS is held now, VmHWM the most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) / 1024


def measured(work: Callable[[], T]) -> tuple[T, float, float]:
    """What some work gives, its seconds, and the most MiB that it held beyond those before."""
    Path("/proc/self/clear_refs").write_text("5")  # the kernel counts the most anew, see proc(5)
    before, start = memory("VmRSS"), time.process_time()
    given = work()
    return given, time.process_time() - start, memory("VmHWM") - before


def grid() -> Grid:
    """All levels, and areas as the full grid of `Tune` has them in this frame."""
    shares = 1e-4 * 2.0 ** (np.arange(65) / 8)
    return every_level(np.unique([0, *np.round(shares * FRAME.pixels).astype(int)]))


def row(name: str, strips: int, settings: int, seconds: float, mib: float) -> float:
    """Print one line, with the settings a second of one class and all strips; return that rate."""
    rate = settings / seconds * strips / STRIPS
    print(
        f"| {name} | {strips} | {settings:,} | {seconds:.2f} | {rate:,.3g} | {mib:.0f} |",
        flush=True,
    )
    return rate


def whole_set(
    levels: Sequence[NDArray[np.int32]], words: Sequence[NDArray[np.float32]]
) -> tuple[float, float, float]:
    """Print a line for each search of all classes; the first one's rate, seconds and MiB."""
    whole = grid()
    count = len(levels) * int(np.prod(whole.shape))
    dear = EscapeWeighted(weight=1.0)
    ways: dict[str, Callable[[], object]] = {
        "full grid": lambda: [best(surface(each, whole), whole) for each in levels],
        "full grid, escapes weigh": lambda: [
            best(surface(each, whole, dear), whole) for each in levels
        ],
        "full grid of triplets": lambda: [
            best(triplet_surface(each, whole), whole) for each in levels
        ],
    }
    pairs = list(zip(levels, words, strict=True))
    behind: dict[str, Callable[[], object]] = {
        "full grid behind 20 gates": lambda: [gated_best(*pair, GATES, whole) for pair in pairs],
        "triplets behind 20 gates": lambda: [
            gated_best(*pair, GATES, whole, kind="triplet") for pair in pairs
        ],
    }
    first = []
    for name, work in ways.items():
        _, seconds, mib = measured(work)
        first.append((row(name, STRIPS, count, seconds, mib), seconds, mib))
    for name, work in behind.items():
        _, seconds, mib = measured(work)
        row(name, STRIPS, len(GATES) * count, seconds, mib)
    together = np.stack(levels, axis=2)
    start = Thresholds(label=(0.5,) * 4, pixel=(0.5,) * 4, area=(600,) * 4)
    for kind, size in (("full", count), ("twentieths", 4 * 19 * 19 * 18)):
        tune = Tune.model_validate({"grid": kind})
        _, seconds, mib = measured(partial(search_thresholds, together, start, tune))
        row(f"search_thresholds, {kind}", STRIPS, size, seconds, mib)
    return first[0]


def beside(
    levels: NDArray[np.int32],
    words: NDArray[np.float32],
    limit: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Print the lines of the usual loops on a part of one class.

    Returns the first one's rate, and the seconds that counting the levels of all maps would take.
    """
    whole = grid()
    maps = [lay_out(each, float(word)) for each, word in zip(levels, words, strict=True)]
    rate, notes = 0.0, []
    for gated in (False, True):
        scores = surface(levels, whole)[None]
        if gated:
            some = Grid(whole.label[::8], whole.pixel[::8], whole.area)
            scores = gated_surface(levels, words, GATES, some, kind="triplet")
        places, far, end = [], 0.0, time.process_time() + limit / (1 + gated)

        def loop(scores=scores, places=places, end=end, axes=some if gated else whole) -> float:
            far = 0.0
            while time.process_time() < end:
                gate, *place = (int(place) for place in rng.integers(0, scores.shape))
                places.append((gate, *place))
                setting = axes.setting(*place)
                found = usual(maps, setting, float(GATES[gate]) if len(scores) > 1 else None)
                far = max(far, abs(found - float(scores[(gate, *place)])))
            return far

        far, seconds, mib = measured(loop)
        name = "usual loop, triplets behind gates" if gated else "usual loop"
        found = row(name, len(levels), len(places), seconds, mib)
        rate = rate or found
        seen = len({float(scores[place]) for place in places})
        notes.append(f"{name}: {len(places)} settings, {seen} scores, differ by {far:.1e}")
        assert far < 1e-12
    print("\n" + "\n".join(notes))
    stored = [(255 * each.probabilities).round().astype(np.uint8) for each in maps]
    start = time.process_time()
    for plane, (_, truth, _) in zip(stored, maps, strict=True):
        count_levels(plane[None], truth[None])
    counting = (time.process_time() - start) / len(maps) * STRIPS * len(POSITIVES)
    print(f"counting the levels of all maps before that, once: {counting:.0f} s")
    return rate, counting


def main() -> None:
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, default=100, help="strips of the usual loop")
    parser.add_argument("--seconds", type=float, default=20, help="time of the usual loop")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    levels = [make_levels(*each, rng) for each in zip(POSITIVES, AREAS, strict=True)]
    words = [make_words(each, rng) for each in levels]
    held = sum(each.nbytes for each in levels) >> 20
    print(f"{STRIPS} strips, {len(levels)} classes; the counts take {held} MiB")
    print("| way | strips | settings | seconds | settings a second, one class, all strips | MiB |")
    print("|---|---:|---:|---:|---:|---:|")
    rate, seconds, mib = whole_set(levels, words)
    part = rng.permutation(STRIPS)[: options.strips]
    usual_rate, counting = beside(
        levels[FREQUENT][part], words[FREQUENT][part], options.seconds, rng
    )
    met = {True: "met", False: "MISSED"}
    print(f"goal: full grid in {GOAL_SECONDS} s: {seconds:.1f} s, {met[seconds < GOAL_SECONDS]}")
    print(f"goal: in {GOAL_MIB} MiB: {mib:.0f} MiB, {met[mib < GOAL_MIB]}")
    times = rate / usual_rate
    counted = times * seconds / (seconds + counting)
    print(
        f"goal: {GOAL_TIMES} times the loop: {times:,.0f}, {met[times >= GOAL_TIMES]}"
        f" (with the counting: {counted:,.0f})"
    )


if __name__ == "__main__":
    main()
