"""Time and memory of `steelscan coil` for many strips, with a geometry and without.

Run: python benchmarks/coils.py [--strips 150000] [--coils 300]
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

FRAME = 256, 1600
STRIP_M = 0.8


def main() -> None:
    """Make tables of strips and small defects, and put them together to coils."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, default=150_000)
    parser.add_argument("--coils", type=int, default=300)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    strips, coils = (2_000, 10) if options.quick else (options.strips, options.coils)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        defects = write_tables(place, strips, coils)
        print(f"{strips} strips of {coils} coils, {defects} defects")
        mm = ["--mm-along", "0.5", "--mm-across", "0.25"]
        put_together(place, ["--geometry", str(place / "geometry.csv"), *mm])
        put_together(place, [])


def write_tables(place: Path, strips: int, coils: int) -> int:
    """Write geometry.csv and found.csv; returns the number of defects."""
    rng, defects = np.random.default_rng(0), 0
    with (place / "geometry.csv").open("w") as geometry, (place / "found.csv").open("w") as found:
        geometry.write("image,coil,side,camera,position_m,offset_mm\n")
        found.write("ImageId,ClassId,EncodedPixels\n")
        for number in range(strips):
            coil, order = divmod(number, strips // coils)
            image, side = f"{coil}-{order}.png", ("bottom", "top")[order % 2]
            geometry.write(f"{image},K{coil},{side},1,{order // 2 * STRIP_M:.1f},0\n")
            classes = rng.permutation(4)[: min(rng.poisson(1.3), 4)] + 1
            for class_id in classes:
                top, left = rng.integers(0, (FRAME[0] - 30, FRAME[1] - 30))
                height, width = rng.integers(3, 30, 2)
                starts = (left + np.arange(width)) * FRAME[0] + top + 1
                runs = " ".join(f"{start} {height}" for start in starts)
                found.write(f"{image},{class_id},{runs}\n")
            defects += len(classes)
    return defects


def put_together(place: Path, options: list[str]) -> None:
    """Run the verb and print its seconds, and the most memory of any call so far."""
    command = [sys.executable, "-m", "steelscan", "coil", str(place / "found.csv"), *options]
    command += ["--frame", f"{FRAME[0]}x{FRAME[1]}", "--out", str(place / f"out{len(options)}")]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    kind = "with a geometry" if options else "without a geometry"
    print(f"{kind}: {time.perf_counter() - start:.1f} s, at most {most:.2f} GiB")


if __name__ == "__main__":
    main()
