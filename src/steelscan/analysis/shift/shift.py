"""Whether training strips can be told from test strips, and what follows from that."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelscan.data import check_apart, folders_read
from steelscan.data.folds import FOLDS_KIND, write_folds
from steelscan.evaluation.adversarial import (
    AppearanceDifference,
    LikenessScores,
    TrainTest,
    appearance_differences,
    like_test_folds,
    likeness_to_test,
    open_train_test,
)
from steelscan.strip import check_output, output_folder, write_json, write_rows

LEVEL = 0.95

Judge = Literal["looks", "network"]


@dataclass(frozen=True, eq=False)
class Shift:
    """What was found of two sides of strips.

    ``judges`` holds what each model said of them. The one that tells them apart best ranks; where
    none does, `ranking` is None and `differences` are none.
    """

    sides: TrainTest
    judges: Mapping[Judge, LikenessScores]
    differences: tuple[AppearanceDifference, ...]
    level: float
    notes: tuple[str, ...]

    @property
    def ranking(self) -> LikenessScores | None:
        """The scores of the judge that tells the sides apart best; None where none can."""
        telling = [scores for scores in self.judges.values() if scores.separable]
        return max(telling, key=lambda scores: scores.auc, default=None)

    @property
    def sentence(self) -> str:
        """What it comes to."""
        if self.ranking is None:
            return (
                "Test strips cannot be told from training strips: the interval holds 0.5. Nothing "
                "follows; deal folds as ever."
            )
        known = [each.phrase for each in self.differences if each.certain][:3]
        why = f" Test strips {'; they '.join(known)}." if known else ""
        return f"Test strips can be told from training strips.{why}"

    def text(self) -> str:
        """The finding in a few lines."""
        trains = int(np.count_nonzero(~self.sides.is_test))
        lines = [f"{trains} training strips, {len(self.sides) - trains} test strips"]
        for judge, scores in self.judges.items():
            lines.append(f"AUC by {_BY[judge]}: {scores.estimate.text()}")
        return "\n".join([*lines, self.sentence, *(f"Note: {note}" for note in self.notes)])


_BY = {"looks": "fifteen numbers a strip", "network": "a network"}


def shift(
    data: Path,
    out: Path,
    test: Path | str | None = None,
    *,
    network: bool = False,
    folds: Path | None = None,
    share: float = 0.2,
    seed: int = 0,
    device: Literal["auto", "cpu"] = "auto",
    on_error: Literal["stop", "skip"] = "stop",
) -> Shift:
    """Try to tell test strips from training strips; write what follows into a folder.

    ``data`` and ``test`` are as in `open_train_test`. Writes ``shift.json`` and ``shift.html``, and
    where the sides are told apart ``likeness.csv`` (training strips, those most like the test
    first, whole groups), and to ``folds`` two folds of which 0, a ``share`` of the strips that is
    most like the test, judges. Where they are not, neither is written, and an older
    ``likeness.csv`` goes: nothing is to be built on luck.

    Of all pairs of sides that do not differ, at most one in twenty is told apart, with a network
    as without. Raises what `open_train_test` and `likeness_to_test` raise, OutputError, and with
    ``network`` MissingPartError's cause where torch is not installed.
    """
    if folds is not None:
        check_output(folds, FOLDS_KIND)
    check_apart(out, folders_read(data, test))
    output_folder(out)
    sides = open_train_test(data, test, on_error)
    level = 1 - (1 - LEVEL) / 2 if network else LEVEL  # two judges, two chances to be wrong
    judges: dict[Judge, LikenessScores] = {"looks": _by_looks(sides, seed, level)}
    if network:
        from steelscan.analysis.shift.network import by_network

        judges["network"] = by_network(sides, seed, level, device)
    told = any(scores.separable for scores in judges.values())
    differences = _differences(sides) if told else ()
    found = Shift(sides, judges, differences, level, tuple(_notes(sides)))
    _write(found, out, folds, share)
    return found


def _by_looks(sides: TrainTest, seed: int, level: float) -> LikenessScores:
    tests = sides.is_test
    looks, groups = sides.features, sides.groups
    return likeness_to_test(
        looks[~tests], looks[tests], groups[~tests], seed, test_groups=groups[tests], level=level
    )


def _differences(sides: TrainTest) -> tuple[AppearanceDifference, ...]:
    tests = sides.is_test
    return appearance_differences(
        sides.features[~tests], sides.features[tests], sides.groups, LEVEL
    )


def _notes(sides: TrainTest) -> list[str]:
    notes = [f"left out {name}: {reason}" for name, reason in sides.skipped]
    both = set(sides.groups[sides.is_test].tolist()) & set(sides.groups[~sides.is_test].tolist())
    if both:
        doubled = int(np.isin(sides.groups[sides.is_test], list(both)).sum())
        notes.append(f"{doubled} test strips are near-duplicates of training strips.")
    sizes = [
        {frame for frame, of_test in zip(sides.frames, sides.is_test, strict=True) if of_test is on}
        for on in (np.False_, np.True_)
    ]
    if sizes[0] != sizes[1]:
        told = [f"{min(each)}" + (f" to {max(each)}" if len(each) > 1 else "") for each in sizes]
        notes.append(f"Training strips are {told[0]} pixels, test strips {told[1]}.")
    return notes


def likeness_rows(found: Shift) -> list[tuple[str, int, float, float]]:
    """Image, group, likeness, and mean likeness of its group; the groups most like the test first.

    Training strips only; () where the sides were not told apart.
    """
    if found.ranking is None:
        return []
    trains = np.flatnonzero(~found.sides.is_test)
    likeness, groups = found.ranking.likeness, found.sides.groups[trains]
    means = _group_means(likeness, groups)
    order = np.lexsort((-likeness, groups, -means))
    return [
        (found.sides.names[trains[at]], int(groups[at]), float(likeness[at]), float(means[at]))
        for at in order.tolist()
    ]


def _group_means(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    _, group = np.unique(groups, return_inverse=True)
    return np.asarray((np.bincount(group, values) / np.bincount(group))[group], np.float64)


def _write(found: Shift, out: Path, folds: Path | None, share: float) -> None:
    from steelscan.analysis.shift.page import write_page

    table = out / "likeness.csv"
    if found.ranking is None:
        table.unlink(missing_ok=True)
    else:
        columns = ("rank", "image", "group", "likeness", "group_likeness")
        rows = (
            (rank, name, group, f"{likeness:.4f}", f"{mean:.4f}")
            for rank, (name, group, likeness, mean) in enumerate(likeness_rows(found), start=1)
        )
        write_rows(table, columns, rows)
        if folds is not None:
            trains = np.flatnonzero(~found.sides.is_test)
            names = [found.sides.names[row] for row in trains.tolist()]
            groups = found.sides.groups[trains]
            chosen = like_test_folds(found.ranking.likeness, groups, share)
            write_folds(folds, names, groups, chosen)
    write_json(out / "shift.json", _as_json(found))
    write_page(out / "shift.html", found)


def _as_json(found: Shift) -> dict[str, object]:
    trains = int(np.count_nonzero(~found.sides.is_test))
    return {
        "train": trains,
        "test": len(found.sides) - trains,
        "groups": len(set(found.sides.groups.tolist())),
        "told_apart": found.ranking is not None,
        "level": found.level,
        "auc": {judge: asdict(scores.estimate) for judge, scores in found.judges.items()},
        "differences": [asdict(each) for each in found.differences],
        "sentence": found.sentence,
        "notes": list(found.notes),
    }
