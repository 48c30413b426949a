"""Train all nine solutions from the command line, and write one report on the results.

Each recipe is one call of `steelscan train` in its own process, whose minutes and peak memory are
reported. A finished recipe is not run again; an interrupted one continues (its minutes are then
those of all calls).

Run: scripts/nine --budget tiny --data ../shared/data/severstal
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quick import FOLDER, mill_strips, print_result
from steelscan import recipes
from steelscan.data import open_dataset
from steelscan.mill import Mill, write_mill
from steelscan.recipes import with_budget
from steelscan.strip.files import output_folder, write_json, write_text

NINE = [name for name in recipes.names() if name.endswith("_place")]
NUMBERS = {
    "mean_dice": "mean Dice",
    "defect_dice": "Dice where defect",
    "clean_kept": "clean pairs kept",
    "escapes": "escapes",
    "overkill": "overkill",
}


def main() -> None:
    """Run the recipes that are not done yet, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", choices=["tiny", "small", "full"], default="tiny")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="Data sets of your own.")
    parser.add_argument("--strips", type=int, default=48, help="Synthetic strips, with masks.")
    parser.add_argument("--out", type=Path, default=Path("runs/nine"))
    parser.add_argument("--report", type=Path, default=Path("reports/nine.md"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        run_quick("fourteenth_place")
        return
    mill = output_folder(options.out) / "mill"
    if not (mill / "train.csv").exists():
        write_mill(Mill(strips=options.strips, seed=0), mill, test_strips=options.strips // 4)
    failed = []
    for data in [mill, *options.data]:
        for name in NINE:
            run = options.out / options.budget / data.name / name
            print(f"{name} on {data.name}", flush=True)
            if not run_recipe(name, data, run, options.budget):
                failed.append(f"{name} on {data.name}: {run}.log")
    write_text(
        options.report, "\n".join(report(options.out, [mill, *options.data], options.budget)) + "\n"
    )
    print(f"Report: {options.report}")
    if failed:
        sys.exit("Failed: " + "; ".join(failed))


def run_quick(name: str) -> None:
    """Train one recipe at the tiny budget from the beginning, and print the result line."""
    run = FOLDER / "nine" / name
    shutil.rmtree(run.parent, ignore_errors=True)
    start = time.monotonic()
    done = run_recipe(name, mill_strips(), run, "tiny")
    minutes = (time.monotonic() - start) / 60
    if not done:
        sys.exit(f"{name} failed: {run}.log")
    print_result(f"{name}, tiny, images to report, minutes", "a limit", minutes, "<= 5")


def run_recipe(name: str, data: Path, run: Path, budget: str) -> bool:
    """Train a recipe unless it is finished; return whether it succeeded."""
    cost = run.with_suffix(".json")
    before = json.loads(cost.read_text()) if cost.exists() else {"seconds": 0.0, "gib": 0.0}
    if before.get("done"):
        return True
    command = [sys.executable, "-m", "steelscan", "train", name, "--budget", budget]
    command += ["--data", str(data), "--out", str(run)]
    output_folder(run.parent)
    start = time.monotonic()
    with Path(f"{run}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
    done = status == 0
    spent = {
        "seconds": before["seconds"] + time.monotonic() - start,
        "gib": max(before["gib"], used.ru_maxrss / 2**20),
        "done": done,
    }
    write_json(cost, spent)
    return done


def report(out: Path, data: Sequence[Path], budget: str) -> Iterator[str]:
    """Yield the lines of the report."""
    commit = output_of("git", "rev-parse", "--short", "HEAD")
    yield f"# The nine solutions, budget {budget}"
    yield ""
    yield f"`{' '.join(['scripts/nine', *sys.argv[1:]])}` at commit {commit},"
    yield f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), no GPU."
    yield ""
    yield "This shows that each recipe runs from images to submission and report. With miniature"
    yield "encoders, random initial weights, few epochs and few strips the numbers do not tell how"
    yield "good a solution is at its full budget. All of them are out-of-fold, the first with the"
    yield "interval of a bootstrap over groups."
    for folder in data:
        yield ""
        yield from table(out / budget / folder.name, folder)
    yield ""
    yield "## What the budget changed"
    for name in NINE:
        yield ""
        yield f"**{name}**"
        yield ""
        for change in with_budget(recipes.load(name), budget).changes:
            yield f"- {change}"


def table(runs: Path, data: Path) -> Iterator[str]:
    """Yield the five numbers and the costs of each recipe on a data set."""
    rows = {name: runs / name for name in NINE if (runs / name / "scores.json").exists()}
    if not rows:
        return
    scores = {name: json.loads((run / "scores.json").read_text()) for name, run in rows.items()}
    strips = open_dataset(data)
    yield f"## {data.name}: {len(strips)} strips, {len(strips.test_names)} test strips"
    yield ""
    yield (
        "| recipe | "
        + " | ".join(NUMBERS.values())
        + " | strips | all empty | networks | min | GiB |"
    )
    yield "|---" * (len(NUMBERS) + 6) + "|"
    total = 0.0
    for name, run in rows.items():
        cost = json.loads(run.with_suffix(".json").read_text())
        networks = sum(1 for _ in (run / "networks").rglob("checkpoint.safetensors"))
        total += cost["seconds"]
        empty = scores[name]["out of fold, all empty"]["mean_dice"]["value"]
        yield (
            f"| `{name}` | {numbers(scores[name]['out of fold'])} | {empty:.4f} | {networks} "
            f"| {cost['seconds'] / 60:.1f} | {cost['gib']:.2f} |"
        )
    yield ""
    yield f"{total / 60:.1f} minutes in total."


def numbers(scores: Mapping[str, Any]) -> str:
    """Return the five numbers as cells, then the number of strips."""
    first = scores["mean_dice"]
    cells = [f"{first['value']:.4f} [{first['low']:.3f}, {first['high']:.3f}]"]
    cells += [f"{scores[name]['value']:.4f}" for name in list(NUMBERS)[1:]]
    return " | ".join([*cells, str(scores["strips"])])


def output_of(*command: str) -> str:
    """Return what a command prints; a question mark if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "?"


if __name__ == "__main__":
    main()
