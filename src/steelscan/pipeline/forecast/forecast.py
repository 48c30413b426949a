"""What a run will fit and predict, how long that may take, and its disk and memory.

Counts are exact, except for what only the run can find out. There they are upper bounds: every
test strip becomes a pseudo-label, every strip is suspected, gates skip nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from math import isnan, nan, prod
from pathlib import Path
from textwrap import fill

from pydantic import BaseModel

from steelscan.models import encoder_of
from steelscan.pages import plain_table, plural
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.forecast.fits import Fit, fits_of, round_contexts
from steelscan.pipeline.forecast.jobs import jobs_for, widest_wave
from steelscan.pipeline.forecast.known_speeds import facts_of, speeds_of
from steelscan.pipeline.forecast.memory import PROCESS, fit_memory, free_memory
from steelscan.pipeline.forecast.predictions import PredictionRow, predictions_of
from steelscan.pipeline.forecast.speed import (
    NetworkFacts,
)
from steelscan.strip.errors import RunError

_WIDTH = 80
_FITS = ("fit", "folds", "epochs", "crops", "size", "left", "disk", "done", "network")
_PREDICTIONS = ("predict", "strips", "passes", "left", "disk", "done")


class FitRow(BaseModel, frozen=True):
    """All fits of one network of a recipe: one per fold and round of pseudo-labels.

    ``epochs`` are those of one fit; ``crops``, ``validated`` (strips predicted in validations) and
    ``bytes`` (of checkpoints) those of all fits. ``size`` is that of the largest crops.
    ``seconds`` are those left, nan if unknown.
    """

    name: str
    network: str
    folds: int
    rounds: int
    epochs: int
    crops: int
    size: str
    validated: int
    seconds: float
    bytes: int
    done: int


class Forecast(BaseModel, frozen=True):
    """What a run will fit and predict, and what of it is done, for one ``device``.

    ``temporary`` are bytes that the largest fits left need on disk only until they end; ``split``
    are sentences on how strips were grouped and split. ``memory`` are bytes that the largest fits
    take, of those that are ``free`` (None: unknown). Both hold for ``jobs`` fits at once.
    """

    fits: tuple[FitRow, ...]
    predictions: tuple[PredictionRow, ...]
    temporary: int
    device: str
    split: tuple[str, ...] = ()
    memory: int = 0
    free: int | None = None
    jobs: int = 1

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
            found = f"takes about {_size(self.memory)}, and {_size(self.free)} are free"
            remedy = "Give a smaller --budget, a recipe with crops or a smaller batch, or cut the "
            remedy += "pictures into smaller ones"
            if self.jobs > 1:
                remedy = (
                    f"Give --jobs {self.jobs - 1} or less" if self.jobs > 2 else "Give --jobs 1"
                )
            raise RunError("memory", found, remedy)

    def table(self) -> str:
        """Return the forecast as text; its last lines state what was estimated."""
        count = sum(row.folds * row.rounds for row in self.fits)
        done = sum(row.done for row in self.fits)
        free = "" if self.free is None else f"; {_size(self.free)} are free"
        lines = [
            f"{count} {plural(count, 'fit')}, {done} done{self._together()}. {self._times()}",
            f"On disk: {_size(self.bytes)} at the end, {_size(self.peak)} at most.",
            f"In memory: about {_size(self.memory)} at most{free}.",
            "Upper bounds: they assume that each test strip becomes a pseudo-label and that gates "
            "skip nothing.",
            *self.split,
        ]
        fits = plain_table([_FITS, *map(_fit_cells, self.fits)])
        predictions = plain_table([_PREDICTIONS, *map(_prediction_cells, self.predictions)])
        text = "\n".join(fill(line, _WIDTH) for line in lines)
        return f"{fits}\n\n{predictions}\n\n{text}"

    def _together(self) -> str:
        return f", up to {self.jobs} at the same time" if self.jobs > 1 else ""

    def _times(self) -> str:
        if isnan(self.seconds):
            return f"Times on this {self.device} are not known yet: --plan measures them."
        fitting = sum(row.seconds for row in self.fits)
        return (
            f"Left: {_time(fitting)} of fitting, {_time(self.seconds - fitting)} of prediction, "
            f"{_time(self.seconds)} in all (estimated for this {self.device})."
        )


def forecast(context: RunContext, *, timed: bool) -> Forecast:
    """Return what a run will fit and predict; its folder is read, and nothing is written there.

    With ``timed`` each network is measured on the context's device, which takes seconds to a
    minute. Otherwise times are those that were remembered on this machine, or unknown. Raises
    RecipeError for a network that cannot be built.
    """
    contexts = round_contexts(context)
    fits = [fit for each in contexts for fit in fits_of(each)]
    facts = facts_of(context, fits, timed=timed)
    device = context.accelerator.device
    left = [(fit, facts[fit.key]) for fit in fits if not fit.finished]
    wanted = jobs_for(context)
    jobs = max(widest_wave(each, wanted) for each in contexts)
    processes = PROCESS * jobs if jobs > 1 else 0
    speeds = speeds_of(contexts, fits, facts, wanted)
    seconds = {fit.folder: (facts[fit.key].predict or nan) * fit.strip_pixels for fit in fits}
    named: dict[str, list[Fit]] = {}
    for fit in fits:
        named.setdefault(fit.name, []).append(fit)
    return Forecast(
        fits=tuple(_row(same, speeds) for same in named.values()),
        predictions=tuple(predictions_of(contexts, seconds)),
        temporary=_largest(jobs, (fit.temporary * known.bytes for fit, known in left)),
        device=device.type.upper(),
        split=context.split,
        memory=_largest(jobs, (fit_memory(fit, known) for fit, known in left)) + processes,
        free=free_memory(device),
        jobs=jobs,
    )


def _largest(count: int, sizes: Iterable[int]) -> int:
    """Return the sum of the largest sizes, ``count`` of them."""
    return sum(nlargest(count, sizes))


def _row(fits: Sequence[Fit], facts: Mapping[Path, NetworkFacts]) -> FitRow:
    """Return all fits of one name as a row."""
    network, frames = fits[0].network, [crops.frame for fit in fits for _, crops in fit.passes]
    encoder = encoder_of(network).encoder.removeprefix("legacy_")
    return FitRow(
        name=fits[0].name,
        network=f"{network.kind.replace('_', ' ')} {encoder}",
        folds=len({fit.task.fold for fit in fits}),
        rounds=len({fit.task.round for fit in fits}),
        epochs=fits[0].epochs,
        crops=sum(sum(fit.crops) for fit in fits),
        size="x".join(map(str, max(frames, key=prod))),
        validated=sum(fit.validated for fit in fits),
        seconds=sum(_seconds(fit, facts[fit.folder]) for fit in fits if not fit.finished),
        bytes=sum(facts[fit.folder].bytes for fit in fits),
        done=sum(fit.finished for fit in fits),
    )


def _seconds(fit: Fit, facts: NetworkFacts) -> float:
    """Return the seconds that a fit has left; nan if its speed is unknown."""
    validation = fit.validated * fit.strip_pixels * (facts.predict or nan)
    return fit.left * (fit.pixels * (facts.train or nan) + validation)


def _fit_cells(row: FitRow) -> tuple[str, ...]:
    counts = row.name, f"{row.folds}x{row.rounds}", str(row.epochs), _short(row.crops), row.size
    done = f"{row.done}/{row.folds * row.rounds}"
    return *counts, _time(row.seconds), _size(row.bytes), done, row.network


def _prediction_cells(row: PredictionRow) -> tuple[str, ...]:
    counts = row.name, str(row.strips), _short(row.passes), _time(row.seconds)
    stored = _size(row.bytes) if row.bytes else ""
    return *counts, stored, f"{100 * row.done // max(1, row.passes)}%"


def _time(seconds: float) -> str:
    """Return seconds as 99 s, 34.5 min, 5.6 h or 7.8 d; "?" if unknown."""
    if isnan(seconds):
        return "?"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _size(count: int) -> str:
    """Return bytes as 987 B, 12.3 kB, 4.6 MB or 789 GB."""
    text = _short(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def _short(number: int) -> str:
    """Return a whole number as 987, 12.3 k, 4.6 M or 789 G."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            places = 1 if number < 100 * factor else 0
            return f"{number / factor:.{places}f} {unit}"
    return str(number)
