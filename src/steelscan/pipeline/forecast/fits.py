"""What a run fits: which networks, for how many epochs, on how many crops."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import ceil, prod
from pathlib import Path

import numpy as np

from steelscan.data import JoinedStrips, padded_frame
from steelscan.models import Network, without_weights
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task
from steelscan.pipeline.networks import class_count, training_data
from steelscan.pipeline.pseudo_labels import TrainStrips, pseudo_label_folds, training_strips
from steelscan.prediction import EncoderFittedFor
from steelscan.strip import Frame, encode
from steelscan.training import BestAverage, Last, Training, TrainingData
from steelscan.training.crops import EpochCrops


@dataclass(frozen=True, eq=False)
class Fit:
    """One network to be fitted; those of one ``name`` differ by fold and round.

    ``network`` has random weights and ``classes`` outputs. ``strip`` is the mean frame of a strip
    as the network predicts it. Each validation predicts at most ``validation`` strips.
    """

    name: str
    task: Task
    folder: Path
    network: Network
    classes: int
    stages: tuple[Training, ...]
    data: TrainingData
    strip: Frame
    validation: int

    @cached_property
    def passes(self) -> list[tuple[Training, EpochCrops]]:
        """Each pass over the strips: its stage with its crop and batch, and its first epoch."""
        trainings = [
            stage.but(crop=each.crop, batch=each.batch)
            for stage in self.stages
            for each in stage.passes
        ]
        return [(training, self.data.crops(training)) for training in trainings]

    @property
    def crops(self) -> list[int]:
        """How many crops each pass trains on, in all epochs."""
        return [training.epochs * crops.used(training.batch) for training, crops in self.passes]

    @cached_property
    def pixels(self) -> float:
        """Pixels that it trains on in all."""
        return sum(n * crops.pixels for n, (_, crops) in zip(self.crops, self.passes, strict=True))

    @property
    def strip_pixels(self) -> float:
        """Pixels of a mean strip; where tiles overlap they count twice."""
        tiles = self.task.member.tiles
        return prod(self.strip) * (tiles.width / (tiles.width - tiles.overlap) if tiles else 1.0)

    @property
    def validated(self) -> int:
        """Strips that its validations predict in all."""
        return self.validation * sum(_validations(stage)[0] for stage in self.stages)

    @property
    def temporary(self) -> int:
        """What it needs on disk until it ends, as a multiple of its size.

        Twice a state (weights, two moments, a mean if a stage averages), a new candidate, and the
        candidates of all stages.
        """
        averages = any(stage.averaging for stage in self.stages)
        return 2 * (3 + averages) + 1 + sum(_validations(stage)[1] for stage in self.stages)

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

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

    @cached_property
    def key(self) -> str:
        """The key of its size and speed: network, number of classes and precision."""
        text = f"{self.network.model_dump_json()} {self.classes} {self.stages[0].precision}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


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
    """Yield the networks fitted in the round of a context, in order; all strips are suspected."""
    strips_of = _strips_of_networks(context)
    for task in context.new_tasks:
        strips, pseudo = strips_of(task.fold, task.member.classes)
        suspected = np.ones(strips.present.shape, np.float32)
        data = training_data(context, task, strips, pseudo, suspected)
        yield from fits_of_task(context, task, data)


def fits_of_task(context: RunContext, task: Task, data: TrainingData) -> list[Fit]:
    """Return the fits of a task: of a classifier for its encoder if wanted, and its network."""
    member, resize, mean = task.member, task.member.resize, context.mean_frame
    strip = padded_frame(resize.frame(mean) if resize else mean)
    classes = class_count(member, context.classes)
    name, strips = f"{task.step} {member.name}", len(context.rows(task.fold))
    fitted = [(name, context.run.network(task), member.network, member.stages)]
    if isinstance(start := member.start, EncoderFittedFor):
        folder = context.run.encoder(task)
        fitted.insert(0, (f"{name} encoder", folder, start.network, start.stages))
    return [
        Fit(
            label,
            task,
            folder,
            without_weights(network),
            classes,
            stages,
            data,
            strip,
            min(strips, stages[-1].validate_on or strips),
        )
        for label, folder, network, stages in fitted
    ]


def _validations(stage: Training) -> tuple[int, int]:
    """Return the validations, those of averages too, and the candidates on disk at the end."""
    scored, keep = ceil(stage.epochs / stage.validate_every), stage.keep
    if isinstance(keep, BestAverage):
        candidates = min(keep.count, scored)
        return scored + 2**candidates - 1, candidates
    return scored, 0 if isinstance(keep, Last) else 1


def _strips_of_networks(
    context: RunContext,
) -> Callable[[int, tuple[int, ...] | None], TrainStrips]:
    """Return a function like `training_strips`.

    Before the pseudo-labels exist, it returns all test strips as pseudo-labelled.
    """

    @cache
    def all_test_strips() -> TrainStrips:
        pixel = encode(np.ones((1, 1), np.bool_))
        labelled = dict.fromkeys(context.dataset.test_names, [pixel] * context.classes)
        strips = JoinedStrips(context.dataset, labelled)
        return strips, strips.rows

    @cache
    def of_network(fold: int, classes: tuple[int, ...] | None) -> TrainStrips:
        own = fold if fold in pseudo_label_folds(context) else None
        if context.round == 0 or context.run.pseudo_labels(context.round, own).exists():
            return training_strips(context, fold, classes)
        return all_test_strips()

    return of_network
