"""The crops that a network is trained on: a pure function of seed, epoch and position.

Whole strips of different shapes are not padded to one common frame, which may have many times their
pixels: a batch is split into parts of similar shape, and the gradients of its parts add up to one
step. A batch of equal frames is one part.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from steelscan.augment import Augmenter
from steelscan.data import WholeStrip, crop_frame, cut, pad
from steelscan.strip import Frame
from steelscan.training.resized import Strips
from steelscan.training.sampling import draw, insert_share
from steelscan.training.specs import Training

_NONE = np.empty(0, np.int64)

_PADDED = 1.5
"""The most pixels that a padded part of a batch may have, as a multiple of those of its strips."""


class Part(NamedTuple):
    """Crops of one frame, and their share of the crops of their batch."""

    pictures: Tensor
    """uint8 ``(crops, 1, height, width)``."""

    masks: Tensor
    """uint8 ``(crops, classes, height, width)``."""

    share: float


Batch = list[Part]


def draw_epoch(
    training: Training, present: NDArray[np.bool_], rng: np.random.Generator, epoch: int
) -> NDArray[np.int64]:
    """Return the strips of one epoch, counted from 0, as rows of ``present``."""
    drawn = draw(training.sampler, present, rng, epoch)
    times = -(-(training.min_samples or 0) // len(drawn))
    if times > 1:
        rounds = (draw(training.sampler, present, rng, epoch * times + at) for at in range(times))
        drawn = np.concatenate(list(rounds))[: training.min_samples]
    return drawn[: training.max_samples]


class EpochCrops(Dataset[tuple[Tensor, Tensor]]):
    """The crops of one epoch, in order: uint8 ``(1, h, w)`` and masks uint8 ``(classes, h, w)``.

    ``seed`` starts with the seed of the fit, the stage and the epoch. No random state passes from
    crop to crop, so that an interrupted epoch, another number of workers or another order of
    loading give the same crops.
    """

    def __init__(
        self,
        strips: Strips,
        rows: NDArray[np.int64],
        training: Training,
        seed: tuple[int, ...],
        pseudo: NDArray[np.int64] = _NONE,
    ) -> None:
        """Draw the strips of the epoch from ``rows`` and from ``pseudo``, the pseudo-labelled."""
        self._strips, self._training, self._seed = strips, training, seed
        _, _, epoch, *_ = seed
        rng = np.random.default_rng(seed)
        pool = np.concatenate([rows, pseudo]) if training.pseudo == "all" else rows
        self._rows = pool[draw_epoch(training, strips.present[pool], rng, epoch)]
        if training.pseudo != "all":
            self._rows = insert_share(self._rows, pseudo, training.pseudo, rng)
        frames = {strips.frames[row] for row in np.concatenate([rows, pseudo]).tolist()}
        self.frame = crop_frame(training.crop, Frame(*np.max(list(frames), axis=0).tolist()))
        """The size of the largest crops."""
        self._frames = [self.frame] * len(self._rows)
        if isinstance(training.crop, WholeStrip):
            sizes = {frame: crop_frame(training.crop, frame) for frame in frames}
            self._frames = [sizes[strips.frames[row]] for row in self._rows.tolist()]
        self._augmenter = Augmenter(training.augment)

    def __len__(self) -> int:
        return len(self._rows)

    def used(self, batch: int) -> int:
        """Return how many crops are in batches of this size: a smaller last one is left out."""
        return len(self) // batch * batch or len(self)

    @property
    def pixels(self) -> float:
        """The mean number of pixels per crop, including the padding to its own frame."""
        counts = Counter(self._frames)
        return sum(count * frame.pixels for frame, count in counts.items()) / len(self)

    def most_pixels(self, batch: int) -> int:
        """Return the most pixels that pass through a network at once, in batches of this size."""
        if len(set(self._frames)) == 1:
            return min(batch, len(self)) * self.frame.pixels
        batches = (self._frames[at : at + batch] for at in range(0, self.used(batch), batch))
        return max(
            max(len(members), 2) * frame.pixels
            for frames in batches
            for frame, members in similar_frames(frames)
        )

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((*self._seed, 1 + position))  # 0 would repeat the epoch's draws
        row = int(self._rows[position])
        picture, masks = self._strips.picture(row), self._strips.masks(row)
        picture, masks = cut(picture, masks, self._training.crop, self._frames[position], rng)
        picture, masks = self._augmenter(picture, masks, rng)
        return (
            torch.from_numpy(np.ascontiguousarray(picture)[None]),
            torch.from_numpy(np.ascontiguousarray(masks).view(np.uint8)),
        )


def similar_frames(frames: Sequence[Frame]) -> list[tuple[Frame, list[int]]]:
    """Group frames so that padding each to the frame of its group costs few pixels.

    Returns the frame and the indices of each group. The largest frames come first; a frame that
    fits no group yet starts a new one.
    """
    groups: list[tuple[Frame, int, list[int]]] = []
    pixels = [frame.pixels for frame in frames]
    for index in sorted(range(len(frames)), key=lambda at: (-pixels[at], at)):
        for at, (frame, used, members) in enumerate(groups):
            joined, total = Frame(*map(max, frame, frames[index])), used + pixels[index]
            if joined.pixels * (len(members) + 1) <= _PADDED * total:
                groups[at] = joined, total, [*members, index]
                break
        else:
            groups.append((frames[index], pixels[index], [index]))
    return [(frame, sorted(members)) for frame, _, members in groups]


def split(crops: Sequence[tuple[Tensor, Tensor]], *, shared: bool = False) -> Batch:
    """Return the parts of a batch, or of one process's share of a batch.

    A crop alone in one of several parts or in a share is used twice: where a layer leaves one value
    per crop, batch norms need a second one.
    """
    groups = similar_frames([Frame(*picture.shape[1:]) for picture, _ in crops])
    parts = []
    for frame, members in groups:
        used = members * 2 if (shared or len(groups) > 1) and len(members) == 1 else members
        pictures, masks = (
            torch.stack([_padded(crops[member][at], frame) for member in used]) for at in (0, 1)
        )
        parts.append(Part(pictures, masks, len(members) / len(crops)))
    return parts


def _padded(planes: Tensor, frame: Frame) -> Tensor:
    if tuple(planes.shape[1:]) == tuple(frame):
        return planes
    return torch.from_numpy(np.stack([pad(plane, frame) for plane in planes.numpy()]))
