"""What a run will fit and ask, how long that may take, and what it leaves on disk.

Counts are exact but for what only the run can tell. There they are the most that can be: every
test strip teaches, every strip is suspected, no gate spares a network a strip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from textwrap import fill

import torch

from steelscan.models import encoder_of
from steelscan.pipeline import RunContext
from steelscan.pipeline.forecast.asks import asks_of
from steelscan.pipeline.forecast.fits import Fit, fits_of, round_plans
from steelscan.pipeline.forecast.memory import free_memory
from steelscan.pipeline.forecast.speed import Clock, Cost
from steelscan.pipeline.forecast.table import WIDTH, AskRow, FitRow, rows_text, size_text, time_text
from steelscan.strip import RunError


@dataclass(frozen=True)
class Forecast:
    """What a run will fit and ask, and what of it is done; ``device`` is where it was timed.

    ``aside`` are bytes that the largest fit left needs on disk only until it ends; ``split`` are
    sentences on how strips were grouped and dealt. ``memory`` are bytes that the largest fit takes,
    of those that are ``free`` (None: nobody can tell).
    """

    fits: tuple[FitRow, ...]
    asks: tuple[AskRow, ...]
    aside: int
    device: str
    split: tuple[str, ...] = ()
    memory: int = 0
    free: int | None = None

    @property
    def seconds(self) -> float:
        """Seconds that the run has still to go."""
        return sum(row.seconds for row in self.fits) + sum(row.seconds for row in self.asks)

    @property
    def bytes(self) -> int:
        """Bytes of checkpoints and stores when the run has ended."""
        return sum(row.bytes for row in self.fits) + sum(row.bytes for row in self.asks)

    @property
    def peak(self) -> int:
        """Bytes on disk at most: as if the largest fit came last."""
        return self.bytes + self.aside

    def check_memory(self) -> None:
        """Raise RunError when a run would take more memory than there is."""
        if self.free is not None and self.memory > self.free:
            found = f"takes about {size_text(self.memory)}, and {size_text(self.free)} are free"
            remedy = "Give a smaller --budget, a recipe with crops or a smaller batch, or cut the "
            raise RunError("memory", found, remedy + "pictures into smaller ones")

    def table(self) -> str:
        """Lines for people, at most 100 columns wide; the last says what was estimated."""
        fits = sum(row.folds * row.rounds for row in self.fits)
        fitting = sum(row.seconds for row in self.fits)
        split = "".join(f"\n{fill(sentence, WIDTH)}" for sentence in self.split)
        return f"""{rows_text(self.fits, self.asks)}

{fits} fits, {sum(row.done for row in self.fits)} done. Left: {time_text(fitting)} of fitting, \
{time_text(self.seconds - fitting)} of asking, {time_text(self.seconds)} in all.
On disk: {size_text(self.bytes)} at the end, {size_text(self.peak)} at most.
In memory: about {size_text(self.memory)} at most{self._free()}.
At most: each test strip teaches, and no gate spares a network a strip.
Times are estimates from a few passes of each network on this {self.device}.{split}"""

    def _free(self) -> str:
        return "" if self.free is None else f"; {size_text(self.free)} are free"


def forecast(context: RunContext) -> Forecast:
    """Say what a run will fit and ask; its folder is read, and nothing is written there.

    Takes seconds to a minute: networks are timed on the plan's device. Raises RecipeError for a
    network that cannot be built.
    """
    plans = round_plans(context)
    fits = [fit for each in plans for fit in fits_of(each)]
    with torch.random.fork_rng():
        clock = Clock(context)
        costs = {fit.folder: clock.cost(fit) for fit in fits}
    left = [costs[fit.folder] for fit in fits if not fit.finished]
    names = dict.fromkeys(fit.name for fit in fits)
    rows = tuple(_row([fit for fit in fits if fit.name == name], costs) for name in names)
    asks = tuple(asks_of(plans, costs))
    asides = [fit.aside * costs[fit.folder].bytes for fit in fits if not fit.finished]
    device = context.accelerator.device.type.upper()
    aside, memory = max(asides, default=0), max((each.memory for each in left), default=0)
    free = free_memory(context.accelerator.device)
    return Forecast(rows, asks, aside, device, context.split, int(memory), free)


def _row(fits: Sequence[Fit], costs: Mapping[Path, Cost]) -> FitRow:
    """All fits of one name as a row."""
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
        judged=sum(fit.judged for fit in fits),
        seconds=sum(fit.left * costs[fit.folder].fit for fit in fits),
        bytes=sum(costs[fit.folder].bytes for fit in fits),
        done=sum(fit.finished for fit in fits),
    )
