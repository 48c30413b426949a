"""The settings of a fit: optimizers, schedules, checkpoints, stages. No torch here."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    model_validator,
)

from steelscan.augment import Augment, Mixup
from steelscan.data import Crop
from steelscan.losses import Loss, Lovasz, single_losses
from steelscan.strip import Share, ShareBelowOne, Spec
from steelscan.training.sampling import AllStrips, Count, EveryStrip, Sampler, StripSelection

InnerShare = Annotated[float, Field(gt=0, lt=1)]
"""A share that is neither nothing nor all."""


class Rates(Spec):
    """Settings of all optimizers; ``encoder_lr`` is the rate of the encoder (None: ``lr``)."""

    lr: PositiveFloat
    encoder_lr: PositiveFloat | None = None
    weight_decay: NonNegativeFloat = 0.0


class SGD(Rates):
    """Stochastic gradient descent with momentum, in torch's form.

    Decay is added to the gradient.
    """

    kind: Literal["sgd"] = "sgd"
    momentum: ShareBelowOne = 0.9


class Adam(Rates):
    """Adam (Kingma and Ba 2014, arXiv:1412.6980); decay is added to the gradient."""

    kind: Literal["adam"] = "adam"


class AdamW(Rates):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    kind: Literal["adamw"] = "adamw"
    weight_decay: NonNegativeFloat = 1e-2


class RAdam(Rates):
    """Rectified Adam (Liu et al. 2019, arXiv:1908.03265); decay is added to the gradient."""

    kind: Literal["radam"] = "radam"


Optimizer = Annotated[SGD | Adam | AdamW | RAdam, Field(discriminator="kind")]


class Constant(Spec):
    """Constant learning rate."""

    kind: Literal["constant"] = "constant"


class Cosine(Spec):
    """Linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017, arXiv:1608.03983).

    ``warmup`` is its share of all steps.
    """

    kind: Literal["cosine"] = "cosine"
    warmup: ShareBelowOne = 0.0


class FlatCosine(Spec):
    """Linear warm-up, a constant part, then half a cosine down to 0 (14th, K:114367).

    ``warmup`` and ``flat`` are the shares of the first two parts of all steps.
    """

    kind: Literal["flat_cosine"] = "flat_cosine"
    warmup: ShareBelowOne = 0.0
    flat: ShareBelowOne = 0.5

    @model_validator(mode="after")
    def _leaves_a_cosine(self) -> Self:
        if self.warmup + self.flat >= 1:
            raise ValueError("warmup and flat leave no steps for the cosine")
        return self


class Noam(Spec):
    """Linear warm-up, then falling as 1 / sqrt(step) (Vaswani et al. 2017, arXiv:1706.03762).

    The optimizer's rate is the peak, at the end of ``warmup``, a share of all steps.
    """

    kind: Literal["noam"] = "noam"
    warmup: InnerShare


class OneCycle(Spec):
    """Linear from ``start`` times the rate up to it, then linear down to ``end`` times it.

    ``warmup`` is the first part's share of all steps (Smith and Topin 2017, arXiv:1708.07120).
    """

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: InnerShare = 0.35
    start: Annotated[float, Field(gt=0, le=1)] = 0.04
    end: Share = 0.01


class Plateau(Spec):
    """Multiply the rate by ``factor`` when the stage's score no longer improves.

    That is after ``patience`` validations without a gain of more than ``threshold``, and not
    within ``cooldown`` validations of the last cut. No rate falls below ``min_lr``; cuts of less
    than ``eps`` are skipped.
    """

    kind: Literal["plateau"] = "plateau"
    factor: InnerShare = 0.5
    patience: NonNegativeInt = 3
    cooldown: NonNegativeInt = 0
    min_lr: NonNegativeFloat = 0.0
    threshold: NonNegativeFloat = 1e-4
    eps: NonNegativeFloat = 1e-8


Schedule = Annotated[
    Constant | Cosine | FlatCosine | Noam | OneCycle | Plateau, Field(discriminator="kind")
]


class Best(Spec):
    """Keep the network of the best validation, of equal ones the last."""

    kind: Literal["best"] = "best"


class Last(Spec):
    """Keep the network of the last epoch."""

    kind: Literal["last"] = "last"


class BestAverage(Spec):
    """Keep the best average of the weights of the ``count`` best validations (12th, K:114309).

    The average of every subset is validated: 31 of five. The running statistics of batch norms
    are averaged too, or with ``refresh`` recomputed from so many batches of the stage's crops.
    """

    kind: Literal["best_average"] = "best_average"
    count: Annotated[int, Field(ge=2, le=8)] = 5
    refresh: NonNegativeInt = 0


Keep = Annotated[Best | Last | BestAverage, Field(discriminator="kind")]


class Ema(Spec):
    """Exponential moving average of the weights: each step adds ``1 - decay`` of the new ones.

    The first steps enter with equal weights, until each would count less than ``1 - decay``.
    """

    kind: Literal["ema"] = "ema"
    decay: InnerShare = 0.999


class Swa(Spec):
    """Mean of the weights after each epoch from ``start`` on, a share of the stage's epochs.

    Stochastic weight averaging, Izmailov et al. 2018, arXiv:1803.05407.
    """

    kind: Literal["swa"] = "swa"
    start: ShareBelowOne = 0.75


Averaging = Annotated[Ema | Swa, Field(discriminator="kind")]


class CropPass(Spec):
    """One more pass over an epoch's strips, with other crops (9th, K:114297)."""

    crop: Crop
    batch: Annotated[int, Field(gt=0, le=100_000)]


