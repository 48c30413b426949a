"""Folds: which strips judge and which teach, near-duplicates never on both sides."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from steelscan.data.dataset import Dataset
from steelscan.data.listing import read_table
from steelscan.data.names import key, matched
from steelscan.strip import DatasetError, Spec, TableError, read_rows, table_kind, write_rows

_COLUMNS = ("image", "group", "fold")
_DIGITS = 9


class Folds(Spec):
    """How many folds there are, and what each is for; folds are numbered from 0."""

    kind: Literal["stratified"] = "stratified"
    count: int = Field(default=5, ge=2, le=100_000)

    validation: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Folds that judge, each once, a network fitted on all others but the held-out ones."""

    holdout: tuple[int, ...] = ()
    """Folds set aside to the very end: neither fitted nor tuned on."""

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        used = (*self.validation, *self.holdout)
        if len(set(used)) != len(used):
            raise ValueError("a fold stands in validation and holdout, or twice in one of them")
        if not all(0 <= fold < self.count for fold in used):
            raise ValueError(f"validation and holdout name folds outside 0 to {self.count - 1}")
        if not self.validation:
            raise ValueError("validation names no fold")
        if len(self.holdout) + 1 >= self.count:
            raise ValueError("no fold is left to fit on beside one of validation and holdout")
        return self


class LikeTest(Spec):
    """Two folds: the ``share`` of strips that look most like the test strips judges, all in fold 0.

    A model that tells training strips from test strips ranks them, whole groups at a time; where
    it cannot, as large a part is dealt as ever (adversarial validation; 70th).
    """

    kind: Literal["like_test"] = "like_test"
    share: float = Field(default=0.2, gt=0, lt=1)
    count: Literal[2] = 2
    validation: tuple[int, ...] = (0,)
    holdout: tuple[int, ...] = ()


def make_folds(
    present: NDArray[np.bool_], groups: NDArray[np.int64], count: int, seed: int
) -> NDArray[np.int64]:
    """Deal strips into folds, int64 ``(strips,)`` from 0, alike in classes and in size.

    ``present`` is bool ``(strips, classes)``, ``groups`` holds a number for each strip; strips of
    one group stay together. After Sechidis 2011 (iterative stratification), with groups in place
    of samples and sound steel as a label of its own: the label that is rarest among the groups
    left is dealt out first, each group to the fold that lacks it most. No fold grows past its
    share while another has room, and none stays empty. The same seed gives the same folds.

    Raises DatasetError when there are fewer groups than folds.
    """
    strip_labels = np.column_stack([present, ~present.any(axis=1)]).astype(np.int64)
    _, group_of = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group_of)
    if len(sizes) < count:
        found = f"{len(sizes)} groups of strips cannot fill {count} folds"
        most = f"Use at most {len(sizes)} folds, or more strips"
        remedy = most if len(sizes) > 1 else "Give strips of two groups or more"
        raise DatasetError("folds", found, remedy)
    labels = np.zeros((len(sizes), strip_labels.shape[1]), np.int64)
    np.add.at(labels, group_of, strip_labels)
    return _deal(labels, sizes, count, np.random.default_rng(seed))[group_of]


FOLDS_KIND = table_kind("table of folds", _COLUMNS)


def write_folds(
    path: Path, names: Sequence[str], groups: NDArray[np.int64], folds: NDArray[np.int64]
) -> None:
    """Write ``image,group,fold`` as CSV, whole or not at all. Raises OutputError."""
    write_rows(path, _COLUMNS, zip(names, groups.tolist(), folds.tolist(), strict=True))


def read_folds(path: Path, names: Sequence[str], *, parted: bool = False) -> NDArray[np.int64]:
    """Read the fold of each strip, int64 ``(strips,)`` in the order of ``names``.

    Rows of other images are passed over. With ``parted`` a group may stand in several folds, as
    in folds that were brought and not dealt here. Raises TableError for a file that cannot be
    read or means nothing, and DatasetError when a strip has no fold, or a group stands in two.
    """
    rows = read_table(table_bytes(path), _COLUMNS, path)
    fold_of_group: dict[str, str] = {}
    for _, group, fold in rows if not parted else ():
        if fold_of_group.setdefault(group, fold) != fold:
            remedy = "Keep near-duplicates together, or no score can be trusted"
            raise DatasetError(path, f"splits group {group} over two folds", remedy)
    return folds_of(path, [(image, fold) for image, _, fold in rows], names)


