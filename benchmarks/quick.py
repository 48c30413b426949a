"""What benchmarks share at their quick size: synthetic strips, a small run, and the result line.

Each benchmark takes `--quick`. It then needs no other option and no data, takes about 40 seconds
on 2 cores, and prints one JSON line per comparison with `print_result`; `scripts/bench` collects
those lines into one table.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from steelscan.mill import Mill, write_mill

FOLDER = Path("runs/bench")
"""Strips, the run and the bundle are made here once and used by all benchmarks."""


def print_result(
    what: str, against: str, ratio: float, goal: str | None = None, **details: Any
) -> None:
    """Print the result line of one comparison.

    Args:
        what: What was measured, with its unit if the number is no ratio: "crops per second".
        against: What it was compared with: "plain albumentations".
        ratio: The measured number, mostly how many times as fast or as small as ``against``.
        goal: ">= 1.5" or "<= 200"; None if there is no goal.
        details: More numbers that are worth keeping, such as sizes and seconds.
    """
    line = {"what": what, "against": against, "ratio": round(ratio, 4), "goal": goal, **details}
    print(json.dumps(line), flush=True)


def mill_strips(strips: int = 60, height: int = 256, width: int = 1600) -> Path:
    """Return a data set of synthetic strips with a few test strips; it is made once per size."""
    data = FOLDER / f"mill-{strips}-{height}x{width}"
    if not (data / "train.csv").exists():
        write_mill(Mill(strips=strips, seed=0, height=height, width=width), data, test_strips=8)
    return data


def trained_run() -> Path:
    """Return a finished run of `quick` at its tiny budget on `mill_strips()`; trained once."""
    run = FOLDER / "run"
    if not (run / "report.html").exists():
        options = ("--budget", "tiny", "--device", "cpu", "--data", mill_strips(), "--out", run)
        _steelscan("train", "quick", *options)
    return run


def exported_bundle() -> Path:
    """Return the bundle of `trained_run()`; written once."""
    bundle = FOLDER / "run.steelscan"
    if not bundle.exists():
        _steelscan("export", trained_run(), "--out", bundle, "--strips", 20)
    return bundle


def _steelscan(*arguments: object) -> None:
    """Run a command in a separate process, whose memory a benchmark does not measure."""
    program = [sys.executable, "-m", "steelscan", *map(str, arguments)]
    subprocess.run(program, check=True, stdout=sys.stderr)
