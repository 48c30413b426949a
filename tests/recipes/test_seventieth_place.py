"""The 70th place: the published numbers, and what its parts do with real arrays."""

from types import SimpleNamespace

import numpy as np
import pytest

from steelscan import recipes
from steelscan.data import LikeTest, RandomCrop, make_folds
from steelscan.evaluation.adversarial.likeness import likeness_to_test
from steelscan.pipeline import RunFolder
from steelscan.pipeline.folds import assign_folds
from steelscan.prediction import PowerMean
from steelscan.prediction.averages import inverse, mean_of, transform


def test_numbers_of_the_seventieth():
    """A summary of the solutions: a power of 0.5, training on crops, folds like the test set."""
    recipe = recipes.load("seventieth_place")
    (segment,) = recipe.network_steps
    assert segment.ensemble.average == PowerMean(t=0.5, form="raw")
    for member in segment.ensemble.members:
        assert {type(stage.crop) for stage in member.stages} == {RandomCrop}
        assert (member.resize, member.tiles) == (None, None)
    assert isinstance(recipe.folds, LikeTest)


def test_the_seventieth_averages_powers_of_probabilities():
    """Its formula: the sum of p ** 0.5 over N; 0.25 becomes 0.5."""
    average = recipes.load("seventieth_place").segment.ensemble.average
    given = np.array([[0.25, 0.0, 1.0, 0.81], [0.25, 0.0, 1.0, 0.01], [0.25, 1.0, 1.0, 0.49]])
    found = inverse(average, mean_of(transform(average, given, (False, True, True))))
    assert found.tolist() == pytest.approx([0.5, 1 / 3, 1.0, (0.9 + 0.1 + 0.7) / 3])
    corrected = average.but(form="true")
    true = inverse(corrected, mean_of(transform(corrected, given, (False, True, True))))
    assert true.tolist() == pytest.approx([value**2 for value in found.tolist()])


def test_without_a_shift_the_seventieth_has_the_usual_folds(tmp_path):
    """Train and test strips of one distribution: an AUC of 0.5, and no change."""
    rng = np.random.default_rng(0)
    scores = [
        likeness_to_test(
            rng.normal(size=(150, 15)), rng.normal(size=(100, 15)), np.arange(150), seed
        )
        for seed in range(8)
    ]
    assert np.mean([each.auc for each in scores]) == pytest.approx(0.5, abs=0.04)
    assert not any(each.separable for each in scores)
    pictures = rng.integers(60, 180, (80, 16, 64)).astype(np.uint8)
    labels = rng.integers(0, 5, 50)
    same = SimpleStrips(pictures[:50], pictures[50:], labels[:, None] == np.arange(1, 5))
    spec, groups = recipes.load("seventieth_place").folds, np.arange(50)
    folds, _ = assign_folds(RunFolder(tmp_path), spec, same, groups, 0)
    usual = make_folds(same.present, groups, 5, 0)
    assert np.array_equal(folds == 0, usual == 0)
    assert np.mean(folds == 0) == pytest.approx(spec.share)


class SimpleStrips(SimpleNamespace):
    """A data set for making folds."""

    def __init__(self, train, test, present):
        super().__init__(train=train, test=test, present=present, root="strips")
        self.names = tuple(f"train{row}.png" for row in range(len(train)))
        self.test_names = tuple(f"test{row}.png" for row in range(len(test)))

    def __len__(self):
        return len(self.names)

    def picture(self, row):
        return self.train[row]

    def test_picture(self, row):
        return self.test[row]
