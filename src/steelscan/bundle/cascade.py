"""A strip before the networks of a bundle: who is asked, and who need not be. No torch here.

A network is left out where it can change nothing: where all classes that it knows are closed, and
where those asked before it have already decided, whatever it may say. That is exact: the masks are
those of all networks. With a step's ``early`` level networks are left out that would hardly ever
change anything; what that costs was measured when the bundle was made.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from steelscan.bundle.engines import OnnxModel
from steelscan.bundle.spec import Judge, Manifest, Outline
from steelscan.decision import StepOutput, passing, weighed
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
from steelscan.prediction import EnsembleMean, Head, Left, LogitMean, to_uint8
from steelscan.strip import Picture

_ROUNDING = 1e-5
"""Sums of float32 may lie so far beside what they should be."""


class Consultation:
    """Asks a bundle's networks about one strip; an `AskOpen` of `steelscan.decision.consult`."""

    def __init__(
        self,
        manifest: Manifest,
        models: Mapping[str, Sequence[OnnxModel]],
        picture: Picture,
        *,
        cascade: bool,
    ) -> None:
        self._voters, self._picture, self._cascade = models, picture, cascade
        self._classes = len(manifest.classes)
        self._steps = {step.name: step for step in manifest.steps}
        self._rules = {each.outline.name: each.rules for each in manifest.deployed}
        rules = chain.from_iterable(self._rules.values())
        self._word_counts = any(isinstance(rule, ScaledMinArea) for rule in rules)
        self.asked: list[str] = []
        """The files of the networks that were asked, in order."""

    def __call__(self, name: str, opened: NDArray[np.bool_]) -> StepOutput:
        """What the networks of a step say, as far as it matters for the classes that are open."""
        step = self._steps[name]
        models = [each for each in self._voters[name] if not self._cascade or _knows(each, opened)]
        outlines = isinstance(step, Outline)
        judges = not outlines or step.gate is not None
        heads: set[Head] = {"masks"} if outlines else set()
        if judges:
            heads.add("classes")
        if not models:  # of the open classes none is known here
            return self._nothing(step)
        poll = EnsembleMean(step.views, self._picture, step.average, heads)
        for at, voter in enumerate(models, start=1):
            poll.ask(voter)
            self.asked.append(voter.graph.file)
            if self._cascade and at < len(models) and not isinstance(step.average, LogitMean):
                decided = self._decided(step, poll, models[:at], models[at:], opened)
                if decided is not None:
                    return decided
        return self._said(step, poll)

    def _said(
        self, step: Judge | Outline, poll: EnsembleMean, left: Left | None = None
    ) -> StepOutput:
        """What those asked say; with ``left``, what it can become."""
        levels = classes = None
        margin = 0.0 if left is None else (_ROUNDING if left.saying else -_ROUNDING)
        if isinstance(step, Outline):
            if left is None:
                levels = poll.levels(self._classes)
            else:
                maps = poll.masks(self._classes, left)
                levels = to_uint8(np.clip(maps + np.float32(margin), 0, 1))
        if isinstance(step, Judge) or step.gate is not None:
            words = poll.classes(self._classes, left)
            classes = words + np.float32(margin) if margin else words
        return StepOutput(levels, classes)

    def _nothing(self, step: Judge | Outline) -> StepOutput:
        """What a step says of classes that none of its networks knows."""
        word = np.full(self._classes, np.nan, np.float32)
        if isinstance(step, Judge):
            return StepOutput(None, word)
        levels = np.zeros((self._classes, *self._picture.shape), np.uint8)
        return StepOutput(levels, None if step.gate is None else word)

    def _decided(
        self,
        step: Judge | Outline,
        poll: EnsembleMean,
        asked: Sequence[OnnxModel],
        left: Sequence[OnnxModel],
        opened: NDArray[np.bool_],
    ) -> StepOutput | None:
        """What is said in the end where that is settled before all are asked; None where not."""
        heard = self._known(asked)
        if not set(np.flatnonzero(opened) + 1) & set(self._known(left)) <= set(heard):
            return None  # of some open class nothing is known yet
        if isinstance(step, Judge):
            return self._judged(step, poll, left, opened)
        return self._outlined(step, poll, left, opened, len(asked))

    def _judged(
        self, step: Judge, poll: EnsembleMean, left: Sequence[OnnxModel], opened: NDArray[np.bool_]
    ) -> StepOutput | None:
        knowing = self._known(left)
        most = self._said(step, poll, Left(knowing, 1.0))
        least = self._said(step, poll, Left(knowing, 0.0))
        assert most.classes is not None
        assert least.classes is not None
        first, second = passing(step, most.classes) & opened, passing(step, least.classes) & opened
        if not first.any():
            return most
        settled = np.array_equal(first, second) and not self._word_counts
        return least if settled else None

    def _outlined(
        self,
        step: Outline,
        poll: EnsembleMean,
        left: Sequence[OnnxModel],
        opened: NDArray[np.bool_],
        asked: int,
    ) -> StepOutput | None:
        most = self._said(step, poll, Left(self._known(left), 1.0))
        found = may_be_found(weighed(step, most), self._rules[step.name])
        if not (found & opened).any():
            return self._nothing(step)
        if step.early is not None and asked == 1:
            now = weighed(step, self._said(step, poll))
            if now[opened].max() <= step.early:
                return self._nothing(step)
        return None

    def _known(self, models: Sequence[OnnxModel]) -> Counter[int]:
        """How many of some voters know each class, by its id."""
        every = range(1, self._classes + 1)
        return Counter(chain.from_iterable(voter.classes or every for voter in models))


def _knows(voter: OnnxModel, opened: NDArray[np.bool_]) -> bool:
    """Whether a voter knows a class that is open."""
    return voter.classes is None or any(opened[known - 1] for known in voter.classes)


def may_be_found(levels: NDArray[np.uint8], rules: Sequence[Rule]) -> NDArray[np.bool_]:
    """The classes of which rules may leave something, of any maps that lie nowhere above these.

    ``levels`` is uint8 ``(classes, height, width)``, the result bool ``(classes,)``. Rules are
    applied up to the first that could leave more of less; none makes something of nothing.
    """
    growing = Threshold | Triplet | MinArea | RemoveSmallComponents
    shrinking = OneClassPerPixel | ScaledMinArea
    applied: list[Rule] = []
    for rule in rules:
        if isinstance(rule, growing):
            applied.append(rule)
        elif not isinstance(rule, shrinking):
            break
    return np.asarray(clean(levels, applied).any((1, 2)))
