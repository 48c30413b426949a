"""How many crops per second one worker reads, cuts and augments, and the time of each part.

32 strips of the mill, 256x1600 with four classes, are written to a temporary folder; one thread.
The rows are lists of recipes: the 1st place's for its segmenters and for its classifiers (with
blackout), and the 14th's. Each is compared with the plain way of the public kernels, on the same
strips, with crops of the same size and the same list of albumentations' transforms (except
blackout, which exists for one class only): OpenCV decodes to three channels, masks are filled run
by run in Python, and float32 pictures of three channels are augmented. Both ways take turns, so
that they meet the same load. The disk is not measured: files are in the system's cache. The time
of a single augmentation is measured with all crops passing through it.

Run: OMP_NUM_THREADS=1 python benchmarks/augment.py
"""

import argparse
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as al
import cv2
import numpy as np
from numpy.typing import NDArray

from quick import print_result
from steelscan.augment import Augment, Augmenter
from steelscan.data import Dataset, RandomCrop, WholeStrip, crop_frame, cut, open_dataset
from steelscan.mill import Mill, write_mill
from steelscan.recipes import first_place, fourteenth_place
from steelscan.strip import Frame
from steelscan.strip.tables import MaskTable, read_mask_table
from steelscan.training import Training

GOAL = 60
"""Crops of 256x512 per second that the segmenters of the 1st place should get."""

PARTS = ("read picture", "masks", "cut", "augment", "copy")


class PartTimes:
    """Seconds spent in each part."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Add the seconds until the block ends."""
        began = time.perf_counter()
        yield
        self.spent[part] = self.spent.get(part, 0.0) + time.perf_counter() - began


class Ours:
    """Crops as steelscan takes them from a data set in training."""

    def __init__(self, dataset: Dataset, crop: RandomCrop, augments: tuple[Augment, ...]) -> None:
        self._dataset, self._crop = dataset, crop
        self._frame = crop_frame(crop, dataset.frames[0])
        self._augmenter = Augmenter(augments)
        self.times = PartTimes()

    def take(self, index: int, seed: int) -> None:
        """Take one crop of a strip."""
        rng = np.random.default_rng(seed)
        with self.times.on("read picture"):
            picture = self._dataset.picture(index)
        with self.times.on("masks"):
            masks = self._dataset.masks(index)
        with self.times.on("cut"):
            picture, masks = cut(picture, masks, self._crop, self._frame, rng)
        with self.times.on("augment"):
            picture, masks = self._augmenter(picture, masks, rng)
        with self.times.on("copy"):
            np.ascontiguousarray(picture)
            np.ascontiguousarray(masks)


class Plain:
    """Crops as the public kernels take them."""

    def __init__(self, dataset: Dataset, crop: RandomCrop, transforms: list[Any]) -> None:
        self._folder, self._names = dataset.root / "train_images", dataset.names
        self._table: MaskTable = read_mask_table(dataset.root / "train.csv")
        self._crop = al.RandomCrop(crop.height, crop.width)
        self._transforms = al.Compose(transforms)
        self.times = PartTimes()

    def take(self, index: int, _: int) -> None:
        """Take one crop of a strip."""
        name = self._names[index]
        with self.times.on("read picture"):
            picture = np.asarray(cv2.imread(str(self._folder / name))).astype(np.float32) / 255
        with self.times.on("masks"):
            mask = _filled(self._table.rows.get(name, {}), Frame(*picture.shape[:2]))
        with self.times.on("cut"):
            cropped = self._crop(image=picture, mask=mask)
        with self.times.on("augment"):
            done = self._transforms(**cropped)
        with self.times.on("copy"):
            np.ascontiguousarray(done["image"].transpose(2, 0, 1))
            np.ascontiguousarray(done["mask"].transpose(2, 0, 1))


def _filled(texts: dict[int, str], frame: Frame) -> NDArray[np.float32]:
    """Fill masks as make_mask of the starter kernel, with its off-by-one error corrected."""
    masks = np.zeros((*frame, 4), np.float32)
    for class_id in (1, 2, 3, 4):
        flat = np.zeros(frame.pixels, np.uint8)
        numbers = texts.get(class_id, "").split()
        for start, length in zip(map(int, numbers[0::2]), map(int, numbers[1::2]), strict=True):
            flat[start - 1 : start - 1 + length] = 1
        masks[:, :, class_id - 1] = flat.reshape(frame, order="F")
    return masks


def plain_first() -> list[Any]:
    """Return flips and brightness of the 1st place."""
    return [
        al.HorizontalFlip(),
        al.VerticalFlip(),
        al.RandomBrightnessContrast(brightness_by_max=False),
    ]


