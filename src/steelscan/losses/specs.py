"""The losses as settings: no torch here."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from steelscan.strip import PerClass, ShareBelowOne, Spec, per_class

T = TypeVar("T")


class BCE(Spec):
    """Binary cross entropy per logit; ``pos_weight`` multiplies the positive term."""

    kind: Literal["bce"] = "bce"
    pos_weight: PerClass[PositiveFloat] = 1.0
    smoothing: ShareBelowOne = 0.0
    """Targets 0 and 1 become s / 2 and 1 - s / 2."""


class Focal(Spec):
    """Binary cross entropy times (1 - p_true) to the power ``gamma``.

    Lin et al. 2017, arXiv:1708.02002, without the weight alpha.
    """

    kind: Literal["focal"] = "focal"
    gamma: NonNegativeFloat = 2.0


class Dice(Spec):
    """One minus soft Dice per class; see `steelscan.losses.overlap.soft_dice_loss`."""

    kind: Literal["dice"] = "dice"
    over: Literal["strip", "batch"] = "batch"
    smooth: PositiveFloat = 1.0


class Jaccard(Spec):
    """One minus soft intersection over union per class; see `overlap.jaccard_loss`."""

    kind: Literal["jaccard"] = "jaccard"
    over: Literal["strip", "batch"] = "batch"
    smooth: PositiveFloat = 1.0


class Lovasz(Spec):
    """The Lovasz hinge per class and strip; see `steelscan.losses.lovasz.lovasz_hinge_loss`.

    ``symmetric`` takes the mean of it and of the same with target and logits inverted.
    ``rectifier`` is applied to the errors: relu, or elu + 1 (14th, K:114367).
    """

    kind: Literal["lovasz"] = "lovasz"
    symmetric: bool = False
    rectifier: Literal["relu", "elu"] = "relu"


class CrossEntropy(Spec):
    """Cross entropy of mutually exclusive classes, for networks with output "softmax"."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    smoothing: ShareBelowOne = 0.0
    """This share of a target is distributed evenly over all classes and the background."""


class SoftmaxFocal(Spec):
    """Cross entropy times (1 - p_true) to the power ``gamma``, for output "softmax".

    Weights are scaled to a mean of 1 per strip (the public starter pipeline; 3rd, K:117377).
    """

    kind: Literal["softmax_focal"] = "softmax_focal"
    gamma: NonNegativeFloat = 2.0


StripLoss = Annotated[BCE | Focal | Dice | Jaccard | Lovasz, Field(discriminator="kind")]


class WherePresent(Spec):
    """A loss per class, only of the crops that hold the class, or of all if ``always`` is set.

    It is the sum over classes of the mean over those crops; a class without any adds nothing. On
    clean crops it does not keep masks empty, so the network needs an aux head (14th, K:114367).
    """

    kind: Literal["where_present"] = "where_present"
    loss: StripLoss
    always: PerClass[bool] = False

    @model_validator(mode="after")
    def _has_a_loss_per_crop(self) -> Self:
        if isinstance(self.loss, Dice | Jaccard) and self.loss.over == "batch":
            raise ValueError(f'where_present needs {self.loss.kind} with over="strip"')
        return self


class Mix(Spec):
    """A weighted sum of losses: ``((weight, loss), ...)``."""

    kind: Literal["mix"] = "mix"
    parts: tuple[tuple[PositiveFloat, Loss], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_one_head(self) -> Self:
        if any(isinstance(part, BothHeads) for _, part in self.parts):
            raise ValueError("a mix cannot hold both_heads; put the mix into both_heads")
        if len({needs_softmax(part) for _, part in self.parts}) > 1:
            raise ValueError("a mix cannot hold losses for output sigmoid and for output softmax")
        return self


class BothHeads(Spec):
    """The loss of two heads: that of the masks, plus ``weight`` times that of the classes."""

    kind: Literal["both_heads"] = "both_heads"
    masks: Loss
    classes: Loss
    weight: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _fits_its_heads(self) -> Self:
        if isinstance(self.masks, BothHeads):
            raise ValueError("the loss of the masks cannot be both_heads")
        if not fits_classifier(self.classes):
            raise ValueError("the loss of the classes must be bce, focal or a mix of them")
        return self


def single_losses(loss: Loss) -> tuple[Loss, ...]:
    """Return the losses inside mixes, heads and `WherePresent`."""
    match loss:
        case Mix():
            return tuple(single for _, part in loss.parts for single in single_losses(part))
        case BothHeads():
            return (*single_losses(loss.masks), *single_losses(loss.classes))
        case WherePresent():
            return single_losses(loss.loss)
        case _:
            return (loss,)


def fits_classifier(loss: Loss) -> bool:
    """Return whether a classifier can use a loss: bce, focal or a mix of them."""
    if isinstance(loss, Mix):
        return all(fits_classifier(part) for _, part in loss.parts)
    return isinstance(loss, BCE | Focal)


def needs_softmax(loss: Loss) -> bool:
    """Return whether a loss of masks needs a network with output "softmax"."""
    return isinstance(single_losses(loss)[0], CrossEntropy | SoftmaxFocal)


def loss_of_classes(loss: Loss, class_ids: tuple[int, ...] | None, classes: int) -> Loss:
    """Return a loss with the per-class settings of only some of so many classes (None: all).

    Raises RecipeError if a setting does not have one value per class of the data set.
    """
    if class_ids is None:
        return loss

    def select(value: PerClass[T], field: str) -> PerClass[T]:
        each = per_class(value, classes, field)
        return tuple(each[class_id - 1] for class_id in class_ids)

    def part(loss: Loss) -> Loss:
        return loss_of_classes(loss, class_ids, classes)

    match loss:
        case BCE():
            return loss.but(pos_weight=select(loss.pos_weight, "BCE.pos_weight"))
        case WherePresent():
            always = select(loss.always, "WherePresent.always")
            return loss.but(loss=part(loss.loss), always=always)
        case Mix():
            return loss.but(parts=tuple((weight, part(each)) for weight, each in loss.parts))
        case BothHeads():
            return loss.but(masks=part(loss.masks), classes=part(loss.classes))
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
