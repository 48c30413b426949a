"""Peak memory of reading a COCO file, compared with Python's own JSON reader.

Files are made with polygons of a hundred corners, as outlines of masks have, and read picture by
picture, each in a separate process. The peak is that of the reading, above what the process held
before (Linux only).

Run: python benchmarks/coco_memory.py --annotations 1000 50000 200000
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from quick import print_result

QUICK = 20_000
"""Annotations at the quick size."""

_CHILD = """
import json, sys, time
from pathlib import Path
from steelscan.formats import FORMATS
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
how, path = sys.argv[1:]
read = FORMATS["coco"].read
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
before, start = peak(), time.process_time()
if how == "steelscan":
    count = sum(1 for _ in read(Path(path)))
else:
    count = len(json.loads(Path(path).read_bytes())["images"])
print(peak() - before, time.process_time() - start, count)
"""


def make(path: Path, annotations: int) -> None:
    """Write a COCO file with four annotations per picture."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write('{"images": [')
        for at in range(annotations // 4):
            image = {"id": at, "file_name": f"{at:07}.jpg", "height": 256, "width": 1600}
            file.write((", " if at else "") + json.dumps(image))
        file.write('], "categories": [{"id": 1, "name": "scratch"}], "annotations": [')
        angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
        for at in range(annotations):
            radius = rng.uniform(20, 60, (100, 1))
            corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + (800, 128)
            shape = [corners.round(3).reshape(-1).tolist()]
            # Annotations of one picture lie far apart: the worst order for a reader.
            ids = {"id": at, "image_id": at % (annotations // 4), "category_id": 1}
            file.write((", " if at else "") + json.dumps({**ids, "segmentation": shape}))
        file.write("]}")


def measured(how: str, path: Path) -> tuple[float, float]:
    """Return the peak memory of a process in MiB, and its CPU seconds."""
    command = [sys.executable, "-c", _CHILD, how, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    peak, seconds, _ = done.stdout.split()
    return int(peak) / 1024, float(seconds)


def main() -> None:
    """Print one row per file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=int, nargs="+", default=[1000, 50_000, 200_000])
    parser.add_argument("--quick", action="store_true", help="small size, for scripts/bench")
    options = parser.parse_args()
    print("annotations  file MiB  steelscan MiB  CPU s  json.loads MiB  CPU s")
    for count in [QUICK] if options.quick else options.annotations:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "coco.json"
            make(path, count)
            ours, seconds = measured("steelscan", path)
            theirs, their_seconds = measured("json", path)
            size = path.stat().st_size / 2**20
        row = f"{count:>11}  {size:>8.1f}  {ours:>13.1f}  {seconds:>5.1f}"
        print(f"{row}  {theirs:>14.1f}  {their_seconds:>5.1f}", flush=True)
        if options.quick:
            ratio = theirs / ours
            print_result("memory of a COCO file, times smaller", "json.loads", ratio, ">= 4")


if __name__ == "__main__":
    main()
