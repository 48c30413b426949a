"""Take one idea away from each solution, and compare with the finished run on held-out strips.

The runs with all ideas are those of `scripts/nine`. Where an idea only changes how the networks
decide, the same networks decide without it; otherwise the networks that differ are fitted again,
on the same folds, with the same seeds. A finished ablation is not run again; an interrupted one
continues. `ablation_list.py` lists what is taken away.

Run: python benchmarks/ablations.py --runs runs/nine --budget small
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import NamedTuple

from ablation_list import ABLATIONS, Ablation
from ablation_runs import Prepared, all_tasks, prepare, same_networks
from measured_runs import cost_of, run_measured
from steelscan.analysis.compare import Comparison
from steelscan.analysis.compare.compare import compare
from steelscan.evaluation.metrics import Difference
from steelscan.pipeline import RunFolder
from steelscan.strip.errors import SteelscanError
from steelscan.strip.files import write_text

TINY = (
    "**These scores are no results: the budget `tiny` only shows that all ablations run.** With "
    "miniature networks, random weights and few steps, networks do not learn to find defects."
)
HEAD = (
    "solution",
    "idea",
    "mean Dice with",
    "without",
    "gain [95 % interval]",
    "Dice where defect with",
    "without",
    "gain [95 % interval]",
    "fitted again",
    "min",
)


class Place(NamedTuple):
    """Where the run with an idea is, and where that without it is made."""

    ablation: Ablation
    data: str
    base: RunFolder
    folder: Path


def main() -> None:
    """Run the ablations that are not done yet, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/nine"), help="Runs of scripts/nine."
    )
    parser.add_argument("--budget", choices=["tiny", "small", "full"], default="small")
    parser.add_argument("--data", nargs="*", default=[], help="Names of data sets; default: all.")
    labels = [each.label for each in ABLATIONS]
    parser.add_argument(
        "--only", nargs="+", default=labels, metavar="NAME", choices=labels, help="Ablations."
    )
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--report", type=Path, default=Path("reports/ablations.md"))
    parser.add_argument("--report-only", action="store_true", help="Run nothing.")
    options = parser.parse_args()
    places = places_of(options.runs / options.budget, options.data, options.out / options.budget)
    if not places:
        sys.exit(f"{options.runs / options.budget} has no finished run: start with scripts/nine")
    chosen = [each for each in places if each.ablation.label in options.only]
    failed = [] if options.report_only else [each for each in chosen if not ablate(each)]
    write_text(options.report, "\n".join(report(places, options.budget)) + "\n")
    print(f"Report: {options.report}")
    if failed:
        sys.exit("Failed: " + "; ".join(f"{each.folder}.log" for each in failed))


def places_of(runs: Path, data: Sequence[str], out: Path) -> list[Place]:
    """Return each ablation of each finished run, by data set."""
    found = sorted(each.name for each in runs.glob("*") if each.is_dir())
    return [
        Place(each, name, RunFolder(runs / name / each.recipe), out / name / each.label)
        for name in (data or found)
        for each in ABLATIONS
        if (runs / name / each.recipe / "scores.json").exists()
    ]


def ablate(place: Place) -> bool:
    """Run one ablation unless it is finished; return whether it succeeded."""
    print(f"{place.ablation.label} on {place.data}", flush=True)
    try:
        dataset = place.base.open_data()
        made = prepare(place.ablation, place.base, dataset, place.folder)
    except (SteelscanError, ValueError) as error:
        write_text(Path(f"{place.folder}.log"), f"{error}\n")
        return False
    return run_measured(command_of(made, place.base, dataset.root), place.folder)


def command_of(made: Prepared, base: RunFolder, data: Path) -> list[str]:
    """Return the command that continues a prepared run."""
    command = [sys.executable, "-m", "steelscan", "train", str(made.recipe), "--data", str(data)]
    command += ["--folds", str(made.folds), "--seed", str(base.load_record().seed)]
    return [*command, "--out", str(made.run.path)]


