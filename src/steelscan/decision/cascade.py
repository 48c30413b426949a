"""Which networks need not predict a strip. No torch here.

A network is skipped if all classes that it predicts are closed, or if the masks can no longer
depend on it. That is exact: the masks are those of all networks. The ``early_exit`` of a step also
skips networks that would hardly ever change a mask; its cost is measured when a bundle is exported.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from steelscan.decision.spec import ClassifyStep, Decision, SegmentStep, Step
from steelscan.decision.steps import StepOutput, gated, passing
from steelscan.postprocess import (
    MinArea,
    OneClassPerPixel,
    RemoveSmallComponents,
    Rule,
    ScaledMinArea,
    Threshold,
    Triplet,
    clean,
)
from steelscan.prediction import EnsembleMean, Head, LogitMean, Model, Remaining, to_uint8
from steelscan.strip import Picture

_ROUNDING = 1e-5
"""Sums of float32 may be wrong by this much."""


class PredictedOutputs:
    """The outputs of a decision's steps for one picture, predicted when needed; `StripOutputs`."""

    def __init__(
        self,
        decision: Decision,
        models: Mapping[str, Sequence[Model]],
        classes: int,
        picture: Picture,
        *,
        cascade: bool,
    ) -> None:
        """Predict nothing yet; with ``cascade`` networks are skipped that need not predict."""
        self._decision, self._models, self._classes = decision, models, classes
        self._picture, self._cascade = picture, cascade
        self._rules = {stage.segmenter.name: stage.rules for stage in decision.stages}
        rules = chain.from_iterable(self._rules.values())
        self._rules_use_classes = any(isinstance(rule, ScaledMinArea) for rule in rules)
        self.used: list[tuple[str, int]] = []
        """The models that predicted, in order: the name of the step, and the model's position."""

    def output(self, step: str, open_classes: NDArray[np.bool_]) -> StepOutput:
        """Predict a step; with the cascade only as far as it matters for the open classes."""
        settings = self._decision.steps[step]
        models = [
            (at, model)
            for at, model in enumerate(self._models[step])
            if not self._cascade
            or model.classes is None
            or any(open_classes[class_id - 1] for class_id in model.classes)
        ]
        if not models:
            return self._empty(settings)
        heads: set[Head] = {"masks"} if isinstance(settings, SegmentStep) else set()
        if settings.has_class_output:
            heads.add("classes")
        mean = EnsembleMean(settings.views, self._picture, settings.average, heads)
        bounded = self._cascade and not isinstance(settings.average, LogitMean)
        for count, (at, model) in enumerate(models, start=1):
            mean.add(model)
            self.used.append((step, at))
            if bounded and count < len(models):
                every = [model for _, model in models]
                done, left = every[:count], every[count:]
                early = self._settled(settings, mean, done, left, open_classes)
                if early is not None:
                    return early
        return self._output(settings, mean)

    def _output(
        self, step: Step, mean: EnsembleMean, remaining: Remaining | None = None
    ) -> StepOutput:
        """Return the output of a step, or with ``remaining`` models a bound of it."""
        pixels = classes = None
        margin = np.float32(0)
        if remaining is not None:
            margin = np.float32(_ROUNDING if remaining.probability else -_ROUNDING)
        if step.has_class_output:
            classes = mean.classes(self._classes, remaining) + margin
        if isinstance(step, SegmentStep) and remaining is None:
            pixels = mean.masks_uint8(self._classes)
        elif isinstance(step, SegmentStep):
            pixels = to_uint8(np.clip(mean.masks(self._classes, remaining) + margin, 0, 1))
        return StepOutput(pixels, classes)

    def _empty(self, step: Step) -> StepOutput:
        """Return the output of a step of which no network predicts an open class."""
        unknown = np.full(self._classes, np.nan, np.float32)
        if isinstance(step, ClassifyStep):
            return StepOutput(None, unknown)
        pixels = np.zeros((self._classes, *self._picture.shape), np.uint8)
        return StepOutput(pixels, unknown if step.has_class_output else None)

    def _settled(
        self,
        step: Step,
        mean: EnsembleMean,
        done: Sequence[Model],
        left: Sequence[Model],
        open_classes: NDArray[np.bool_],
    ) -> StepOutput | None:
        """Return an output that leads to the final masks; None if they depend on models left."""
        counts = self._counts(left)
        if not set(np.flatnonzero(open_classes) + 1) & set(counts) <= set(self._counts(done)):
            return None  # an open class has no prediction yet
        upper = self._output(step, mean, Remaining(counts, 1.0))
        if isinstance(step, ClassifyStep):
            lower = self._output(step, mean, Remaining(counts, 0.0))
            return settled_classes(step, upper, lower, open_classes, self._rules_use_classes)
        possible = classes_above(gated(step.gate, upper), self._rules[step.name])
        if not (possible & open_classes).any():
            return self._empty(step)
        if step.early_exit is not None and len(done) == 1:
            now = gated(step.gate, self._output(step, mean))
            if now[open_classes].max() <= step.early_exit:
                return self._empty(step)
        return None

    def _counts(self, models: Sequence[Model]) -> Counter[int]:
        """Count the models that predict each class, by its id."""
        every = range(1, self._classes + 1)
        return Counter(chain.from_iterable(model.classes or every for model in models))


def settled_classes(
    step: ClassifyStep,
    upper: StepOutput,
    lower: StepOutput,
    open_classes: NDArray[np.bool_],
    rules_use_classes: bool,
) -> StepOutput | None:
    """Return the output of a classifier if all between two bounds let the same classes pass.

    None if that is not settled, or if later rules use the probabilities themselves.
    """
    assert upper.classes is not None
    assert lower.classes is not None
    most = passing(step, upper.classes) & open_classes
    least = passing(step, lower.classes) & open_classes
    if not most.any():
        return upper
    return lower if np.array_equal(most, least) and not rules_use_classes else None


def classes_above(pixels: NDArray[np.uint8], rules: Sequence[Rule]) -> NDArray[np.bool_]:
    """Return the classes that may keep a pixel after the rules, for any maps not above ``pixels``.

    ``pixels`` is uint8 ``(classes, height, width)``, the result bool ``(classes,)``. Rules are
    applied up to the first that could keep more of a lower map; no rule fills an empty map.
    """
    monotonic = Threshold | Triplet | MinArea | RemoveSmallComponents
    shrinking = OneClassPerPixel | ScaledMinArea
    applied: list[Rule] = []
    for rule in rules:
        if isinstance(rule, monotonic):
            applied.append(rule)
        elif not isinstance(rule, shrinking):
            break
    return np.asarray(clean(pixels, applied).any((1, 2)))
