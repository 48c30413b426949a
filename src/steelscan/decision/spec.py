"""What decides the way of a strip: gates and stages, as settings."""

from collections.abc import Sequence
from typing import Annotated, Generic, Literal, NamedTuple, Protocol, TypeVar

from pydantic import Field

from steelscan.postprocess import Rule
from steelscan.strip import PerClass, Share, Spec

Gate = Literal["image", "class"]


class SoftGate(Spec):
    """The probability of a pixel is multiplied by that of its class on the whole strip.

    (4th, K:114716.)
    """

    kind: Literal["soft"] = "soft"


class HardGate(Spec):
    """Classes whose probability on the whole strip is not above ``threshold`` are not outlined.

    (14th, K:114367.)
    """

    kind: Literal["hard"] = "hard"
    threshold: PerClass[Share] = 0.5


OwnGate = Annotated[SoftGate | HardGate, Field(discriminator="kind")]


class Judging(Protocol):
    """What decides which classes go on: a `Classify`, or what is deployed of one."""

    @property
    def threshold(self) -> PerClass[Share]: ...  # noqa: D102
    @property
    def gate(self) -> Gate: ...  # noqa: D102


class Outlining(Protocol):
    """What decides which maps go on: a `Segment`, or what is deployed of one."""

    @property
    def gate(self) -> SoftGate | HardGate | None: ...  # noqa: D102


Judge_co = TypeVar("Judge_co", bound=Judging, covariant=True)


Outliner_co = TypeVar("Outliner_co", bound=Outlining, covariant=True)


class Round(NamedTuple, Generic[Judge_co, Outliner_co]):
    """The steps from a picture to masks: judge, outline, decide. Asking steps go by their names."""

    classifies: tuple[tuple[str, Judge_co], ...]
    segment: tuple[str, Outliner_co]
    rules: tuple[Rule, ...]


class Deciding(Protocol):
    """What goes from a picture to masks in rounds: a `Recipe`, or what is deployed of one."""

    @property
    def rounds(self) -> Sequence[Round[Judging, Outlining]]: ...  # noqa: D102
