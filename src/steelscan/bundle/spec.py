"""What a bundle says of itself: its networks, gates, rules and files. No torch here."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from steelscan.data import Shrink
from steelscan.decision import HardGate, Round, SoftGate
from steelscan.postprocess import Binarizer, Rule, ScaledMinArea
from steelscan.prediction import Average, Tiles, View
from steelscan.strip import Classes, Frame, Layout, PerClass, Share, Spec

Format = Literal["onnx", "openvino"]
"""The runtime that the networks of a bundle, which are all ONNX, are written for."""

Precision = Literal["fp32", "fp16", "int8"]
"""In what the networks of a bundle compute."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

FileName = Annotated[str, Field(pattern=r"^([\w-][\w. -]{0,99}/)?[\w-][\w. -]{0,99}$")]
"""A file of a bundle, in a folder or in none: nothing that leads out of either."""

MillimetresPerPixel = Annotated[float, Field(ge=1e-6, le=1e4)]

MOST_CLASSES = 255
"""More classes than an index mask of 8 bits can hold are not deployed."""

_MOST_STEPS = 16
_MOST_NETWORKS = 256
_MOST_RULES = 32
_MOST_PIXELS = 178_956_970
"""Of a frame: no picture with more is read."""

_MOST_NUMBER = 2**31
"""Of pixels, as rules count them."""

_Side = Annotated[PositiveInt, Field(le=2**20)]


class File(Spec):
    """A file of a bundle: its size in bytes, and what it must hold."""

    bytes: NonNegativeInt
    sha256: Sha256


class Graph(Spec):
    """One network: normalisation, views and, where it is linear, their mean are in its file.

    ``file`` takes uint8 ``(1, 1, height, width)`` whose sides ``stride`` divides, and gives
    "masks" ``(answers, 1, planes, height, width)``, "classes" ``(answers, 1, classes)``, or both.
    """

    file: FileName
    heads: Annotated[tuple[Literal["masks", "classes"], ...], Field(min_length=1, max_length=2)]
    resize: Shrink | None = None
    classes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = None
    tiles: Tiles | None = None
    softmax: bool = False
    stride: PositiveInt = 32


class Asked(Spec):
    """A step that asks networks: those, the views that are in them, and what makes one answer."""

    name: str
    graphs: Annotated[
        tuple[Graph, ...], Field(min_length=1, max_length=_MOST_NETWORKS, fail_fast=True)
    ]
    views: Annotated[tuple[View, ...], Field(min_length=1, max_length=16, fail_fast=True)]
    average: Average


class Judge(Asked):
    """What is deployed of a `steelscan.recipes.Classify`."""

    threshold: PerClass[Share]
    gate: Literal["image", "class"]


class Outline(Asked):
    """What is deployed of a `steelscan.recipes.Segment`.

    ``early``: a strip of which the first network finds no level above this is clean, and the
    others are not asked; None: only those are left out that could change nothing.
    """

    gate: Annotated[SoftGate | HardGate, Field(discriminator="kind")] | None = None
    early: Annotated[int, Field(ge=0, le=255)] | None = None


class Deployed(Spec):
    """One round of a recipe: who judges, who outlines, by what rules."""

    judges: Annotated[tuple[Judge, ...], Field(max_length=_MOST_STEPS, fail_fast=True)] = ()
    outline: Outline
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=_MOST_RULES, fail_fast=True)]


class EarlyExit(Spec):
    """What leaving early costs and saves, on the strips that judged a run.

    ``level`` is the highest level, of 255, of the first network with which a strip leaves; of the
    ``shown`` strips that its gates let through, ``left`` do. Of the ``defective`` strips (as
    labelled) the run finds so many, and ``escapes`` of these are lost; no more than ``at_most`` of
    all defective strips are, at a confidence of 95 %, for strips like these.
    """

    level: Annotated[NonNegativeInt, Field(le=254)]
    shown: NonNegativeInt
    left: NonNegativeInt
    defective: NonNegativeInt
    escapes: NonNegativeInt
    at_most: Share

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.left} of {self.shown} strips leave after the first segmenter, at level "
            f"{self.level} of 255 or less; escapes added by the gate: {self.escapes} of "
            f"{self.defective} defective strips, at most {self.at_most:.1%} (95 %)"
        )


