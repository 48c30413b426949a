"""How one network is fitted, as settings: no torch here."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from steelscan.data import Augment, Crop, Draws, EveryStrip
from steelscan.losses import Loss
from steelscan.strip import Spec


class AdamW(Spec):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    kind: Literal["adamw"] = "adamw"
    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 1e-2


class SGD(Spec):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    lr: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NonNegativeFloat = 0.0


Optimizer = Annotated[AdamW | SGD, Field(discriminator="kind")]


class Constant(Spec):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"


class Cosine(Spec):
    """Linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017, arXiv:1608.03983).

    ``warmup`` is the warm-up's share of all steps.
    """

    kind: Literal["cosine"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0


Schedule = Annotated[Constant | Cosine, Field(discriminator="kind")]


class Training(Spec):
    """One stage of fitting: what is drawn and cut, the loss, the steps.

    The optimizer steps every ``batch`` crops, or every ``accumulate_to`` where that is given.
    The strips of the validation fold, or ``validate_on`` of them, are scored every
    ``validate_every`` epochs and at the end;
    ``keep`` says whether the best scored network is the result, or the last.
    """

    crop: Crop
    augment: tuple[Augment, ...] = ()
    draws: Draws = EveryStrip()
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule = Constant()
    batch: PositiveInt
    accumulate_to: PositiveInt | None = None
    epochs: PositiveInt
    validate_every: PositiveInt = 1
    validate_on: PositiveInt | None = None
    keep: Literal["best", "last"] = "best"

    @model_validator(mode="after")
    def _accumulates_whole_batches(self) -> Self:
        if self.accumulate_to is not None and self.accumulate_to % self.batch:
            raise ValueError(f"accumulate_to {self.accumulate_to} is no multiple of {self.batch}")
        return self
