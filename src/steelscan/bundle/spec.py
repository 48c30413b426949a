"""The manifest of a bundle: its decision, networks and files. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from steelscan.data import Shrink
from steelscan.decision import Decision, SegmentStep, Step
from steelscan.prediction import Tiles
from steelscan.strip import Classes, Frame, Share, Spec
from steelscan.strip.tables import Layout

Format = Literal["onnx", "openvino"]
"""The runtime of a bundle; its networks are ONNX files in either case."""

Precision = Literal["fp32", "fp16", "int8"]
"""The number format in which the networks of a bundle compute."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

FileName = Annotated[str, Field(pattern=r"^([\w-][\w. -]{0,99}/)?[\w-][\w. -]{0,99}$")]
"""A file of a bundle, in at most one folder; never a path that leads out of the bundle."""

MillimetresPerPixel = Annotated[float, Field(ge=1e-6, le=1e4)]

_MOST_NETWORKS = 256
_MOST_NUMBER = 2**31
"""The largest number of pixels in a rule."""

_Side = Annotated[PositiveInt, Field(le=2**20)]


class File(Spec):
    """A file of a bundle: its size in bytes, and its hash."""

    bytes: NonNegativeInt
    sha256: Sha256


class Graph(Spec):
    """One network; its file contains normalisation, views and, if it is linear, their mean.

    Its input is uint8 ``(1, 1, height, width)``, whose sides ``stride`` divides; its outputs are
    "masks" ``(rows, 1, planes, height, width)``, "classes" ``(rows, 1, classes)``, or both.
    """

    file: FileName
    heads: Annotated[tuple[Literal["masks", "classes"], ...], Field(min_length=1, max_length=2)]
    resize: Shrink | None = None
    classes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = None
    tiles: Tiles | None = None
    softmax: bool = False
    stride: PositiveInt = 32


class EarlyExit(Spec):
    """What skipping networks early saves and costs, measured on the strips that evaluate a run.

    Attributes:
        value: a strip is called clean if the first network predicts at most this, of 255.
        shown: number of strips that pass the gates.
        skipped: those of them that are called clean.
        defective: number of strips with a labelled defect.
        escapes: those of them in which the run finds a defect, and the early exit none.
        at_most: upper limit of the share of defective strips that escape, at 95 % confidence.
    """

    value: Annotated[NonNegativeInt, Field(le=254)]
    shown: NonNegativeInt
    skipped: NonNegativeInt
    defective: NonNegativeInt
    escapes: NonNegativeInt
    at_most: Share

    def text(self) -> str:
        """Return one line for people."""
        return (
            f"{self.skipped} of {self.shown} strips are called clean after the first segmenter, "
            f"if it predicts at most {self.value} of 255; escapes added: {self.escapes} of "
            f"{self.defective} defective strips, at most {self.at_most:.1%} (95 %)"
        )


def never_predicted(
    decision: Decision, networks: Mapping[str, Sequence[Graph]], classes: Classes
) -> tuple[int, ...]:
    """Return the ids of classes that no network of some segmenter predicts, in order."""
    every, never = set(classes.ids), set[int]()
    for name, step in decision.steps.items():
        if isinstance(step, SegmentStep):
            predicted = chain.from_iterable(graph.classes or every for graph in networks[name])
            never |= every.difference(predicted)
    return tuple(sorted(never))


