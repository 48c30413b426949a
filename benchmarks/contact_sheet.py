"""Draw a sheet of all augmentations: a crop with outlined masks, and three samples of each.

Augmentations of single pixels are shown enlarged: a part of the crop in full resolution.

Without --picture the crop is from a strip of the mill with defects and a black end. Your own
picture is shown whole; with --masks (the competition's train.csv) its masks are outlined, too.

Run: python benchmarks/contact_sheet.py OUT.png [--picture FILE [--masks TABLE]]
"""

import argparse
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from steelscan.augment import (
    Augment,
    Augmenter,
    Blur,
    BrightnessContrast,
    Clahe,
    Cutout,
    DefectBlackout,
    Elastic,
    Gamma,
    GaussNoise,
    GridDistortion,
    HFlip,
    IsoNoise,
    Jpeg,
    MotionBlur,
    OneOf,
    OpticalDistortion,
    Rotate180,
    SaltPepper,
    Sharpen,
    ShiftScaleRotate,
    SteelShift,
    UpTo,
    VFlip,
)
from steelscan.data import read_picture
from steelscan.mill import Mill, make_strip
from steelscan.pages.outline import class_color, outline
from steelscan.recipes.tenth_place import up_to_two
from steelscan.strip import Frame, Masks, Picture, decode
from steelscan.strip.tables import read_mask_table

CROP = Frame(256, 768)
DRAWS = 3
LABEL = 190
"""Width in pixels of the name of a row."""

NEAR = (Sharpen, Blur, MotionBlur, GaussNoise, IsoNoise, SaltPepper, Jpeg)

SHEET: tuple[tuple[str, Augment], ...] = (
    ("hflip", HFlip()),
    ("vflip", VFlip()),
    ("rotate180", Rotate180()),
    ("shift_scale_rotate", ShiftScaleRotate(degrees=12.0)),
    ("elastic", Elastic()),
    ("grid_distortion", GridDistortion()),
    ("optical_distortion", OpticalDistortion(limit=2.0)),
    ("steel_shift", SteelShift()),
    ("brightness_contrast", BrightnessContrast()),
    ("gamma", Gamma(limit=0.4)),
    ("clahe", Clahe()),
    ("sharpen", Sharpen()),
    ("blur", Blur()),
    ("motion_blur", MotionBlur(length=15)),
    ("gauss_noise", GaussNoise(low=600, high=900)),
    ("iso_noise", IsoNoise()),
    ("salt_pepper", SaltPepper(amount=0.02)),
    ("jpeg", Jpeg(min_quality=10)),
    ("cutout", Cutout(side=32)),
    ("defect_blackout", DefectBlackout()),
    ("one_of (flips)", OneOf(of=(HFlip(), VFlip(), Rotate180()))),
    ("up_to (10th place)", up_to_two),
)


def milled() -> tuple[Picture, Masks]:
    """Return a crop of a synthetic strip with defects of at least two classes and a black end."""
    mill = Mill(strips=400, seed=3, clean_share=0.0, black_share=1.0)
    for index in range(mill.strips):
        strip = make_strip(mill, index)
        for left in (0, strip.picture.shape[1] - CROP.width):
            window = np.s_[:, left : left + CROP.width]
            picture, masks = strip.picture[window], strip.masks[:, *window]
            black = (picture.mean(0) < 15).mean()
            if masks.any((1, 2)).sum() > 1 and 0.05 < black < 0.3 and 0.02 < masks.mean() < 0.1:
                return picture, masks
    raise RuntimeError("no strip of the mill has two classes and a black end")


def opened(path: Path, table: Path | None) -> tuple[Picture, Masks]:
    """Return a picture, and its masks if there is a table."""
    picture = read_picture(path)
    frame = Frame(*picture.shape)
    row = read_mask_table(table).rows.get(path.name, {}) if table else {}
    masks = np.zeros((max(row, default=1), *frame), np.bool_)
    for class_id, text in row.items():
        masks[class_id - 1] = decode(text, frame)
    return picture, masks


def labelled(name: str, height: int) -> NDArray[np.uint8]:
    """Return the name of a row, black on white."""
    tile = np.full((height, LABEL, 3), 255, np.uint8)
    cv2.putText(tile, name, (6, height // 2 + 5), 0, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


def near(masks: Masks, height: int, width: int) -> tuple[slice, slice]:
    """Return a window of this size around a pixel of a defect."""
    defect = np.argwhere(masks.any(0))
    middle = defect[len(defect) // 2] if len(defect) else np.array(masks.shape[1:]) // 2
    corner = np.clip(
        middle - (height // 2, width // 2), 0, masks.shape[1:] - np.array([height, width])
    )
    return slice(corner[0], corner[0] + height), slice(corner[1], corner[1] + width)


def sheet(picture: Picture, masks: Masks, width: int) -> NDArray[np.uint8]:
    """Return all rows, uint8 RGB; each picture is ``width`` pixels wide."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    window = near(masks, height, width)
    rows = []
    for at, (name, augment) in enumerate(SHEET):
        always = augment if isinstance(augment, UpTo) else augment.but(p=1.0)
        augmenter = Augmenter((always,))
        rngs = [np.random.default_rng((2, at, draw)) for draw in range(DRAWS)]
        tiles = [labelled(name, height)]
        for changed, planes in (
            (picture, masks),
            *(augmenter(picture, masks, rng) for rng in rngs),
        ):
            if isinstance(augment, NEAR):
                tile = outline(changed[window], planes[:, *window])
            else:
                tile = outline(changed, planes, width=width)
            tiles += [tile, np.full((height, 4, 3), 255, np.uint8)]
        row = np.hstack(tiles)
        rows += [row, np.full((4, row.shape[1], 3), 255, np.uint8)]
    return np.vstack(rows)


def save(shown: NDArray[np.uint8], out: Path | BinaryIO, greys: int = 96) -> None:
    """Write a PNG with a palette of so many greys and 64 colours: a third of the bytes.

    The palette also has the colours of the first classes, however few pixels have them.
    """
    colourful = np.ptp(shown, axis=2) > 16
    colours = Image.fromarray(shown[colourful][None]).quantize(64).getpalette() or []
    colours += [channel for index in range(7) for channel in class_color(index)]
    levels = np.linspace(0, 255, greys).round().astype(int).repeat(3).tolist()
    palette = Image.new("P", (1, 1))
    palette.putpalette(levels + colours)
    picture = Image.fromarray(shown).quantize(palette=palette, dither=Image.Dither.NONE)
    picture.save(out, "PNG", optimize=True)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--width", type=int, default=300)
    options = parser.parse_args()
    source = opened(options.picture, options.masks) if options.picture else milled()
    save(sheet(*source, options.width), options.out)


if __name__ == "__main__":
    main()
