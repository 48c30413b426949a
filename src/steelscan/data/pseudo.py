"""Which answers for strips without masks are sure enough to teach, as settings."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from steelscan.strip import PerClass, Spec

Share = Annotated[float, Field(ge=0, le=1)]


class SureAndAgreed(Spec):
    """Strips of which the classifier is sure in every class, and the segmenter agrees.

    Sure is below ``low`` or above ``high`` (1st, K:114254).
    """

    built: ClassVar[bool] = False
    kind: Literal["sure_and_agreed"] = "sure_and_agreed"
    low: Share = 0.05
    high: Share = 0.95


class SureStrips(Spec):
    """Strips whose class probabilities lie ``apart`` from 0.5 on the mean (12th, K:114309)."""

    built: ClassVar[bool] = False
    kind: Literal["sure_strips"] = "sure_strips"
    apart: Annotated[float, Field(ge=0, le=0.5)] = 0.45


class SurePixels(Spec):
    """Strips of which a share of ``least`` of all pixels is sure (10th, K:114465).

    A pixel is sure below ``low`` or above ``high``; sure areas are grown by so many pixels, a
    class, since a boundary is never sure.
    """

    built: ClassVar[bool] = False
    kind: Literal["sure_pixels"] = "sure_pixels"
    low: Share = 0.2
    high: Share = 0.8
    grown: PerClass[Annotated[int, Field(ge=0)]] = 8
    least: Share = 0.995


class SureClasses(Spec):
    """Strips none of whose predicted classes has a classifier's answer below ``least``, a class.

    (14th, K:114367.)
    """

    built: ClassVar[bool] = False
    kind: Literal["sure_classes"] = "sure_classes"
    least: PerClass[Share] = 0.5


PseudoRule = Annotated[
    SureAndAgreed | SureStrips | SurePixels | SureClasses, Field(discriminator="kind")
]


class PseudoLabels(Spec):
    """Fit, answer for the strips without masks, and fit again with the sure answers as truth.

    They teach only; no score and no threshold is taken on them. Networks begin anew in each
    round.
    """

    built: ClassVar[bool] = False
    rounds: PositiveInt = 1
    rule: PseudoRule
