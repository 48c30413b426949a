"""The number of validation folds that would have enough strips of a class, counted fold by fold."""

import numpy as np
import pytest

from steelscan.pipeline.tuning_notes import more_folds
from steelscan.recipes import load, with_overrides


@pytest.mark.parametrize("seed", range(5))
def test_the_fewest_folds_that_have_enough_strips_are_named(seed: int) -> None:
    random = np.random.default_rng(seed)
    recipe = load("quick")  # ten folds: 0 validates, 8 and 9 are held out
    folds = random.permutation(np.arange(100) % 10)
    present = random.random(100) < 0.15
    in_fold = [int((present & (folds == fold)).sum()) for fold in range(10)]
    for needed in (1, 5, 8, 100):
        text = more_folds(recipe, folds, present, needed)
        enough = [count for count in range(1, 9) if sum(in_fold[:count]) >= needed]
        if not enough:
            total = sum(in_fold[:8])
            assert text == f"; also with --set folds=8, the most, there are {total}"
        elif enough[0] == 1:
            assert text == ""
        else:
            number = sum(in_fold[: enough[0]])
            assert text == f"; with --set folds={enough[0]} there are {number}"
            changed = with_overrides(recipe, [text.removeprefix("; with --set ").split()[0]])
            validated = present & np.isin(folds, changed.folds.validation)
            assert validated.sum() == number >= needed


def test_a_recipe_that_refuses_more_folds_names_none() -> None:
    nothing = np.zeros(20, np.bool_)
    for name in ("seventieth_place", "third_place"):
        assert more_folds(load(name), np.arange(20) % 5, nothing, 8) == ""
