"""Which answers for strips without masks are sure enough to teach."""

from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.strip import PerClass, Share, Spec, per_class


class ConfidentAndAgreed(Spec):
    """Strips of which the classifier is sure in every class, and the segmenter agrees.

    Sure is below ``low`` or above ``high`` (1st, K:114254).
    """

    kind: Literal["sure_and_agreed"] = "sure_and_agreed"
    low: Share = 0.05
    high: Share = 0.95


class ConfidentStrips(Spec):
    """Strips whose class probabilities lie ``apart`` from 0.5 on the mean (12th, K:114309)."""

    kind: Literal["sure_strips"] = "sure_strips"
    apart: Annotated[float, Field(ge=0, le=0.5)] = 0.45


class ConfidentPixels(Spec):
    """Strips in each of whose maps a share of ``least`` of all pixels is sure (10th, K:114465).

    A pixel is sure below ``low`` or above ``high``; sure areas are grown by so many pixels in all
    directions, a class, since a boundary is never sure.
    """

    kind: Literal["sure_pixels"] = "sure_pixels"
    low: Share = 0.2
    high: Share = 0.8
    grown: PerClass[Annotated[int, Field(ge=0)]] = 8
    least: Share = 0.995


class ConfidentClasses(Spec):
    """Strips none of whose predicted classes has a classifier's answer below ``least``, a class.

    (14th, K:114367.)
    """

    kind: Literal["sure_classes"] = "sure_classes"
    least: PerClass[Share] = 0.5


@dataclass(frozen=True)
class Answer:
    """What was said of a strip without masks.

    ``classes`` is float ``(classes,)`` from a classifier, ``pixels`` float ``(classes, height,
    width)`` from a segmenter, ``found`` bool ``(classes,)``: which masks are not empty in the end.
    """

    classes: NDArray[np.floating]
    pixels: NDArray[np.floating]
    found: NDArray[np.bool_]


def teaches(rule: "PseudoRule", answer: Answer) -> bool:
    """Whether an answer is sure enough to be learned from.

    Raises RecipeError when a setting a class does not fit the number of classes.
    """
    classes = len(answer.classes)
    match rule:
        case ConfidentAndAgreed():
            sure = (answer.classes < rule.low) | (answer.classes > rule.high)
            agreed = (answer.classes > rule.high) == answer.found
            return bool((sure & agreed).all())
        case ConfidentStrips():
            return bool(np.abs(answer.classes - 0.5).mean() >= rule.apart)
        case ConfidentPixels():
            grown = per_class(rule.grown, classes, "ConfidentPixels.grown")
            shares = map(_sure_share, answer.pixels, [rule] * classes, grown)
            return all(share >= rule.least for share in shares)
        case ConfidentClasses():
            least = np.array(per_class(rule.least, classes, "ConfidentClasses.least"))
            return bool((~answer.found | (answer.classes >= least)).all())


def _sure_share(plane: NDArray[np.floating], rule: ConfidentPixels, grown: int) -> float:
    """The share of a map's pixels that are sure, or near one that is."""
    sure = ((plane < rule.low) | (plane > rule.high)).astype(np.uint8)
    if grown:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1, 2 * grown + 1))
        sure = cv2.dilate(sure, disc).astype(np.uint8)
    return float(sure.mean())


PseudoRule = Annotated[
    ConfidentAndAgreed | ConfidentStrips | ConfidentPixels | ConfidentClasses,
    Field(discriminator="kind"),
]


class PseudoLabels(Spec):
    """Fit, answer for the test strips, and fit again with the sure answers as truth.

    They teach only; no score and no threshold is taken on them. Networks begin anew in each
    round. ``answered_by`` "all" lets the networks of all folds answer together, as the winners
    did; what they learned from a fold's strips then reaches the networks that it judges. With
    "fold" each fold has answers of its own, from networks that have not seen its strips.
    """

    rounds: Annotated[int, Field(gt=0, le=100)] = 1
    rule: PseudoRule
    answered_by: Literal["fold", "all"] = "fold"
