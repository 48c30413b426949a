"""Peak memory of `steelscan predict` over few and over many strips: it must not grow.

Strips are made by the mill and predicted by a finished run, each number of them in a process of
its own.

Run: python benchmarks/predict_memory.py RUN --strips 50 500
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from steelscan.mill import Mill, write_mill

_CHILD = """
import resource, sys
from pathlib import Path
from steelscan.pipeline.open_run import predict
run, pictures, out = sys.argv[1:]
predict(Path(run), pictures, Path(out), device="cpu")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mebibytes(run: Path, strips: int) -> float:
    """Peak resident memory of predicting so many strips."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "out"
        write_mill(Mill(strips=strips), data)
        arguments = [str(run), str(data / "train_images"), str(out)]
        command = [sys.executable, "-c", _CHILD, *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) / 1024


def main() -> None:
    """Print one line a number of strips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--strips", type=int, nargs="+", default=[50, 500])
    options = parser.parse_args()
    for strips in options.strips:
        print(f"{strips} strips: {peak_mebibytes(options.run, strips):.0f} MiB at the most")


if __name__ == "__main__":
    main()
