"""`steelscan train --jobs 2` against `--jobs 1`: minutes of the whole command, and peak memory.

Both train the same recipe from the beginning, in turns; the networks have half of the cores each,
or all of them one after another. Memory is that of all processes of the command, where pages that
several of them share count once. The quick size trains miniature networks for seconds and shows
mostly what the start of the processes costs; the ratio of the full size is the one that counts.

Run: python benchmarks/jobs.py --data DIR [--recipe seventieth_place] [--budget small] [--turns 1]
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from shutil import rmtree
from statistics import median

import psutil

from quick import FOLDER, mill_strips, print_result

_SECONDS_BETWEEN_SAMPLES = 0.5


def main() -> None:
    """Train the recipe with one job and with two, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--recipe", default="seventieth_place")
    parser.add_argument("--budget", default="small", choices=("full", "small", "tiny"))
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not options.quick and options.data is None:
        parser.error("the following arguments are required: --data")
    data = mill_strips() if options.quick else options.data
    budget = "tiny" if options.quick else options.budget
    results: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(options.turns):
        for jobs, measured in results.items():
            measured.append(train(options.recipe, budget, data, jobs))
    seconds, memory = (
        {jobs: median(each[at] for each in measured) for jobs, measured in results.items()}
        for at in (0, 1)
    )
    what, size = f"train {options.recipe} --budget {budget}", f"{os.cpu_count()} cores"
    print_result(
        f"{what} --jobs 2, speed",
        f"--jobs 1, {size}",
        seconds[1] / seconds[2],
        None if options.quick else ">= 1.05",
        minutes={jobs: round(each / 60, 2) for jobs, each in seconds.items()},
    )
    print_result(
        f"{what} --jobs 2, peak memory",
        f"--jobs 1, {size}",
        memory[2] / memory[1],
        "<= 3.5",
        gigabytes={jobs: round(each / 1e9, 2) for jobs, each in memory.items()},
    )


def train(recipe: str, budget: str, data: Path, jobs: int) -> tuple[float, float]:
    """Train a recipe anew; return the seconds, and the bytes of all processes at most."""
    run = FOLDER / f"jobs{jobs}"
    rmtree(run, ignore_errors=True)
    arguments = ("train", recipe, "--budget", budget, "--data", data, "--out", run)
    program = [sys.executable, "-m", "steelscan", *map(str, arguments), "--jobs", str(jobs)]
    environment = {name: each for name, each in os.environ.items() if name != "OMP_NUM_THREADS"}
    start, most = time.monotonic(), 0
    command = [*program, "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None:
            most = max(most, memory_of(process.pid))
            time.sleep(_SECONDS_BETWEEN_SAMPLES)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.monotonic() - start, float(most)


def memory_of(number: int) -> int:
    """Return the bytes of a process and of those that it started; shared pages count once."""
    total = 0
    try:
        top = psutil.Process(number)
        processes = [top, *top.children(recursive=True)]
    except psutil.Error:
        return 0
    for process in processes:
        try:
            known = process.memory_full_info()
            total += getattr(known, "pss", known.rss)
        except psutil.Error:  # it has just ended
            pass
    return total


if __name__ == "__main__":
    main()
