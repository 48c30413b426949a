"""The inputs of the networks of a bundle: strips after resizing, padding and tiling."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steelscan.bundle.spec import Graph
from steelscan.data import PictureFile, Shrink, read_picture
from steelscan.decision import Step
from steelscan.prediction import ModelOutputs, OutputKind, Tiles, View, kind_for, predict_views
from steelscan.strip import Picture

Inputs = Sequence[NDArray[np.uint8]]
"""The inputs for one strip, one array or one per tile: uint8 ``(1, 1, height, width)``."""


@dataclass(frozen=True)
class StripInputs:
    """The inputs of a network for some strips; each strip is read when needed, and not kept."""

    graph: Graph
    step: Step
    files: Sequence[PictureFile]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Inputs:
        """Return the inputs for one strip. Raises PictureError."""
        file = self.files[index]
        return network_inputs(self.graph, self.step, read_picture(file.read(), file.name))


def network_inputs(graph: Graph, step: Step, picture: Picture) -> Inputs:
    """Return the inputs of a network for a picture, uint8 ``(height, width)``."""
    recorder = _InputRecorder(graph)
    predict_views(recorder, step.views, picture, kind_for(step.average))
    return recorder.inputs


@dataclass
class _InputRecorder:
    """Records its inputs in place of a network, and returns zeros."""

    graph: Graph
    inputs: list[NDArray[np.uint8]] = field(default_factory=list)
    classes = None
    softmax = False

    @property
    def resize(self) -> Shrink | None:
        return self.graph.resize

    @property
    def tiles(self) -> Tiles | None:
        return self.graph.tiles

    def predict(self, strip: Picture, views: Sequence[View], kind: OutputKind) -> ModelOutputs:
        del views, kind
        self.inputs.append(np.ascontiguousarray(strip)[None, None])
        return ModelOutputs(
            np.zeros((1, 1, *strip.shape), np.float32), np.zeros((1, 1), np.float32)
        )
