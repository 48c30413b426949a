"""How a checkpoint is scored: its network alone in its step, behind the gates of the decision."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from accelerate.utils import gather_object
from numpy.typing import NDArray

from steelscan.decision import OpenClasses, SegmentStep, StepOutput, masks_of, rule_input
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.models import StripNetwork
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task
from steelscan.postprocess import Rule
from steelscan.prediction import EnsembleMean, Head, Model, TorchModel
from steelscan.training import Metrics

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class ValidationStrips:
    """The strips that validate a network, and what the steps before its own leave open on each.

    ``rows`` are int64 ``(strips,)``; ``before`` has one entry per strip. ``gates`` are the names of
    the steps before, and ``rules`` those that follow a segmenter.
    """

    rows: NDArray[np.int64]
    before: tuple[OpenClasses, ...]
    rules: tuple[Rule, ...] = ()
    gates: tuple[str, ...] = ()

    @classmethod
    def ungated(cls, rows: NDArray[np.int64], classes: int, rules: tuple[Rule, ...] = ()) -> Self:
        """Return strips on which all classes are open."""
        every = OpenClasses(np.ones(classes, np.bool_), None)
        return cls(rows, (every,) * len(rows), rules)

    @property
    def open(self) -> NDArray[np.bool_]:
        """The (strip, class) pairs that are open, bool ``(strips, classes)``."""
        return np.stack([each.open for each in self.before])


@dataclass(frozen=True, eq=False)
class Validation:
    """Scores networks of one fit, on the strips of its fold; the processes share the strips."""

    context: RunContext
    task: Task
    strips: ValidationStrips

    def __call__(self, network: StripNetwork) -> Metrics:
        """Return the numbers of a network in eval mode; the first is its score."""
        member, rows = self.task.member, self.strips.rows
        model = TorchModel(network, member.resize, member.classes, member.tiles)
        pairs = np.zeros_like(self.strips.open)
        planes = [class_id - 1 for class_id in member.classes or range(1, pairs.shape[1] + 1)]
        pairs[:, planes] = self.strips.open[:, planes]
        if network.head == "classes":
            probabilities = self._each(lambda at: self._probabilities(model, at))
            return class_metrics(np.stack(probabilities), self.context.dataset.present[rows], pairs)
        counts = self._each(lambda at: self._counts(model, at))
        return mask_metrics(Pairs.of(counts), pairs, gated=self._gated)

    @property
    def _gated(self) -> bool:
        step = self.context.recipe.decision.steps[self.task.step]
        return bool(self.strips.gates) or step.has_class_output

    def _probabilities(self, model: Model, at: int) -> NDArray[np.float32]:
        """Return the probability of each class on a strip."""
        picture = self.context.dataset.picture(self.strips.rows[at])
        mean = EnsembleMean(("identity",), picture, heads={"classes"}, models=[model])
        return mean.classes(self.context.classes)

    def _counts(self, model: Model, at: int) -> NDArray[np.int64]:
        """Count the pixels of the masks that the step makes of a strip, int64 ``(3, classes)``."""
        step, row = self.context.recipe.decision.steps[self.task.step], self.strips.rows[at]
        assert isinstance(step, SegmentStep)
        picture, classes = self.context.dataset.picture(row), self.context.classes
        heads: set[Head] = {"masks", "classes"} if step.has_class_output else {"masks"}
        mean = EnsembleMean(("identity",), picture, step.average, heads, [model])
        of_strip = mean.classes(classes) if step.has_class_output else None
        output = StepOutput(mean.masks_uint8(classes), of_strip)
        masks = masks_of(rule_input(step.gate, output, self.strips.before[at]), self.strips.rules)
        return count_pixels(masks, self.context.dataset.masks(row))

    def _each(self, of_strip: Callable[[int], Value]) -> list[Value]:
        """Return a value for each strip; each process computes its share."""
        accelerator = self.context.accelerator
        own = range(accelerator.process_index, len(self.strips.rows), accelerator.num_processes)
        found = [(at, of_strip(at)) for at in own]
        if accelerator.num_processes > 1:
            found = gather_object(found)
        return [value for _, value in sorted(found, key=lambda each: each[0])]


def mask_metrics(pairs: Pairs, chosen: NDArray[np.bool_], *, gated: bool) -> Metrics:
    """Return the mean Dice over the chosen pairs, and that on those with a defect.

    ``chosen`` is bool ``(strips, classes)``, with at least one pair. The second number is 0 if no
    chosen pair has a defect. ``gated`` is part of the name of the first.
    """
    values = dice(pairs)
    defect = values[chosen & (pairs.truth > 0)]
    return {
        "gated_mean_dice" if gated else "mean_dice": float(values[chosen].mean()),
        "defect_dice": float(defect.mean()) if defect.size else 0.0,
    }


def class_metrics(
    probabilities: NDArray[np.float32], present: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> Metrics:
    """Return minus the cross entropy of the chosen pairs, and the accuracy of 'any or none'.

    All arrays are ``(strips, classes)``, with at least one chosen pair. A strip has a defect if the
    probability of any chosen class is above one half.
    """
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    likelihood = np.where(present, clipped, 1 - clipped)[chosen]
    right = ((clipped > 0.5) & chosen).any(1) == (present & chosen).any(1)
    return {
        "minus_cross_entropy": float(np.log(likelihood).mean()),
        "clean_or_not": float(right.mean()),
    }
