"""The crops that a network learns from: a pure function of seed, epoch and position."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from steelscan.data import Augmenter, crop_frame, cut, draw, join_share
from steelscan.strip import Frame
from steelscan.training.seen import Strips
from steelscan.training.specs import Training

_NONE = np.empty(0, np.int64)

Batch = tuple[Tensor, Tensor]
"""Crops uint8 ``(crops, 1, height, width)``, masks uint8 ``(crops, classes, height, width)``."""


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
        """The size of the crops."""
        self._augmenter = Augmenter(training.augment)

    def __len__(self) -> int:
        return len(self._rows)

    def taken(self, batch: int) -> int:
        """How many of them `loader` gives in batches of this size."""
        return len(self) // batch * batch or len(self)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((*self._seed, 1 + position))  # 0 would draw as the epoch did
        row = int(self._rows[position])
        picture, masks = self._strips.picture(row), self._strips.masks(row)
        picture, masks = cut(picture, masks, self._training.crop, self.frame, rng)
        picture, masks = self._augmenter(picture, masks, rng)
        return (
            torch.from_numpy(np.ascontiguousarray(picture)[None]),
            torch.from_numpy(np.ascontiguousarray(masks).view(np.uint8)),
        )


def loader(crops: EpochCrops, batch: int, workers: int) -> DataLoader[Batch]:
    """Batches of crops in order; the last, smaller batch is left out unless it is the only one."""
    return DataLoader(
        crops,
        batch_size=batch,
        num_workers=workers,
        drop_last=len(crops) >= batch,
        worker_init_fn=_one_thread,
        # a plain fork of a process in which OpenCV has threads can hang
        multiprocessing_context="forkserver" if workers else None,
    )


def _one_thread(worker: int) -> None:
    assert get_worker_info() is not None, worker
    cv2.setNumThreads(1)
