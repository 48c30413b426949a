"""How outputs of networks become masks, as a spec without networks. No torch here.

A recipe makes it, a bundle stores it, and `steelscan.decision.Detector` follows it for both.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from steelscan.postprocess import Binarizer, Rule, ScaledMinArea
from steelscan.prediction import Average, Mean, View
from steelscan.strip import PerClass, Share, Spec

Gate = Literal["image", "class"]

_MOST_STEPS = 16
"""A decision has no more classifiers per stage, and no more stages."""

_MOST_RULES = 32
_MOST_VIEWS = 16


class SoftGate(Spec):
    """Multiply the probability of a pixel by that of its class on the whole strip.

    (4th, K:114716.)
    """

    kind: Literal["soft"] = "soft"


class HardGate(Spec):
    """Segment only classes whose probability on the whole strip is above ``threshold``.

    (14th, K:114367.)
    """

    kind: Literal["hard"] = "hard"
    threshold: PerClass[Share] = 0.5


OwnGate = Annotated[SoftGate | HardGate, Field(discriminator="kind")]


class _Step(Spec):
    """A step whose networks predict: its name, the views, and the average over networks."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    views: Annotated[
        tuple[View, ...], Field(min_length=1, max_length=_MOST_VIEWS, fail_fast=True)
    ] = ("identity",)
    average: Annotated[Average, Field(discriminator="kind")] = Mean()


class ClassifyStep(_Step):
    """Classify whole strips, and close classes whose probability is not above ``threshold``.

    With the gate "image", all classes stay open if any class passes; with "class", each class by
    itself. A class that no network predicts passes.
    """

    threshold: PerClass[Share]
    gate: Gate

    @property
    def has_class_output(self) -> bool:
        """Whether it predicts classes of whole strips: always."""
        return True


class SegmentStep(_Step):
    """Predict the probability of each class for each pixel.

    With a ``gate`` the aux heads of the networks count too. ``early_exit``: if no probability that
    the first network predicts is above this, of 255, the strip is clean, and the other networks
    are skipped; None: only networks are skipped that cannot change the masks.
    """

    gate: OwnGate | None = None
    early_exit: Annotated[int, Field(ge=0, le=255)] | None = None

    @property
    def has_class_output(self) -> bool:
        """Whether the aux heads are predicted."""
        return self.gate is not None


Step: TypeAlias = ClassifyStep | SegmentStep


class Stage(Spec):
    """Classify, segment, and make masks by rules; empty classes are closed for the next stage."""

    classifiers: Annotated[
        tuple[ClassifyStep, ...], Field(max_length=_MOST_STEPS, fail_fast=True)
    ] = ()
    segmenter: SegmentStep
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=_MOST_RULES, fail_fast=True)]


class Decision(Spec):
    """The way from the outputs of all steps to masks, in stages; the last one makes the masks.

    Raises ValueError (at construction) for rules that do not follow each other.
    """

    stages: Annotated[
        tuple[Stage, ...], Field(min_length=1, max_length=_MOST_STEPS, fail_fast=True)
    ]

    @model_validator(mode="after")
    def _step_names_are_unique(self) -> Self:
        names = [step.name for step in self._all_steps()]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice[:60]!r} is listed twice")
        return self

    @model_validator(mode="after")
    def _rules_follow_each_other(self) -> Self:
        has_classes = False
        for stage in self.stages:
            has_classes |= bool(stage.classifiers) or stage.segmenter.has_class_output
            first, *others = (isinstance(rule, Binarizer) for rule in stage.rules)
            if not first or any(others):
                raise ValueError("rules begin with a threshold, and hold no other")
            if not has_classes and any(isinstance(rule, ScaledMinArea) for rule in stage.rules):
                raise ValueError("scaled_min_area needs a classifier, and there is none")
        if any(stage.segmenter.early_exit is not None for stage in self.stages[:-1]):
            raise ValueError("early_exit is only possible in the last stage")
        return self

    def _all_steps(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        for stage in self.stages:
            steps += [*stage.classifiers, stage.segmenter]
        return tuple(steps)

    @cached_property
    def steps(self) -> Mapping[str, Step]:
        """All steps by name, in the order in which they predict."""
        return {step.name: step for step in self._all_steps()}

    @property
    def last(self) -> Stage:
        """The stage whose rules make the masks."""
        return self.stages[-1]

    def with_rules(self, rules: tuple[Rule, ...]) -> Self:
        """Return the decision with other rules in the last stage."""
        return self.but(stages=(*self.stages[:-1], self.last.but(rules=rules)))

    def with_early_exit(self, value: int | None) -> Self:
        """Return the decision whose last segmenter has another ``early_exit``."""
        segmenter = self.last.segmenter.but(early_exit=value)
        return self.but(stages=(*self.stages[:-1], self.last.but(segmenter=segmenter)))
