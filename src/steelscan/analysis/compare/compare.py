"""Two runs on the same data, laid side by side strip by strip. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics import (
    Differences,
    Pairs,
    dice,
    merged_groups,
    paired_differences,
)
from steelscan.pipeline import PARTS, Evaluated, RunFolder, RunRecord, read_evaluated
from steelscan.strip import Classes, RunError, table_kind, write_rows

_TELLING = 6
"""Groups that differ, all to one side, from which that is no luck at a level of 0.95."""

_COLUMNS = ("image", "change", "truth", "a", "b", "dice_gain")

CHANGES_KIND = table_kind("list of changed strips", _COLUMNS)

CHANGES = ("clean to defective", "defective to clean", "other classes")


@dataclass(frozen=True)
class Change:
    """A strip on which two runs decide otherwise: the classes there, and those that each finds."""

    image: str
    kind: str
    """One of "clean to defective", "defective to clean", "other classes"."""
    truth: tuple[str, ...]
    one: tuple[str, ...]
    other: tuple[str, ...]
    gain: float
    """Dice of the strip, the mean over its classes: the other's less the one's."""


@dataclass(frozen=True)
class Comparison:
    """How run B differs from run A on the strips that both judged in the same part."""

    part: str
    classes: Classes
    scores: Differences
    per_class: tuple[Differences, ...]
    changes: tuple[Change, ...]
    """Those where the Dice changes most first."""
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What it comes to, by mean Dice."""
        found = self.scores.mean_dice
        if isnan(found.low):
            return "B and A cannot be told apart: fewer than two groups of strips speak."
        within = f"{found.value:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f}"
        if found.verdict == "not distinguishable":
            return f"B is not distinguishable from A: mean Dice {within}."
        return f"B is {found.verdict} than A: mean Dice {within}."

    def write_changes(self, path: Path) -> None:
        """Write every changed strip as CSV. Raises OutputError."""
        rows = (
            (
                change.image,
                change.kind,
                *(" ".join(names) for names in (change.truth, change.one, change.other)),
                f"{change.gain:.6f}",
            )
            for change in self.changes
        )
        write_rows(path, _COLUMNS, rows)


def compare(run_a: Path, run_b: Path) -> Comparison:
    """Compare two finished runs strip by strip, as B less A, with paired bootstrap intervals.

    What counts are the strips held out from both, or where there are none, those out of fold in
    both. Groups of strips that either run keeps together stay together. What an interval means,
    and what it does not, stands at `steelscan.evaluation.metrics.paired_differences`.

    Raises RunError when a folder is no run or not finished, when the two were made from other
    data, and when no strip judged both in the same part.
    """
    folders = RunFolder(run_a), RunFolder(run_b)
    one, other = (folder.load_record() for folder in folders)
    if one.fingerprint != other.fingerprint:
        found = f"was made from other data than {run_a} ({_short(one)}, {_short(other)})"
        raise RunError(run_b, found, "Compare runs on one data set")
    judged_a, judged_b = (read_evaluated(folder, len(one.classes)) for folder in folders)
    part, images = _common(judged_a, judged_b)
    if not images:
        found = f"has no strip that judged {run_a} in the same part"
        raise RunError(run_b, found, "Train both with the same seed and folds")
    a, b = (_pick(judged[part], images) for judged in (judged_a, judged_b))
    if not np.array_equal(a.truth, b.truth):
        remedy = "Train both again, into new folders"
        raise RunError(run_b, f"counts other true pixels than {run_a}", remedy)
    groups = _groups(judged_a, judged_b, images)
    scores = paired_differences(a, b, groups)
    return Comparison(
        part=part,
        classes=one.classes,
        scores=scores,
        per_class=tuple(
            paired_differences(a.of_class(at), b.of_class(at), groups)
            for at in range(len(one.classes))
        ),
        changes=_changes(images, a, b, one.classes),
        notes=tuple(_notes(part, scores, judged_a, judged_b)),
    )


def _short(record: RunRecord) -> str:
    return record.fingerprint[:8]


def _common(
    one: Mapping[str, Evaluated], other: Mapping[str, Evaluated]
) -> tuple[str, tuple[str, ...]]:
    """The first part in which both runs have strips in common, and these, sorted."""
    for part in PARTS:
        if part in one and part in other:
            images = sorted(set(one[part].images) & set(other[part].images))
            if images:
                return part, tuple(images)
    return PARTS[-1], ()


def _pick(judged: Evaluated, images: Sequence[str]) -> Pairs:
    """The pairs of these images, in their order."""
    row_of = {image: row for row, image in enumerate(judged.images)}
    return judged.pairs.select([row_of[image] for image in images])


def _groups(
    one: Mapping[str, Evaluated], other: Mapping[str, Evaluated], images: Sequence[str]
) -> NDArray[np.int64]:
    """The group of each of these images, int64 ``(strips,)``, where either run may join two.

    Strips that judge both runs, though in other parts, join groups as well.
    """
    group_in = [
        {
            image: group
            for part in judged.values()
            for image, group in zip(part.images, part.groups.tolist(), strict=True)
        }
        for judged in (one, other)
    ]
    both = sorted(group_in[0].keys() & group_in[1].keys())
    columns = [np.array([groups[image] for image in both], np.int64) for groups in group_in]
    merged = dict(zip(both, merged_groups(*columns).tolist(), strict=True))
    return np.array([merged[image] for image in images], np.int64)


def _changes(images: Sequence[str], a: Pairs, b: Pairs, classes: Classes) -> tuple[Change, ...]:
    gains = (dice(b) - dice(a)).mean(axis=1)
    changed = np.flatnonzero(((a.predicted > 0) != (b.predicted > 0)).any(axis=1))
    order = changed[np.argsort(-np.abs(gains[changed]), kind="stable")]

    def change(row: int) -> Change:
        counts = (a.truth, a.predicted, b.predicted)
        truth, one, other = (
            tuple(name for name, count in zip(classes.names, each[row], strict=True) if count)
            for each in counts
        )
        kind = CHANGES[2 if one and other else 0 if other else 1]
        return Change(images[row], kind, truth, one, other, float(gains[row]))

    return tuple(change(row) for row in order.tolist())


def _notes(
    part: str, scores: Differences, one: Mapping[str, Evaluated], other: Mapping[str, Evaluated]
) -> Iterator[str]:
    """What must be known beside the numbers, as sentences."""
    left_out = len(set(one[part].images) | set(other[part].images)) - scores.strips
    if left_out:
        yield f"{left_out} strips are {part} in one run only and were left out."
    if part != PARTS[0]:
        yield "Thresholds may have been tuned on these strips, which flatters both runs."
    differing = scores.mean_dice.differing
    if 0 < differing < _TELLING:
        yield f"Only {differing} groups differ: fewer than {_TELLING} can all lean one way by luck."
