"""Losses: settings that need no torch, the functions, and the builder of their modules."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.losses.specs import BCE, Dice, Loss, Mix

if TYPE_CHECKING:
    from steelscan.losses.bce import bce_loss
    from steelscan.losses.build import build_loss
    from steelscan.losses.dice import soft_dice_loss

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={"bce": ["bce_loss"], "build": ["build_loss"], "dice": ["soft_dice_loss"]},
)

__all__ = ["BCE", "Dice", "Loss", "Mix", "bce_loss", "build_loss", "soft_dice_loss"]
