"""What a run fits: which networks, how often, on how many crops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, JoinedStrips
from steelscan.models import Network, without_weights
from steelscan.pipeline import RunContext, Task, answered_apart, learned, tasks
from steelscan.prediction import EncoderFittedFor
from steelscan.strip import Frame, encode
from steelscan.training import BestAverage, Last, Training, TrainingData


@dataclass(frozen=True)
class Pass:
    """One pass over the strips, in all epochs of a stage: ``crops`` of at most a ``frame``.

    The crop and the batch of ``training`` are those of the pass. A crop has ``pixels`` on average;
    ``together`` go through the network at once, at most.
    """

    training: Training
    frame: Frame
    crops: int
    pixels: float
    together: int


@dataclass(frozen=True)
class Fit:
    """One network to be fitted; those of one ``name`` differ by fold and round.

    ``network`` has random weights and knows ``classes``. Its validations ask about ``judged``
    strips in all. Until it ends it needs ``aside`` times its size on disk: twice a state (weights,
    two moments, a mean where there is one), a new candidate, and the candidates of all stages.
    """

    name: str
    task: Task
    network: Network
    classes: int
    material: TrainingData
    passes: tuple[Pass, ...]
    epochs: int
    judged: int
    aside: int
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether its checkpoint is there."""
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
        except OSError:  # it is written anew, and what was fitted stands in the state
            done = 0
        return min(1.0, max(0.0, 1 - done / self.epochs))


def round_plans(context: RunContext) -> list[RunContext]:
    """The plans of all rounds of pseudo-labels, up to one known to have nothing to teach."""
    wanted = context.recipe.pseudo_labels
    plans = [context]
    for number in range(1, 1 + (wanted.rounds if wanted and context.dataset.test_names else 0)):
        folds = answered_apart(context)
        there = all(context.run.pseudo_labels(number, fold).exists() for fold in folds)
        if there and not any(context.run.load_pseudo_labels(number, fold).rows for fold in folds):
            break
        plans.append(replace(context, round=number))
    return plans


def fits_of(context: RunContext) -> Iterator[Fit]:
    """The networks that are fitted in the round of a plan, in order."""
    for task in tasks(context.recipe, context.recipe.folds.validation, context.round):
        if task.round == context.round:
            start, own = task.member.start, task.member.stages
            if isinstance(start, EncoderFittedFor):
                yield _fit(
                    context, task, " lent", start.network, start.stages, context.run.encoder(task)
                )
            yield _fit(context, task, "", task.member.network, own, context.run.network(task))


def _fit(
    context: RunContext,
    task: Task,
    kind: str,
    network: Network,
    stages: Sequence[Training],
    folder: Path,
) -> Fit:
    known, strips, pseudo = task.member.classes, *_teachers(context, task.fold)
    suspected = np.ones(strips.present.shape, np.float32)
    rows, resize = context.teaching(task.fold), task.member.resize
    material = TrainingData(strips, rows, resize, 0, known, pseudo, suspected)
    judging = len(context.rows(task.fold)[: stages[-1].validate_on])
    validations, waiting = zip(*map(_validations, stages), strict=True)
    return Fit(
        f"{task.step} {task.number + 1}{kind}",
        task,
        without_weights(network),
        len(known) if known else context.classes,
        material,
        tuple(each for stage in stages for each in _passes(material, stage)),
        sum(stage.epochs for stage in stages),
        judging * sum(validations),
        2 * (3 + any(stage.averaging for stage in stages)) + 1 + sum(waiting),
        folder,
    )


def _passes(material: TrainingData, stage: Training) -> Iterator[Pass]:
    cuts = [(each.crop, each.batch) for each in stage.extra_passes]
    for crop, batch in [(stage.crop, stage.batch), *cuts]:
        own = stage.but(crop=crop, batch=batch)
        crops = material.crops(own)
        count, most = stage.epochs * crops.used(own.batch), crops.most_pixels(own.batch)
        yield Pass(own, crops.frame, count, crops.pixels, most)


def _validations(stage: Training) -> tuple[int, int]:
    """Validations, those of averages too, and candidates on disk when a stage ends."""
    scored, keep = ceil(stage.epochs / stage.validate_every), stage.keep
    if isinstance(keep, BestAverage):
        waiting = min(keep.count, scored)
        return scored + 2**waiting - 1, waiting
    return scored, 0 if isinstance(keep, Last) else 1


def _teachers(context: RunContext, fold: int) -> tuple[Dataset | JoinedStrips, NDArray[np.int64]]:
    """What may teach a fold's networks, as `learned` has it; before it is known, all that can."""
    own = fold if fold in answered_apart(context) else None
    if context.round == 0 or context.run.pseudo_labels(context.round, own).exists():
        return learned(context, fold)
    pixel = encode(np.ones((1, 1), np.bool_))
    answered = dict.fromkeys(context.dataset.test_names, [pixel] * context.classes)
    strips = JoinedStrips(context.dataset, answered)
    return strips, strips.rows
