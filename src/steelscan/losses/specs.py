"""The losses as settings: no torch here."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from steelscan.strip import PerClass, Spec, per_class

Share = Annotated[float, Field(ge=0, lt=1)]

T = TypeVar("T")


class BCE(Spec):
    """Binary cross entropy of each logit; ``pos_weight`` multiplies the positive term."""

    kind: Literal["bce"] = "bce"
    pos_weight: PerClass[PositiveFloat] = 1.0
    smoothing: Share = 0.0
    """Targets 0 and 1 become s / 2 and 1 - s / 2."""


class Focal(Spec):
    """Binary cross entropy times (1 - probability of the truth) to the power ``gamma``."""

    kind: Literal["focal"] = "focal"
    gamma: NonNegativeFloat = 2.0


class Dice(Spec):
    """One minus soft Dice, a class; see `steelscan.losses.overlap.soft_dice_loss`."""

    kind: Literal["dice"] = "dice"
    over: Literal["strip", "batch"] = "batch"
    smooth: PositiveFloat = 1.0


class Jaccard(Spec):
    """One minus soft intersection over union per class; see `overlap.jaccard_loss`."""

    kind: Literal["jaccard"] = "jaccard"
    over: Literal["strip", "batch"] = "batch"
    smooth: PositiveFloat = 1.0


class Lovasz(Spec):
    """The Lovasz hinge, a class and strip; see `steelscan.losses.lovasz.lovasz_hinge_loss`.

    ``symmetric``: the mean of it and of that with truth and logits turned round.
    ``rectifier``: errors go through relu, or through elu + 1 (14th, K:114367).
    """

    kind: Literal["lovasz"] = "lovasz"
    symmetric: bool = False
    rectifier: Literal["relu", "elu"] = "relu"


class CrossEntropy(Spec):
    """Cross entropy of classes that exclude each other, for networks with output "softmax"."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    smoothing: Share = 0.0
    """So much of a target is dealt evenly to all classes and sound steel."""


class SoftmaxFocal(Spec):
    """Cross entropy times (1 - probability of the truth) to ``gamma``, for output "softmax".

    Weights are scaled to a mean of 1 in each strip (the public starter pipeline; 3rd, K:117377).
    """

    kind: Literal["softmax_focal"] = "softmax_focal"
    gamma: NonNegativeFloat = 2.0


StripLoss = Annotated[BCE | Focal | Dice | Jaccard | Lovasz, Field(discriminator="kind")]


class WherePresent(Spec):
    """A loss that a class feels only in the crops that hold it, unless ``always`` says so.

    The sum over classes of the mean over those crops; a class without any adds nothing. A network
    needs a second head then: on sound crops nothing keeps its masks empty (14th, K:114367).
    """

    kind: Literal["where_present"] = "where_present"
    loss: StripLoss
    always: PerClass[bool] = False

    @model_validator(mode="after")
    def _knows_single_crops(self) -> Self:
        if isinstance(self.loss, Dice | Jaccard) and self.loss.over == "batch":
            raise ValueError(f'where_present takes {self.loss.kind} with over="strip"')
        return self


class Mix(Spec):
    """A weighted sum of losses: ``((weight, loss), ...)``."""

    kind: Literal["mix"] = "mix"
    parts: tuple[tuple[PositiveFloat, Loss], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_one_head(self) -> Self:
        if any(isinstance(part, BothHeads) for _, part in self.parts):
            raise ValueError("both_heads holds mixes, a mix does not hold both_heads")
        if len({wants_softmax(part) for _, part in self.parts}) > 1:
            raise ValueError("a mix holds losses for output sigmoid and for output softmax")
        return self


class BothHeads(Spec):
    """For two heads: the loss of the masks, plus ``weight`` times that of the classes."""

    kind: Literal["both_heads"] = "both_heads"
    masks: Loss
    classes: Loss
    weight: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _fits_its_heads(self) -> Self:
        if isinstance(self.masks, BothHeads):
            raise ValueError("the loss of the masks is both_heads again")
        if not judges_strips(self.classes):
            raise ValueError("the loss of the classes is bce, focal or a mix of them")
        return self


def single_losses(loss: Loss) -> tuple[Loss, ...]:
    """The losses that a loss is made of, without mixes, heads and conditions around them."""
    match loss:
        case Mix():
            return tuple(single for _, part in loss.parts for single in single_losses(part))
        case BothHeads():
            return (*single_losses(loss.masks), *single_losses(loss.classes))
        case WherePresent():
            return single_losses(loss.loss)
        case _:
            return (loss,)


def judges_strips(loss: Loss) -> bool:
    """Whether a loss can be that of a classifier: bce, focal or a mix of them."""
    if isinstance(loss, Mix):
        return all(judges_strips(part) for _, part in loss.parts)
    return isinstance(loss, BCE | Focal)


def wants_softmax(loss: Loss) -> bool:
    """Whether a loss of masks is for classes that exclude each other, output "softmax"."""
    return isinstance(single_losses(loss)[0], CrossEntropy | SoftmaxFocal)


def loss_of_classes(loss: Loss, known: tuple[int, ...] | None, classes: int) -> Loss:
    """A loss for networks that know only some of so many classes: per-class settings of those.

    Raises RecipeError when such a setting is not for the classes of the data set.
    """
    if known is None:
        return loss

    def those(value: PerClass[T], field: str) -> PerClass[T]:
        each = per_class(value, classes, field)
        return tuple(each[class_id - 1] for class_id in known)

    match loss:
        case BCE():
            return loss.but(pos_weight=those(loss.pos_weight, "BCE.pos_weight"))
        case WherePresent():
            always = those(loss.always, "WherePresent.always")
            return loss.but(loss=loss_of_classes(loss.loss, known, classes), always=always)
        case Mix():
            parts = tuple(
                (weight, loss_of_classes(part, known, classes)) for weight, part in loss.parts
            )
            return loss.but(parts=parts)
        case BothHeads():
            masks, judged = (
                loss_of_classes(part, known, classes) for part in (loss.masks, loss.classes)
            )
            return loss.but(masks=masks, classes=judged)
        case _:
            return loss


Loss = Annotated[
    BCE
    | Focal
    | Dice
    | Jaccard
    | Lovasz
    | CrossEntropy
    | SoftmaxFocal
    | WherePresent
    | Mix
    | BothHeads,
    Field(discriminator="kind"),
]

Mix.model_rebuild()
BothHeads.model_rebuild()
