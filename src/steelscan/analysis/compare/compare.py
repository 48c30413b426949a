"""Compare two runs on the same data strip by strip. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from steelscan.evaluation.metrics import (
    Differences,
    Pairs,
    dice,
    merged_groups,
    paired_differences,
)
from steelscan.pages import plural
from steelscan.pipeline import EVALUATED_PARTS, Evaluated, RunFolder, RunRecord, read_evaluated
from steelscan.strip import Classes
from steelscan.strip.errors import RunError
from steelscan.strip.files import FileKind
from steelscan.strip.tables import write_rows

_ENOUGH = 6
"""If so many groups all differ in one direction, that is not chance (confidence 0.95)."""

_COLUMNS = ("image", "change", "truth", "a", "b", "dice_gain")

CHANGES_KIND = FileKind.table("list of changed strips", _COLUMNS)

CHANGES = ("clean to defective", "defective to clean", "other classes")


class Change(BaseModel, frozen=True):
    """A strip on which two runs decide differently, with its true and predicted classes."""

    image: str
    kind: str
    """One of "clean to defective", "defective to clean", "other classes"."""
    truth: tuple[str, ...]
    a: tuple[str, ...]
    b: tuple[str, ...]
    gain: float
    """Dice of the strip, the mean over its classes: that of B minus that of A."""


class Comparison(BaseModel, frozen=True):
    """How run B differs from run A on the strips that both evaluated in the same part."""

    part: str
    classes: Classes
    scores: Differences
    per_class: tuple[Differences, ...]
    changes: tuple[Change, ...]
    """Sorted by the change of Dice, the largest first."""
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The result in one sentence, by mean Dice."""
        dice = self.scores.mean_dice
        if isnan(dice.low):
            return "B and A cannot be compared: that takes at least two groups of strips."
        within = f"{dice.value:+.4f}, 95 % interval {dice.low:+.4f} to {dice.high:+.4f}"
        if dice.verdict == "not distinguishable":
            return f"B is not distinguishable from A: mean Dice {within}."
        return f"B is {dice.verdict} than A: mean Dice {within}."

    def write_changes(self, path: Path) -> None:
        """Write every changed strip as CSV. Raises OutputError."""
        rows = (
            (
                change.image,
                change.kind,
                *(" ".join(names) for names in (change.truth, change.a, change.b)),
                f"{change.gain:.6f}",
            )
            for change in self.changes
        )
        write_rows(path, _COLUMNS, rows)


def compare(run_a: Path, run_b: Path) -> Comparison:
    """Compare two finished runs strip by strip, as B minus A, with paired bootstrap intervals.

    Uses the strips held out from both, or if there are none, those out of fold in both. Strips
    that either run groups are resampled together. `steelscan.evaluation.metrics.paired_differences`
    explains the intervals.

    Raises RunError if a folder is not a finished run, if the runs were made from different data,
    and if no strip was evaluated by both in the same part.
    """
    folders = RunFolder(run_a), RunFolder(run_b)
    record, other = (folder.load_record() for folder in folders)
    if record.fingerprint != other.fingerprint:
        problem = f"was made from different data than {run_a} ({_short(record)}, {_short(other)})"
        raise RunError(run_b, problem, "Compare runs on one data set")
    parts_a, parts_b = (read_evaluated(folder, len(record.classes)) for folder in folders)
    part, images = _common(parts_a, parts_b)
    if not images:
        problem = f"was evaluated on no strip of the same part of {run_a}"
        raise RunError(run_b, problem, "Train both with the same seed and folds")
    a, b = (_pick(parts[part], images) for parts in (parts_a, parts_b))
    if not np.array_equal(a.truth, b.truth):
        remedy = "Train both again, into new folders"
        raise RunError(run_b, f"has other true masks than {run_a}", remedy)
    groups = _groups(parts_a, parts_b, images)
    scores = paired_differences(a, b, groups)
    return Comparison(
        part=part,
        classes=record.classes,
        scores=scores,
        per_class=tuple(
            paired_differences(a.of_class(at), b.of_class(at), groups)
            for at in range(len(record.classes))
        ),
        changes=_changes(images, a, b, record.classes),
        notes=tuple(_notes(part, scores, parts_a, parts_b)),
    )


def _short(record: RunRecord) -> str:
    return record.fingerprint[:8]


def _common(
    one: Mapping[str, Evaluated], other: Mapping[str, Evaluated]
) -> tuple[str, tuple[str, ...]]:
    """Return the first part in which both runs share strips, and these strips, sorted."""
    for part in EVALUATED_PARTS:
        if part in one and part in other:
            images = sorted(set(one[part].images) & set(other[part].images))
            if images:
                return part, tuple(images)
    return EVALUATED_PARTS[-1], ()


def _pick(part: Evaluated, images: Sequence[str]) -> Pairs:
    """Return the pairs of these images, in their order."""
    row_of = {image: row for row, image in enumerate(part.images)}
    return part.pairs.select([row_of[image] for image in images])


def _groups(
    one: Mapping[str, Evaluated], other: Mapping[str, Evaluated], images: Sequence[str]
) -> NDArray[np.int64]:
    """Return the group of each image, int64 ``(strips,)``; groups of either run are joined.

    Strips that both runs evaluated, even in different parts, join groups as well.
    """
    group_in = [
        {
            image: group
            for part in parts.values()
            for image, group in zip(part.images, part.groups.tolist(), strict=True)
        }
        for parts in (one, other)
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
        truth, of_a, of_b = (
            tuple(name for name, count in zip(classes.names, each[row], strict=True) if count)
            for each in counts
        )
        return Change(
            image=images[row],
            kind=CHANGES[2 if of_a and of_b else 0 if of_b else 1],
            truth=truth,
            a=of_a,
            b=of_b,
            gain=float(gains[row]),
        )

    return tuple(change(row) for row in order.tolist())


def _notes(
    part: str, scores: Differences, one: Mapping[str, Evaluated], other: Mapping[str, Evaluated]
) -> Iterator[str]:
    """Yield remarks on the numbers."""
    left_out = len(set(one[part].images) | set(other[part].images)) - scores.strips
    if left_out:
        yield f"Left out: {left_out} {plural(left_out, 'strip')} {part} in one run only."
    if part != EVALUATED_PARTS[0]:
        yield "Thresholds may have been tuned on these strips, so both scores are too high."
    differing = scores.mean_dice.differing
    if 0 < differing < _ENOUGH:
        yield (
            f"Groups that differ: {differing}. Fewer than {_ENOUGH} can all be better or all worse "
            "by chance."
        )
