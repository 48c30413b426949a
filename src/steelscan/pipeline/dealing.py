"""The folds of a run: dealt once, written down, and read again when the run goes on."""

import json

import numpy as np
from numpy.typing import NDArray

from steelscan.data import (
    FEWEST_LOOKS,
    BroughtFolds,
    Dataset,
    Folds,
    LikeTest,
    leak,
    like_test,
    like_test_folds,
    looks,
    make_folds,
    read_folds,
    write_folds,
)
from steelscan.pipeline.dealt_folds import leak_told
from steelscan.pipeline.run import RunFolder
from steelscan.strip import DatasetError, RunError, track, write_json


def check_count(brought: BroughtFolds, spec: Folds | LikeTest) -> None:
    """Raise DatasetError when brought folds are not as many as a recipe has."""
    if brought.count != spec.count:
        found = f"has {brought.count} folds, the recipe {spec.count}"
        remedy = "Change count, validation and holdout in a recipe of your own (show --json)"
        raise DatasetError(brought.path, found, remedy)


def as_brought(
    run: RunFolder, brought: BroughtFolds, dataset: Dataset, groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[str]]:
    """The folds of a table, int64 ``(strips,)``, and a sentence on the near-duplicates they part.

    They are written down as a run's own. Raises RunError when others stand there.
    """
    if not run.folds.exists():
        write_folds(run.folds, dataset.names, groups, brought.numbers)
    folds = read_folds(run.folds, dataset.names, parted=True)
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
        write_folds(run.folds, dataset.names, groups, folds)
    told = _told(run, dataset) if isinstance(spec, LikeTest) else []
    return read_folds(run.folds, dataset.names), told


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
    if scores.told_apart:
        return like_test_folds(scores.likeness, groups, spec.share)
    return _as_ever(spec, dataset, groups, seed)


def _told(run: RunFolder, dataset: Dataset) -> list[str]:
    if not _can_tell(dataset):
        found = f"{len(dataset)} training and {len(dataset.test_names)} test strips are too few"
        return [f"Folds: {found} to tell them apart; dealt as ever."]
    likeness = json.loads(run.likeness.read_text(encoding="utf-8"))
    auc = f"training and test strips are told apart with an AUC of {likeness['auc']:.3f}"
    if likeness["told_apart"]:
        return [f"Folds: {auc}; those most like the test judge."]
    return [f"Folds: {auc}, which may be luck; dealt as ever."]
