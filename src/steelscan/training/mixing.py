"""Mixup: every crop of a batch blended with another (Zhang et al. 2017, arXiv:1710.09412)."""

import numpy as np
import torch
from torch import Tensor

from steelscan.augment import Mixup


def mix(spec: Mixup, rng: np.random.Generator, *batch: Tensor) -> list[Tensor]:
    """Blend the tensors of a batch, ``(crops, ...)``, all alike; returns float32 of their shapes.

    The share of a crop itself is at least one half, so that it stays the nearer one.
    """
    drawn = float(rng.beta(spec.alpha, spec.alpha))
    share = max(drawn, 1 - drawn)
    other = torch.from_numpy(rng.permutation(len(batch[0]))).to(batch[0].device)
    return [share * each.float() + (1 - share) * each[other].float() for each in batch]
