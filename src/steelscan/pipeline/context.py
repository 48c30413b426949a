"""What a run works on: recipe, strips, folds and options, and which strips judge."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.pipeline.fit_tasks import Task, tasks
from steelscan.pipeline.run_folder import RunFolder
from steelscan.recipes import Recipe
from steelscan.strip import RecipeError
from steelscan.training import AllStrips

Device = Literal["auto", "cpu"]

_PREFIXES = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_")
_OF_MANY = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
"""What launchers say of other processes: a fit is that of one, and would wait for them."""


def accelerator(device: Device) -> Accelerator:
    """The engine of this process: the fastest device there is, or the CPU when told so.

    What the environment tells accelerate is not heard: a recipe alone says how networks are fitted.
    """
    with _unheard():
        return Accelerator(cpu=device == "cpu")


def ignored_variables() -> list[str]:
    """A sentence on the variables of the environment that would change how networks are fitted."""
    names = _variables()
    if not names:
        return []
    return [f"Ignored in the environment, the recipe alone counts: {', '.join(names)}."]


def _variables() -> list[str]:
    return sorted(name for name in os.environ if name.startswith(_PREFIXES) or name in _OF_MANY)


@contextmanager
def _unheard() -> Iterator[None]:
    aside = {name: os.environ.pop(name) for name in _variables()}
    try:
        yield
    finally:
        os.environ.update(aside)


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
class RunContext:
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


def never_taught(context: RunContext) -> list[str]:
    """A sentence on each network that is to learn a class from strips of which none holds it."""
    told = []
    for task in tasks(context.recipe, context.recipe.folds.validation):
        planes = [known - 1 for known in task.member.classes or range(1, context.classes + 1)]
        wants = any(not isinstance(stage.strips, AllStrips) for stage in task.member.stages)
        if wants and not context.dataset.present[context.teaching(task.fold)][:, planes].any():
            names = ", ".join(context.dataset.classes.names[plane] for plane in planes)
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
