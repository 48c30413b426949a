"""Build the module of a loss from its settings."""

from functools import partial

import torch
from torch import nn

from steelscan.losses.bce import BCELoss
from steelscan.losses.composite import BothHeadsLoss, MeanLoss, WeightedSum, WherePresentLoss
from steelscan.losses.focal import focal_loss
from steelscan.losses.lovasz import lovasz_hinge_loss
from steelscan.losses.overlap import jaccard_loss, soft_dice_loss
from steelscan.losses.softmax import cross_entropy_loss, softmax_focal_loss
from steelscan.losses.specs import (
    BCE,
    BothHeads,
    CrossEntropy,
    Dice,
    Focal,
    Jaccard,
    Loss,
    Lovasz,
    Mix,
    SoftmaxFocal,
    StripLoss,
    WherePresent,
)
from steelscan.strip import per_class


def build_loss(spec: Loss, classes: int) -> nn.Module:
    """Build the module of a loss; it returns a scalar and has no parameters.

    The module of ``BothHeads`` takes ``(masks, classes, target, labels)``: the logits of both
    heads, the true masks and the true classes. All others take ``(logits, target)``: the target of
    a mask head are the true masks, that of a class head are the classes of each crop. Logits are
    ``(strips, classes, ...)``; ``CrossEntropy`` and ``SoftmaxFocal`` need a background map before
    those of the classes. The target is bool, uint8 or float, 0 or 1, or between them for blended
    masks (not with ``Lovasz``).

    Raises RecipeError if a per-class setting does not fit the number of classes; the modules raise
    it for logits that do not fit the loss.
    """
    match spec:
        case BCE() | Focal() | Dice() | Jaccard() | Lovasz():
            return _strip_loss(spec, classes)
        case CrossEntropy():
            return MeanLoss(partial(cross_entropy_loss, smoothing=spec.smoothing))
        case SoftmaxFocal():
            return MeanLoss(partial(softmax_focal_loss, gamma=spec.gamma))
        case WherePresent():
            always = per_class(spec.always, classes, "WherePresent.always")
            return WherePresentLoss(_strip_loss(spec.loss, classes), torch.tensor(always))
        case Mix():
            parts = [build_loss(part, classes) for _, part in spec.parts]
            return WeightedSum(tuple(weight for weight, _ in spec.parts), parts)
        case BothHeads():
            masks, labels = build_loss(spec.masks, classes), build_loss(spec.classes, classes)
            return BothHeadsLoss(masks, labels, spec.weight)


def _strip_loss(spec: StripLoss, classes: int) -> MeanLoss:
    match spec:
        case BCE():
            weights = per_class(spec.pos_weight, classes, "BCE.pos_weight")
            return BCELoss(torch.tensor(weights), spec.smoothing)
        case Focal():
            loss = partial(focal_loss, gamma=spec.gamma)
        case Dice():
            loss = partial(soft_dice_loss, over=spec.over, smooth=spec.smooth)
        case Jaccard():
            loss = partial(jaccard_loss, over=spec.over, smooth=spec.smooth)
        case Lovasz():
            loss = partial(lovasz_hinge_loss, symmetric=spec.symmetric, rectifier=spec.rectifier)
    return MeanLoss(loss)
