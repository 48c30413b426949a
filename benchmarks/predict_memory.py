"""Peak memory of `steelscan predict` for few and for many strips: it must not grow.

A finished run predicts strips of the mill, each number of them in a separate process.

Run: python benchmarks/predict_memory.py RUN --strips 50 500
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from quick import print_result, trained_run
from steelscan.mill import Mill, write_mill

_CHILD = """
import resource, sys
from pathlib import Path
from steelscan.pipeline import predict
run, pictures, out = sys.argv[1:]
predict(Path(run), pictures, Path(out), device="cpu")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mebibytes(run: Path, strips: int) -> float:
    """Return the peak resident memory of predicting this many strips."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "out"
        write_mill(Mill(strips=strips), data)
        arguments = [str(run), str(data / "train_images"), str(out)]
        command = [sys.executable, "-c", _CHILD, *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) / 1024


def main() -> None:
    """Print one line per number of strips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--strips", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    run, numbers = options.run, options.strips
    if options.quick:
        run, numbers = trained_run(), [10, 60]
    elif run is None:
        parser.error("name a finished run, or give --quick")
    peaks = [peak_mebibytes(run, strips) for strips in numbers]
    for strips, peak in zip(numbers, peaks, strict=True):
        print(f"{strips} strips: {peak:.0f} MiB peak")
    if options.quick:
        print_result(
            "predict, peak memory of 60 strips", "10 strips", peaks[1] / peaks[0], "<= 1.1"
        )


if __name__ == "__main__":
    main()
