"""Which networks answer together, as settings: no torch here."""

from typing import Literal

from pydantic import Field, NonNegativeInt

from steelscan.data import Shrink
from steelscan.models import Network
from steelscan.strip import Spec
from steelscan.training import Training

View = Literal["identity", "hflip", "vflip"]


class EncoderOf(Spec):
    """The encoder of another member of the recipe, once that is fitted on the same strips."""

    step: Literal["classify", "segment"]
    member: NonNegativeInt = 0


class Member(Spec):
    """One network of an ensemble: its size of input, and the stages in which it is fitted.

    With ``start`` its encoder begins with another member's (12th, K:114309, fitted segmenters on
    the encoder of a classifier).
    """

    network: Network
    stages: tuple[Training, ...] = Field(min_length=1)
    resize: Shrink | None = None
    start: EncoderOf | None = None


class Ensemble(Spec):
    """Networks whose probabilities are averaged, each over these views of the strip."""

    members: tuple[Member, ...] = Field(min_length=1)
    views: tuple[View, ...] = ("identity",)
