"""Pictures with masks to augment, and one visible augmentation of each kind."""

from typing import get_args

import numpy as np
import pytest

from steelscan.augment import (
    Augment,
    Augmenter,
    Elastic,
    GridDistortion,
    HFlip,
    OneOf,
    OpticalDistortion,
    Rotate180,
    SaltPepper,
    ShiftScaleRotate,
    SteelShift,
    UpTo,
    VFlip,
)

KINDS = get_args(get_args(Augment)[0])
every_kind = pytest.mark.parametrize("kind", KINDS)
MIRRORS = {HFlip: np.fliplr, VFlip: np.flipud, Rotate180: lambda plane: np.rot90(plane, 2)}
MOVES = (
    *(kind() for kind in MIRRORS),
    ShiftScaleRotate(degrees=12.0),
    Elastic(),
    GridDistortion(),
    OpticalDistortion(),
    SteelShift(),
)

PLAIN_FLIPS = (HFlip(p=1.0), VFlip(p=1.0))


def make(kind, p=1.0):
    """A spec of a kind with probability ``p`` and a visible effect."""
    if kind is OneOf:
        return OneOf(of=PLAIN_FLIPS, p=p)
    if kind is UpTo:
        return UpTo(count=2, of=(HFlip(p=p), VFlip(p=p), Rotate180(p=p)))
    return SaltPepper(amount=0.5, p=p) if kind is SaltPepper else kind(p=p)


def sample(classes=3, height=10, width=14, seed=0):
    """A picture with many greys, and masks of every seventh grey."""
    picture = np.random.default_rng(seed).permutation(height * width).reshape(height, width)
    picture = picture.astype(np.uint8)
    return picture, np.stack([picture % 7 == at for at in range(classes)])


def apply(augments, picture, masks, seed=0):
    return Augmenter(augments)(picture, masks, np.random.default_rng(seed))


def on_flat(spec, value=128, shape=(64, 96), seed=0):
    """Apply a spec to a picture of one grey without defects."""
    return apply((spec,), np.full(shape, value, np.uint8), np.zeros((1, *shape), bool), seed)[0]


def marked(height=64, width=96, top=22, left=40, side=18):
    """Dark steel with a bright square, and the mask of the square."""
    square = np.zeros((height, width), bool)
    square[top : top + side, left : left + side] = True
    return np.where(square, 200, 60).astype(np.uint8), square


def centre(mask):
    return np.argwhere(mask).mean(0)
