"""Turn settings into transforms: the only file that imports albumentations.

Geometric transforms fill from beyond the border by reflection, in picture and masks alike: a
reflected defect is in the masks too, and no black wedge looks like the end of the steel. Masks are
sampled at the nearest pixel, pictures linearly.
"""

import os
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.augment.functional import (
    add_camera_noise,
    add_normal_noise,
    black_out,
    distort_like_lens,
    shift_steel,
)
from steelscan.augment.specs import (
    Augment,
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
from steelscan.strip import Masks, Picture

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing it would go online

import albumentations as al

Planes: TypeAlias = NDArray[np.uint8]
"""A picture ``(height, width, 1)`` or masks ``(height, width, classes)`` for albumentations."""

_GRID = 5
_LEAST_FOR_GRID = _GRID * (_GRID - 1)
_LEAST_ODD = 3


class Augmenter:
    """Applies augmentations to a grey picture and its masks."""

    def __init__(self, augments: Sequence[Augment]) -> None:
        self._pipeline = al.Compose([_transform(augment) for augment in augments])

    def __call__(
        self, picture: Picture, masks: Masks, rng: np.random.Generator
    ) -> tuple[Picture, Masks]:
        """Return the changed picture and masks; the changes depend on ``rng`` alone.

        ``picture`` is uint8 ``(height, width)``, ``masks`` bool ``(classes, height, width)``, of
        any size; they keep their shapes and are not changed in place.
        """
        # not set_random_seed: it gives all transforms the same seed, and thus the same draws
        self._pipeline.set_random_state(rng, random.Random(int(rng.integers(2**31))))
        image = np.ascontiguousarray(picture)[..., None]
        changed = self._pipeline(image=image, mask=_merged(masks))
        masks = changed["mask"].transpose(2, 0, 1).astype(np.bool_)
        return changed["image"][..., 0], masks


def _merged(masks: Masks) -> Planes:
    """Return masks ``(classes, height, width)`` in the order of axes of albumentations."""
    planes = np.ascontiguousarray(masks).view(np.uint8)
    merged = np.asarray(cv2.merge(tuple(planes)), np.uint8)  # far faster than a transposed copy
    return merged.reshape(*masks.shape[1:], len(masks))


def _transform(augment: Augment) -> al.BasicTransform:  # noqa: PLR0911, PLR0912
    match augment:
        case HFlip(p=p):
            return al.HorizontalFlip(p=p)
        case VFlip(p=p):
            return al.VerticalFlip(p=p)
        case Rotate180(p=p):
            return al.Sequential([al.HorizontalFlip(p=1.0), al.VerticalFlip(p=1.0)], p=p)
        case BrightnessContrast(brightness=brightness, contrast=contrast, brightness_of=of, p=p):
            return al.RandomBrightnessContrast(
                brightness_limit=brightness,
                contrast_limit=contrast,
                brightness_by_max=of == "white",
                p=p,
            )
        case Gamma(limit=limit, p=p):
            percent = 100 * (1 - limit), 100 * (1 + limit)
            return _Gamma(gamma_limit=percent, p=p)
        case Clahe(clip=clip, p=p):
            return al.CLAHE(clip_limit=(1.0, clip), p=p)
        case Sharpen(p=p):
            return al.Sharpen(p=p)
        case Blur(side=side, p=p):
            return al.Blur(blur_limit=_odd(side), p=p)
        case MotionBlur(length=length, p=p):
            # shifted kernels would move the picture away from its masks
            return al.MotionBlur(
                blur_limit=_odd(length), allow_shifted=False, direction_range=(0.0, 0.0), p=p
            )
        case GaussNoise(low=low, high=high, drawn=drawn, p=p):
            squared = drawn == "variance"
            return _Grey(partial(add_normal_noise, strengths=(low, high), squared=squared), p)
        case IsoNoise(intensity=intensity, p=p):
            return _Grey(partial(_add_camera_noise, strongest=intensity), p)
        case SaltPepper(amount=amount, p=p):
            return al.SaltAndPepper(amount=(0.0, amount), salt_vs_pepper=(0.0, 1.0), p=p)
        case Jpeg(min_quality=quality, p=p):
            return al.ImageCompression(quality_range=(quality, 100), p=p)
        case ShiftScaleRotate(shift=shift, scale=scale, degrees=degrees, p=p):
            return al.Affine(
                translate_percent={"x": (-shift, shift), "y": (-shift, shift)},
                scale=(1 - scale, 1 + scale),
                rotate=(-degrees, degrees),
                keep_ratio=True,
                border_mode=cv2.BORDER_REFLECT,
                p=p,
            )
        case Elastic(alpha=alpha, sigma=sigma, p=p):
            return al.ElasticTransform(
                alpha=alpha,
                sigma=sigma,
                noise_distribution="uniform",
                border_mode=cv2.BORDER_REFLECT,
                p=p,
            )
        case GridDistortion(limit=limit, p=p):
            return _Grid(num_steps=_GRID, distort_limit=limit, border_mode=cv2.BORDER_REFLECT, p=p)
        case OpticalDistortion(limit=limit, p=p):
            return _Both(partial(distort_like_lens, limit=limit), p)
        case Cutout(holes=holes, side=side, p=p):
            return _Holes(holes, side, p)
        case DefectBlackout(component=component, margin=margin, p=p):
            return _Both(partial(black_out, component=component, margin=margin), p)
        case SteelShift(dark=dark, p=p):
            return _Both(partial(shift_steel, dark=dark), p)
        case OneOf(of=of, p=p):
            return al.OneOf([_transform(each) for each in of], p=p)
        case UpTo(count=count, of=of):
            return _UpTo([_transform(each) for each in of], n=count)


def _odd(most: int) -> tuple[int, int]:
    """Return 3 and the largest odd side up to ``most``, which is at least 3."""
    return _LEAST_ODD, most - 1 + most % 2


class _Both(al.DualTransform):  # type: ignore[misc]
    """A function of picture, masks and random generator as an albumentations transform."""

    def __init__(
        self,
        change: Callable[[Picture, Masks, np.random.Generator], tuple[Picture, Masks]],
        p: float,
    ) -> None:
        super().__init__(p=p)
        self._change = change

    def get_params_dependent_on_data(
        self,
        params: dict[str, Any],  # noqa: ARG002
        data: dict[str, Any],
    ) -> dict[str, Any]:
        masks = np.ascontiguousarray(data["mask"].view(np.bool_).transpose(2, 0, 1))
        picture, masks = self._change(data["image"][..., 0], masks, self.random_generator)
        return {"picture": picture[..., None], "masks": _merged(masks)}

    def apply(self, _: Planes, picture: Planes, **__: Any) -> Planes:
        return picture

    def apply_to_mask(self, _: Planes, masks: Planes, **__: Any) -> Planes:
        return masks


class _Grey(al.ImageOnlyTransform):  # type: ignore[misc]
    """A function of picture and random generator as an albumentations transform."""

    def __init__(self, change: Callable[[Picture, np.random.Generator], Picture], p: float) -> None:
        super().__init__(p=p)
        self._change = change

    def apply(self, img: Planes, **_: Any) -> Planes:
        return self._change(img[..., 0], self.random_generator)[..., None]


def _add_camera_noise(picture: Picture, rng: np.random.Generator, strongest: float) -> Picture:
    return add_camera_noise(picture, rng, intensity=rng.uniform(strongest / 5, strongest))


class _Gamma(al.RandomGamma):  # type: ignore[misc]
    """Raises to the power 1 / gamma, as albumentations did in 2019."""

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        return {"gamma": 1 / super().get_params_dependent_on_data(params, data)["gamma"]}


class _Grid(al.GridDistortion):  # type: ignore[misc]
    """Does not change small pictures, which the cells of albumentations' grid do not cover."""

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        height, width = params["shape"][:2]
        if min(height, width) >= _LEAST_FOR_GRID:
            params_of_grid: dict[str, Any] = super().get_params_dependent_on_data(params, data)
            return params_of_grid
        map_y, map_x = np.mgrid[:height, :width].astype(np.float32)
        return {"map_x": map_x, "map_y": map_y}


class _Holes(al.CoarseDropout):  # type: ignore[misc]
    """Black squares, cut to the size of pictures that are smaller."""

    def __init__(self, holes: int, side: int, p: float) -> None:
        super().__init__(num_holes_range=(holes, holes), fill=0, p=p)
        self._side = side

    def calculate_hole_dimensions(
        self, image_shape: tuple[int, int], *_: Any, size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        height, width = (np.full(size, min(self._side, side)) for side in image_shape[:2])
        return height, width


class _UpTo(al.SomeOf):  # type: ignore[misc]
    """Draws first how many to apply."""

    def _get_idx(self) -> list[int]:
        count = self.random_generator.integers(self.n, endpoint=True)
        drawn = self.random_generator.choice(len(self.transforms), size=count, replace=False)
        return sorted(drawn.tolist())
