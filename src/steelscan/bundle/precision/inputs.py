"""What the networks of a bundle see of strips: resized, padded, in tiles. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steelscan.bundle import Graph
from steelscan.data import PictureFile, Shrink, read_picture
from steelscan.decision import Step
from steelscan.prediction import ModelOutputs, OutputKind, Tiles, View, kind_for, predict_views
from steelscan.strip import Picture

Seen = Sequence[NDArray[np.uint8]]
"""What a network sees of one strip, whole or a tile at a time: uint8 ``(1, 1, height, width)``."""


@dataclass(frozen=True)
class SeenStrips:
    """What a network sees of some strips, each read when it is wanted: none is kept."""

    graph: Graph
    step: Step
    files: Sequence[PictureFile]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> Seen:
        """Of one strip. Raises PictureError."""
        file = self.files[place]
        return seen_by(self.graph, self.step, read_picture(file.read(), file.name))


def seen_by(graph: Graph, step: Step, picture: Picture) -> Seen:
    """What a network sees of a picture, uint8 ``(height, width)``."""
    looking = _Looking(graph)
    predict_views(looking, step.views, picture, kind_for(step.average))
    return looking.seen


@dataclass
class _Looking:
    """Stands in for a network, remembers what it is shown, and says nothing of it."""

    graph: Graph
    seen: list[NDArray[np.uint8]] = field(default_factory=list)
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
        self.seen.append(np.ascontiguousarray(strip)[None, None])
        return ModelOutputs(
            np.zeros((1, 1, *strip.shape), np.float32), np.zeros((1, 1), np.float32)
        )