def table_bytes(path: Path) -> bytes:
    """The content of a table of folds. Raises TableError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TableError(path, f"cannot be read ({error.strerror})", "Check the path") from error


def folds_of(
    path: Path, rows: Iterable[tuple[str, str]], names: Sequence[str]
) -> NDArray[np.int64]:
    """The fold of each strip, int64 ``(strips,)``, from rows of image and fold as text.

    Images may be named as `matched` finds them.

    Raises TableError for a fold that is no number, DatasetError for an image in two folds and
    for a strip without one.
    """
    fold_of: dict[str, int] = {}
    for image, text in rows:
        if not text.isdecimal() or len(text) > _DIGITS:
            raise TableError(path, f"gives {image} the fold {text[:20]!r}", "Number folds from 0")
        if fold_of.setdefault(image, int(text)) != int(text):
            raise DatasetError(path, f"puts {image} into two folds", "Keep one row an image")
    listed = matched(fold_of, names, path)
    missing = [name for name in names if name not in listed]
    if missing:
        found = f"names no fold for {len(missing)} of {len(names)} strips, as {missing[0]}"
        raise DatasetError(path, found, "Use the folds of this data set")
    return np.array([fold_of[listed[name]] for name in names], np.int64)


def _deal(
    labels: NDArray[np.int64], sizes: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal groups with ``(groups, labels)`` counts and ``(groups,)`` sizes into folds."""
    hands = _Hands(labels, sizes, count, rng)
    fold_of = np.full(len(sizes), -1, np.int64)
    order = rng.permutation(len(sizes))
    while (left := order[fold_of[order] < 0]).size:
        totals = labels[left].sum(axis=0)
        label = int(np.argmin(np.where(totals > 0, totals, np.iinfo(np.int64).max)))
        holders = left[labels[left, label] > 0]
        is_last = len(holders) == len(left)  # the last label evens out the sizes
        for group in holders[np.argsort(-labels[holders, label], kind="stable")]:
            fold_of[group] = hands.take(group, None if is_last else label)
    return fold_of


class _Hands:
    """What each fold has been dealt, told by what it still lacks of each label and in size."""

    def __init__(
        self,
        labels: NDArray[np.int64],
        sizes: NDArray[np.int64],
        count: int,
        rng: np.random.Generator,
    ) -> None:
        self._labels, self._sizes, self._rng = labels, sizes, rng
        self._lacking = np.tile(labels.sum(axis=0) / count, (count, 1))
        self._room = np.full(count, sizes.sum() / count)
        self._empty = np.ones(count, np.bool_)
        self._left = len(sizes)

    def take(self, group: int, label: int | None) -> int:
        """Deal a group to the fold with room that lacks ``label`` most; None: lacks size."""
        lack = self._room if label is None else self._lacking[:, label]
        allowed = self._room > self._sizes[group] - 1
        if not allowed.any():
            allowed = self._room == self._room.max()
        if self._left <= np.count_nonzero(self._empty):
            allowed = self._empty
        by_need = np.lexsort((self._rng.random(len(lack)), self._room, lack))
        fold = int(by_need[allowed[by_need]][-1])
        self._lacking[fold] -= self._labels[group]
        self._room[fold] -= self._sizes[group]
        self._empty[fold] = False
        self._left -= 1
        return fold


_GIVEN_COLUMNS = ("image", "fold")


@dataclass(frozen=True, eq=False)
class BroughtFolds:
    """The fold of every strip as a table has it; near-duplicates may stand in several."""

    path: Path
    numbers: NDArray[np.int64]
    """int64 ``(strips,)``, each from 0 to one less than there are folds."""

    digest: str
    """SHA-256 over the strips' names and folds: it changes only when a strip's fold does."""

    @property
    def count(self) -> int:
        """How many folds there are."""
        return int(self.numbers.max()) + 1


def read_brought(path: Path, dataset: Dataset) -> BroughtFolds:
    """Read the folds of a data set's strips from a CSV of ``image,fold``, maybe ``group`` too.

    Images may be named as `matched` finds them; those of other strips are passed over.
    Folds are numbered from 0. A table with groups, as steelscan writes, must keep each in one
    fold, and be of this data where ``folds.json`` beside ``folds.csv`` says what it is of.

    Raises TableError for what is no such table, DatasetError when a strip has no fold or two, a
    number between the folds has no strip, or the table is of other data.
    """
    content = table_bytes(path)
    names = [key(name) for name in dataset.names]
    if (
        "group"
        in read_rows(content, path, f"Expected the columns {','.join(_GIVEN_COLUMNS)}").columns
    ):
        _check_origin(path, dataset)
        numbers = read_folds(path, dataset.names)
    else:
        rows = read_table(content, _GIVEN_COLUMNS, path)
        numbers = folds_of(path, [(image, fold) for image, fold in rows], dataset.names)
    used = np.unique(numbers)
    gaps = np.flatnonzero(used != np.arange(len(used)))
    if gaps.size:
        found = f"puts strips into fold {numbers.max()} and none into fold {gaps[0]}"
        raise DatasetError(path, found, "Number folds from 0, without gaps")
    rows_of_folds = zip(names, numbers.tolist(), strict=True)
    digest = hashlib.sha256("\n".join(f"{fold} {name}" for name, fold in rows_of_folds).encode())
    return BroughtFolds(path, numbers, digest.hexdigest())


def origin(path: Path) -> Path:
    """Where it stands of what data a table of folds is: ``folds.json`` beside ``folds.csv``."""
    return path.with_suffix(".json")


def _check_origin(path: Path, dataset: Dataset) -> None:
    try:
        fingerprint = json.loads(origin(path).read_bytes())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a table that travels alone is judged by the names in it
    if fingerprint != dataset.fingerprint:
        found = f"was dealt for data {str(fingerprint)[:8]}, this is {dataset.fingerprint[:8]}"
        raise DatasetError(
            path, found, "Deal this data's own: steelscan folds DATA --out folds.csv"
        )
