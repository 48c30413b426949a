"""The crops that a network learns from: a pure function of seed, epoch and position.

Whole strips of unlike shapes are not padded to one frame, which may be many times their pixels: a
batch is split into parts of like shape, and the gradients of its parts add up to one step. Of equal
frames a batch is one part.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from steelscan.augment import Augmenter
from steelscan.data import WholeStrip, crop_frame, cut, pad
from steelscan.strip import Frame
from steelscan.training.sampling import draw, join_share
from steelscan.training.seen import Strips
from steelscan.training.specs import Training

_NONE = np.empty(0, np.int64)

_PADDED = 1.5
"""Pixels that a part of a batch may have, as a multiple of those of its strips."""


class Part(NamedTuple):
    """Crops of one frame, and their share of the crops of their batch."""

    pictures: Tensor
    """uint8 ``(crops, 1, height, width)``."""

    masks: Tensor
    """uint8 ``(crops, classes, height, width)``."""

    share: float


Batch = list[Part]


class EpochCrops(Dataset[tuple[Tensor, Tensor]]):
    """The crops of one epoch, in order: uint8 ``(1, h, w)`` and masks uint8 ``(classes, h, w)``.

    ``seed`` begins with the run's, the stage and the epoch. No random state is carried from crop
    to crop, so that an interrupted epoch, another number of workers or another order of loading
    give the same crops.
    """

    def __init__(
        self,
        strips: Strips,
        rows: NDArray[np.int64],
        training: Training,
        seed: tuple[int, ...],
        pseudo: NDArray[np.int64] = _NONE,
    ) -> None:
        """Draw the strips of the epoch from ``rows``, and from the pseudo-labelled ``pseudo``."""
        self._strips, self._training, self._seed = strips, training, seed
        _, _, epoch, *_ = seed
        rng = np.random.default_rng(seed)
        pool = np.concatenate([rows, pseudo]) if training.pseudo == "all" else rows
        drawn = draw(training.draws, strips.present[pool], rng, epoch)
        self._rows = pool[drawn[: training.most_draws]]
        if training.pseudo != "all":
            self._rows = join_share(self._rows, pseudo, training.pseudo, rng)
        used = np.concatenate([rows, pseudo])
        largest = Frame(*np.max([strips.frames[row] for row in used], axis=0).tolist())
        self.frame = crop_frame(training.crop, largest)
        """The size of the largest crops."""
        self._frames = [self._frame_of(row) for row in self._rows.tolist()]
        self._augmenter = Augmenter(training.augment)

    def __len__(self) -> int:
        return len(self._rows)

    def taken(self, batch: int) -> int:
        """How many of them `loader` gives in batches of this size."""
        return len(self) // batch * batch or len(self)

    @property
    def pixels(self) -> float:
        """Pixels of a crop on average, the padding to its own frame with it."""
        return sum(map(prod, self._frames)) / len(self)

    def most_pixels(self, batch: int) -> int:
        """Pixels that go through a network at once at most, in batches of this size."""
        if len(set(self._frames)) == 1:
            return min(batch, len(self)) * prod(self.frame)
        parts = (self._frames[at : at + batch] for at in range(0, self.taken(batch), batch))
        return max(
            max(len(places), 2) * prod(frame) for part in parts for frame, places in alike(part)
        )

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((*self._seed, 1 + position))  # 0 would draw as the epoch did
        row = int(self._rows[position])
        picture, masks = self._strips.picture(row), self._strips.masks(row)
        picture, masks = cut(picture, masks, self._training.crop, self._frames[position], rng)
        picture, masks = self._augmenter(picture, masks, rng)
        return (
            torch.from_numpy(np.ascontiguousarray(picture)[None]),
            torch.from_numpy(np.ascontiguousarray(masks).view(np.uint8)),
        )

    def _frame_of(self, row: int) -> Frame:
        whole = isinstance(self._training.crop, WholeStrip)
        return crop_frame(self._training.crop, self._strips.frames[row]) if whole else self.frame


def alike(frames: Sequence[Frame]) -> list[tuple[Frame, list[int]]]:
    """Part frames, by their places, so that each may be padded to that of its part at little cost.

    Returns the frame and the places of each part. The largest come first; one that no part before
    takes opens another.
    """
    parts: list[tuple[Frame, list[int]]] = []
    for place in sorted(range(len(frames)), key=lambda at: (-prod(frames[at]), at)):
        for at, (frame, places) in enumerate(parts):
            joined = Frame(*map(max, frame, frames[place]))
            used = sum(prod(frames[each]) for each in (*places, place))
            if prod(joined) * (len(places) + 1) <= _PADDED * used:
                parts[at] = joined, sorted([*places, place])
                break
        else:
            parts.append((frames[place], [place]))
    return parts


def split(crops: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    """The parts of a batch. A crop that stands alone in one of several goes in twice.

    So its batch norms see what varies, where a layer leaves one value of a crop.
    """
    parts = alike([Frame(*picture.shape[1:]) for picture, _ in crops])
    found = []
    for frame, places in parts:
        chosen = places * 2 if len(parts) > 1 and len(places) == 1 else places
        pictures, masks = (
            torch.stack([_padded(crops[place][at], frame) for place in chosen]) for at in (0, 1)
        )
        found.append(Part(pictures, masks, len(places) / len(crops)))
    return found


def _padded(planes: Tensor, frame: Frame) -> Tensor:
    if tuple(planes.shape[1:]) == tuple(frame):
        return planes
    return torch.from_numpy(np.stack([pad(plane, frame) for plane in planes.numpy()]))


def loader(crops: EpochCrops, batch: int, workers: int) -> DataLoader[Batch]:
    """Batches of crops in order; the last, smaller batch is left out unless it is the only one."""
    return DataLoader(  # typed as if it gave what the data set holds, not what collates it
        crops,  # type: ignore[arg-type]
        batch_size=batch,
        num_workers=workers,
        collate_fn=split,
        drop_last=len(crops) >= batch,
        worker_init_fn=_one_thread,
        # a plain fork of a process in which OpenCV has threads can hang
        multiprocessing_context="forkserver" if workers else None,
    )


def _one_thread(worker: int) -> None:
    assert get_worker_info() is not None, worker
    cv2.setNumThreads(1)
