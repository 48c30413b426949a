"""Which networks answer together, as settings: no torch here."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from steelscan.data import Shrink
from steelscan.losses import BothHeads, judges_strips, wants_softmax
from steelscan.models import Classifier, Network, TwoHeaded
from steelscan.strip import Spec
from steelscan.training import SuspectStrips, Training

View = Literal["identity", "hflip", "vflip"]


class EncoderOf(Spec):
    """The encoder of another member of the recipe, once that is fitted on the same strips."""

    kind: Literal["encoder_of"] = "encoder_of"
    step: Literal["classify", "segment"]
    member: NonNegativeInt = 0


class EncoderFittedFor(Spec):
    """The encoder of a classifier that is fitted first, on the same strips, for nothing else.

    (12th, K:114309: a classifier of crops.)
    """

    kind: Literal["encoder_fitted_for"] = "encoder_fitted_for"
    network: Classifier
    stages: tuple[Training, ...] = Field(min_length=1)


class Tiles(Spec):
    """A strip goes through a network in tiles of its full height, side by side.

    Both are pixels of the strip as the network sees it, multiples of the networks' stride of 32.
    A strip no wider than a tile is asked whole.
    """

    kind: Literal["tiles"] = "tiles"
    width: Annotated[PositiveInt, Field(multiple_of=32)]
    overlap: Annotated[NonNegativeInt, Field(multiple_of=32)]

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        if 2 * self.overlap > self.width:
            raise ValueError(f"tiles of {self.width} columns overlap by at most half of that")
        return self


class Member(Spec):
    """One network of an ensemble: its size of input, and the stages in which it is fitted.

    It is fitted once for each of its ``folds`` (None: each validation fold), on all strips but
    those. Of ``classes``, ids from 1, it knows only those (None: all); a class that no member
    knows is never predicted. With ``start`` its encoder begins with that of another network.
    It is asked for whole strips, or with ``tiles`` in those.
    """

    network: Network
    stages: tuple[Training, ...] = Field(min_length=1)
    resize: Shrink | None = None
    start: Annotated[EncoderOf | EncoderFittedFor, Field(discriminator="kind")] | None = None
    folds: tuple[NonNegativeInt, ...] | None = None
    classes: tuple[PositiveInt, ...] | None = Field(None, min_length=1)
    tiles: Tiles | None = None

    @property
    def wants_suspicion(self) -> bool:
        """Whether strips teach it that an out-of-fold classifier suspects."""
        return any(isinstance(stage.strips, SuspectStrips) for stage in self.all_stages)

    @property
    def all_stages(self) -> tuple[Training, ...]:
        """Its stages, after those of the classifier that is fitted to lend it an encoder."""
        before = self.start.stages if isinstance(self.start, EncoderFittedFor) else ()
        return (*before, *self.stages)

    @model_validator(mode="after")
    def _classes_rise(self) -> Self:
        if self.classes and list(self.classes) != sorted(set(self.classes)):
            raise ValueError(f"classes {self.classes} are not distinct ids in rising order")
        return self

    @model_validator(mode="after")
    def _losses_fit_the_network(self) -> Self:
        for number, stage in enumerate(self.stages, start=1):
            refusal = _refusal(self.network, stage)
            if refusal:
                raise ValueError(f"stage {number}: {refusal}")
        return self


def _refusal(network: Network, stage: Training) -> str | None:
    """Why a network cannot be fitted so; None when it can."""
    loss = stage.loss
    if isinstance(network, Classifier):
        if stage.watch != "score":
            return f"a classifier has no {stage.watch} to watch"
        return None if judges_strips(loss) else f"a classifier does not learn from {loss.kind}"
    if isinstance(network, TwoHeaded) != isinstance(loss, BothHeads):
        return f"a network of kind {network.kind} does not learn from {loss.kind}"
    of_masks = loss.masks if isinstance(loss, BothHeads) else loss
    output = _output(network)
    if wants_softmax(of_masks) != (output == "softmax"):
        return f"the loss {of_masks.kind} is not for output {output}"
    return None


def _output(network: Network) -> str:
    """How the logits of a network become probabilities."""
    if isinstance(network, Classifier):
        return "sigmoid"
    return network.segmenter.output if isinstance(network, TwoHeaded) else network.output


class Mean(Spec):
    """The mean of the probabilities."""

    kind: Literal["mean"] = "mean"


class LogitMean(Spec):
    """The probability of the mean logit (4th, K:114716).

    All networks have the same ``output``; with "softmax", logits are averaged before the softmax.
    """

    kind: Literal["logit_mean"] = "logit_mean"


class PowerMean(Spec):
    """The mean of the probabilities to the power ``t`` ("temperature").

    ``form`` "raw" leaves it at that, so that with t = 0.5 a probability of 0.25 becomes 0.5;
    "starter" takes the strip as it is to the power 1, only its mirror images to ``t``, as the
    public starter pipeline does; "true" takes the power 1 / t of it all.
    """

    kind: Literal["power_mean"] = "power_mean"
    t: PositiveFloat = 0.5
    form: Literal["raw", "starter", "true"] = "raw"


Average: TypeAlias = Mean | LogitMean | PowerMean


class Ensemble(Spec):
    """Networks whose answers are averaged, each over these views of the strip.

    Each class is the average over the members that know it.
    """

    members: tuple[Member, ...] = Field(min_length=1)
    views: tuple[View, ...] = ("identity",)
    average: Annotated[Average, Field(discriminator="kind")] = Mean()

    @model_validator(mode="after")
    def _logits_are_of_one_sort(self) -> Self:
        outputs = {_output(member.network) for member in self.members}
        if isinstance(self.average, LogitMean) and len(outputs) > 1:
            raise ValueError("logits of output sigmoid and of output softmax have no mean")
        return self
