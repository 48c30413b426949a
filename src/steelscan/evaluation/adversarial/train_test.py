"""The training strips of a data set and the test strips to compare them with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.data import PictureFile, find_pictures, open_dataset, read_picture
from steelscan.data.duplicates import Fingerprint, fingerprint, group_prints
from steelscan.data.files import is_picture, open_files
from steelscan.evaluation.adversarial.appearance import features_of
from steelscan.evaluation.metrics import merged_groups
from steelscan.strip import Frame, Picture, track
from steelscan.strip.errors import DatasetError, OnError, PictureError


@dataclass(frozen=True, eq=False)
class TrainTest:
    """Training strips, then test strips, and their features; all arrays are in this order."""

    names: tuple[str, ...]
    is_test: NDArray[np.bool_]
    frames: tuple[Frame, ...]
    features: NDArray[np.float64]
    """float64 ``(strips, 15)``, as `appearance_features` returns them."""

    groups: NDArray[np.int64]
    """int64 ``(strips,)``: near-duplicates have one number, also across training and test."""

    skipped: tuple[tuple[str, str], ...]
    """Name and reason of each strip that could not be read, with ``on_error="skip"``."""

    _pictures: tuple[Callable[[], Picture], ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, index: int) -> Picture:
        """Read the picture of a strip, uint8 ``(height, width)``. Raises PictureError."""
        return self._pictures[index]()


class _Strip(NamedTuple):
    name: str
    picture: Callable[[], Picture]
    group: str | None = None


def open_train_test(
    data: Path, test: Path | str | None = None, on_error: OnError = "stop"
) -> TrainTest:
    """Read all training and test strips once, for their features and near-duplicates.

    ``data`` is a data set, or a folder that contains pictures; ``test`` is a folder, a zip, a
    picture or a glob pattern, or None for the data set's ``test_images/``. Groups are found by
    fingerprint and joined with those of the data set's ``groups.csv``.

    Raises DatasetError if there are no test strips, and what reading raises; with
    ``on_error="skip"`` pictures that cannot be read are listed in ``skipped``.
    """
    train, tests, skipped = _training(data, on_error)
    if test is not None:
        tests = [_of_file(file) for file in find_pictures(test)]
    if not tests:
        problem = "has no test_images/ to compare its strips with"
        raise DatasetError(data, problem, "Choose the test strips with --test")
    kept, frames, features, prints = [], [], [], []
    for is_test, strip in track(
        [*((False, each) for each in train), *((True, each) for each in tests)],
        "Measuring strips",
        len(train) + len(tests),
    ):
        try:
            picture = strip.picture()
        except PictureError as error:
            if on_error == "stop":
                raise
            skipped.append((strip.name, str(error)))
            continue
        kept.append((is_test, strip))
        frames.append(Frame(*picture.shape))
        features.append(features_of(picture))
        prints.append(fingerprint(picture))
    return TrainTest(
        names=tuple(strip.name for _, strip in kept),
        is_test=np.array([is_test for is_test, _ in kept], np.bool_),
        frames=tuple(frames),
        features=np.array(features).reshape(len(kept), -1),
        groups=_groups(prints, [strip.group for _, strip in kept]),
        skipped=tuple(skipped),
        _pictures=tuple(strip.picture for _, strip in kept),
    )


def _training(
    data: Path, on_error: OnError
) -> tuple[list[_Strip], list[_Strip], list[tuple[str, str]]]:
    """Return the strips of a data set, its test strips, and the skipped ones."""
    if any(is_picture(name) for name in open_files(data).names()):
        return [_of_file(file) for file in find_pictures(data)], [], []
    dataset = open_dataset(data, on_error)
    labels: Sequence[str | None] = dataset.group_labels or [None] * len(dataset)

    train = [
        _Strip(name, partial(dataset.picture, row), labels[row])
        for row, name in enumerate(dataset.names)
    ]
    test_names = enumerate(dataset.test_names)
    tests = [_Strip(name, partial(dataset.test_picture, row)) for row, name in test_names]
    return train, tests, list(dataset.skipped)


def _of_file(file: PictureFile) -> _Strip:
    return _Strip(file.name, lambda: read_picture(file.read(), file.name))


def _groups(prints: Sequence[Fingerprint], labels: Sequence[str | None]) -> NDArray[np.int64]:
    """Join near-duplicates and strips of one label; strips without a label have a group each."""
    by_picture = group_prints(prints).numbers
    own: Iterator[int] = iter(range(len(prints)))
    numbers: dict[object, int] = {}
    given = [
        next(own) if label is None else numbers.setdefault(label, -1 - len(numbers))
        for label in labels
    ]
    return merged_groups(by_picture, np.array(given, np.int64))
