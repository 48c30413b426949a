"""Mixup: blend every crop of a batch with another one (Zhang et al. 2017, arXiv:1710.09412)."""

import numpy as np
import torch
from torch import Tensor

from steelscan.augment import Mixup


def mix(spec: Mixup, rng: np.random.Generator, *batch: Tensor) -> list[Tensor]:
    """Blend the tensors of a batch, ``(crops, ...)``, with equal shares; return float32 tensors.

    The share of a crop itself is at least one half.
    """
    drawn = float(rng.beta(spec.alpha, spec.alpha))
    share = max(drawn, 1 - drawn)
    other = torch.from_numpy(rng.permutation(len(batch[0]))).to(batch[0].device)
    return [share * each.float() + (1 - share) * each[other].float() for each in batch]
