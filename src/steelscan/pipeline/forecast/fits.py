"""What a run fits: which networks, for how many epochs, on how many crops."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, prod
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, JoinedStrips, padded_frame
from steelscan.models import Network, without_weights
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task, tasks
from steelscan.pipeline.pseudo_labels import pseudo_label_folds, training_strips
from steelscan.prediction import EncoderFittedFor
from steelscan.strip import Frame, encode
from steelscan.training import BestAverage, Last, Training, TrainingData

_Strips: TypeAlias = tuple[Dataset | JoinedStrips, NDArray[np.int64]]
"""Strips to train on, and the rows of those that are pseudo-labelled."""

_StripsOf: TypeAlias = Callable[[int], _Strips]
"""Returns the strips for the networks of a fold."""


@dataclass(frozen=True)
class Pass:
    """One pass over the strips, in all epochs of a stage: ``crops`` of at most a ``frame``.

    The crop and the batch of ``training`` are those of the pass. ``pixels`` is the mean of a crop;
    ``at_once`` is the largest number of pixels that go through the network together.
    """

    training: Training
    frame: Frame
    crops: int
    pixels: float
    at_once: int


@dataclass(frozen=True)
class Fit:
    """One network to be fitted; those of one ``name`` differ by fold and round.

    ``network`` has random weights and ``classes`` outputs. Its validations predict ``validated``
    strips in all; ``strip`` is the mean frame of a strip as the network predicts it. Until the fit
    ends it needs ``temporary`` times its size on disk: twice a state (weights, two moments, a mean
    if the stage averages), a new candidate, and the candidates of all stages.
    """

    name: str
    task: Task
    network: Network
    classes: int
    data: TrainingData
    passes: tuple[Pass, ...]
    epochs: int
    validated: int
    strip: Frame
    temporary: int
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether its checkpoint exists."""
        return (self.folder / "checkpoint.safetensors").exists()

    @property
    def left(self) -> float:
        """The share of its epochs that is left."""
        if self.finished:
            return 0.0
        if not (self.folder / "last" / "state.safetensors").exists():
            return 1.0
        try:
            done = (self.folder / "metrics.csv").read_bytes().count(b"\n") - 1
        except OSError:  # the file is rewritten from the state when the fit goes on
            done = 0
        return min(1.0, max(0.0, 1 - done / self.epochs))

    @property
    def pixels(self) -> float:
        """Pixels that it trains on in all."""
        return sum(each.crops * each.pixels for each in self.passes)

    @property
    def strip_pixels(self) -> float:
        """Pixels of a mean strip; where tiles overlap they count twice."""
        tiles = self.task.member.tiles
        return prod(self.strip) * (tiles.width / (tiles.width - tiles.overlap) if tiles else 1.0)


def round_contexts(context: RunContext) -> list[RunContext]:
    """Return the contexts of all pseudo-label rounds that may fit networks.

    Stops before a round whose pseudo-labels are known to be empty.
    """
    spec = context.recipe.pseudo_labels
    contexts = [context]
    for number in range(1, 1 + (spec.rounds if spec and context.dataset.test_names else 0)):
        folds = pseudo_label_folds(context)
        done = all(context.run.pseudo_labels(number, fold).exists() for fold in folds)
        if done and not any(context.run.load_pseudo_labels(number, fold).rows for fold in folds):
            break
        contexts.append(replace(context, round=number))
    return contexts


def fits_of(context: RunContext) -> Iterator[Fit]:
    """Yield the networks that are fitted in the round of a context, in order."""
    strips = _strips_of_folds(context)
    for task in tasks(context.recipe, context.recipe.folds.validation, context.round):
        if task.round == context.round:
            yield from fits_of_task(context, task, strips)


def fits_of_task(context: RunContext, task: Task, strips: _StripsOf | None = None) -> Iterator[Fit]:
    """Yield the fits of a task: of the network, and before it of a classifier for its encoder."""
    member, strips = task.member, strips or _strips_of_folds(context)
    if isinstance(start := member.start, EncoderFittedFor):
        folder = context.run.encoder(task)
        yield _fit(context, task, strips, " encoder", start.network, start.stages, folder)
    folder = context.run.network(task)
    yield _fit(context, task, strips, "", member.network, member.stages, folder)


def _fit(
    context: RunContext,
    task: Task,
    strips_of: _StripsOf,
    kind: str,
    network: Network,
    stages: Sequence[Training],
    folder: Path,
) -> Fit:
    classes, (strips, pseudo) = task.member.classes, strips_of(task.fold)
    suspicion = np.ones(strips.present.shape, np.float32)
    rows, resize = context.train_rows(task.fold), task.member.resize
    data = TrainingData(strips, rows, resize, 0, classes, pseudo, suspicion)
    mean = Frame(*np.ceil(np.mean(context.dataset.frames, axis=0)).astype(int).tolist())
    validation = len(context.rows(task.fold)[: stages[-1].validate_on])
    validations, candidates = zip(*map(_validations, stages), strict=True)
    return Fit(
        f"{task.step} {task.number + 1}{kind}",
        task,
        without_weights(network),
        len(classes) if classes else context.classes,
        data,
        tuple(each for stage in stages for each in _passes(data, stage)),
        sum(stage.epochs for stage in stages),
        validation * sum(validations),
        padded_frame(resize.frame(mean) if resize else mean),
        2 * (3 + any(stage.averaging for stage in stages)) + 1 + sum(candidates),
        folder,
    )


def _passes(data: TrainingData, stage: Training) -> Iterator[Pass]:
    more = [(each.crop, each.batch) for each in stage.extra_passes]
    for crop, batch in [(stage.crop, stage.batch), *more]:
        own = stage.but(crop=crop, batch=batch)
        crops = data.crops(own)
        count, at_once = stage.epochs * crops.used(own.batch), crops.most_pixels(own.batch)
        yield Pass(own, crops.frame, count, crops.pixels, at_once)


def _validations(stage: Training) -> tuple[int, int]:
    """Return the validations, those of averages too, and the candidates on disk at the end."""
    scored, keep = ceil(stage.epochs / stage.validate_every), stage.keep
    if isinstance(keep, BestAverage):
        candidates = min(keep.count, scored)
        return scored + 2**candidates - 1, candidates
    return scored, 0 if isinstance(keep, Last) else 1


def _strips_of_folds(context: RunContext) -> _StripsOf:
    """Return a function like `training_strips`; before these are known, all test strips count."""

    @cache
    def all_test_strips() -> _Strips:
        pixel = encode(np.ones((1, 1), np.bool_))
        labelled = dict.fromkeys(context.dataset.test_names, [pixel] * context.classes)
        strips = JoinedStrips(context.dataset, labelled)
        return strips, strips.rows

    @cache
    def of_fold(fold: int) -> _Strips:
        own = fold if fold in pseudo_label_folds(context) else None
        if context.round == 0 or context.run.pseudo_labels(context.round, own).exists():
            return training_strips(context, fold)
        return all_test_strips()

    return of_fold
