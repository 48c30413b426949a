"""Rules that choose which predictions of strips without masks become pseudo-labels."""

from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.strip import PerClass, Share, Spec, per_class


class ConfidentAndAgreed(Spec):
    """Accept a strip if the classifier is confident in every class and the segmenter agrees.

    A class probability below ``low`` or above ``high`` is confident (1st, K:114254).
    """

    kind: Literal["confident_and_agreed"] = "confident_and_agreed"
    low: Share = 0.05
    high: Share = 0.95


class ConfidentStrips(Spec):
    """Accept a strip if its class probabilities are on average ``margin`` away from 0.5.

    (12th, K:114309.)
    """

    kind: Literal["confident_strips"] = "confident_strips"
    margin: Annotated[float, Field(ge=0, le=0.5)] = 0.45


class ConfidentPixels(Spec):
    """Accept a class of a strip if a share of at least ``min_share`` of its pixels is confident.

    A pixel is confident below ``low`` or above ``high``. Confident areas are dilated by a radius
    in pixels per class, ``dilation``, since boundaries are never confident (10th, K:114465). If a
    gate closed the class, its class probability must be below ``low`` too. Each class is accepted
    by itself: a network trains on a strip if all of its classes are accepted.
    """

    kind: Literal["confident_pixels"] = "confident_pixels"
    low: Share = 0.2
    high: Share = 0.8
    dilation: PerClass[Annotated[int, Field(ge=0)]] = 8
    min_share: Share = 0.995


class ConfidentClasses(Spec):
    """Accept a strip if every predicted class has a probability of at least ``min_probability``.

    (14th, K:114367.)
    """

    kind: Literal["confident_classes"] = "confident_classes"
    min_probability: PerClass[Share] = 0.5


@dataclass(frozen=True)
class StripPrediction:
    """The prediction for a strip without masks.

    ``classes`` is float ``(classes,)`` from a classifier, ``pixels`` float ``(classes, height,
    width)`` from a segmenter. ``present`` and ``segmented`` are bool ``(classes,)``: which final
    masks are not empty, and of which classes there is a segmenter.
    """

    classes: NDArray[np.floating]
    pixels: NDArray[np.floating]
    present: NDArray[np.bool_]
    segmented: NDArray[np.bool_]


def accepted_classes(rule: "PseudoRule", prediction: StripPrediction) -> NDArray[np.bool_]:
    """Return which classes of a prediction may become pseudo-labels, bool ``(classes,)``.

    `ConfidentPixels` accepts each class by itself, the other rules all classes or none. Raises
    RecipeError if a per-class setting does not fit the number of classes.
    """
    if isinstance(rule, ConfidentPixels):
        return _confident_classes(rule, prediction)
    return np.full(len(prediction.classes), _accepts_strip(rule, prediction))


def _accepts_strip(rule: "_StripRule", prediction: StripPrediction) -> bool:
    """Return whether a prediction may become a pseudo-label of all classes."""
    classes = len(prediction.classes)
    match rule:
        case ConfidentAndAgreed():
            high = prediction.classes > rule.high
            confident = (prediction.classes < rule.low) | high
            return bool((confident & (high == prediction.present)).all())
        case ConfidentStrips():
            return bool(np.abs(prediction.classes - 0.5).mean() >= rule.margin)
        case ConfidentClasses():
            field = "ConfidentClasses.min_probability"
            least = np.array(per_class(rule.min_probability, classes, field))
            return bool((~prediction.present | (prediction.classes >= least)).all())


def _confident_classes(rule: ConfidentPixels, prediction: StripPrediction) -> NDArray[np.bool_]:
    """Return the segmented classes whose pixels, and gates if closed, are confident."""
    pixels, count = prediction.pixels, len(prediction.classes)
    radii = per_class(rule.dilation, count, "ConfidentPixels.dilation")
    shares = np.array(list(map(_confident_share, pixels, [rule] * count, radii)))
    closed_in_doubt = ~pixels.any((1, 2)) & (prediction.classes >= rule.low)
    return np.asarray(prediction.segmented & (shares >= rule.min_share) & ~closed_in_doubt)


def _confident_share(plane: NDArray[np.floating], rule: ConfidentPixels, radius: int) -> float:
    """Return the share of pixels that are confident or within a radius of one that is."""
    confident = ((plane < rule.low) | (plane > rule.high)).astype(np.uint8)
    if radius:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        confident = cv2.dilate(confident, disc).astype(np.uint8)
    return float(confident.mean())


_StripRule = ConfidentAndAgreed | ConfidentStrips | ConfidentClasses

PseudoRule = Annotated[
    ConfidentAndAgreed | ConfidentStrips | ConfidentPixels | ConfidentClasses,
    Field(discriminator="kind"),
]


class PseudoLabels(Spec):
    """Fit, predict the test strips, and fit again with confident predictions as truth.

    Pseudo-labels are used only for training, never for scores or thresholds. In each round the
    networks start again from their initial weights. With ``predicted_by`` "all" the networks of
    all folds predict together, as in the competition: through the pseudo-labels a network then
    also depends on the strips that validate it, so no recipe may tune thresholds on them. With
    "fold" each fold has its own pseudo-labels, from networks that were not fitted on its strips.
    """

    rounds: Annotated[int, Field(gt=0, le=100)] = 1
    rule: PseudoRule
    predicted_by: Literal["fold", "all"] = "fold"
