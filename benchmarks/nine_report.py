"""The report on all nine solutions, `quick` and a plain U-Net, as Markdown, from their records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from nine_results import ALL, NINE, label_of, records_of, repeats_of, results_of
from records import Record, Result
from steelscan import recipes
from steelscan.analysis.compare.text import NUMBERS
from steelscan.evaluation.metrics import paired_differences, score
from steelscan.evaluation.statistics import Estimate
from steelscan.recipes import with_budget

BARS = {"mill": 0.55, "neu": 0.75}
"""Dice where defect that each solution is to reach on held-out strips at the budget small."""

BASELINES = ("all empty", "plain_unet", "quick")
PICTURES = {
    "nine-minutes.png": "Dice where defect against minutes",
    "nine-strip.png": "A held-out synthetic strip: its true masks, and those of each recipe",
}
TINY = (
    "**Budget tiny is a proof of wiring: its scores are no results, and none are shown.** With\n"
    "miniature encoders, random weights and few steps, networks do not learn to find defects."
)
INTRODUCTION = """\
All numbers are of held-out strips, the same for all rows of a table: no network was fitted on them,
no threshold tuned on them. Intervals have a confidence of 95 % and are of a bootstrap over groups
of near-duplicates; they cover other strips of the same kind, not training with another seed.
Core minutes are the processor time of `steelscan train`, from pictures to report; with two free
cores the wait is about half as long, and about as long with one."""
REPEATED = """\
Repeated cross-validation: in each repeat, every strip is held out once, and the held-out
predictions of all folds together are one prediction of all strips. Numbers and the bounds of their
intervals are means over repeats. Core minutes and networks are those of all folds and repeats
together; each run starts from the networks of the same recipe on the synthetic strips."""


@dataclass(frozen=True)
class Measured:
    """What is measured on one data set, by recipe: scores, gains over others, and costs."""

    strips: int
    groups: int
    repeats: int
    scores: Mapping[str, Mapping[str, Estimate]]
    """The five numbers, also of "all empty"."""
    gains: Mapping[str, Mapping[str, Estimate]]
    """Mean Dice less that of each of `BASELINES` that is there; none over itself."""

    def above(self, baseline: str) -> list[str]:
        """Return which of the nine have a higher mean Dice than a baseline."""
        return [name for name in self.nine if self.gains[name][baseline].value > 0]

    def surely_above(self, baseline: str) -> list[str]:
        """Return which of the nine are above a baseline by an interval above 0."""
        return [name for name in self.nine if self.gains[name][baseline].low > 0]

    @property
    def nine(self) -> list[str]:
        """The solutions that are done, in the order of their places."""
        return [name for name in NINE if name in self.scores]


def report(records: Path, budget: str, pictures: Path | None = None) -> Iterator[str]:
    """Yield the lines of the report on all data sets with records; what is not done is left out.

    ``pictures`` is the folder of the report: of `PICTURES`, it shows those that are there.
    """
    if budget == "tiny":
        yield from (TINY, "")
    yield from (f"# The nine solutions, budget {budget}", "")
    yield f"`scripts/nine --budget {budget}`, {datetime.now(UTC):%Y-%m-%d}, no GPU."
    if budget != "tiny":
        yield from ("", INTRODUCTION)
    places = places_of(records / budget)
    for place in places:
        yield from _wiring(place) if budget == "tiny" else _data_set(place)
    for name, title in PICTURES.items() if pictures and budget != "tiny" else ():
        if (pictures / name).exists():
            yield from ("", f"## {title}", "", f"![{title}]({name})")
    yield from ("", "## Where each run was made", "")
    yield from _table(("data", "recipe", "commit", "processor"), _machines(places))
    yield from ("", "## What the budget changed")
    for name in NINE:
        yield from ("", f"**{name}**", "")
        changes = _changes(places, budget, name) or ["Nothing."]
        yield from (f"- {change}" for change in changes)


def places_of(records: Path) -> list[Path]:
    """Return the folder of each data set with records of a budget: the mill first, then by name."""
    folders = [folder for folder in records.glob("*") if folder.is_dir()]
    return sorted(folders, key=lambda folder: (folder.name != "mill", folder.name))


def measure(place: Path) -> Measured | None:
    """Return what is measured on a data set; None if nothing is done yet."""
    repeats = [each for each in repeats_of(place) or [results_of(place)] if each]
    if not repeats:
        return None
    firsts = [next(iter(each.values())) for each in repeats]
    names = [name for name in ALL if all(name in each for each in repeats)]
    scores = {name: _scores([each[name] for each in repeats]) for name in names}
    scores["all empty"] = _scores([each._replace(pairs=each.pairs.emptied()) for each in firsts])
    gains = {
        name: {
            base: _gain([each[name] for each in repeats], [each.get(base) for each in repeats])
            for base in BASELINES
            if base in scores and base != name
        }
        for name in names
    }
    groups = len(set(firsts[0].groups.tolist()))
    return Measured(len(firsts[0].images), groups, len(repeats), scores, gains)


def cost_cells(records: Sequence[Record]) -> tuple[str, str, str]:
    """Return networks, core minutes with the cores used, and peak memory in GiB, of runs."""
    minutes = f"{sum(each.minutes for each in records):.1f}"
    threads = sorted({each.cost["threads"] for each in records})
    cores = " to ".join(str(each) for each in (threads[0], threads[-1])[: len(threads)])
    minutes += f" ({cores} {'core' if threads == [1] else 'cores'})"
    memory = max(each.cost["gib"] for each in records)
    return str(sum(each.networks for each in records)), minutes, f"{memory:.2f}"


def gain_cell(gain: Estimate) -> str:
    """Return a gain with its interval; bold if the interval does not contain 0."""
    text = gain.text(sign=True)
    return f"**{text}**" if gain.low > 0 or gain.high < 0 else text


def _data_set(place: Path) -> Iterator[str]:
    """Yield the tables of one data set, and sentences on them."""
    measured = measure(place)
    if measured is None:
        return
    part = "strips" if measured.repeats > 1 else "held-out strips"
    yield from ("", f"## {place.name}: {measured.strips} {part} in {measured.groups} groups", "")
    if list(place.glob("repeat*-fold*")):
        yield from (f"{REPEATED} Repeats: {measured.repeats}.", "")
    yield from _table(("recipe", *NUMBERS.values()), _score_rows(measured))
    yield from ("", "Mean Dice less that of others, with paired intervals; bold without 0:", "")
    bases = [base for base in BASELINES if base in measured.scores]
    head = ("recipe", *(f"less {label_of(base)}" for base in bases), "networks", "core min", "GiB")
    yield from _table(head, _gain_rows(measured, bases, place))
    yield from ("", *_sentences(place, measured))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _score_rows(measured: Measured) -> Iterator[list[str]]:
    for name, scores in measured.scores.items():
        yield [label_of(name), *(scores[number].text() for number in NUMBERS)]


def _gain_rows(measured: Measured, bases: Sequence[str], place: Path) -> Iterator[list[str]]:
    for name, gains in measured.gains.items():
        cells = [gain_cell(gains[base]) if base in gains else "" for base in bases]
        yield [label_of(name), *cells, *cost_cells(records_of(place, name))]


def _sentences(place: Path, measured: Measured) -> Iterator[str]:
    """Yield what the nine reach on a data set, and what the plain U-Net was given."""
    nine = measured.nine
    if not nine:
        return
    sure = measured.surely_above("all empty")
    yield f"- Above all empty, with an interval above 0: {_share(sure, nine)}."
    if place.name in BARS:
        bar = BARS[place.name]
        reached = [name for name in nine if measured.scores[name]["defect_dice"].value >= bar]
        yield f"- Dice where defect of at least {bar}: {_share(reached, nine)}."
    if "plain_unet" in measured.scores:
        above, surely = measured.above("plain_unet"), measured.surely_above("plain_unet")
        yield f"- Above the plain U-Net in mean Dice: {_share(above, nine)}."
        yield f"- Above the plain U-Net with an interval above 0: {_share(surely, nine)}."
        crops = sum(record.crops for record in records_of(place, "plain_unet"))
        yield f"- The plain U-Net (`benchmarks/plain_unet.py`) was fitted on {crops} crops."


def _share(reached: Sequence[str], nine: Sequence[str]) -> str:
    """Return how many of the nine reach something, and which do not."""
    missing = [label_of(name) for name in nine if name not in reached]
    return f"{len(reached)} of {len(nine)}" + (f"; not {', '.join(missing)}" if missing else "")


def _scores(repeats: Sequence[Result]) -> dict[str, Estimate]:
    """Return the five numbers, as means over repeats."""
    scored = [score(each.pairs, each.groups) for each in repeats]
    return {name: _mean([getattr(each, name) for each in scored]) for name in NUMBERS}


def _gain(own: Sequence[Result], base: Sequence[Result | None]) -> Estimate:
    """Return mean Dice less that of others (None: of no prediction), as a mean over repeats."""
    gains = []
    for each, other in zip(own, base, strict=True):
        pairs = each.pairs.emptied() if other is None else other.pairs
        gains.append(paired_differences(pairs, each.pairs, each.groups).mean_dice.estimate)
    return _mean(gains)


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    values = np.array([(each.value, each.low, each.high) for each in estimates])
    return Estimate(*values.mean(axis=0).tolist())


def _machines(places: Sequence[Path]) -> Iterator[tuple[str, str, str, str]]:
    """Yield data set, recipes, commit and processor: a row for runs that share the last two."""
    for place in places:
        ran: dict[tuple[str, str], list[str]] = {}
        for name in ALL:
            for record in records_of(place, name):
                where = record.cost["commit"], record.cost["processor"]
                ran.setdefault(where, []).append(label_of(name))
        for where, names in ran.items():
            yield place.name, ", ".join(dict.fromkeys(names)), *where


def _wiring(place: Path) -> Iterator[str]:
    """Yield which recipes ran whole, and what that took."""
    rows = []
    for name in (*NINE, "quick"):
        done = records_of(place, name)
        cells = ("yes", *cost_cells(done)) if done else ("no", "", "", "")
        rows.append((label_of(name), *cells))
    yield from ("", f"## {place.name}", "")
    yield from _table(("recipe", "ran whole", "networks", "core min", "GiB"), rows)


def _changes(places: Sequence[Path], budget: str, name: str) -> Sequence[str]:
    """Return what the budget changed in a recipe: in its first run, or as of now."""
    for place in places:
        for record in records_of(place, name):
            return record.changes
    return with_budget(recipes.load(name), budget).changes
