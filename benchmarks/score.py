"""Time and memory of scoring two tables of run lengths, read whole and as a stream.

Synthetic strips with one row per pair: 14 % of the pairs have a mask of 1 to 40 runs in a frame of
256x1600; a prediction is the shortened truth, missing, or a false alarm. Each case runs in its own
process, with its peak memory and CPU time; rows are those of both files together. A stream uses
1,000 resamples of a Poisson bootstrap, the other way 1,000 of whole groups; compare their intervals
of mean Dice and of escapes.

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

from quick import print_result
from steelscan.analysis.score import score_files, score_stream
from steelscan.evaluation.metrics import Scores
from steelscan.strip.tables import write_rows

PIXELS, CLASSES = 256 * 1600, 4


def runs(random: np.random.Generator) -> NDArray[np.int64]:
    """Return first pixels and lengths of a mask, int64 ``(runs, 2)``."""
    count = int(random.integers(1, 41))
    edges = np.sort(random.choice(PIXELS // 2, 2 * count, replace=False)).reshape(-1, 2)
    return np.column_stack([2 * edges[:, 0] + 1, 2 * (edges[:, 1] - edges[:, 0]) - 1])


def text(of: NDArray[np.int64]) -> str:
    """Return runs in the format of the competition."""
    return " ".join(map(str, of.ravel().tolist()))


def shortened(of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the same runs, each half as long."""
    return np.column_stack([of[:, 0], np.maximum(of[:, 1] // 2, 1)])


def write_tables(folder: Path, strips: int) -> None:
    """Write truth.csv and predicted.csv, sorted by image."""
    random = np.random.default_rng(0)
    pool = [runs(random) for _ in range(2000)]
    texts = [(text(each), text(shortened(each))) for each in pool]
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
    """Return CPU seconds, peak MiB, and the scores."""
    start = time.process_time()
    score = score_stream if stream else score_files
    result = score(folder / "truth.csv", folder / "predicted.csv")
    spent = time.process_time() - start
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result.scores


def main() -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--whole", type=int, default=100_000, help="most strips read whole")
    parser.add_argument("--quick", action="store_true", help="3,000 strips, both ways")
    options = parser.parse_args()
    if options.quick:
        options.strips, options.whole = [3000], 3000
    print("| strips | way | CPU (s) | rows a second | peak (MiB) | mean Dice | escapes |")
    print("|---:|---|---:|---:|---:|---|---|")
    for strips in options.strips:
        rates = {}
        with TemporaryDirectory() as folder:
            write_tables(Path(folder), strips)
            for stream in (True, False) if strips <= options.whole else (True,):
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    spent, peak, scores = pool.submit(case, Path(folder), stream).result()
                name = "stream" if stream else "whole"
                rates[stream] = rate = 2 * CLASSES * strips / spent
                numbers = f"{scores.mean_dice.text()} | {scores.escapes.text(percent=True)}"
                print(f"| {strips} | {name} | {spent:.1f} | {rate:.0f} | {peak:.0f} | {numbers} |")
        if len(rates) == 2:
            print_result("rows scored per second", "tables read whole", rates[True] / rates[False])


if __name__ == "__main__":
    main()
