"""Few strips: every recipe by repeated cross-validation, starting from its run on the mill."""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from measured_runs import Job, side_by_side
from nine_folds import Split, folds_of, write_folds
from nine_results import median_minutes
from steelscan import recipes
from steelscan.data import make_folds, open_dataset
from steelscan.data.duplicates import find_groups
from steelscan.recipes import with_budget
from steelscan.strip.files import output_folder

FOLDS = 4
EPOCHS = 2
UNET_MINUTES = 0.5
"""Of each fit of the plain U-Net, if none of the nine was run."""


def cross_validation(
    options: argparse.Namespace, data: Path, place: Path, done: Callable[[Job], object]
) -> list[Job]:
    """Run every fold of every repeat; return what failed.

    The plain U-Net is last: each of its fits gets the minutes of the median run of the nine.
    """
    failed = []
    for plain in (False, True):
        names = [name for name in options.only if (name == "plain_unet") == plain]
        chosen = argparse.Namespace(**{**vars(options), "only": names})
        failed += side_by_side(_jobs(chosen, data, place), options.side_by_side, done)
    return failed


def _jobs(options: argparse.Namespace, data: Path, place: Path) -> Iterator[Job]:
    """Yield a training for each repeat, held-out fold and recipe whose run on the mill is there."""
    dataset = open_dataset(data)
    groups = find_groups(dataset).numbers
    records = options.records / options.budget / data.name
    minutes = median_minutes(records) or UNET_MINUTES
    for repeat in range(options.repeats):
        parts = make_folds(dataset.present, groups, FOLDS, repeat)
        for away in range(FOLDS):
            split = Split(groups, parts == away, parts == (away + 1) % FOLDS)
            folder = output_folder(place / f"repeat{repeat}-fold{away}")
            for name in options.only:
                start, table = place.parent / "mill" / name, folder / f"{name}.folds.csv"
                plain = name == "plain_unet"
                if (records / folder.name / f"{name}.json").exists() or not (
                    start / ("pairs.json" if plain else "scores.json")
                ).exists():
                    continue
                budget = "full" if name == "quick" else options.budget
                recipe = with_budget(recipes.load("quick" if plain else name), budget)
                write_folds(table, dataset, folds_of(recipe.folds, split))
                if plain:
                    command = [sys.executable, str(Path(__file__).with_name("plain_unet.py"))]
                    command += ["--minutes", f"{minutes:.2f}"]
                    command += ["--held-out", *map(str, recipe.folds.holdout)]
                else:
                    command = [sys.executable, "-m", "steelscan", "train", name]
                    command += ["--budget", budget, "--set", f"epochs={EPOCHS}"]
                command += ["--data", str(data), "--folds", str(table), "--start-from", str(start)]
                yield Job([*command, "--out", str(folder / name)], folder / name)
