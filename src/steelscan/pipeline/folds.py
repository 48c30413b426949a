"""The folds of a run: made once, written down, and read again when the run continues."""

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, Folds, LikeTest, make_folds
from steelscan.data.duplicates import Leak, leak
from steelscan.data.folds import GivenFolds
from steelscan.evaluation.adversarial import (
    FEWEST_STRIPS,
    appearance_features,
    like_test_folds,
    likeness_to_test,
)
from steelscan.pipeline.run_folder import RunFolder
from steelscan.strip import track
from steelscan.strip.errors import DatasetError, RunError
from steelscan.strip.files import write_json


def check_count(given: GivenFolds, spec: Folds | LikeTest) -> None:
    """Raise DatasetError if the number of given folds is not that of the recipe."""
    if given.count != spec.count:
        problem = f"has {given.count} folds, the recipe {spec.count}"
        remedy = (
            f"Make {spec.count} with steelscan folds --count {spec.count}, or change count, "
            "validation and holdout in your own recipe (show --json)"
        )
        raise DatasetError(given.path, problem, remedy)


def use_given_folds(
    run: RunFolder, given: GivenFolds, dataset: Dataset, groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[str]]:
    """Write given folds into the run; return them, int64 ``(strips,)``, and a note on their leak.

    Raises RunError if the run has other folds.
    """
    if not run.folds.exists():
        run.write_folds(dataset.names, groups, given.numbers)
    folds = run.load_folds(dataset.names, parted=True)
    if not np.array_equal(folds, given.numbers):
        remedy = "Choose another --out, or restore the file"
        raise RunError(run.folds, f"has other folds than {given.path}", remedy)
    return folds, _leak_notes(leak(folds, groups, dataset.present), len(dataset))


def assign_folds(
    run: RunFolder, spec: Folds | LikeTest, dataset: Dataset, groups: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the fold of every strip, int64 ``(strips,)``, and a note on how they were made."""
    if not run.folds.exists():
        if isinstance(spec, Folds):
            folds = make_folds(dataset.present, groups, spec.count, seed)
        else:
            folds = _like_test(run, spec, dataset, groups, seed)
        run.write_folds(dataset.names, groups, folds)
    notes = _likeness_notes(run, dataset) if isinstance(spec, LikeTest) else []
    return run.load_folds(dataset.names), notes


def separated_strips(leaked: Leak, strips: int) -> str:
    """Return the second half of a sentence on the near-duplicates that folds separate."""
    return (
        f" pairs of near-duplicates, {leaked.differing:.0f} of them with different classes: "
        f"{leaked.strips:.0f} strips ({percent(leaked.strips, strips)}) are evaluated by networks "
        "trained on a near-duplicate, so their scores are too high."
    )


def percent(part: float, whole: float) -> str:
    """Return a share in per cent; "-" of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _has_enough_strips(dataset: Dataset) -> bool:
    return min(len(dataset), len(dataset.test_names)) >= FEWEST_STRIPS


def _like_test(
    run: RunFolder, spec: LikeTest, dataset: Dataset, groups: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Return folds 0, for validation, and 1, and 2 for the strips that are held out."""
    folds = np.full(len(dataset), 2, np.int64)
    rows = np.arange(len(dataset))
    if spec.holdout:
        rows = np.flatnonzero(_random_share(spec.holdout_share, dataset, rows, groups, seed))
    if _has_enough_strips(dataset):
        likeness = _likeness(run, dataset, groups, seed)
        if likeness is not None:
            folds[rows] = like_test_folds(likeness[rows], groups[rows], spec.share)
            return folds
    folds[rows] = _random_share(spec.share, dataset, rows, groups, seed)
    return folds


def _random_share(
    share: float, dataset: Dataset, rows: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Return 0 for a share of some strips, chosen at random by whole groups, and 1 for others."""
    folds = make_folds(dataset.present[rows], groups[rows], round(1 / share), seed)
    return np.minimum(folds, 1)


def _likeness(
    run: RunFolder, dataset: Dataset, groups: NDArray[np.int64], seed: int
) -> NDArray[np.float64] | None:
    """Return how like the test strips each strip is; None if they cannot be separated."""
    train = (dataset.picture(row) for row in range(len(dataset)))
    test = (dataset.test_picture(row) for row in range(len(dataset.test_names)))
    of_train = appearance_features(track(train, "Measuring training strips", len(dataset)))
    of_test = appearance_features(track(test, "Measuring test strips", len(dataset.test_names)))
    scores = likeness_to_test(of_train, of_test, groups, seed)
    write_json(run.likeness, {"auc": scores.auc, "separable": scores.separable})
    run.seal(run.likeness)
    return scores.likeness if scores.separable else None


def _likeness_notes(run: RunFolder, dataset: Dataset) -> list[str]:
    if not _has_enough_strips(dataset):
        strips = f"{len(dataset)} training and {len(dataset.test_names)} test strips"
        return [f"Folds: {strips} are too few to compare; the validation fold is random."]
    likeness = run.load_json(run.likeness)
    auc = f"training and test strips are separated with an AUC of {likeness['auc']:.3f}"
    if likeness["separable"]:
        return [f"Folds: {auc}; the validation fold has the strips most like the test strips."]
    return [f"Folds: {auc}, which may be chance; the validation fold is random."]


def _leak_notes(leaked: Leak, strips: int) -> list[str]:
    """Return a sentence on near-duplicates that given folds separate; [] if there are none."""
    if not leaked.pairs:
        return []
    start = f"Folds: the given folds separate {leaked.pairs:.0f} of {leaked.all_pairs}"
    return [start + separated_strips(leaked, strips)]
