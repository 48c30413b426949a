"""Optimizers and schedules: the formulas, then torch's objects made from settings."""

from math import cos, pi

from torch import nn, optim

from steelscan.training.specs import SGD, AdamW, Constant, Cosine, Optimizer, Schedule


def build_optimizer(spec: Optimizer, network: nn.Module) -> optim.Optimizer:
    """Build the optimizer of a network's parameters.

    Biases and the scales of normalisation layers (parameters with one axis) do not decay.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    match spec:
        case AdamW():
            return optim.AdamW(groups, lr=spec.lr)
        case SGD():
            return optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)


def rate(spec: Schedule, step: int, steps: int) -> float:
    """The factor of the learning rate at step ``step`` of ``steps``, the first being 0."""
    match spec:
        case Constant():
            return 1.0
        case Cosine():
            warmup = spec.warmup * steps
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return 0.5 * (1 + cos(pi * (step - warmup) / (steps - warmup)))
