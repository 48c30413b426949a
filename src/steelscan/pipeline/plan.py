"""What a run works on: recipe, strips, folds and options, and which strips judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from steelscan.data import AllStrips, Dataset
from steelscan.pipeline.engine import Device, accelerator
from steelscan.pipeline.recipe import Recipe
from steelscan.pipeline.run import RunFolder, Task, tasks
from steelscan.strip import RecipeError


@dataclass(frozen=True)
class Options:
    """Where and with what a recipe is carried out; nothing here says what it does."""

    seed: int = 0
    device: Device = "auto"
    workers: int = 0
    on_error: Literal["stop", "skip"] = "stop"
    folds: Path | None = None
    """A table of folds that others dealt; None: the run deals its own."""


@dataclass(frozen=True, eq=False)
class Plan:
    """All that the steps of a run need to know.

    ``groups`` and ``folds`` are int64 ``(strips,)``; ``round`` counts those of pseudo-labels.
    ``split`` are sentences on how strips were grouped and dealt, told before anything is fitted.
    """

    run: RunFolder
    recipe: Recipe
    dataset: Dataset
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]
    options: Options
    round: int = 0
    split: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Number of defect classes."""
        return len(self.dataset.classes)

    @cached_property
    def accelerator(self) -> Accelerator:
        """The engine that fits and predicts."""
        return accelerator(self.options.device)

    def tasks(self, step: str, folds: Sequence[int]) -> list[Task]:
        """The networks of a step, by its name, that were fitted for some folds in this round."""
        return [task for task in tasks(self.recipe, folds, self.round) if task.step == step]

    def rows(self, *folds: int) -> NDArray[np.int64]:
        """The strips of some folds."""
        return np.flatnonzero(np.isin(self.folds, folds))

    def teaching(self, fold: int) -> NDArray[np.int64]:
        """The strips on which the network of a validation fold is fitted."""
        return np.flatnonzero(~np.isin(self.folds, (fold, *self.recipe.folds.holdout)))

    @cached_property
    def parts(self) -> Mapping[str, NDArray[np.int64]]:
        """The strips that judge: those never seen first, then those of the validation folds."""
        folds = self.recipe.folds
        named = {"held out": folds.holdout, "out of fold": folds.validation}
        return {name: self.rows(*chosen) for name, chosen in named.items() if chosen}

    @cached_property
    def judged_by(self) -> list[tuple[tuple[int, ...], NDArray[np.int64]]]:
        """Which folds' networks answer for which strips.

        A strip of a validation fold is judged by the networks that were not fitted on it, a
        held-out strip by those of all folds together.
        """
        folds = self.recipe.folds
        pairs = [((fold,), self.rows(fold)) for fold in folds.validation]
        return [*pairs, (folds.validation, self.rows(*folds.holdout))]


def never_taught(plan: Plan) -> list[str]:
    """A sentence on each network that is to learn a class from strips of which none holds it."""
    told = []
    for task in tasks(plan.recipe, plan.recipe.folds.validation):
        planes = [known - 1 for known in task.member.classes or range(1, plan.classes + 1)]
        wants = any(not isinstance(stage.strips, AllStrips) for stage in task.member.stages)
        if wants and not plan.dataset.present[plan.teaching(task.fold)][:, planes].any():
            names = ", ".join(plan.dataset.classes.names[plane] for plane in planes)
            told.append(
                f"No strip that teaches {task.label} holds class {names}: it learns from all "
                "strips that there is none."
            )
    return told


def check_classes(recipe: Recipe, classes: int) -> None:
    """Raise RecipeError when a network is to know classes that a data set has not."""
    for name, step in recipe.named.items():
        for number, member in enumerate(step.ensemble.members, start=1):
            highest = max(member.classes or (1,))
            if highest > classes:
                found = f"knows class {highest}, the data set has {classes}"
                remedy = "Name ids from 1 to that, or leave classes out"
                raise RecipeError(f"{name} {number}, classes", found, remedy)
