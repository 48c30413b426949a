"""`quick` compared with a plain U-Net: the same training time, the same held-out strips.

`plain_unet.py` describes the U-Net. `quick` runs first; the U-Net then gets the time that its
networks took.

Run: python benchmarks/neu.py --data DIR --out RUN --scale 4
"""

import argparse
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from plain_unet import PlainUnet
from quick import FOLDER, mill_strips, print_result
from steelscan import recipes
from steelscan.data import Dataset, open_dataset
from steelscan.data.duplicates import group_strips
from steelscan.data.folds import read_folds
from steelscan.evaluation.metrics import Pairs, Scores, count_pixels, score
from steelscan.pipeline import Options, RunFolder, open_run
from steelscan.pipeline.train import train
from steelscan.recipes import Classify, Recipe, Segment


def longer(recipe: Recipe, scale: float) -> Recipe:
    """Return the recipe with all its epochs multiplied."""
    steps = []
    for step in recipe.steps:
        if isinstance(step, Classify | Segment):
            members = tuple(
                member.but(
                    stages=tuple(
                        stage.but(
                            epochs=round(stage.epochs * scale),
                            validate_every=round(stage.epochs * scale),
                        )
                        for stage in member.stages
                    )
                )
                for member in step.ensemble.members
            )
            step = step.but(ensemble=step.ensemble.but(members=members))  # noqa: PLW2901
        steps.append(step)
    return recipe.but(steps=tuple(steps))


def held_out(run: RunFolder, dataset: Dataset) -> NDArray[np.bool_]:
    """Return which strips the run holds out, bool ``(strips,)``."""
    folds = read_folds(run.folds, dataset.names)
    return np.isin(folds, run.load_recipe().folds.holdout)


def processor_seconds() -> float:
    """Return the processor time of this process and of its child processes that have ended."""
    return sum(os.times()[:4])


def mean_iou(pairs: Pairs) -> float:
    """Return the mean over classes of shared pixels over pixels in either, for all strips."""
    shared = pairs.shared.sum(0)
    return float((shared / (pairs.predicted.sum(0) + pairs.truth.sum(0) - shared)).mean())


def main() -> None:
    """Train both, score both on the same strips, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scale", type=float, default=4.0, help="multiplies quick's epochs")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.data, options.scale = mill_strips(60, 64, 320), 0.25
        options.out = FOLDER / "neu"
        shutil.rmtree(options.out, ignore_errors=True)  # its time is that of the U-Net, too
    elif None in (options.data, options.out):
        parser.error("give --data and --out, or --quick")
    torch.manual_seed(0)
    start = processor_seconds()
    train(longer(recipes.load("quick"), options.scale), options.data, options.out, Options())
    seconds = processor_seconds() - start
    dataset, run = open_dataset(options.data), RunFolder(options.out)
    away = held_out(run, dataset)
    rows = np.flatnonzero(away)
    unet = PlainUnet(len(dataset.classes))
    seen = unet.fit(dataset, np.flatnonzero(~away), seconds)
    quick = open_run(run, torch.device("cpu"))
    columns: dict[str, Scores] = {}
    for name, masks in {"quick": quick.masks, "plain U-Net": unet.masks}.items():
        began = time.monotonic()
        counts = [count_pixels(masks(dataset.picture(row)), dataset.masks(row)) for row in rows]
        pairs = Pairs.of(counts)
        columns[name] = score(pairs, group_strips(dataset)[rows])
        each = (time.monotonic() - began) / len(rows)
        print(f"{name}: mean IoU of the classes {mean_iou(pairs):.4f}, {each:.3f} s per strip")
    print(f"{seconds / 60:.1f} core minutes each; the U-Net used {seen} crops")
    print(Scores.table(columns))
    if options.quick:
        ours, plain = (each.mean_dice.value for each in columns.values())
        print_result("mean Dice of quick after seconds of training", "plain U-Net", ours / plain)


if __name__ == "__main__":
    main()