class Manifest(Spec):
    """All of a bundle but its networks' weights.

    ``frame`` is the size of the strips that it was made for; ``mm_per_pixel`` is given by who made
    it, and None where nobody did. ``never_predicted`` are the ids of classes that no network
    predicts, as the recipe has it (the 10th predicts nothing of class 2). ``files`` are all files
    of the bundle but this one and those that vouch for it.
    """

    format: Literal[2] = 2
    made_with: str
    recipe: str
    classes: Classes
    layout: Layout
    frame: tuple[_Side, _Side]
    mm_per_pixel: MillimetresPerPixel | None = None
    written_for: Format = "onnx"
    precision: Precision = "fp32"
    deployed: Annotated[
        tuple[Deployed, ...], Field(min_length=1, max_length=_MOST_STEPS, fail_fast=True)
    ]
    never_predicted: tuple[PositiveInt, ...] = ()
    files: Mapping[FileName, File] = {}

    @field_validator("classes")
    @classmethod
    def _so_many_classes(cls, classes: Classes) -> Classes:
        if len(classes) > MOST_CLASSES:
            raise ValueError(f"{len(classes)} classes are more than {MOST_CLASSES}")
        if not all(name.isprintable() for name in classes.names):
            raise ValueError("a name of a class cannot be printed")
        return classes

    @field_validator("frame")
    @classmethod
    def _so_many_pixels(cls, frame: tuple[int, int]) -> tuple[int, int]:
        if Frame(*frame).pixels > _MOST_PIXELS:
            raise ValueError(f"{Frame(*frame)} has more than {_MOST_PIXELS} pixels")
        return frame

    @model_validator(mode="after")
    def _networks_and_steps_stand_once(self) -> Self:
        files = [[graph.file for graph in step.graphs] for step in self.steps]
        if sum(map(len, files)) > _MOST_NETWORKS:
            raise ValueError(f"{sum(map(len, files))} networks are more than {_MOST_NETWORKS}")
        for names in (*files, [step.name for step in self.steps]):
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ValueError(f"{twice[:60]!r} is listed twice")
        return self

    @model_validator(mode="after")
    def _networks_predict_what_is_asked(self) -> Self:
        every, left_out = set(self.classes.ids), set[int]()
        for step in self.steps:
            judges = isinstance(step, Judge)
            needed = {"classes"} if judges else {"masks"}
            if isinstance(step, Outline) and step.gate is not None:
                needed.add("classes")
            for graph in step.graphs:
                known = graph.classes or tuple(self.classes.ids)
                if list(known) != sorted(set(known)) or not set(known) <= every:
                    raise ValueError(f"{graph.file} predicts classes {known} of {len(every)}")
                if not needed <= set(graph.heads) or len(set(graph.heads)) < len(graph.heads):
                    raise ValueError(f"{graph.file} has the heads {graph.heads}, not {needed}")
            predicted = set(chain.from_iterable(graph.classes or every for graph in step.graphs))
            never = set() if judges else every - predicted
            if missing := never - set(self.never_predicted):
                raise ValueError(f"no network of {step.name!r} predicts class {min(missing)}")
            left_out |= never
        if left_out != set(self.never_predicted):
            raise ValueError(f"never_predicted is {self.never_predicted}, not {left_out}")
        return self

    @model_validator(mode="after")
    def _what_is_never_predicted_is_of_these_classes(self) -> Self:
        never = self.never_predicted
        if list(never) != sorted(set(never)) or not set(never) < set(self.classes.ids):
            raise ValueError(f"never_predicted is {never}, of {len(self.classes)} classes")
        return self

    @model_validator(mode="after")
    def _numbers_are_of_these_classes(self) -> Self:
        for owner in self._owners:
            for name in _PER_CLASS & type(owner).model_fields.keys():
                value = getattr(owner, name)
                if isinstance(value, tuple) and len(value) != len(self.classes):
                    raise ValueError(f"{name} holds {len(value)} values, of other classes")
                every = value if isinstance(value, tuple) else (value,)
                if any(number is not None and number > _MOST_NUMBER for number in every):
                    raise ValueError(f"{name} is more than {_MOST_NUMBER}")
        return self

    @property
    def _owners(self) -> Iterator[Spec]:
        """All that holds numbers of pixels or of classes."""
        for each in self.deployed:
            yield from (*each.judges, *each.rules)
            if each.outline.gate is not None:
                yield each.outline.gate
        for step in self.steps:
            yield from (graph.resize for graph in step.graphs if graph.resize is not None)

    @model_validator(mode="after")
    def _rules_follow_each_other(self) -> Self:
        word = False
        for each in self.deployed:
            word |= bool(each.judges) or each.outline.gate is not None
            first, *others = (isinstance(rule, Binarizer) for rule in each.rules)
            if not first or any(others):
                raise ValueError("rules begin with a threshold, and hold no other")
            if not word and any(isinstance(rule, ScaledMinArea) for rule in each.rules):
                raise ValueError("scaled_min_area needs a classifier, and there is none")
        if any(each.outline.early is not None for each in self.deployed[:-1]):
            raise ValueError("strips leave early from a step that is not the last")
        return self

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
    def early(self) -> int | None:
        """The level at which strips leave after the first of the last networks; None: none do."""
        return self.deployed[-1].outline.early

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

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever uses it must know of the classes, in sentences."""
        if not self.never_predicted:
            return ()
        names = ", ".join(self.classes.names[known - 1] for known in self.never_predicted)
        return (f"no network of this bundle predicts class {names}: none of it is ever found",)


_PER_CLASS = {"threshold", "label", "pixel", "top", "area", "bottom", "pixels", "factor", "eps"}
"""Fields of gates and rules that hold one value, or one for each class."""
