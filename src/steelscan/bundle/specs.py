"""What a bundle says of itself: its networks, gates, rules and files. No torch here."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from steelscan.data import Shrink
from steelscan.pipeline import HardGate, Round, SoftGate
from steelscan.postprocess import Rule, Share
from steelscan.prediction import Average, Tiles, View
from steelscan.strip import Classes, Frame, Layout, PerClass, Spec

Format = Literal["onnx", "openvino", "torchscript"]
"""What the networks of a bundle are written for."""

Precision = Literal["fp32", "fp16", "int8"]
"""In what the networks of a bundle compute."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class File(Spec):
    """A file of a bundle: its size in bytes, and what it must hold."""

    bytes: NonNegativeInt
    sha256: Sha256


class Graph(Spec):
    """One network: normalisation, views and, where it is linear, their mean are in its file.

    ``file`` takes uint8 ``(1, 1, height, width)`` whose sides ``stride`` divides, and gives
    "masks" ``(answers, 1, planes, height, width)``, "classes" ``(answers, 1, classes)``, or both.
    """

    file: str
    heads: tuple[Literal["masks", "classes"], ...]
    resize: Shrink | None = None
    classes: tuple[PositiveInt, ...] | None = None
    tiles: Tiles | None = None
    softmax: bool = False
    stride: PositiveInt = 32


class Asked(Spec):
    """A step that asks networks: those, the views that are in them, and what makes one answer."""

    name: str
    graphs: Annotated[tuple[Graph, ...], Field(min_length=1)]
    views: Annotated[tuple[View, ...], Field(min_length=1)]
    average: Average


class Judge(Asked):
    """What is deployed of a `steelscan.pipeline.Classify`."""

    threshold: PerClass[Share]
    gate: Literal["image", "class"]


class Outline(Asked):
    """What is deployed of a `steelscan.pipeline.Segment`.

    ``early``: a strip of which the first network finds no level above this is clean, and the
    others are not asked; None: only those are left out that could change nothing.
    """

    gate: Annotated[SoftGate | HardGate, Field(discriminator="kind")] | None = None
    early: Annotated[int, Field(ge=0, le=255)] | None = None


class Deployed(Spec):
    """One round of a recipe: who judges, who outlines, by what rules."""

    judges: tuple[Judge, ...] = ()
    outline: Outline
    rules: tuple[Rule, ...]


class Manifest(Spec):
    """All of a bundle but its networks' weights.

    ``frame`` is the size of the strips that it was made for; ``mm_per_pixel`` is given by who made
    it, and None where nobody did.
    """

    format: Literal[1] = 1
    made_with: str
    recipe: str
    classes: Classes
    layout: Layout
    frame: tuple[PositiveInt, PositiveInt]
    mm_per_pixel: PositiveFloat | None = None
    written_for: Format = "onnx"
    precision: Precision = "fp32"
    deployed: Annotated[tuple[Deployed, ...], Field(min_length=1)]
    files: Mapping[str, File] = {}

    @property
    def rounds(self) -> tuple[Round[Judge, Outline], ...]:
        """The rounds, as those of a recipe are."""
        return tuple(
            Round(
                tuple((judge.name, judge) for judge in each.judges),
                (each.outline.name, each.outline),
                each.rules,
            )
            for each in self.deployed
        )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules after the last networks."""
        return self.deployed[-1].rules

    @property
    def steps(self) -> tuple[Judge | Outline, ...]:
        """All steps that ask networks, in order."""
        steps: list[Judge | Outline] = []
        for each in self.deployed:
            steps += [*each.judges, each.outline]
        return tuple(steps)

    @property
    def strip(self) -> Frame:
        """The frame of the strips that it was made for."""
        return Frame(*self.frame)