def plain_medium() -> list[Any]:
    """Return the list of the 14th place."""
    mirrored = {"border_mode": cv2.BORDER_REFLECT}
    return [
        al.OneOf([al.HorizontalFlip(), al.VerticalFlip(), al.RandomRotate90(p=0.0)], p=0.5),
        al.OneOf([al.CLAHE(clip_limit=2, p=0.5), al.Sharpen(p=0.25)], p=0.35),
        al.OneOf(
            [
                al.RandomBrightnessContrast(brightness_limit=0),
                al.RandomGamma(),
                al.RandomBrightnessContrast(contrast_limit=0, brightness_by_max=False),
            ],
            p=0.3,
        ),
        al.OneOf(
            [
                al.ElasticTransform(alpha=120, sigma=6, **mirrored),
                al.GridDistortion(**mirrored),
                al.OpticalDistortion(distort_limit=2, **mirrored),
            ],
            p=0.3,
        ),
        al.Affine(
            scale=(0.9, 1.1), translate_percent=(-0.0625, 0.0625), rotate=(-12, 12), **mirrored
        ),
        al.OneOf(
            [
                al.GaussNoise(std_range=(10**0.5 / 255, 50**0.5 / 255), p=0.35),
                al.SaltAndPepper(amount=(0, 0.0002), p=0.7),
                al.ISONoise(p=0.7),
            ],
            p=0.5,
        ),
        al.CoarseDropout(
            num_holes_range=(3, 3), hole_height_range=(8, 8), hole_width_range=(8, 8), p=0.25
        ),
    ]


def window(training: Training) -> RandomCrop:
    """Return crops of a training's size, cut anywhere."""
    assert not isinstance(training.crop, WholeStrip)
    return RandomCrop(height=training.crop.height, width=training.crop.width)


def measure(ways: Sequence[Ours | Plain], strips: int, rounds: int) -> NDArray[np.float64]:
    """Return milliseconds per crop ``(ways, 1 + parts)``: total, and each part; medians of rounds.

    A round is every strip once, for all ways in turn.
    """
    spent = np.empty((rounds + 1, len(ways), 1 + len(PARTS)))
    for turn in range(rounds + 1):
        for at, way in enumerate(ways):
            way.times.spent.clear()
            began = time.perf_counter()
            for index in range(strips):
                way.take(index, turn * strips + index)
            parts = [way.times.spent[part] for part in PARTS]
            spent[turn, at] = time.perf_counter() - began, *parts
    # the first round loads modules and warms up the memory allocator
    return np.asarray(1e3 * np.median(spent[1:], axis=0) / strips)


def one_by_one(dataset: Dataset, augments: Sequence[Augment], crop: RandomCrop) -> list[float]:
    """Return milliseconds without any and with each single augmentation, applied to all crops."""
    frame = crop_frame(crop, dataset.frames[0])
    rng = np.random.default_rng(0)
    crops = [
        cut(dataset.picture(index), dataset.masks(index), crop, frame, rng)
        for index in range(len(dataset))
    ]
    augmenters = [Augmenter(()), *(Augmenter((augment.but(p=1.0),)) for augment in augments)]
    rounds: list[list[float]] = []
    for _ in range(11):
        rounds.append([])
        for augmenter in augmenters:
            began = time.perf_counter()
            for picture, masks in crops:
                augmenter(picture, masks, rng)
            rounds[-1].append(1e3 * (time.perf_counter() - began) / len(crops))
    return list(np.median(rounds[1:], axis=0))


def main() -> None:
    """Print the time of each list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.strips, options.rounds = 12, 3
    cv2.setNumThreads(1)
    (classify,) = first_place.classifiers[0].stages
    lists = (
        ("1st, segmenter", first_place.segment(12), plain_first()),
        ("1st, classifier", classify, plain_first()),
        ("14th", fourteenth_place.segment(pseudo=0.0), plain_medium()),
    )
    print(f"{platform.machine()}, {os.cpu_count()} cores, one used; milliseconds per crop")
    with TemporaryDirectory() as folder:
        write_mill(Mill(strips=options.strips), Path(folder))
        dataset = open_dataset(Path(folder))
        crops = [window(training) for _, training, _ in lists]
        ways: list[Ours | Plain] = []
        for crop, (_, training, plain) in zip(crops, lists, strict=True):
            ways += [Ours(dataset, crop, training.augment), Plain(dataset, crop, plain)]
        took = measure(ways, len(dataset), options.rounds)
        print("| list | crops | way | per second | " + " | ".join(PARTS) + " |")
        print("|---|---|---|" + "---:|" * (1 + len(PARTS)))
        for at, way in enumerate(ways):
            crop, name = crops[at // 2], lists[at // 2][0]
            parts = " | ".join(f"{part:.2f}" for part in took[at, 1:])
            kind = type(way).__name__.lower()
            size = f"{crop.height}x{crop.width}"
            print(f"| {name} | {size} | {kind} | {1e3 / took[at, 0]:.0f} | {parts} |")
        ratios = took[1::2, 0] / took[::2, 0]
        for crop, (name, training, _), ratio in zip(crops, lists, ratios, strict=True):
            if options.quick:
                print_result(f"crops, speed, {name}", "plain albumentations", ratio, ">= 1.5")
                continue
            alone = one_by_one(dataset, training.augment, crop)
            shown = [f"nothing {alone[0]:.2f}"]
            for augment, each in zip(training.augment, alone[1:], strict=True):
                of = "/".join(member.kind for member in getattr(augment, "of", ()))
                shown.append(f"{of or augment.kind} {each - alone[0]:+.2f}")
            print(f"{name}: plain takes x{ratio:.2f}; single ones: {', '.join(shown)}")
        reached = 1e3 / took[0, 0]
        if options.quick:
            what = "crops per second, 1st, segmenter"
            print_result(what, "a training on one core", reached, f">= {GOAL}")
        verdict = "met" if reached >= GOAL else "MISSED"
        print(
            f"goal {GOAL} crops per second for the 1st place's segmenter: {reached:.0f}, {verdict}"
        )


if __name__ == "__main__":
    main()
