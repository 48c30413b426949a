"""The folds of a run: dealt once, written down, and read again when the run goes on."""

import json

import numpy as np
from numpy.typing import NDArray

from steelscan.data import (
    Dataset,
    Folds,
    LikeTest,
    like_test,
    like_test_folds,
    looks,
    make_folds,
    read_folds,
    write_folds,
)
from steelscan.pipeline.run import RunFolder
from steelscan.strip import DatasetError, track, write_json


def dealt(
    run: RunFolder, spec: Folds | LikeTest, dataset: Dataset, groups: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], list[str]]:
    """The fold of every strip, int64 ``(strips,)``, and a sentence on how they were found.

    Raises DatasetError when folds are to be like the test strips and there are none.
    """
    if not run.folds.exists():
        if isinstance(spec, LikeTest):
            folds = _like_test(run, spec, dataset, groups, seed)
        else:
            folds = make_folds(dataset.present, groups, spec.count, seed)
        write_folds(run.folds, dataset.names, groups, folds)
    told = _told(json.loads(run.likeness.read_text())) if isinstance(spec, LikeTest) else []
    return read_folds(run.folds, dataset.names), told


def _like_test(
    run: RunFolder, spec: LikeTest, dataset: Dataset, groups: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    if not dataset.test_names:
        found = "has no test strips for its folds to be like"
        raise DatasetError(dataset.root, found, "Add test_images/, or give the recipe other folds")
    train = (dataset.picture(row) for row in range(len(dataset)))
    test = (dataset.test_picture(row) for row in range(len(dataset.test_names)))
    found_train = looks(track(train, "Looking at training strips", len(dataset)))
    found_test = looks(track(test, "Looking at test strips", len(dataset.test_names)))
    scores = like_test(found_train, found_test, groups, seed)
    write_json(run.likeness, {"auc": scores.auc, "told_apart": scores.told_apart})
    if scores.told_apart:
        return like_test_folds(scores.likeness, groups, spec.share)
    folds = make_folds(dataset.present, groups, round(1 / spec.share), seed)
    return np.minimum(folds, 1)


def _told(likeness: dict[str, float]) -> list[str]:
    auc = f"training and test strips are told apart with an AUC of {likeness['auc']:.3f}"
    if likeness["told_apart"]:
        return [f"Folds: {auc}; those most like the test judge."]
    return [f"Folds: {auc}, which may be luck; dealt as ever."]
