"""The folds of a run: dealt once, written down, and read again when the run goes on."""

import numpy as np
from numpy.typing import NDArray

from steelscan.data import (
    BroughtFolds,
    Dataset,
    Folds,
    LikeTest,
    make_folds,
)
from steelscan.data.duplicates import Leak, leak
from steelscan.evaluation.adversarial import FEWEST_LOOKS, like_test_folds, looks
from steelscan.evaluation.adversarial.like_test import like_test
from steelscan.pipeline.run_folder import RunFolder
from steelscan.strip import DatasetError, RunError, track, write_json


def check_count(brought: BroughtFolds, spec: Folds | LikeTest) -> None:
    """Raise DatasetError when brought folds are not as many as a recipe has."""
    if brought.count != spec.count:
        found = f"has {brought.count} folds, the recipe {spec.count}"
        remedy = f"Deal {spec.count} with steelscan folds --count {spec.count}, or change count, "
        remedy += "validation and holdout in a recipe of your own (show --json)"
        raise DatasetError(brought.path, found, remedy)


def as_brought(
    run: RunFolder, brought: BroughtFolds, dataset: Dataset, groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[str]]:
    """The folds of a table, int64 ``(strips,)``, and a sentence on the near-duplicates they part.

    They are written down as a run's own. Raises RunError when others stand there.
    """
    if not run.folds.exists():
        run.write_folds(dataset.names, groups, brought.numbers)
    folds = run.load_folds(dataset.names, parted=True)
    if not np.array_equal(folds, brought.numbers):
        remedy = "Name another --out, or restore the file"
        raise RunError(run.folds, f"holds other folds than {brought.path}", remedy)
    return folds, leak_told(leak(folds, groups, dataset.present), len(dataset))


def dealt(
    run: RunFolder, spec: Folds | LikeTest, dataset: Dataset, groups: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], list[str]]:
    """The fold of every strip, int64 ``(strips,)``, and a sentence on how they were found."""
    if not run.folds.exists():
        if isinstance(spec, Folds):
            folds = make_folds(dataset.present, groups, spec.count, seed)
        elif _can_tell(dataset):
            folds = _like_test(run, spec, dataset, groups, seed)
        else:
            folds = _as_ever(spec, dataset, groups, seed)
        run.write_folds(dataset.names, groups, folds)
    told = _told(run, dataset) if isinstance(spec, LikeTest) else []
    return run.load_folds(dataset.names), told


def _can_tell(dataset: Dataset) -> bool:
    return min(len(dataset), len(dataset.test_names)) >= FEWEST_LOOKS


def _as_ever(
    spec: LikeTest, dataset: Dataset, groups: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Folds of which the first judges, with the share of strips that is asked for."""
    folds = make_folds(dataset.present, groups, round(1 / spec.share), seed)
    return np.minimum(folds, 1)


def _like_test(
    run: RunFolder, spec: LikeTest, dataset: Dataset, groups: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    train = (dataset.picture(row) for row in range(len(dataset)))
    test = (dataset.test_picture(row) for row in range(len(dataset.test_names)))
    found_train = looks(track(train, "Looking at training strips", len(dataset)))
    found_test = looks(track(test, "Looking at test strips", len(dataset.test_names)))
    scores = like_test(found_train, found_test, groups, seed)
    write_json(run.likeness, {"auc": scores.auc, "told_apart": scores.told_apart})
    run.seal(run.likeness)
    if scores.told_apart:
        return like_test_folds(scores.likeness, groups, spec.share)
    return _as_ever(spec, dataset, groups, seed)


def _told(run: RunFolder, dataset: Dataset) -> list[str]:
    if not _can_tell(dataset):
        found = f"{len(dataset)} training and {len(dataset.test_names)} test strips are too few"
        return [f"Folds: {found} to tell them apart; dealt as ever."]
    likeness = run.load_json(run.likeness)
    auc = f"training and test strips are told apart with an AUC of {likeness['auc']:.3f}"
    if likeness["told_apart"]:
        return [f"Folds: {auc}; those most like the test judge."]
    return [f"Folds: {auc}, which may be luck; dealt as ever."]


def leak_told(parted: Leak, strips: int) -> list[str]:
    """A sentence on near-duplicates that brought folds part; [] when there are none."""
    if not parted.pairs:
        return []
    found = f"Folds: as brought, they part {parted.pairs:.0f} of {parted.all_pairs}"
    return [found + _of_parted(parted, strips)]


def _of_parted(parted: Leak, strips: int) -> str:
    return (
        f" pairs of near-duplicates, {parted.differing:.0f} of them with other classes: "
        f"{parted.strips:.0f} strips ({_percent(parted.strips, strips)}) are judged by networks "
        "that learned a near-duplicate, which flatters their scores."
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
