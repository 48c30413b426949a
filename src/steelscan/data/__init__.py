"""Pictures on disk and what is known of them: reading, data sets, near-duplicates, folds."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.data.augment import (
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
    Mixup,
    MotionBlur,
    OneOf,
    OpticalDistortion,
    SaltPepper,
    Sharpen,
    ShiftScaleTurn,
    SteelShift,
    Turn,
    UpTo,
    VFlip,
)
from steelscan.data.crop import (
    Crop,
    RandomCrop,
    SteelCrop,
    WholeStrip,
    crop_frame,
    cut,
    pad,
    padded_frame,
)
from steelscan.data.dataset import Dataset, check_trainable, open_dataset
from steelscan.data.files import Files, PictureFile, find_pictures, open_files
from steelscan.data.folds import Folds, LikeTest, make_folds, read_folds, write_folds
from steelscan.data.groups import group_strips
from steelscan.data.mill import Mill, MilledStrip, make_strip, write_mill
from steelscan.data.picture import picture_frame, read_index_picture, read_picture
from steelscan.data.pseudo import (
    PseudoLabels,
    PseudoRule,
    SureAndAgreed,
    SureClasses,
    SurePixels,
    SureStrips,
)
from steelscan.data.resize import Shrink, resize_masks, resize_picture
from steelscan.data.sampling import (
    AllStrips,
    BalancedDraws,
    CycledDraws,
    DefectiveStrips,
    Draws,
    EveryStrip,
    Strips,
    SuspectStrips,
    WeightedDraws,
    draw,
)

if TYPE_CHECKING:
    from steelscan.data.transforms import Augmenter

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"transforms": ["Augmenter"]})

__all__ = [
    "AllStrips",
    "Augment",
    "Augmenter",
    "BalancedDraws",
    "Blur",
    "BrightnessContrast",
    "Clahe",
    "Crop",
    "Cutout",
    "CycledDraws",
    "Dataset",
    "DefectBlackout",
    "DefectiveStrips",
    "Draws",
    "Elastic",
    "EveryStrip",
    "Files",
    "Folds",
    "Gamma",
    "GaussNoise",
    "GridDistortion",
    "HFlip",
    "IsoNoise",
    "Jpeg",
    "LikeTest",
    "Mill",
    "MilledStrip",
    "Mixup",
    "MotionBlur",
    "OneOf",
    "OpticalDistortion",
    "PictureFile",
    "PseudoLabels",
    "PseudoRule",
    "RandomCrop",
    "SaltPepper",
    "Sharpen",
    "ShiftScaleTurn",
    "Shrink",
    "SteelCrop",
    "SteelShift",
    "Strips",
    "SureAndAgreed",
    "SureClasses",
    "SurePixels",
    "SureStrips",
    "SuspectStrips",
    "Turn",
    "UpTo",
    "VFlip",
    "WeightedDraws",
    "WholeStrip",
    "check_trainable",
    "crop_frame",
    "cut",
    "draw",
    "find_pictures",
    "group_strips",
    "make_folds",
    "make_strip",
    "open_dataset",
    "open_files",
    "pad",
    "padded_frame",
    "picture_frame",
    "read_folds",
    "read_index_picture",
    "read_picture",
    "resize_masks",
    "resize_picture",
    "write_folds",
    "write_mill",
]
