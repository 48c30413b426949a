"""What is said of a strip, and in which form it is asked for. No torch here."""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

OutputKind: TypeAlias = Literal["shares", "logits", "both"]
"""What a voter is asked for: probabilities, logits, or both of one answer."""


class ModelOutputs(NamedTuple):
    """What is said of a strip: a row an answer, one for each view, or their mean alone."""

    masks: NDArray[np.float32] | None
    """``(answers, planes, height, width)``"""
    classes: NDArray[np.float32] | None
    """``(answers, classes)``"""
