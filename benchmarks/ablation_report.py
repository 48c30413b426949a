"""The report on ablations, as Markdown, from their records."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ablation_list import ABLATIONS, Ablation
from nine_report import gain_cell, places_of
from records import Record
from steelscan.evaluation.metrics import Differences, paired_differences
from steelscan.strip.files import write_text

TINY = (
    "**These scores are no results: the budget `tiny` only shows that all ablations run.** With\n"
    "miniature networks, random weights and few steps, networks do not learn to find defects."
)
INTRODUCTION = """\
Each row takes one idea away from a solution. The gain is the score with the idea less that without
it, on the same held-out strips, which no network was fitted on and no threshold tuned on. Its
interval is a paired bootstrap over groups of near-duplicates; it covers other strips of the same
kind, not training with another seed. Gains in bold have an interval without 0. "Fitted again" are
networks that the idea changes, and those that depend on them; all others are those of the run with
the idea. Core minutes are the processor time of the ablation alone."""
HEAD = (
    "solution",
    "idea",
    "strips (groups)",
    "mean Dice with",
    "without",
    "gain [95 % interval]",
    "Dice where defect with",
    "without",
    "gain [95 % interval]",
    "fitted again",
    "core min",
    "commit",
)
VERDICTS = {
    "better": "These ideas help, by mean Dice",
    "worse": "These ideas cost mean Dice here",
    "not distinguishable": "No difference of mean Dice can be shown for these",
}


class Measured(NamedTuple):
    """An ablation that is done: the runs with the idea and without it, on the same strips."""

    ablation: Ablation
    base: Record
    run: Record
    fitted: int
    """Networks that were fitted again."""

    @property
    def differences(self) -> Differences:
        """The five numbers with the idea less those without it."""
        one, other = self.run.result, self.base.result
        return paired_differences(one.pairs, other.pairs, other.groups)


def write_measured(path: Path, measured: Measured) -> None:
    """Write the record of an ablation. Raises ValueError if the strips of both runs differ."""
    if list(measured.run.images) != list(measured.base.images):
        raise ValueError(f"{measured.ablation.label} is evaluated on other strips than its base")
    records = {"with": measured.base, "without": measured.run}
    lines = (
        f' "{key}": {json.dumps(asdict(replace(record, masks={})))}'
        for key, record in records.items()
    )
    content = ",\n".join((f' "fitted": {measured.fitted}', *lines))
    write_text(path, f"{{\n{content}\n}}\n")


def read_measured(place: Path) -> list[Measured]:
    """Return the ablations of a data set that are done, in the order of the list."""
    done = []
    for ablation in ABLATIONS:
        path = place / f"{ablation.label}.json"
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            records = Record(**stored["with"]), Record(**stored["without"])
            done.append(Measured(ablation, *records, stored["fitted"]))
    return done


def report(records: Path, budget: str) -> Iterator[str]:
    """Yield the lines of the report on all data sets with records."""
    if budget == "tiny":
        yield from (TINY, "")
    yield from (f"# One idea less, budget {budget}", "")
    command = f"python benchmarks/ablations.py --budget {budget}"
    yield f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, no GPU."
    yield from ("", INTRODUCTION)
    for place in places_of(records / budget):
        yield from _of_data(place)
    yield from ("", "## What was taken away", "")
    for each in ABLATIONS:
        yield f"- `{each.label}` ({each.source}): {each.removed}"


def _of_data(place: Path) -> Iterator[str]:
    """Yield the table of one data set, and sentences on it."""
    compared = [(each, each.differences) for each in read_measured(place)]
    if not compared:
        return
    yield from ("", f"## {place.name}", "")
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    yield from (f"| {' | '.join(_cells(*each))} |" for each in compared)
    yield from ("", *_verdicts(compared))
    for each, _ in compared:
        if each.ablation.change is None:
            yield f"- `{each.ablation.label}`. {each.run.changes[-1]}"


def _cells(measured: Measured, differences: Differences) -> Iterator[str]:
    """Yield the cells of a row, in the order of `HEAD`."""
    run = measured.run
    part = "" if run.part == "held out" else f", {run.part}"
    yield from (f"`{measured.ablation.recipe}`", measured.ablation.idea)
    yield f"{len(run.images)} ({len(set(run.groups))}){part}"
    for number in (differences.mean_dice, differences.defect_dice):
        yield from (f"{number.other:.4f}", f"{number.one:.4f}", gain_cell(number.estimate))
    yield from (f"{measured.fitted} of {run.networks}", f"{run.minutes:.1f}")
    yield f"{run.cost['commit']}"


def _verdicts(compared: Sequence[tuple[Measured, Differences]]) -> Iterator[str]:
    """Yield a sentence on the ideas that help by mean Dice, on those that cost, and on the rest."""
    for verdict, sentence in VERDICTS.items():
        labels = [
            f"{measured.ablation.idea} (`{measured.ablation.label}`)"
            for measured, differences in compared
            if differences.mean_dice.verdict == verdict
        ]
        if labels:
            yield f"- {sentence}: {'; '.join(labels)}."
