"""Whether test strips differ from training strips (adversarial validation)."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, computed_field

from steelscan.evaluation.adversarial import (
    AppearanceDifference,
    LikenessScores,
    TrainTest,
    appearance_differences,
    likeness_to_test,
    open_train_test,
)
from steelscan.evaluation.statistics import LEVEL, Estimate
from steelscan.strip.errors import OnError


class Shift(BaseModel):
    """How training and test strips differ; as JSON without the strips themselves.

    Attributes:
        strips: training strips, then test strips.
        scores: the probability of each strip to be a test strip, predicted out of fold.
        train: number of training strips.
        test: number of test strips.
        groups: number of groups of near-duplicates.
        auc: probability that a test strip is ranked above a training strip; 0.5 is guessing.
        level: confidence of its interval.
        differences: features that differ, the clearest first; empty if the strips cannot be
            distinguished.
        notes: what a reader of the numbers should be aware of.
    """

    model_config = ConfigDict(frozen=True)

    strips: InstanceOf[TrainTest] = Field(exclude=True)
    scores: InstanceOf[LikenessScores] = Field(exclude=True)
    train: int
    test: int
    groups: int
    auc: Estimate
    level: float
    differences: tuple[AppearanceDifference, ...]
    notes: tuple[str, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def differ(self) -> bool:
        """Whether the strips can be distinguished: the interval of the AUC is above 0.5."""
        return self.auc.low > 0.5

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sentence(self) -> str:
        """The result in a sentence."""
        if not self.differ:
            return (
                "Test strips cannot be distinguished from training strips: the interval of the AUC "
                "contains 0.5. Split the folds as usual."
            )
        reasons = [each.phrase for each in self.differences if each.certain][:3]
        details = f" Test strips {'; they '.join(reasons)}." if reasons else ""
        return f"Test strips can be distinguished from training strips.{details}"

    def likeness_rows(self) -> list[tuple[str, int, float, float]]:
        """Return image, group, likeness and the group's mean likeness of each training strip.

        Groups that are most like the test strips come first.
        """
        rows = np.flatnonzero(~self.strips.is_test)
        likeness, groups = self.scores.likeness, self.strips.groups[rows]
        _, group = np.unique(groups, return_inverse=True)
        means = (np.bincount(group, likeness) / np.bincount(group))[group]
        order = np.lexsort((-likeness, groups, -means))
        return [
            (self.strips.names[rows[at]], int(groups[at]), float(likeness[at]), float(means[at]))
            for at in order.tolist()
        ]


def find_shift(
    data: Path,
    test: Path | str | None = None,
    *,
    seed: int = 0,
    on_error: OnError = "stop",
) -> Shift:
    """Try to distinguish test strips from training strips by features of their appearance.

    ``data`` and ``test`` are as in `open_train_test`. If there is no difference, one is reported
    by mistake in at most 2.5 % of all cases. Raises what `open_train_test` and
    `likeness_to_test` raise.
    """
    strips = open_train_test(data, test, on_error)
    tests = strips.is_test
    of_train, of_test = strips.features[~tests], strips.features[tests]
    scores = likeness_to_test(
        of_train,
        of_test,
        strips.groups[~tests],
        seed,
        test_groups=strips.groups[tests],
    )
    differences: tuple[AppearanceDifference, ...] = ()
    if scores.separable:
        differences = appearance_differences(of_train, of_test, strips.groups)
    return Shift(
        strips=strips,
        scores=scores,
        train=int(np.count_nonzero(~tests)),
        test=int(np.count_nonzero(tests)),
        groups=len(np.unique(strips.groups)),
        auc=scores.estimate,
        level=LEVEL,
        differences=differences,
        notes=tuple(_notes(strips)),
    )


def _notes(strips: TrainTest) -> list[str]:
    notes = [f"left out {name}: {reason}" for name, reason in strips.skipped]
    test_groups = strips.groups[strips.is_test]
    shared = set(test_groups.tolist()) & set(strips.groups[~strips.is_test].tolist())
    if shared:
        count = int(np.isin(test_groups, list(shared)).sum())
        notes.append(f"Test strips that are near-duplicates of training strips: {count}.")
    train, test = (
        {frame for frame, of in zip(strips.frames, strips.is_test, strict=True) if of == is_test}
        for is_test in (False, True)
    )
    if train != test:
        sizes = [
            f"{min(each)}" + (f" to {max(each)}" if len(each) > 1 else "") for each in (train, test)
        ]
        notes.append(f"Training strips are {sizes[0]} pixels, test strips {sizes[1]}.")
    return notes
