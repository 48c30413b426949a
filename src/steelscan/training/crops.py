"""The crops that a network learns from: a pure function of seed, epoch and position."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from steelscan.data import Augmenter, Shrink, crop_frame, cut, draw, resize_masks, resize_picture
from steelscan.data import Dataset as Strips
from steelscan.strip import Frame
from steelscan.training.specs import Training

Batch = tuple[Tensor, Tensor]
"""Crops uint8 ``(crops, 1, height, width)``, masks uint8 ``(crops, classes, height, width)``."""


class EpochCrops(Dataset[tuple[Tensor, Tensor]]):
    """The crops of one epoch, in order: uint8 ``(1, h, w)`` and masks uint8 ``(classes, h, w)``.

    No random state is carried from crop to crop, so that an interrupted epoch, another number
    of workers or another order of loading give the same crops.
    """

    def __init__(
        self,
        strips: Strips,
        rows: NDArray[np.int64],
        training: Training,
        resize: Shrink | None,
        seed: tuple[int, ...],
    ) -> None:
        self._strips, self._training, self._resize, self._seed = strips, training, resize, seed
        drawn = draw(training.draws, strips.present[rows], np.random.default_rng(seed))
        self._rows = rows[drawn]
        frames = [self._seen(strips.frames[row]) for row in rows]
        largest = Frame(*np.max(frames, axis=0).tolist())
        self._frame = crop_frame(training.crop, largest)
        self._augmenter = Augmenter(training.augment)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((*self._seed, 1 + position))  # 0 would draw as the epoch did
        row = int(self._rows[position])
        seen = self._seen(self._strips.frames[row])
        picture = resize_picture(self._strips.picture(row), seen)
        masks = resize_masks(self._strips.masks(row), seen)
        picture, masks = cut(picture, masks, self._training.crop, self._frame, rng)
        picture, masks = self._augmenter(picture, masks, rng)
        return (
            torch.from_numpy(np.ascontiguousarray(picture)[None]),
            torch.from_numpy(np.ascontiguousarray(masks).view(np.uint8)),
        )

    def _seen(self, frame: Frame) -> Frame:
        return self._resize.frame(frame) if self._resize else frame


def loader(crops: EpochCrops, batch: int, workers: int) -> DataLoader[Batch]:
    """Batches of crops in order; the last, smaller batch is left out unless it is the only one."""
    return DataLoader(
        crops,
        batch_size=batch,
        num_workers=workers,
        drop_last=len(crops) >= batch,
        collate_fn=_batch,
        worker_init_fn=_one_thread,
        # a plain fork of a process in which OpenCV has threads can hang
        multiprocessing_context="forkserver" if workers else None,
    )


def ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Pass batches through; the next one is made in a thread while a network works on the last."""
    source = iter(batches)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield batch


def _batch(crops: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    # NumPy's: torch would stack with threads of its own, which then wait for work and burn CPU
    pictures, masks = (
        np.stack([each.numpy() for each in part]) for part in zip(*crops, strict=True)
    )
    return torch.from_numpy(pictures), torch.from_numpy(masks)


def _one_thread(worker: int) -> None:
    assert get_worker_info() is not None, worker
    cv2.setNumThreads(1)
