"""The report on all nine solutions, `quick` and a plain U-Net, as Markdown, from their folders."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from measured_runs import cost_of
from steelscan import recipes
from steelscan.data import open_dataset
from steelscan.data.duplicates import find_groups
from steelscan.evaluation.metrics import Pairs, Scores, paired_differences, score
from steelscan.pipeline import RunFolder, read_evaluated
from steelscan.recipes import with_budget
from steelscan.strip.errors import RunError

PLACES = {
    "first": 1, "third": 3, "fourth": 4, "seventh": 7, "ninth": 9,
    "tenth": 10, "twelfth": 12, "fourteenth": 14, "seventieth": 70,
}  # fmt: skip
NINE = tuple(f"{place}_place" for place in PLACES)
OTHERS = ("quick", "plain_unet")
NUMBERS = {
    "mean_dice": "mean Dice",
    "defect_dice": "Dice where defect",
    "clean_kept": "clean pairs kept",
    "escapes": "escapes",
    "overkill": "overkill",
}
BARS = {"mill": 0.55, "neu": 0.75}
"""Dice where defect that each solution is to reach on held-out strips at the budget small."""

TINY = (
    "**Budget tiny is a proof of wiring: its scores are no results, and none are shown.** With\n"
    "miniature encoders, random weights and few steps, networks do not learn to find defects."
)


class Result(NamedTuple):
    """What a recipe or the plain U-Net predicts on the held-out strips of a data set."""

    images: tuple[str, ...]
    groups: NDArray[np.int64]
    pairs: Pairs


def report(out: Path, data: Sequence[Path], budget: str) -> Iterator[str]:
    """Yield the lines of the report; what is not done yet is left out."""
    if budget == "tiny":
        yield from (TINY, "")
    yield from (f"# The nine solutions, budget {budget}", "")
    yield f"`{' '.join(['scripts/nine', *sys.argv[1:]])}`, {datetime.now(UTC):%Y-%m-%d},"
    yield f"{os.cpu_count()} cores, no GPU; {'; '.join(_machines(out / budget))}."
    for folder in data:
        place = out / budget / folder.name
        yield from _wiring(place) if budget == "tiny" else _data_set(place, folder)
    yield from ("", "## What the budget changed")
    for name in NINE:
        yield from ("", f"**{name}**", "")
        yield from (f"- {change}" for change in with_budget(recipes.load(name), budget).changes)


def results_of(place: Path, data: Path) -> dict[str, Result]:
    """Return the results of all that is done on a data set, in the order of the report."""
    found: dict[str, Result] = {}
    classes = len(open_dataset(data).classes)
    for name in (*NINE, "quick"):
        try:
            parts = read_evaluated(RunFolder(place / name), classes)
        except RunError:
            continue
        if "held out" in parts:
            part = parts["held out"]
            found[name] = Result(part.images, part.groups, part.pairs)
    plain = place / "plain_unet" / "pairs.json"
    if plain.exists():
        stored = json.loads(plain.read_text(encoding="utf-8"))
        dataset = open_dataset(data)
        rows = {name: row for row, name in enumerate(dataset.names)}
        groups = find_groups(dataset).numbers[[rows[image] for image in stored["images"]]]
        counts = (np.array(stored[key], np.int64) for key in ("predicted", "truth", "shared"))
        found["plain_unet"] = Result(tuple(stored["images"]), groups, Pairs(*counts))
    return found


def _machines(place: Path) -> list[str]:
    """Return the commits and processors of all runs."""
    costs = [json.loads(path.read_text("utf-8")) for path in sorted(place.glob("*/*.json"))]
    known = [cost for cost in costs if isinstance(cost, dict) and "commit" in cost]
    return sorted({f"commit {cost['commit']}, {cost['processor']}" for cost in known})


def _wiring(place: Path) -> Iterator[str]:
    """Yield which recipes ran whole, and what that took."""
    yield from ("", f"## {place.name}", "", "| recipe | ran whole | networks | min | GiB |")
    yield "|---|---|---|---|---|"
    for name in NINE:
        cost = cost_of(place / name)
        if cost["seconds"]:
            yield f"| `{name}` | {'yes' if cost['done'] else 'no'} | {_costs(place / name)} |"


def _data_set(place: Path, data: Path) -> Iterator[str]:
    """Yield the tables of one data set."""
    results = results_of(place, data)
    if not results:
        return
    first = next(iter(results.values()))
    scores = {name: score(each.pairs, each.groups) for name, each in results.items()}
    scores["all empty"] = score(first.pairs.emptied(), first.groups)
    groups = len(set(first.groups.tolist()))
    yield from ("", f"## {place.name}: {len(first.images)} held-out strips in {groups} groups", "")
    yield f"| recipe | {' | '.join(NUMBERS.values())} | networks | min | GiB |"
    yield "|---" * (len(NUMBERS) + 4) + "|"
    for name, each in scores.items():
        costs = _costs(place / name) if name in results else " | | "
        yield f"| {_label(name)} | {' | '.join(_numbers(each))} | {costs} |"
    yield from ("", "Mean Dice less that of others, with paired intervals:", "")
    others = ["all empty", *(name for name in ("plain_unet", "quick") if name in results)]
    yield f"| recipe | {' | '.join(f'less {_label(each)}' for each in others)} |"
    yield "|---" * (len(others) + 1) + "|"
    gains = {name: _gains(results, name, others) for name in results}
    for name, own in gains.items():
        yield f"| {_label(name)} | {' | '.join(own)} |"
    yield from ("", *_bars(place.name, scores, gains))


def _gains(results: Mapping[str, Result], name: str, others: Sequence[str]) -> list[str]:
    """Return the gains of a recipe over others; bold if the interval does not contain 0."""
    own, cells = results[name], []
    for other in others:
        if other == name:
            cells.append("")
            continue
        pairs = own.pairs.emptied() if other == "all empty" else results[other].pairs
        if other != "all empty" and results[other].images != own.images:
            raise RunError(name, f"has other held-out strips than {other}", "Remove one of them")
        gain = paired_differences(pairs, own.pairs, own.groups).mean_dice
        text = f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        cells.append(text if gain.verdict == "not distinguishable" else f"**{text}**")
    return cells


def _bars(
    data: str, scores: Mapping[str, Scores], gains: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield sentences on what is reached."""
    nine = [name for name in NINE if name in scores]
    empty = [name for name in nine if gains[name][0].startswith("**+")]
    yield f"- Above all empty, with an interval above 0: {len(empty)} of {len(nine)}."
    if data in BARS:
        below = [name for name in nine if scores[name].defect_dice.value < BARS[data]]
        yield (
            f"- Dice where defect of at least {BARS[data]}: {len(nine) - len(below)} of "
            f"{len(nine)}{'; not ' + ', '.join(below) if below else ''}."
        )
    if "plain_unet" in scores:
        plain = scores["plain_unet"].mean_dice.value
        above = [name for name in nine if scores[name].mean_dice.value > plain]
        sure = [name for name in above if gains[name][1].startswith("**+")]
        yield (
            f"- Above the plain U-Net in mean Dice: {len(above)} of {len(nine)}, "
            f"{len(sure)} with an interval above 0."
        )


def _label(name: str) -> str:
    return {"plain_unet": "plain U-Net", "all empty": name}.get(name, f"`{name}`")


def _numbers(scores: Scores) -> Iterator[str]:
    """Yield the five numbers with their intervals."""
    for name in NUMBERS:
        estimate = getattr(scores, name)
        interval = "" if isnan(estimate.low) else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
        yield f"{estimate.value:.4f}{interval}"


def _costs(run: Path) -> str:
    """Return networks, minutes and memory as cells."""
    networks = len(list((run / "networks").rglob("checkpoint.safetensors")))
    cost = cost_of(run)
    return f"{networks or 1} | {cost['seconds'] / 60:.1f} | {cost['gib']:.2f}"
