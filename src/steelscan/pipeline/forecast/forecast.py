"""What a run will fit and predict, how long that may take, and its disk and memory.

Counts are exact, except for what only the run can find out. There they are upper bounds: every
test strip becomes a pseudo-label, every strip is suspected, gates skip nothing.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isnan, nan, prod
from textwrap import fill

import torch
from pydantic import BaseModel

from steelscan.models import encoder_of
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task
from steelscan.pipeline.forecast.fits import Fit, fits_of, fits_of_task, round_contexts
from steelscan.pipeline.forecast.memory import fit_memory, free_memory
from steelscan.pipeline.forecast.network_facts import (
    NetworkFacts,
    key_of,
    read_facts,
    remember_facts,
)
from steelscan.pipeline.forecast.predictions import predictions_of
from steelscan.pipeline.forecast.speed import measure, size_alone
from steelscan.pipeline.forecast.table import (
    FitRow,
    PredictionRow,
    rows_text,
    size_text,
    time_text,
)
from steelscan.strip import RunError

_WIDTH = 80


class Forecast(BaseModel, frozen=True):
    """What a run will fit and predict, and what of it is done, for one ``device``.

    ``temporary`` are bytes that the largest fit left needs on disk only until it ends; ``split``
    are sentences on how strips were grouped and split. ``memory`` are bytes that the largest fit
    takes, of those that are ``free`` (None: unknown).
    """

    fits: tuple[FitRow, ...]
    predictions: tuple[PredictionRow, ...]
    temporary: int
    device: str
    split: tuple[str, ...] = ()
    memory: int = 0
    free: int | None = None

    @property
    def seconds(self) -> float:
        """Seconds that the run has still to go; nan if a speed is unknown."""
        return sum(row.seconds for row in self.fits) + sum(row.seconds for row in self.predictions)

    @property
    def bytes(self) -> int:
        """Bytes of checkpoints and stores when the run has ended."""
        return sum(row.bytes for row in self.fits) + sum(row.bytes for row in self.predictions)

    @property
    def peak(self) -> int:
        """Bytes on disk at most: as if the largest fit came last."""
        return self.bytes + self.temporary

    def check_memory(self) -> None:
        """Raise RunError if a run would take more memory than is free."""
        if self.free is not None and self.memory > self.free:
            found = f"takes about {size_text(self.memory)}, and {size_text(self.free)} are free"
            remedy = "Give a smaller --budget, a recipe with crops or a smaller batch, or cut the "
            raise RunError("memory", found, remedy + "pictures into smaller ones")

    def table(self) -> str:
        """Return the forecast as text; its last lines state what was estimated."""
        fits = sum(row.folds * row.rounds for row in self.fits)
        done = sum(row.done for row in self.fits)
        free = "" if self.free is None else f"; {size_text(self.free)} are free"
        lines = [
            f"{fits} fits, {done} done. {self._times()}",
            f"On disk: {size_text(self.bytes)} at the end, {size_text(self.peak)} at most.",
            f"In memory: about {size_text(self.memory)} at most{free}.",
            "Upper bounds: they assume that each test strip becomes a pseudo-label and that gates "
            "skip nothing.",
            *self.split,
        ]
        text = "\n".join(fill(line, _WIDTH) for line in lines)
        return f"{rows_text(self.fits, self.predictions)}\n\n{text}"

    def _times(self) -> str:
        if isnan(self.seconds):
            return f"Times on this {self.device} are not known yet: --plan measures them."
        fitting = sum(row.seconds for row in self.fits)
        return (
            f"Left: {time_text(fitting)} of fitting, {time_text(self.seconds - fitting)} of "
            f"prediction, {time_text(self.seconds)} in all (estimated for this {self.device})."
        )


def forecast(context: RunContext, *, timed: bool) -> Forecast:
    """Return what a run will fit and predict; its folder is read, and nothing is written there.

    With ``timed`` each network is measured on the context's device, which takes seconds to a
    minute. Otherwise times are those that were remembered on this machine, or unknown. Raises
    RecipeError for a network that cannot be built.
    """
    contexts = round_contexts(context)
    fits = [fit for each in contexts for fit in fits_of(each)]
    facts = _facts(context, fits, timed=timed)
    device = context.accelerator.device
    left = [(fit, facts[key_of(fit)]) for fit in fits if not fit.finished]
    seconds = {fit.folder: (facts[key_of(fit)].predict or nan) * fit.strip_pixels for fit in fits}
    names = dict.fromkeys(fit.name for fit in fits)
    return Forecast(
        fits=tuple(_row([fit for fit in fits if fit.name == name], facts) for name in names),
        predictions=tuple(predictions_of(contexts, seconds)),
        temporary=max((fit.temporary * each.bytes for fit, each in left), default=0),
        device=device.type.upper(),
        split=context.split,
        memory=int(max((fit_memory(fit, each.bytes, each.kept) for fit, each in left), default=0)),
        free=free_memory(device),
    )


@contextmanager
def speed_recorded(context: RunContext, task: Task) -> Iterator[None]:
    """Remember how fast a network was fitted, if the block fits it from beginning to end."""
    device, fits = context.accelerator.device, list(fits_of_task(context, task))
    whole = len(fits) == 1 and fits[0].left == 1
    start = time.perf_counter()
    yield
    seconds, fit = time.perf_counter() - start, fits[-1]
    known = read_facts(device).get(key_of(fit))
    if whole and known is not None:
        predicted = fit.validated * fit.strip_pixels
        remember_facts(device, {key_of(fit): known.after_fit(seconds, fit.pixels, predicted)})


def _facts(context: RunContext, fits: Sequence[Fit], *, timed: bool) -> dict[str, NetworkFacts]:
    """Return the facts of all networks, and remember those that were measured."""
    device = context.accelerator.device
    known, new = read_facts(device), {}
    with torch.random.fork_rng():
        for fit in fits:
            key = key_of(fit)
            if key not in new and (timed or key not in known):
                workers = context.options.workers
                new[key] = measure(fit, device, workers) if timed else size_alone(fit)
    if new:
        remember_facts(device, new)
    return known | new


def _row(fits: Sequence[Fit], facts: Mapping[str, NetworkFacts]) -> FitRow:
    """Return all fits of one name as a row."""
    network, passes = fits[0].network, [each for fit in fits for each in fit.passes]
    encoder = encoder_of(network).encoder.removeprefix("legacy_")
    return FitRow(
        name=fits[0].name,
        network=f"{network.kind.replace('_', ' ')} {encoder}",
        folds=len({fit.task.fold for fit in fits}),
        rounds=len({fit.task.round for fit in fits}),
        epochs=fits[0].epochs,
        crops=sum(each.crops for each in passes),
        size="x".join(map(str, max((each.frame for each in passes), key=prod))),
        validated=sum(fit.validated for fit in fits),
        seconds=sum(_seconds(fit, facts[key_of(fit)]) for fit in fits if not fit.finished),
        bytes=sum(facts[key_of(fit)].bytes for fit in fits),
        done=sum(fit.finished for fit in fits),
    )


def _seconds(fit: Fit, facts: NetworkFacts) -> float:
    """Return the seconds that a fit has left; nan if its speed is unknown."""
    validation = fit.validated * fit.strip_pixels * (facts.predict or nan)
    return fit.left * (fit.pixels * (facts.train or nan) + validation)