class Training(Spec):
    """One stage of a fit: its strips and crops, loss, optimizer, and which weights are kept.

    The optimizer steps every ``batch`` crops, or every ``accumulate_to`` if given. The strips of
    the validation fold, or ``validate_on`` of them, are scored every ``validate_every`` epochs and
    at the end. ``monitor`` is the number that ranks networks: "score" is the first of a validation,
    mean Dice behind the gates of the step (for a classifier minus cross entropy); "defect_dice" is
    Dice on pairs with a defect. ``pseudo`` is the share of pseudo-labelled strips in an epoch, or
    "all" to add them to the others. An epoch draws at most ``max_samples`` strips if given, and at
    least ``min_samples``: if there are fewer, the sampler draws them again.
    """

    crop: Crop
    extra_passes: tuple[CropPass, ...] = ()
    augment: tuple[Augment, ...] = ()
    mixup: Mixup | None = None
    strips: StripSelection = AllStrips()
    sampler: Sampler = EveryStrip()
    max_samples: Count | None = None
    min_samples: Count | None = None
    pseudo: ShareBelowOne | Literal["all"] = "all"
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule = Constant()
    batch: Annotated[int, Field(gt=0, le=100_000)]
    accumulate_to: Count | None = None
    epochs: Annotated[int, Field(gt=0, le=100_000)]
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    freeze: Literal["nothing", "encoder", "encoder_but_norms"] = "nothing"
    averaging: Averaging | None = None
    validate_every: Count = 1
    validate_on: Count | None = None
    monitor: Literal["score", "defect_dice"] = "score"
    keep: Keep = Best()

    @property
    def passes(self) -> tuple[CropPass, ...]:
        """All passes over an epoch's strips, in order."""
        return (CropPass(crop=self.crop, batch=self.batch), *self.extra_passes)

    @model_validator(mode="after")
    def _draws_a_possible_number(self) -> Self:
        if self.min_samples and self.max_samples and self.min_samples > self.max_samples:
            raise ValueError(f"min_samples is above max_samples, {self.max_samples}")
        return self

    @model_validator(mode="after")
    def _loss_takes_mixup(self) -> Self:
        if self.mixup and any(isinstance(loss, Lovasz) for loss in single_losses(self.loss)):
            raise ValueError("mixup blends masks, and lovasz does not take blended masks")
        return self

    @model_validator(mode="after")
    def _accumulates_whole_batches(self) -> Self:
        batches = [each.batch for each in self.passes]
        if self.accumulate_to is not None and any(self.accumulate_to % size for size in batches):
            raise ValueError(f"accumulate_to {self.accumulate_to} is not a multiple of {batches}")
        return self
