"""Learning rates over a stage: formulas, and torch's scheduler for the one that needs scores."""

from math import cos, pi, sqrt

from torch import optim
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steelscan.training.specs import Constant, Cosine, FlatCosine, Noam, OneCycle, Plateau, Schedule


def rate(spec: Schedule, step: int, steps: int) -> float:
    """Return the factor of the learning rate at step ``step`` of ``steps``, counted from 0.

    It is 1 for `Plateau`, which depends on scores: see `plateau`.
    """
    match spec:
        case Constant() | Plateau():
            return 1.0
        case Cosine():
            return _flat_cosine(step, steps, spec.warmup, 0.0)
        case FlatCosine():
            return _flat_cosine(step, steps, spec.warmup, spec.flat)
        case Noam():
            peak = spec.warmup * steps
            return min((step + 1) / peak, sqrt(peak / (step + 1)))
        case OneCycle():
            top = spec.warmup * steps
            if step < top:
                return spec.start + (1 - spec.start) * step / top
            return 1 + (spec.end - 1) * (step - top) / (steps - top)


def plateau(spec: Plateau, optimizer: optim.Optimizer) -> ReduceLROnPlateau:
    """Return torch's scheduler that cuts an optimizer's rates when scores no longer improve."""
    return ReduceLROnPlateau(
        optimizer,
        mode="max",
        factor=spec.factor,
        patience=spec.patience,
        threshold=spec.threshold,
        threshold_mode="abs",
        cooldown=spec.cooldown,
        min_lr=spec.min_lr,
        eps=spec.eps,
    )


def _flat_cosine(step: int, steps: int, warmup: float, flat: float) -> float:
    """Return a linear rise to 1, a constant part, then half a cosine; shares of ``steps``."""
    rising, falling = warmup * steps, (warmup + flat) * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    if step < falling:
        return 1.0
    return 0.5 * (1 + cos(pi * (step - falling) / (steps - falling)))
