"""Processor time per strip and peak memory of `steelscan explore`.

A data set with pictures is explored once, in a separate process. Without --data it is made first,
from strips of the mill, in a temporary folder. For comparison: reading the pictures and masks.

Run: OMP_NUM_THREADS=1 python benchmarks/explore.py --strips 1000 [--data DIR]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quick import mill_strips, print_result
from steelscan.data import open_dataset
from steelscan.mill import Mill, write_mill

_CHILD = """
import resource, sys, time
from pathlib import Path
from steelscan.explore.write import explore
began = time.monotonic()
explore(Path(sys.argv[1]), Path(sys.argv[2]))
took = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.process_time(), took, peak)
"""

ALL = 12568
"""Strips of the competition."""


def explored(data: Path, out: Path) -> tuple[float, float, float]:
    """Return processor seconds, wall-clock seconds and peak MiB of one process."""
    command = [sys.executable, "-c", _CHILD, str(data), str(out)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    processor, clock, peak = map(float, done.stdout.split())
    return processor, clock, peak


def reading(data: Path) -> float:
    """Return processor seconds per strip for decoding its picture and masks."""
    dataset = open_dataset(data)
    start = time.process_time()
    for at in range(len(dataset)):
        dataset.picture(at)
        dataset.masks(at)
    return (time.process_time() - start) / len(dataset)


def measure(data: Path, quick: bool) -> None:
    """Print what exploring a data set takes."""
    strips = len(open_dataset(data))
    with tempfile.TemporaryDirectory() as out:
        processor, clock, peak = explored(data, Path(out) / "explored")
        size = (Path(out) / "explored" / "explore.html").stat().st_size
    each, read = processor / strips, reading(data)
    print(f"{strips} strips: {processor:.1f} s of the processor, {clock:.1f} s wall-clock")
    print(f"{1e3 * each:.1f} ms per strip, {1e3 * read:.1f} of it for reading")
    print(f"{ALL} strips would take {each * ALL / 60:.1f} minutes of one core")
    print(f"Peak memory: {peak:.0f} MiB. Page: {size / 1e6:.1f} MB")
    if quick:
        print_result(
            "explore, ms of a core per strip",
            "reading: " + f"{1e3 * read:.1f} ms",
            1e3 * each,
            "<= 100",
        )
        print_result("explore, peak MiB", "237 MiB over 1,000 strips", peak, "<= 400")


def main() -> None:
    """Measure a given data set, or strips of the mill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, default=1000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        measure(mill_strips(), quick=True)
    elif options.data is not None:
        measure(options.data, quick=False)
    else:
        with tempfile.TemporaryDirectory() as folder:
            write_mill(Mill(strips=options.strips), Path(folder) / "mill")
            measure(Path(folder) / "mill", quick=False)


if __name__ == "__main__":
    main()