class Manifest(Spec):
    """A bundle without the weights of its networks.

    ``decision`` is that of the recipe; ``networks`` are the graphs of each of its steps, by name.
    ``frame`` is the size of the strips it was made for; ``mm_per_pixel`` was given when it was
    exported, or is None. ``never_predicted`` are the ids of classes that no network predicts, if
    the recipe requires it (the 10th has no network for class 2). ``files`` are all files of the
    bundle except the manifest, the certificate and the signature.
    """

    format: Literal[3] = 3
    made_with: str
    recipe: str
    classes: Classes
    layout: Layout
    frame: tuple[_Side, _Side]
    mm_per_pixel: MillimetresPerPixel | None = None
    written_for: Format = "onnx"
    precision: Precision = "fp32"
    decision: Decision
    networks: Mapping[
        str,
        Annotated[
            tuple[Graph, ...], Field(min_length=1, max_length=_MOST_NETWORKS, fail_fast=True)
        ],
    ]
    never_predicted: tuple[PositiveInt, ...] = ()
    files: Mapping[FileName, File] = {}

    @field_validator("classes")
    @classmethod
    def _classes_are_few_and_printable(cls, classes: Classes) -> Classes:
        if len(classes) > Classes.MOST:
            raise ValueError(f"{len(classes)} classes are more than {Classes.MOST}")
        if not all(name.isprintable() for name in classes.names):
            raise ValueError("a name of a class cannot be printed")
        return classes

    @field_validator("frame")
    @classmethod
    def _frame_is_not_too_large(cls, frame: tuple[int, int]) -> tuple[int, int]:
        if not Frame(*frame).is_readable:
            raise ValueError(f"{Frame(*frame)} has more pixels than any readable picture")
        return frame

    @model_validator(mode="after")
    def _each_step_has_its_networks(self) -> Self:
        steps = self.decision.steps
        if list(self.networks) != list(steps):
            raise ValueError(f"networks are of the steps {list(self.networks)}, not {list(steps)}")
        files = [graph.file for _, graph in self.graphs]
        if len(files) > _MOST_NETWORKS:
            raise ValueError(f"{len(files)} networks are more than {_MOST_NETWORKS}")
        for of_step in self.networks.values():
            own = [graph.file for graph in of_step]
            if len(set(own)) < len(own):
                twice = next(file for file in own if own.count(file) > 1)
                raise ValueError(f"{twice[:60]!r} is listed twice")
        return self

    @model_validator(mode="after")
    def _networks_predict_what_steps_need(self) -> Self:
        every = set(self.classes.ids)
        for name, step in self.decision.steps.items():
            needed = {"masks"} if isinstance(step, SegmentStep) else set()
            if step.has_class_output:
                needed.add("classes")
            for graph in self.networks[name]:
                ids = graph.classes or tuple(self.classes.ids)
                if list(ids) != sorted(set(ids)) or not set(ids) <= every:
                    raise ValueError(f"{graph.file} predicts classes {ids} of {len(every)}")
                if not needed <= set(graph.heads) or len(set(graph.heads)) < len(graph.heads):
                    raise ValueError(f"{graph.file} has the heads {graph.heads}, not {needed}")
        never = never_predicted(self.decision, self.networks, self.classes)
        if self.never_predicted != never or len(never) == len(every):
            raise ValueError(f"never_predicted is {self.never_predicted}, not {never}")
        return self

    @model_validator(mode="after")
    def _numbers_per_class_are_as_many_as_classes(self) -> Self:
        for owner in self._owners:
            for name in _PER_CLASS & type(owner).model_fields.keys():
                value = getattr(owner, name)
                if isinstance(value, tuple) and len(value) != len(self.classes):
                    raise ValueError(
                        f"{name} holds {len(value)} values for {len(self.classes)} classes"
                    )
                every = value if isinstance(value, tuple) else (value,)
                if any(number is not None and number > _MOST_NUMBER for number in every):
                    raise ValueError(f"{name} is more than {_MOST_NUMBER}")
        return self

    @property
    def _owners(self) -> Iterator[Spec]:
        """Yield every spec with numbers of pixels or of classes."""
        for stage in self.decision.stages:
            yield from (*stage.classifiers, *stage.rules)
            if stage.segmenter.gate is not None:
                yield stage.segmenter.gate
        yield from (graph.resize for _, graph in self.graphs if graph.resize is not None)

    @property
    def graphs(self) -> tuple[tuple[Step, Graph], ...]:
        """All networks in the order in which they predict, each with its step."""
        steps = self.decision.steps
        return tuple((steps[name], graph) for name, own in self.networks.items() for graph in own)

    @property
    def early_exit(self) -> int | None:
        """The ``early_exit`` of the last segmenter."""
        return self.decision.last.segmenter.early_exit

    @property
    def strip(self) -> Frame:
        """The frame of the strips that it was made for."""
        return Frame(*self.frame)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the classes, for its users."""
        if not self.never_predicted:
            return ()
        names = ", ".join(self.classes.names[class_id - 1] for class_id in self.never_predicted)
        return (f"no network of this bundle predicts class {names}: it is never found",)


_PER_CLASS = {"threshold", "label", "pixel", "top", "area", "bottom", "pixels", "factor", "eps"}
"""Fields of gates and rules that hold one value, or one per class."""
