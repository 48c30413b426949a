"""How one network is fitted, as settings: no torch here."""

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
from steelscan.strip import Count, Spec
from steelscan.training.sampling import AllStrips, Draws, EveryStrip, Strips

Share = Annotated[float, Field(ge=0, lt=1)]


class Rates(Spec):
    """What all optimizers take; ``encoder_lr`` is the encoder's own rate, None: the same."""

    lr: PositiveFloat
    encoder_lr: PositiveFloat | None = None
    weight_decay: NonNegativeFloat = 0.0


class SGD(Rates):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    momentum: Share = 0.9


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
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"


class Cosine(Spec):
    """Linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017, arXiv:1608.03983).

    ``warmup`` is the warm-up's share of all steps.
    """

    kind: Literal["cosine"] = "cosine"
    warmup: Share = 0.0


class FlatCosine(Spec):
    """Linear warm-up, a flat stretch, then half a cosine down to 0 (14th, K:114367).

    ``warmup`` and ``flat`` are shares of all steps, one after the other.
    """

    kind: Literal["flat_cosine"] = "flat_cosine"
    warmup: Share = 0.0
    flat: Share = 0.5

    @model_validator(mode="after")
    def _leaves_a_cosine(self) -> Self:
        if self.warmup + self.flat >= 1:
            raise ValueError("warmup and flat leave no steps for the cosine")
        return self


class Noam(Spec):
    """Linear warm-up, then down with the root of the step (Vaswani et al. 2017, arXiv:1706.03762).

    The optimizer's rate is the peak, met at the end of ``warmup``, a share of all steps.
    """

    kind: Literal["noam"] = "noam"
    warmup: Annotated[float, Field(gt=0, lt=1)]


class OneCycle(Spec):
    """From ``start`` times the rate linearly up to it, then down to ``end`` times it.

    Smith and Topin 2017, arXiv:1708.07120, with straight lines; ``warmup`` is a share of all
    steps.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.35
    start: Annotated[float, Field(gt=0, le=1)] = 0.04
    end: Annotated[float, Field(ge=0, le=1)] = 0.01


class Plateau(Spec):
    """The rate is cut by ``factor`` when the stage's score has not grown for some validations.

    It waits ``patience`` validations without a gain above ``threshold``, and ``cooldown`` after a
    cut; no rate falls below ``min_lr``, and cuts of less than ``eps`` are not made.
    """

    kind: Literal["plateau"] = "plateau"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: NonNegativeInt = 3
    cooldown: NonNegativeInt = 0
    min_lr: NonNegativeFloat = 0.0
    threshold: NonNegativeFloat = 1e-4
    eps: NonNegativeFloat = 1e-8


Schedule = Annotated[
    Constant | Cosine | FlatCosine | Noam | OneCycle | Plateau, Field(discriminator="kind")
]


class Best(Spec):
    """The network of the best validation."""

    kind: Literal["best"] = "best"


class Last(Spec):
    """The network of the last epoch."""

    kind: Literal["last"] = "last"


class BestAverage(Spec):
    """The best mean of weights of any of the ``count`` best validations (12th, K:114309).

    Of five there are 31. Batch norms' running statistics are averaged too, or with ``refresh``
    taken anew from so many batches of the stage's crops.
    """

    kind: Literal["best_average"] = "best_average"
    count: Annotated[int, Field(ge=2, le=8)] = 5
    refresh: NonNegativeInt = 0


Keep = Annotated[Best | Last | BestAverage, Field(discriminator="kind")]


class Ema(Spec):
    """A running mean of the weights stands for the network: ``decay`` of it stays at each step.

    The first steps go into a plain mean, until each would weigh less than ``1 - decay`` there.
    """

    kind: Literal["ema"] = "ema"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999


class Swa(Spec):
    """The plain mean of the weights after each epoch from ``start`` on (a share of the stage).

    Izmailov et al. 2018, arXiv:1803.05407.
    """

    kind: Literal["swa"] = "swa"
    start: Share = 0.75


Averaging = Annotated[Ema | Swa, Field(discriminator="kind")]


class Pass(Spec):
    """One more round over an epoch's strips, with other crops (9th, K:114297)."""

    crop: Crop
    batch: Annotated[int, Field(gt=0, le=100_000)]


class Training(Spec):
    """One stage of fitting: what is drawn and cut, the loss, the steps, what is kept.

    The optimizer steps every ``batch`` crops, or every ``accumulate_to`` where that is given. The
    strips of the validation fold, or ``validate_on`` of them, are scored every ``validate_every``
    epochs and at the end; ``watch`` is the number that ranks networks: mean Dice (a classifier:
    minus cross entropy), or Dice on pairs with a defect. ``pseudo`` is the share of an epoch's
    strips that are pseudo-labelled, or "all" where they simply join. An epoch ends after
    ``most_draws`` of the strips that are drawn, where that is given.
    """

    crop: Crop
    more_passes: tuple[Pass, ...] = ()
    augment: tuple[Augment, ...] = ()
    mixup: Mixup | None = None
    strips: Strips = AllStrips()
    draws: Draws = EveryStrip()
    most_draws: Count | None = None
    pseudo: Share | Literal["all"] = "all"
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
    watch: Literal["score", "defect_dice"] = "score"
    keep: Keep = Best()

    @model_validator(mode="after")
    def _blends_what_can_be_blended(self) -> Self:
        if self.mixup and any(isinstance(loss, Lovasz) for loss in single_losses(self.loss)):
            raise ValueError("mixup blends masks, and lovasz takes none that are blended")
        return self

    @model_validator(mode="after")
    def _accumulates_whole_batches(self) -> Self:
        batches = [self.batch, *(each.batch for each in self.more_passes)]
        if self.accumulate_to is not None and any(self.accumulate_to % size for size in batches):
            raise ValueError(f"accumulate_to {self.accumulate_to} is no multiple of {batches}")
        return self
