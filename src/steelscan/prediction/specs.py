"""Which networks answer together, as settings: no torch here."""

from typing import Literal

from pydantic import Field

from steelscan.data import Shrink
from steelscan.models import Network
from steelscan.strip import Spec
from steelscan.training import Training

View = Literal["identity", "hflip", "vflip"]


class Member(Spec):
    """One network of an ensemble: its size of input, and the stages in which it is fitted."""

    network: Network
    stages: tuple[Training, ...] = Field(min_length=1)
    resize: Shrink | None = None


class Ensemble(Spec):
    """Networks whose probabilities are averaged, each over these views of the strip."""

    members: tuple[Member, ...] = Field(min_length=1)
    views: tuple[View, ...] = ("identity",)
