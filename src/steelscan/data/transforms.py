"""From the settings of augmentations to what does them: the one file that knows albumentations."""

import os
import random
from collections.abc import Sequence

import numpy as np

from steelscan.data.augment import Augment, BrightnessContrast, HFlip, VFlip
from steelscan.strip import Masks, Picture, not_built

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would look online

import albumentations as al


class Augmenter:
    """Applies augmentations to a grey picture and its masks alike."""

    def __init__(self, augments: Sequence[Augment]) -> None:
        self._pipeline = al.Compose([_transform(augment) for augment in augments])

    def __call__(
        self, picture: Picture, masks: Masks, rng: np.random.Generator
    ) -> tuple[Picture, Masks]:
        """Return the changed picture and masks; what happens depends on ``rng`` alone."""
        # not set_random_seed: it seeds all transforms alike, and their draws would be the same
        self._pipeline.set_random_state(rng, random.Random(int(rng.integers(2**31))))
        planes = np.ascontiguousarray(masks.view(np.uint8).transpose(1, 2, 0))
        changed = self._pipeline(image=np.ascontiguousarray(picture)[..., None], mask=planes)
        masks = changed["mask"].transpose(2, 0, 1).astype(np.bool_)
        return changed["image"][..., 0], masks


def _transform(augment: Augment) -> al.BasicTransform:
    match augment:
        case HFlip():
            return al.HorizontalFlip(p=augment.p)
        case VFlip():
            return al.VerticalFlip(p=augment.p)
        case BrightnessContrast():
            return al.RandomBrightnessContrast(
                brightness_limit=augment.brightness, contrast_limit=augment.contrast, p=augment.p
            )
        case _:
            raise not_built(augment)