def report(places: Sequence[Place], budget: str) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"# One idea less, budget {budget}"
    yield ""
    if budget == "tiny":
        yield from (TINY, "")
    yield f"`{' '.join(['python benchmarks/ablations.py', *sys.argv[1:]])}` at commit {commit()},"
    yield f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), no GPU."
    yield ""
    yield "Each row takes one idea away from a solution. The gain is the score with the idea less"
    yield "that without it, on the same held-out strips, which no network was fitted on and no"
    yield "threshold tuned on. Its interval is a paired bootstrap over groups of near-duplicates: it"
    yield "covers other strips of the same kind, not training with another seed. Where no network"
    yield 'was "fitted again", both scores come from the same networks.'
    for name in dict.fromkeys(each.data for each in places):
        yield from _of_data(name, [each for each in places if each.data == name])
    yield from ("", "## What was taken away", "")
    for each in ABLATIONS:
        yield f"- `{each.label}` ({each.source}): {each.removed}"


def _of_data(name: str, places: Sequence[Place]) -> Iterator[str]:
    """Yield the table of one data set, and sentences on it."""
    done = [each for each in places if (each.folder / "scores.json").exists()]
    if not done:
        return
    compared = [(each, compare(each.folder, each.base.path)) for each in done]
    strips = compared[0][1].scores
    yield from ("", f"## {name}: {strips.strips} strips in {strips.groups} groups", "")
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    for place, comparison in compared:
        yield f"| {' | '.join(_cells(place, comparison))} |"
    yield ""
    yield from _verdicts(compared)
    for place, comparison in compared:
        if comparison.part != "held out":
            yield f"`{place.ablation.label}` is compared on strips {comparison.part}."
        if place.ablation.change is None:
            yield f"`{place.ablation.label}`: {RunFolder(place.folder).load_recipe().changes[-1]}"


def _cells(place: Place, comparison: Comparison) -> Iterator[str]:
    """Yield the cells of a row, in the order of `HEAD`."""
    yield f"`{place.ablation.recipe}`"
    yield place.ablation.idea
    for number in (comparison.scores.mean_dice, comparison.scores.defect_dice):
        yield from (f"{number.other:.4f}", f"{number.one:.4f}", _gain(number))
    copied, networks = networks_of(place)
    yield f"{networks - copied} of {networks}"
    yield f"{cost_of(place.folder).minutes:.1f}"


def _gain(number: Difference) -> str:
    """Return the gain with its interval; bold if the interval does not contain 0."""
    interval = "unknown" if isnan(number.low) else f"{number.low:+.4f}, {number.high:+.4f}"
    text = f"{number.value:+.4f} [{interval}]"
    return text if number.verdict == "not distinguishable" else f"**{text}**"


def _verdicts(compared: Sequence[tuple[Place, Comparison]]) -> Iterator[str]:
    """Yield a sentence on the ideas that help by mean Dice, on those that harm, and on the rest."""
    sentences = {
        "better": "These ideas help, by mean Dice",
        "worse": "These ideas cost mean Dice here",
        "not distinguishable": "No difference of mean Dice can be shown for these",
    }
    for verdict, sentence in sentences.items():
        labels = [
            f"{place.ablation.idea} (`{place.ablation.recipe}`)"
            for place, comparison in compared
            if comparison.scores.mean_dice.verdict == verdict
        ]
        if labels:
            yield f"{sentence}: {', '.join(labels)}."


def networks_of(place: Place) -> tuple[int, int]:
    """Return how many networks of an ablation were copied, and how many it has."""
    run = RunFolder(place.folder)
    recipe, variant = place.base.load_recipe(), run.load_recipe()
    copies = same_networks(place.ablation, recipe, variant)
    copied = sum(_fitted(place.base.network(each.of_run)) for each in copies)
    return copied, sum(_fitted(run.network(task)) for task in all_tasks(variant))


def _fitted(folder: Path) -> bool:
    return (folder / "checkpoint.safetensors").exists()


def commit() -> str:
    """Return the commit of the working tree; a question mark if there is none."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "?"


if __name__ == "__main__":
    main()
