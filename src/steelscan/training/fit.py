"""Fit one network: the loop over stages and epochs, and how an interrupted fit continues."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

import polars as pl
import torch
from accelerate import Accelerator

from steelscan.models import StripNetwork
from steelscan.strip import show_progress
from steelscan.strip.errors import RecipeError, RunError
from steelscan.strip.files import write_text
from steelscan.training.averaging import State, best_mean
from steelscan.training.checkpoint import (
    load_network,
    load_state,
    load_weights,
    save_network,
    save_state,
)
from steelscan.training.divergence import diverged
from steelscan.training.optimizers import learning_rates
from steelscan.training.resized import ResizedStrips
from steelscan.training.specs import BestAverage, Last, Training
from steelscan.training.stage import Stage
from steelscan.training.together import numbers_of_first
from steelscan.training.training_data import TrainingData

Metrics = Mapping[str, float]
"""The results of a validation, the score first; of the one that a stage monitors, higher is better.
"""

Validate = Callable[[StripNetwork], Metrics]
"""Scores a network, which is in eval mode."""

Log = Callable[[Sequence[Metrics]], None]
"""Takes the rows of all epochs so far, with "stage", "epoch" (from 1), "loss", "lr" (of the last
step), and the results of validations."""


@dataclass
class _FitState:
    """How far a fit has come: its stage, the epochs done in it, and the metrics so far.

    ``candidates`` are score and epoch of the stage's networks that are kept on disk, best first;
    ``stage_state`` is `Stage.state`.
    """

    stage: int = 0
    epoch: int = 0
    candidates: list[tuple[float, int]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    stage_state: dict[str, Any] = field(default_factory=dict)


def fit(
    network: StripNetwork,
    stages: tuple[Training, ...],
    data: TrainingData,
    validate: Validate,
    folder: Path,
    *,
    accelerator: Accelerator,
    workers: int = 0,
    label: str = "training",
    log: Log | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Fit a network and write ``checkpoint.safetensors`` and ``metrics.csv`` into ``folder``.

    An interrupted fit continues after its last complete epoch and ends with the same numbers; a
    complete fit is left alone. Several processes of an accelerator call this together: they share
    each batch, the first one writes, and its validation counts. ``log`` is called there with all
    epochs after each one, when that is on disk, and ``check`` before anything is written.

    Raises RunError if a loss, a weight, an output or a score is not finite, and if a half-done fit
    cannot be read; RecipeError if a stage monitors a number that its validation does not return;
    InputError if a batch has fewer crops than there are processes.
    """
    checkpoint, saved = folder / "checkpoint.safetensors", folder / "last" / "state.safetensors"
    files = [float(path.exists()) for path in (checkpoint, saved)]
    fitted, begun = numbers_of_first(accelerator, files)  # others may see its files later
    if fitted:
        if accelerator.is_main_process:
            rmtree(folder / "last", ignore_errors=True)
        return
    network.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    strips = ResizedStrips(data.strips, data.resize, classes=data.classes)
    state, resumed = _FitState(), None
    if begun:
        document, optimizer, average = load_state(saved, network)
        state, resumed = _FitState(**document), (optimizer, average)
    for number in range(state.stage, len(stages)):
        made = Stage(network, stages[number], number, data, accelerator, workers, strips)
        with closing(made) as stage:
            if resumed is not None:
                stage.resume(*resumed, state.stage_state)
            with show_progress(label, len(stage)) as shown:
                shown.advance(len(stage) * state.epoch // stages[number].epochs)
                for epoch in range(state.epoch, stages[number].epochs):
                    with _located(label, stage, epoch):
                        loss = stage.epoch(epoch, shown)
                        if accelerator.is_main_process:
                            check()
                        _record(stage, state, epoch, loss, validate, folder)
                    if log is not None and accelerator.is_main_process:
                        log(state.metrics)
            accelerator.wait_for_everyone()  # the first process has written
            _keep(stage, state, validate, folder)
            accelerator.wait_for_everyone()  # all have read
        state, resumed = _FitState(stage=number + 1, metrics=state.metrics), None
    if accelerator.is_main_process:
        check()
        save_network(checkpoint, network)
        rmtree(folder / "last")
    accelerator.wait_for_everyone()


@contextmanager
def _located(label: str, stage: Stage, epoch: int) -> Iterator[None]:
    """Add network, stage and epoch to the message of a RunError."""
    try:
        yield
    except RunError as error:
        part = f"stage {stage.number + 1}, epoch {epoch + 1}"
        raise RunError(label, f"{part}: {error.where} {error.problem}", error.remedy) from None


def _record(
    stage: Stage, state: _FitState, epoch: int, loss: float, validate: Validate, folder: Path
) -> None:
    """Validate if it is time to, and save how far the fit has come."""
    row = {"stage": float(stage.number), "epoch": float(len(state.metrics) + 1), "loss": loss}
    row |= learning_rates(stage.optimizer)
    training = stage.training
    dropped: list[tuple[float, int]] = []
    if (epoch + 1) % training.validate_every == 0 or epoch + 1 == training.epochs:
        metrics = _validated(stage, validate, row)
        row |= metrics
        score = _ranked_by(training, metrics)
        stage.step_plateau(score)
        dropped = _save_candidate(stage, state, score, epoch, folder)
    state.stage, state.epoch = stage.number, epoch + 1
    state.metrics.append(row)
    state.stage_state = stage.state()
    if stage.accelerator.is_main_process:
        _write(stage, state, folder)
        for _, gone in dropped:  # only now: until here the fit could continue from the epoch before
            _candidate(folder, stage.number, gone).unlink(missing_ok=True)


def _write(stage: Stage, state: _FitState, folder: Path) -> None:
    """Write the metrics, and all that is needed to continue."""
    table = pl.DataFrame(state.metrics, infer_schema_length=None).write_csv()
    write_text(folder / "metrics.csv", table)
    save_state(
        folder / "last" / "state.safetensors",
        stage.network,
        stage.optimizer,
        stage.average.module.state_dict() if stage.average is not None else {},
        asdict(state),
    )


def _validated(stage: Stage, validate: Validate, row: Metrics) -> Metrics:
    """Return the validation of a stage's network. Raises RunError if it is not finite."""
    metrics = validate(stage.result.eval())
    numbers = numbers_of_first(stage.accelerator, list(metrics.values()))
    metrics = dict(zip(metrics, numbers, strict=True))
    monitor = stage.training.monitor
    if monitor not in ("score", *metrics):
        found = f"is {monitor}; a validation of this network returns {', '.join(metrics)}"
        raise RecipeError("monitor", found, "Use one of those")
    for name, value in {**row, **metrics}.items():
        if not math.isfinite(value):
            raise diverged("its validation", f"returns {name} {value}")
    return metrics


def _ranked_by(training: Training, metrics: Metrics) -> float:
    """Return the number of a validation that a stage monitors."""
    monitor = training.monitor
    return next(iter(metrics.values())) if monitor == "score" else metrics[monitor]


def _save_candidate(
    stage: Stage, state: _FitState, score: float, epoch: int, folder: Path
) -> list[tuple[float, int]]:
    """Save the network if it is among the best of its stage; return those that no longer are.

    Of equal scores the later one is better: a network that predicts no mask yet has learnt more.
    """
    keep = stage.training.keep
    most = 0 if isinstance(keep, Last) else keep.count if isinstance(keep, BestAverage) else 1
    ranked = sorted([*state.candidates, (score, epoch)], key=lambda each: (-each[0], -each[1]))
    state.candidates, dropped = ranked[:most], ranked[most:]
    if (score, epoch) in state.candidates and stage.accelerator.is_main_process:
        save_network(_candidate(folder, stage.number, epoch), stage.result)
    return [each for each in dropped if each[1] != epoch]


def _candidate(folder: Path, stage: int, epoch: int) -> Path:
    """Return the file of a network that is kept until its stage ends."""
    return folder / "last" / f"stage{stage}-epoch{epoch}.safetensors"


def _keep(stage: Stage, state: _FitState, validate: Validate, folder: Path) -> None:
    """Load the weights with which the stage ends into the network."""
    keep = stage.training.keep
    if isinstance(keep, Last):
        if stage.average is not None:
            stage.network.load_state_dict(stage.average.module.state_dict())
        return
    paths = [_candidate(folder, stage.number, epoch) for _, epoch in state.candidates]
    if not isinstance(keep, BestAverage):
        load_network(paths[0], stage.network)
        return

    def load(weights: State) -> None:
        stage.network.load_state_dict(weights)
        if keep.refresh:
            stage.refresh_norms(keep.refresh)

    def score(weights: State) -> float:
        load(weights)
        shown.advance()
        found = _ranked_by(stage.training, validate(stage.network.eval()))
        return numbers_of_first(stage.accelerator, [found])[0]

    with show_progress("Averaging checkpoints", 2 ** len(paths) - 1) as shown:
        _, best = best_mean([load_weights(path) for path in paths], score)
    load(best)
