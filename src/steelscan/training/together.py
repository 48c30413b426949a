"""What several processes that fit one network do together."""

import warnings
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn


def numbers_of_first(accelerator: Accelerator, numbers: Sequence[float]) -> list[float]:
    """Return the first process's numbers on every process, so that all take the same decisions."""
    if accelerator.num_processes == 1:
        return list(numbers)
    tensor = torch.tensor(numbers, dtype=torch.float64, device=accelerator.device)
    return list(broadcast(tensor).tolist())


def linked(accelerator: Accelerator, network: nn.Module) -> nn.Module:
    """Return a network whose gradients are the means over all processes, for training.

    A process alone gets the network itself: accelerate would keep a reference to it.
    """
    if accelerator.num_processes == 1:
        return network
    with warnings.catch_warnings():
        # the option has a new name in torch, which accelerate does not know yet
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        model: nn.Module = accelerator.prepare_model(network)
    return model


def average_norms(accelerator: Accelerator, network: nn.Module) -> None:
    """Average the running statistics of batch norms over all processes.

    Each process normalises its share of a batch with the statistics of that share. The mean of
    their running means is that of the whole batches; the mean of their running variances leaves
    out the differences between the shares.
    """
    if accelerator.num_processes == 1:
        return
    kept = [
        buffer
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for buffer in (module.running_mean, module.running_var)
        if buffer is not None
    ]
    if not kept:
        return
    # float64: the mean of equal float32 numbers is the same number
    flat = torch.cat([buffer.flatten() for buffer in kept]).double()
    means = accelerator.reduce(flat, "mean").split([buffer.numel() for buffer in kept])
    for buffer, mean in zip(kept, means, strict=True):
        buffer.copy_(mean.view_as(buffer))
