"""What a run works on: recipe, strips, folds and options, and which strips evaluate it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.pipeline.device import Device, accelerator
from steelscan.pipeline.fit_tasks import Task, tasks
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.run_record import StartFrom
from steelscan.pipeline.trackers import TrackerKind
from steelscan.recipes import Recipe
from steelscan.strip import Frame
from steelscan.strip.errors import RecipeError
from steelscan.training import AllStrips


@dataclass(frozen=True)
class Options:
    """Where and on what a run is made, and what it starts from; nothing here changes the recipe."""

    seed: int = 0
    device: Device = "auto"
    workers: int = 0
    on_error: Literal["stop", "skip"] = "stop"
    folds: Path | None = None
    """A given table of folds; None: the run makes its own."""
    start_from: Path | None = None
    """A run or a checkpoint with whose weights all networks start; None: as the recipe gives."""
    source: bytes | None = None
    """The Python file that the recipe was read from."""
    weights_dir: Path | None = None
    """The store of pretrained weights; None: the user's."""
    track: TrackerKind | None = None
    """Where the settings and numbers of each fit go too; None: only into the run folder."""
    jobs: int = 1
    """How many networks are fitted at the same time; 0: chosen by `jobs_for`."""
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    """Of a Ray cluster; None: Ray on this machine."""
    cpus_per_network: int = 1
    """Cores, and so threads, of a network that is fitted on Ray."""
    gpus_per_network: float | None = None
    """GPUs of a network that is fitted on Ray; None: one if a machine of the cluster has any."""


@dataclass(frozen=True, eq=False)
class RunContext:
    """Everything that the steps of a run need.

    ``groups`` and ``folds`` are int64 ``(strips,)``; ``round`` is the pseudo-label round, 0 for
    none. ``split`` are sentences on groups, folds and ``start`` (the weights of another run with
    which all networks start), shown before anything is fitted.
    """

    run: RunFolder
    recipe: Recipe
    dataset: Dataset
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]
    options: Options
    round: int = 0
    split: tuple[str, ...] = ()
    start: StartFrom | None = None

    @property
    def classes(self) -> int:
        """Number of defect classes."""
        return len(self.dataset.classes)

    @cached_property
    def mean_frame(self) -> Frame:
        """The mean height and width of the strips, rounded up."""
        return Frame(*np.ceil(np.mean(self.dataset.frames, axis=0)).astype(int).tolist())

    @cached_property
    def accelerator(self) -> Accelerator:
        """The accelerator that fits and predicts."""
        return accelerator(self.options.device)

    @property
    def new_tasks(self) -> list[Task]:
        """The networks that are fitted in this round, in order."""
        fitted = tasks(self.recipe, self.recipe.folds.validation, self.round)
        return [task for task in fitted if task.round == self.round]

    def tasks(self, step: str, folds: Sequence[int]) -> list[Task]:
        """Return the networks of a step, by its name, fitted for some folds in this round."""
        return [task for task in tasks(self.recipe, folds, self.round) if task.step == step]

    def rows(self, *folds: int) -> NDArray[np.int64]:
        """Return the strips of some folds."""
        return np.flatnonzero(np.isin(self.folds, folds))

    def train_rows(self, fold: int) -> NDArray[np.int64]:
        """Return the strips on which the network of a validation fold is fitted."""
        return np.flatnonzero(~np.isin(self.folds, (fold, *self.recipe.folds.holdout)))

    @cached_property
    def parts(self) -> Mapping[str, NDArray[np.int64]]:
        """The evaluated strips: those held out first, then those of the validation folds."""
        folds = self.recipe.folds
        named = {"held out": folds.holdout, "out of fold": folds.validation}
        return {name: self.rows(*chosen) for name, chosen in named.items() if chosen}

    @cached_property
    def evaluated_by(self) -> list[tuple[tuple[int, ...], NDArray[np.int64]]]:
        """Pairs of folds and of the strips that the networks of these folds evaluate.

        A strip of a validation fold is evaluated by the networks that were not fitted on it, a
        held-out strip by those of all folds together.
        """
        folds = self.recipe.folds
        pairs = [((fold,), self.rows(fold)) for fold in folds.validation]
        return [*pairs, (folds.validation, self.rows(*folds.holdout))]


def without_defects(context: RunContext) -> list[str]:
    """Return a sentence on each network whose train strips hold none of its classes."""
    notes = []
    for task in tasks(context.recipe, context.recipe.folds.validation):
        planes = [each - 1 for each in task.member.classes or range(1, context.classes + 1)]
        wants = any(not isinstance(stage.strips, AllStrips) for stage in task.member.stages)
        if wants and not context.dataset.present[context.train_rows(task.fold)][:, planes].any():
            names = ", ".join(context.dataset.classes.names[plane] for plane in planes)
            notes.append(
                f"No train strip of {task.label} holds class {names}: it is fitted on all train "
                "strips, and will not find it."
            )
    return notes


def check_classes(recipe: Recipe, classes: int) -> None:
    """Raise RecipeError if a network is to predict classes that a data set does not have."""
    for name, step in recipe.named.items():
        for member in step.ensemble.members:
            highest = max(member.classes or (1,))
            if highest > classes:
                found = f"includes class {highest}, the data set has {classes}"
                remedy = f"Use ids from 1 to {classes}, or leave classes out"
                raise RecipeError(f"{name} {member.name}, classes", found, remedy)
