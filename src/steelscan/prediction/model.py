"""What a model is: a fitted network of torch or an ONNX graph of a bundle. No torch here."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Shrink
from steelscan.prediction.specs import Average, LogitMean, Tiles, View
from steelscan.strip import Picture

Head: TypeAlias = Literal["masks", "classes"]

OutputKind: TypeAlias = Literal["probabilities", "logits", "both"]
"""What a model returns: probabilities, logits, or probabilities followed by logits."""


class ModelOutputs(NamedTuple):
    """The outputs of a model for one strip: a row per view, or their mean as the only row."""

    masks: NDArray[np.float32] | None
    """``(rows, planes, height, width)``"""
    classes: NDArray[np.float32] | None
    """``(rows, classes)``"""


class Model(Protocol):
    """A network that predicts strips.

    Its input is the strip resized by ``resize`` (None: as it is), whole or in ``tiles``. It
    predicts ``classes``, ids from 1 (None: all). ``softmax``: its mask logits are for softmax.
    """

    @property
    def resize(self) -> Shrink | None: ...  # noqa: D102
    @property
    def classes(self) -> tuple[int, ...] | None: ...  # noqa: D102
    @property
    def tiles(self) -> Tiles | None: ...  # noqa: D102
    @property
    def softmax(self) -> bool: ...  # noqa: D102

    def predict(self, strip: Picture, views: Sequence[View], kind: OutputKind) -> ModelOutputs:
        """Predict a strip, uint8 ``(height, width)``, whose sides the network's stride divides.

        Probabilities have one plane per class; logits have one more, the first, if they are for
        softmax. A model may return the mean over the views if the average is linear in it.
        Raises SteelscanError if an output is not a finite number.
        """
        ...


def kind_for(average: Average) -> OutputKind:
    """Return which outputs an average is made of."""
    return "logits" if isinstance(average, LogitMean) else "probabilities"
