"""Losses: settings that need no torch, the functions, and the builder of their modules."""

from typing import TYPE_CHECKING

import lazy_loader

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
    judges_strips,
    loss_of_classes,
    single_losses,
    wants_softmax,
)

if TYPE_CHECKING:
    from steelscan.losses.bce import bce_loss
    from steelscan.losses.build import build_loss
    from steelscan.losses.cross_entropy import cross_entropy_loss
    from steelscan.losses.dice import soft_dice_loss
    from steelscan.losses.focal import focal_loss
    from steelscan.losses.jaccard import jaccard_loss
    from steelscan.losses.lovasz import lovasz_hinge_loss
    from steelscan.losses.softmax_focal import softmax_focal_loss

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bce": ["bce_loss"],
        "build": ["build_loss"],
        "cross_entropy": ["cross_entropy_loss"],
        "dice": ["soft_dice_loss"],
        "focal": ["focal_loss"],
        "jaccard": ["jaccard_loss"],
        "lovasz": ["lovasz_hinge_loss"],
        "softmax_focal": ["softmax_focal_loss"],
    },
)

__all__ = [
    "BCE",
    "BothHeads",
    "CrossEntropy",
    "Dice",
    "Focal",
    "Jaccard",
    "Loss",
    "Lovasz",
    "Mix",
    "SoftmaxFocal",
    "StripLoss",
    "WherePresent",
    "bce_loss",
    "build_loss",
    "cross_entropy_loss",
    "focal_loss",
    "jaccard_loss",
    "judges_strips",
    "loss_of_classes",
    "lovasz_hinge_loss",
    "single_losses",
    "soft_dice_loss",
    "softmax_focal_loss",
    "wants_softmax",
]
