"""The list of runs as text and as JSON. No torch here."""

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from steelscan.evaluation.statistics import Estimate
from steelscan.pages import plain_table
from steelscan.pipeline.pixel_counts import EVALUATED_PARTS
from steelscan.pipeline.runs.runs import NUMBERS, RunSummary

_HEAD: tuple[str, ...] = (
    "run",
    "state",
    "recipe, budget",
    "networks",
    "mean Dice held out",
    "mean Dice out of fold",
    "escapes",
    "overkill",
    "size",
)


def runs_table(runs: Sequence[RunSummary]) -> str:
    """Return runs as a table, one row each.

    Escapes and overkill are those of the strips held out, or of the strips out of fold if none
    were held out. `runs_json` has more: data, seed, rounds and Dice on pairs with a defect.
    """
    rows = [_row(run) for run in runs]
    broken = [f"{run.path}: {run.state}" for run in runs if run.recipe is None]
    return "\n".join([plain_table([_HEAD, *rows]), *broken])


def runs_json(runs: Sequence[RunSummary]) -> str:
    """Return runs as a JSON list; undefined numbers are null."""
    return TypeAdapter(list[RunSummary]).dump_json(list(runs), indent=2).decode()


def _row(run: RunSummary) -> tuple[str, ...]:
    size = f"{run.bytes / 1e6:.1f} MB"
    if run.recipe is None:
        return (str(run.path), "broken", *[""] * (len(_HEAD) - 3), size)
    first = next((run.scores[part] for part in EVALUATED_PARTS if part in run.scores), {})
    return (
        str(run.path),
        run.state,
        f"{run.recipe}, {run.budget}",
        f"{run.fitted} of {run.networks}",
        *(_cell(run.scores.get(part, {}), "mean_dice") for part in EVALUATED_PARTS),
        *(_cell(first, name, interval=False) for name in NUMBERS[2:]),
        size,
    )


def _cell(scores: Mapping[str, Estimate], name: str, *, interval: bool = True) -> str:
    if name not in scores:
        return ""
    score = scores[name] if interval else Estimate(scores[name].value)
    return score.text(percent=name in ("escapes", "overkill"))
