"""What scoring takes: two tables of run lengths, read whole and as a stream, at growing sizes.

Synthetic strips in the layout of one row a pair: 14 % of the pairs hold a mask of 1 to 40 runs in a
frame of 256x1600, the prediction is the truth moved a little, missed, or made up. Each case runs in
a process of its own, with the peak of its memory and the processor's time; rows are those of both
files together. A stream draws 1,000 resamples of a Poisson bootstrap, the other way 1,000 of whole
groups: their intervals of mean Dice and of escapes stand under each other.

Run: OMP_NUM_THREADS=1 python benchmarks/score.py --strips 10000 100000 1000000 --whole 100000
"""

import argparse
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from steelscan.analysis.score import score_files, score_stream
from steelscan.evaluation.metrics import Scores
from steelscan.strip import write_rows

PIXELS, CLASSES = 256 * 1600, 4


def runs(random: np.random.Generator) -> NDArray[np.int64]:
    """First pixels and lengths of a mask, int64 ``(runs, 2)``."""
    count = int(random.integers(1, 41))
    edges = np.sort(random.choice(PIXELS // 2, 2 * count, replace=False)).reshape(-1, 2)
    return np.column_stack([2 * edges[:, 0] + 1, 2 * (edges[:, 1] - edges[:, 0]) - 1])


def text(of: NDArray[np.int64]) -> str:
    """Runs as the competition writes them."""
    return " ".join(map(str, of.ravel().tolist()))


def moved(of: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same runs, each half as long."""
    return np.column_stack([of[:, 0], np.maximum(of[:, 1] // 2, 1)])


def write_tables(folder: Path, strips: int) -> None:
    """Write truth.csv and predicted.csv, sorted by image."""
    random = np.random.default_rng(0)
    pool = [runs(random) for _ in range(2000)]
    texts = [(text(each), text(moved(each))) for each in pool]
    head = ("ImageId_ClassId", "EncodedPixels")

    def rows(predicted: bool) -> Iterator[tuple[str, str]]:
        draw = np.random.default_rng(1)
        for strip in range(strips):
            for class_id, (kind, at) in enumerate(
                zip(draw.random(CLASSES), draw.integers(len(pool), size=CLASSES), strict=True), 1
            ):
                true, guess = kind < 0.14, kind < 0.11 or kind > 0.98
                is_there = guess if predicted else true
                yield f"{strip:08}.jpg_{class_id}", texts[at][predicted] if is_there else ""

    write_rows(folder / "truth.csv", head, rows(False))
    write_rows(folder / "predicted.csv", head, rows(True))


def case(folder: Path, stream: bool) -> tuple[float, float, Scores]:
    """Seconds of the processor, peak MiB, and the scores."""
    began = time.process_time()
    judge = score_stream if stream else score_files
    found = judge(folder / "truth.csv", folder / "predicted.csv")
    spent = time.process_time() - began
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, found.scores


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--whole", type=int, default=100_000, help="most strips read whole")
    options = parser.parse_args()
    print("| strips | way | CPU (s) | rows a second | peak (MiB) | mean Dice | escapes |")
    print("|---:|---|---:|---:|---:|---|---|")
    for strips in options.strips:
        with TemporaryDirectory() as place:
            write_tables(Path(place), strips)
            for stream in (True, False) if strips <= options.whole else (True,):
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    spent, peak, found = pool.submit(case, Path(place), stream).result()
                name = "stream" if stream else "whole"
                rate = 2 * CLASSES * strips / spent
                told = f"{found.mean_dice.text()} | {found.escapes.text(percent=True)}"
                print(f"| {strips} | {name} | {spent:.1f} | {rate:.0f} | {peak:.0f} | {told} |")


if __name__ == "__main__":
    main()
