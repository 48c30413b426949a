"""Specs of folds, and the split of strips into folds; near-duplicates stay in one fold."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from steelscan.strip import Spec
from steelscan.strip.errors import DatasetError


class Folds(Spec):
    """The number of folds and their use; folds are numbered from 0."""

    kind: Literal["stratified"] = "stratified"
    count: int = Field(default=5, ge=2, le=100_000)

    validation: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Validation folds: for each, a network is trained on all others but the held-out ones."""

    holdout: tuple[int, ...] = ()
    """Folds for the final test: neither trained nor tuned on."""

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        used = (*self.validation, *self.holdout)
        if len(set(used)) != len(used):
            raise ValueError("a fold is in validation and holdout, or twice in one of them")
        if not all(0 <= fold < self.count for fold in used):
            raise ValueError(f"validation and holdout must be folds from 0 to {self.count - 1}")
        if not self.validation:
            raise ValueError("validation has no fold")
        if len(self.holdout) + 1 >= self.count:
            raise ValueError("validation and holdout leave no fold to train on")
        return self


class LikeTest(Spec):
    """Fold 0, for validation, has the ``share`` of strips most like the test strips.

    A model that separates training from test strips ranks them, by whole groups. If it cannot
    separate them, an equally large fold is split at random (adversarial validation; 70th). With
    ``holdout`` fold 2, random strips of ``holdout_share`` are held out before.
    """

    kind: Literal["like_test"] = "like_test"
    share: float = Field(default=0.2, gt=0, lt=1)
    holdout_share: float = Field(default=0.2, gt=0, lt=1)
    count: Literal[2, 3] = 2
    validation: tuple[Literal[0]] = (0,)
    holdout: tuple[()] | tuple[Literal[2]] = ()

    @model_validator(mode="after")
    def _leaves_strips(self) -> Self:
        if self.count != 2 + len(self.holdout):
            raise ValueError("count is 2, or 3 with fold 2 held out")
        if self.holdout and self.share + self.holdout_share >= 1:
            raise ValueError("share and holdout_share leave no strips to train on")
        return self


def make_folds(
    present: NDArray[np.bool_], groups: NDArray[np.int64], count: int, seed: int
) -> NDArray[np.int64]:
    """Split strips into folds of similar classes and size; return int64 ``(strips,)`` from 0.

    ``present`` is bool ``(strips, classes)``, ``groups`` has a number per strip; strips of one
    group stay together. Iterative stratification after Sechidis 2011, with groups as samples and
    "no defect" as one more label: the label that is rarest among the remaining groups comes first,
    and each of its groups goes to the fold that lacks it most. No fold grows past its share while
    another has room, and none stays empty. The same seed gives the same folds.

    Raises DatasetError if there are fewer groups than folds.
    """
    strip_labels = np.column_stack([present, ~present.any(axis=1)]).astype(np.int64)
    _, group_of = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group_of)
    if len(sizes) < count:
        problem = f"{len(sizes)} groups of strips cannot fill {count} folds"
        most = (
            f"Use at most {len(sizes)} folds (count in a recipe file), more strips, or a table of "
            "your own: --folds"
        )
        remedy = most if len(sizes) > 1 else "Use strips of two or more groups"
        raise DatasetError("folds", problem, remedy)
    labels = np.zeros((len(sizes), strip_labels.shape[1]), np.int64)
    np.add.at(labels, group_of, strip_labels)
    return _stratified(labels, sizes, count, np.random.default_rng(seed))[group_of]


def split_groups(
    kinds: NDArray[np.int64], parts: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Split groups at random into parts; return the part of each group, int64 ``(groups,)`` from 0.

    ``kinds`` is the kind of each group: the groups of each kind are spread evenly over the parts,
    which differ by at most one group per kind.
    """
    part = np.zeros(len(kinds), np.int64)
    for kind in np.unique(kinds):
        members = kinds == kind
        part[members] = rng.permutation(np.arange(members.sum()) % parts)
    return part


def _stratified(
    labels: NDArray[np.int64], sizes: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Split groups with ``(groups, labels)`` counts and ``(groups,)`` sizes into folds."""
    folds = _OpenFolds(labels, sizes, count, rng)
    fold_of = np.full(len(sizes), -1, np.int64)
    order = rng.permutation(len(sizes))
    while (left := order[fold_of[order] < 0]).size:
        totals = labels[left].sum(axis=0)
        label = int(np.argmin(np.where(totals > 0, totals, np.iinfo(np.int64).max)))
        holders = left[labels[left, label] > 0]
        is_last = len(holders) == len(left)  # the last label evens out the sizes
        for group in holders[np.argsort(-labels[holders, label], kind="stable")]:
            fold_of[group] = folds.add(group, None if is_last else label)
    return fold_of


class _OpenFolds:
    """What each fold still needs of each label, and its free room in strips."""

    def __init__(
        self,
        labels: NDArray[np.int64],
        sizes: NDArray[np.int64],
        count: int,
        rng: np.random.Generator,
    ) -> None:
        self._labels, self._sizes, self._rng = labels, sizes, rng
        self._needed = np.tile(labels.sum(axis=0) / count, (count, 1))
        self._room = np.full(count, sizes.sum() / count)
        self._empty = np.ones(count, np.bool_)
        self._left = len(sizes)

    def add(self, group: int, label: int | None) -> int:
        """Add a group to the fold with room that needs ``label`` most; None: that has most room."""
        need = self._room if label is None else self._needed[:, label]
        allowed = self._room > self._sizes[group] - 1
        if not allowed.any():
            allowed = self._room == self._room.max()
        if self._left <= np.count_nonzero(self._empty):
            allowed = self._empty
        by_need = np.lexsort((self._rng.random(len(need)), self._room, need))
        fold = int(by_need[allowed[by_need]][-1])
        self._needed[fold] -= self._labels[group]
        self._room[fold] -= self._sizes[group]
        self._empty[fold] = False
        self._left -= 1
        return fold
