"""Batches of crops for all epochs of a stage, from worker processes that are started once.

An item of the data set is named by epoch, pass and position, so that the same workers serve every
epoch. If several processes share a training, each loads its share of every batch, so that batches
keep the size that the recipe sets.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from steelscan.strip.errors import InputError
from steelscan.training.crops import Batch, EpochCrops, split
from steelscan.training.resized import ResizedStrips
from steelscan.training.specs import Training
from steelscan.training.training_data import TrainingData

_Key = tuple[int, int, int]
"""Epoch, pass and position of a crop."""


class StageCrops(Dataset[tuple[Tensor, Tensor]]):
    """The crops of all epochs of a stage, by epoch, pass and position.

    A copy sent to another process draws the strips of an epoch itself.
    """

    def __init__(
        self, strips: ResizedStrips, data: TrainingData, training: Training, number: int
    ) -> None:
        """Take the rows of ``data``, and their pictures and masks from ``strips``."""
        self._strips, self._rows, self._pseudo = strips, data.rows, data.pseudo
        self.training, self._seed = training, (data.seed, number)
        self._drawn: tuple[tuple[int, int], EpochCrops] | None = None

    def of(self, epoch: int, at: int) -> EpochCrops:
        """Return the crops of a pass of an epoch, both counted from 0."""
        if self._drawn is None or self._drawn[0] != (epoch, at):
            training = self.training.but(crop=self.training.passes[at].crop)
            seed = (*self._seed, epoch, *((0, at) if at else ()))
            crops = EpochCrops(self._strips, self._rows, training, seed, self._pseudo)
            self._drawn = (epoch, at), crops
        return self._drawn[1]

    def __getitem__(self, key: _Key) -> tuple[Tensor, Tensor]:
        epoch, at, position = key
        return self.of(epoch, at)[position]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_drawn": None}


class _Keys:
    """The keys of this process's share of each batch of one pass, ``epoch`` and ``at``."""

    def __init__(self, crops: StageCrops, rank: int, processes: int) -> None:
        self._crops, self._rank, self._processes = crops, rank, processes
        self.epoch = self.at = 0

    def __iter__(self) -> Iterator[list[_Key]]:
        crops = self._crops.of(self.epoch, self.at)
        batch = min(self._crops.training.passes[self.at].batch, len(crops))
        for start in range(0, crops.used(batch), batch):
            positions = range(start + self._rank, start + batch, self._processes)
            yield [(self.epoch, self.at, position) for position in positions]


class CropLoader:
    """Loads the batches of a stage in order, or this process's share of each of them.

    A smaller last batch is dropped if it is not the only one. Worker processes use one thread each,
    and end with this object.
    """

    def __init__(
        self,
        crops: StageCrops,
        workers: int = 0,
        *,
        rank: int = 0,
        processes: int = 1,
        pinned: bool = False,
    ) -> None:
        """Take crops and the number of worker processes.

        ``rank`` is this process's number among all ``processes`` that share the batches. Batches
        are ``pinned`` in memory for a GPU. Raises InputError if a batch has fewer crops than there
        are processes.
        """
        self._crops, self._rank, self._processes = crops, rank, processes
        self._keys = _Keys(crops, rank, processes)
        for at in range(len(crops.training.passes)):
            if self._batch(at) < processes:
                found = f"share a batch of {self._batch(at)} crops"
                remedy = f"Start at most {self._batch(at)} processes, or use a larger batch"
                raise InputError(f"{processes} processes", found, remedy)
        self._loader = DataLoader(  # typed as if it yielded items, not batches of `split`
            crops,
            batch_sampler=self._keys,
            num_workers=workers,
            collate_fn=partial(split, shared=processes > 1),
            pin_memory=pinned,
            worker_init_fn=_one_thread,
            # a plain fork of a process with OpenCV threads can hang
            multiprocessing_context="forkserver" if workers else None,
            persistent_workers=workers > 0,
            generator=torch.Generator(),
        )

    def count(self, at: int) -> int:
        """Return the number of batches in a pass."""
        return self._crops.of(0, at).used(self._batch(at)) // self._batch(at)

    def batches(self, epoch: int, at: int) -> Iterator[Batch]:
        """Yield the batches of a pass of an epoch, both counted from 0.

        Each part has a share. The losses of the parts times their shares, averaged over all
        processes, are the mean loss of the crops of the whole batch.
        """
        # One random number is drawn per pass, with and without workers. torch itself draws one each
        # time it starts to load, with workers only the first time; dropout would depend on that.
        torch.empty((), dtype=torch.int64).random_()
        self._keys.epoch, self._keys.at = epoch, at
        batch = self._batch(at)
        own = len(range(self._rank, batch, self._processes)) * self._processes / batch
        for parts in self._loader:
            yield [part._replace(share=part.share * own) for part in parts]

    def _batch(self, at: int) -> int:
        """Return the number of crops per batch of a pass, over all processes."""
        return min(self._crops.training.passes[at].batch, len(self._crops.of(0, at)))


def _one_thread(worker: int) -> None:
    assert get_worker_info() is not None, worker
    cv2.setNumThreads(1)
