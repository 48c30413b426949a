"""From the settings of a loss to its module."""

import torch
from torch import nn

from steelscan.losses.bce import BCELoss
from steelscan.losses.composite import BothHeadsLoss, StripLossModule, WeightedSum, WherePresentLoss
from steelscan.losses.focal import FocalLoss
from steelscan.losses.lovasz import LovaszLoss
from steelscan.losses.overlap import DiceLoss, JaccardLoss
from steelscan.losses.softmax import CrossEntropyLoss, SoftmaxFocalLoss
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
    """Build the module of a loss; it returns a scalar and has nothing that is fitted.

    ``BothHeads`` becomes a module that takes ``(masks, classes, target, labels)``: the logits of
    both heads, and the masks and classes of the truth. All others take ``(logits, target)``: for a
    head of masks the masks of the truth, for a head of classes whether each crop holds each class.
    Logits are
    ``(strips, classes, ...)``; ``CrossEntropy`` and ``SoftmaxFocal`` want a map of sound steel
    before them. The truth is bool, uint8 or float, 0 or 1, or between them where masks were
    blended (not for ``Lovasz``).

    Raises RecipeError when a per-class setting does not fit the number of classes; the modules
    raise it for logits that do not fit the loss.
    """
    match spec:
        case BCE() | Focal() | Dice() | Jaccard() | Lovasz():
            return _strip_loss(spec, classes)
        case CrossEntropy():
            return CrossEntropyLoss(spec.smoothing)
        case SoftmaxFocal():
            return SoftmaxFocalLoss(spec.gamma)
        case WherePresent():
            always = per_class(spec.always, classes, "WherePresent.always")
            return WherePresentLoss(_strip_loss(spec.loss, classes), torch.tensor(always))
        case Mix():
            parts = [build_loss(part, classes) for _, part in spec.parts]
            return WeightedSum(tuple(weight for weight, _ in spec.parts), parts)
        case BothHeads():
            masks, labels = build_loss(spec.masks, classes), build_loss(spec.classes, classes)
            return BothHeadsLoss(masks, labels, spec.weight)


def _strip_loss(spec: StripLoss, classes: int) -> StripLossModule:
    match spec:
        case BCE():
            weights = per_class(spec.pos_weight, classes, "BCE.pos_weight")
            return BCELoss(torch.tensor(weights), spec.smoothing)
        case Focal():
            return FocalLoss(spec.gamma)
        case Dice():
            return DiceLoss(spec.over, spec.smooth)
        case Jaccard():
            return JaccardLoss(spec.over, spec.smooth)
        case Lovasz():
            return LovaszLoss(spec.symmetric, spec.rectifier)
