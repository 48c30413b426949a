"""The report on ablations, as Markdown."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import NamedTuple

from ablation_list import ABLATIONS, Ablation
from ablation_runs import copied_and_all, variant_of
from measured_runs import minutes_of
from steelscan.analysis.compare import Comparison
from steelscan.analysis.compare.compare import compare
from steelscan.evaluation.metrics import Difference
from steelscan.pipeline import RunFolder

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
the idea. Minutes are those of the ablation alone."""
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
    "min",
)
VERDICTS = {
    "better": "These ideas help, by mean Dice",
    "worse": "These ideas cost mean Dice here",
    "not distinguishable": "No difference of mean Dice can be shown for these",
}


class Place(NamedTuple):
    """Where the run with an idea is, and where that without it is made."""

    ablation: Ablation
    data: str
    base: RunFolder
    run: RunFolder


def report(places: Sequence[Place], budget: str) -> Iterator[str]:
    """Yield the lines of the report."""
    if budget == "tiny":
        yield from (TINY, "")
    yield from (f"# One idea less, budget {budget}", "")
    yield f"`{' '.join(['python benchmarks/ablations.py', *sys.argv[1:]])}` at commit {commit()},"
    yield f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()})."
    yield from ("", INTRODUCTION)
    for name in dict.fromkeys(each.data for each in places):
        yield from _of_data(name, [each for each in places if each.data == name])
    yield from ("", "## What was taken away", "")
    for each in ABLATIONS:
        yield f"- `{each.label}` ({each.source}): {each.removed}"


def commit() -> str:
    """Return the commit of this program; a question mark if it is not known."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "?"


def _of_data(name: str, places: Sequence[Place]) -> Iterator[str]:
    """Yield the table of one data set, and sentences on it."""
    finished = [each for each in places if each.run.scores.exists()]
    stale = [each for each in finished if not _is_current(each)]
    done = [each for each in finished if each not in stale]
    compared = [(each, compare(each.run.path, each.base.path)) for each in done]
    if not finished:
        return
    yield from ("", f"## {name}", "")
    if compared:
        yield f"| {' | '.join(HEAD)} |"
        yield "|---" * len(HEAD) + "|"
        yield from (f"| {' | '.join(_cells(*each))} |" for each in compared)
        yield from ("", *_verdicts(compared))
    for each in done:
        if each.ablation.change is None:
            yield f"- `{each.ablation.label}`. {each.run.load_recipe().changes[-1]}"
    for each in stale:
        yield (
            f"- `{each.ablation.label}` is left out: `{each.base.path}` now has another recipe. "
            f"Remove `{each.run.path}` and its files, and run it again."
        )


def _is_current(place: Place) -> bool:
    """Return whether an ablation was made from the recipe that the run with the idea has now."""
    return place.run.load_recipe() == variant_of(place.ablation, place.base)


def _cells(place: Place, comparison: Comparison) -> Iterator[str]:
    """Yield the cells of a row, in the order of `HEAD`."""
    scores = comparison.scores
    part = "" if comparison.part == "held out" else f", {comparison.part}"
    yield from (f"`{place.ablation.recipe}`", place.ablation.idea)
    yield f"{scores.strips} ({scores.groups}){part}"
    for number in (scores.mean_dice, scores.defect_dice):
        yield from (f"{number.other:.4f}", f"{number.one:.4f}", _gain(number))
    copied, every = copied_and_all(place.ablation, place.base, place.run)
    yield from (f"{every - copied} of {every}", f"{minutes_of(place.run.path):.1f}")


def _gain(number: Difference) -> str:
    """Return the gain with its interval; bold if the interval does not contain 0."""
    interval = "unknown" if isnan(number.low) else f"{number.low:+.4f}, {number.high:+.4f}"
    text = f"{number.value:+.4f} [{interval}]"
    return text if number.verdict == "not distinguishable" else f"**{text}**"


def _verdicts(compared: Sequence[tuple[Place, Comparison]]) -> Iterator[str]:
    """Yield a sentence on the ideas that help by mean Dice, on those that cost, and on the rest."""
    for verdict, sentence in VERDICTS.items():
        labels = [
            f"{place.ablation.idea} (`{place.ablation.label}`)"
            for place, comparison in compared
            if comparison.scores.mean_dice.verdict == verdict
        ]
        if labels:
            yield f"- {sentence}: {'; '.join(labels)}."
