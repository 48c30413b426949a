"""What `steelscan explore` takes: seconds of the processor a strip, and memory at the most.

A data set with pictures is explored once, in a process of its own. Without --data it is made first,
of strips of the mill, into a temporary folder. Beside it: what reading the pictures alone takes.

Run: OMP_NUM_THREADS=1 python benchmarks/explore.py --strips 1000 [--data DIR]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from steelscan.data import open_dataset
from steelscan.mill import Mill, write_mill

_CHILD = """
import resource, sys, time
from pathlib import Path
from steelscan.explore.write import explore
began = time.monotonic()
found = explore(Path(sys.argv[1]), Path(sys.argv[2]))
took = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(len(found.gathered.strips), time.process_time(), took, peak)
"""

ALL = 12568
"""Strips of the competition."""


def explored(data: Path, out: Path) -> tuple[int, float, float, float]:
    """Strips, seconds of the processor, seconds of the clock, and MiB of a process at the most."""
    command = [sys.executable, "-c", _CHILD, str(data), str(out)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    strips, processor, clock, peak = map(float, done.stdout.split())
    return int(strips), processor, clock, peak


def reading(data: Path) -> float:
    """Seconds of the processor a strip for decoding its picture and masks, and nothing else."""
    dataset = open_dataset(data)
    start = time.process_time()
    for at in range(len(dataset)):
        dataset.picture(at)
        dataset.masks(at)
    return (time.process_time() - start) / len(dataset)


def measure(data: Path) -> None:
    """Print what exploring a data set takes."""
    with tempfile.TemporaryDirectory() as out:
        strips, processor, clock, peak = explored(data, Path(out) / "explored")
        size = (Path(out) / "explored" / "explore.html").stat().st_size
    each = processor / strips
    print(f"{strips} strips: {processor:.1f} s of the processor, {clock:.1f} s of the clock")
    print(f"{1e3 * each:.1f} ms a strip, {1e3 * reading(data):.1f} of it for reading; {ALL} strips")
    print(
        f"would take {each * ALL / 60:.1f} minutes of one core. Memory at the most: {peak:.0f} MiB"
    )
    print(f"Page: {size / 1e6:.1f} MB")


def main() -> None:
    """Measure a given data set, or strips of the mill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, default=1000)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    if options.data is not None:
        measure(options.data)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_mill(Mill(strips=options.strips), Path(folder) / "mill")
        measure(Path(folder) / "mill")


if __name__ == "__main__":
    main()
