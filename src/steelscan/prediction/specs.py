"""The settings of ensembles: members, views, tiles, averages. No torch here."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from steelscan.data import Shrink
from steelscan.losses import BothHeads, fits_classifier, needs_softmax
from steelscan.models import Classifier, Network, TwoHeaded
from steelscan.strip import Spec
from steelscan.training import SuspectStrips, Training

View = Literal["identity", "hflip", "vflip"]


class EncoderOf(Spec):
    """Start with the encoder of another member, by its name, once it is fitted for the same fold.

    ``step`` is the first step of that kind in the recipe.
    """

    kind: Literal["encoder_of"] = "encoder_of"
    step: Literal["classify", "segment"]
    member: str


class EncoderFittedFor(Spec):
    """Start with the encoder of a classifier that is fitted first, only for this (12th, K:114309).

    It is fitted on the same strips.
    """

    kind: Literal["encoder_fitted_for"] = "encoder_fitted_for"
    network: Classifier
    stages: tuple[Training, ...] = Field(min_length=1)


class Tiles(Spec):
    """Predict a strip in tiles of its full height.

    ``width`` and ``overlap`` are pixels of the resized strip, multiples of the networks' stride of
    32. A strip no wider than a tile is predicted whole.
    """

    kind: Literal["tiles"] = "tiles"
    width: Annotated[PositiveInt, Field(multiple_of=32)]
    overlap: Annotated[NonNegativeInt, Field(multiple_of=32)]

    @model_validator(mode="after")
    def _advances(self) -> Self:
        if 2 * self.overlap > self.width:
            raise ValueError(f"tiles of {self.width} columns can overlap by at most half of that")
        return self


class Member(Spec):
    """One network of an ensemble: its input size, and the stages in which it is fitted.

    ``name`` is unique in its ensemble. An empty one becomes the position, "1", "2"..., or another
    free number, and so does the number of a copied member.
    The network is fitted once per fold in ``folds`` (None: each validation fold), on all strips
    outside of that fold. It predicts only ``classes``, ids from 1 (None: all); a class without a
    member is never predicted. With ``start`` its encoder starts from that of another network. It
    predicts whole strips, or ``tiles`` of them.
    """

    name: str = ""
    network: Network
    stages: tuple[Training, ...] = Field(min_length=1)
    resize: Shrink | None = None
    start: Annotated[EncoderOf | EncoderFittedFor, Field(discriminator="kind")] | None = None
    folds: tuple[NonNegativeInt, ...] | None = None
    classes: tuple[PositiveInt, ...] | None = Field(None, min_length=1)
    tiles: Tiles | None = None

    @property
    def needs_class_probabilities(self) -> bool:
        """Whether its training strips depend on an out-of-fold classifier."""
        return any(isinstance(stage.strips, SuspectStrips) for stage in self.all_stages)

    @property
    def all_stages(self) -> tuple[Training, ...]:
        """Its stages, after those of the classifier that is fitted first for its encoder."""
        before = self.start.stages if isinstance(self.start, EncoderFittedFor) else ()
        return (*before, *self.stages)

    @model_validator(mode="after")
    def _classes_are_sorted(self) -> Self:
        if self.classes and list(self.classes) != sorted(set(self.classes)):
            raise ValueError(f"classes {self.classes} are not distinct ids in ascending order")
        return self

    @model_validator(mode="after")
    def _losses_fit_the_network(self) -> Self:
        for number, stage in enumerate(self.stages, start=1):
            conflict = _conflict(self.network, stage)
            if conflict:
                raise ValueError(f"stage {number}: {conflict}")
        return self


def _conflict(network: Network, stage: Training) -> str | None:
    """Return why a network cannot be fitted in a stage, or None."""
    loss = stage.loss
    if isinstance(network, Classifier):
        if stage.monitor != "score":
            return f"a classifier has no {stage.monitor} to monitor"
        return None if fits_classifier(loss) else f"a classifier cannot use the loss {loss.kind}"
    if isinstance(network, TwoHeaded) != isinstance(loss, BothHeads):
        return f"a network of kind {network.kind} cannot use the loss {loss.kind}"
    mask_loss = loss.masks if isinstance(loss, BothHeads) else loss
    output = _output(network)
    if needs_softmax(mask_loss) != (output == "softmax"):
        return f"the loss {mask_loss.kind} is not for output {output}"
    return None


def _output(network: Network) -> str:
    """Return how the logits of a network become probabilities."""
    if isinstance(network, Classifier):
        return "sigmoid"
    return network.segmenter.output if isinstance(network, TwoHeaded) else network.output


class Mean(Spec):
    """The mean of the probabilities."""

    kind: Literal["mean"] = "mean"


class LogitMean(Spec):
    """The probability of the mean logit (4th, K:114716).

    All networks must have the same ``output``; "softmax" is applied after the average.
    """

    kind: Literal["logit_mean"] = "logit_mean"


class PowerMean(Spec):
    """The mean of the probabilities to the power ``t`` ("temperature").

    ``form`` "raw" is only that: with t = 0.5 a probability of 0.25 becomes 0.5. "starter" takes
    the original view to the power 1 and only the flipped ones to ``t``, as the public starter
    pipeline does. "true" takes the power 1 / t of the mean.
    """

    kind: Literal["power_mean"] = "power_mean"
    t: PositiveFloat = 0.5
    form: Literal["raw", "starter", "true"] = "raw"


Average: TypeAlias = Mean | LogitMean | PowerMean


class Ensemble(Spec):
    """Networks whose outputs are averaged, over these views of the strip too.

    Each class is averaged over the members that predict it.
    """

    members: tuple[Member, ...] = Field(min_length=1)
    views: tuple[View, ...] = ("identity",)
    average: Annotated[Average, Field(discriminator="kind")] = Mean()

    @field_validator("members", mode="after")
    @classmethod
    def _members_have_names(cls, members: tuple[Member, ...]) -> tuple[Member, ...]:
        named: dict[str, Member] = {}
        given = {each.name for each in members}
        for at, each in enumerate(members, start=1):
            name = each.name
            if not name or (name.isdigit() and name in named):  # a number is not a chosen name
                free = (str(number) for number in (at, *range(1, 2 * len(members) + 1)))
                name = next(number for number in free if number not in {*named, *given})
            if name in named:
                raise ValueError(f"two members have the name {name}")
            named[name] = each if each.name == name else each.but(name=name)
        return tuple(named.values())

    @model_validator(mode="after")
    def _logits_can_be_averaged(self) -> Self:
        outputs = {_output(member.network) for member in self.members}
        if isinstance(self.average, LogitMean) and len(outputs) > 1:
            raise ValueError("logits of output sigmoid and of output softmax cannot be averaged")
        return self

    def member(self, name: str) -> Member | None:
        """Return the member of this name, or None."""
        return next((each for each in self.members if each.name == name), None)
