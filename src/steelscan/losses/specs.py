"""The losses as settings: no torch here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from steelscan.strip import PerClass, Spec


class BCE(Spec):
    """Binary cross entropy of each logit; ``pos_weight`` multiplies the positive term."""

    kind: Literal["bce"] = "bce"
    pos_weight: PerClass[PositiveFloat] = 1.0


class Dice(Spec):
    """One minus soft Dice, a class; see `steelscan.losses.soft_dice_loss`."""

    kind: Literal["dice"] = "dice"
    over: Literal["strip", "batch"] = "batch"
    smooth: PositiveFloat = 1.0


class Mix(Spec):
    """A weighted sum of losses: ``((weight, loss), ...)``."""

    kind: Literal["mix"] = "mix"
    parts: tuple[tuple[PositiveFloat, Loss], ...] = Field(min_length=1)


Loss = Annotated[BCE | Dice | Mix, Field(discriminator="kind")]

Mix.model_rebuild()
