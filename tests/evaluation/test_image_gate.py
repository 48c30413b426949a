"""A gate of the image in the search, against gates applied to the histograms."""

import numpy as np
import pytest

from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    MeanDice,
    Prior,
    apply_image_gate,
    strip_weights,
)
from steelscan.evaluation.tuning.image_gate import ImageGateSearch
from steelscan.evaluation.tuning.objectives import pair_scores


def random_strips(seed, strips=60):
    random = np.random.default_rng(seed)
    counts = np.zeros((strips, 2, 256), np.int32)
    counts[:, 0] = random.integers(0, 40, (strips, 256)) * (random.random((strips, 256)) < 0.3)
    counts[:, 0] *= np.arange(256) < random.integers(1, 257, (strips, 1))
    counts[:, 0, 0] += 5000
    counts[:, 1] = random.binomial(counts[:, 0], 0.8 * np.arange(256) / 255)
    counts[random.random(strips) < 0.4, 1] = 0
    return counts, random.random(strips)


def test_a_gate_of_the_image_scores_all_classes_together():
    pairs = [random_strips(1), random_strips(2)]
    counts = np.stack([each for each, _ in pairs], axis=2)
    probabilities = np.stack([each for _, each in pairs], axis=1)
    probabilities[0], probabilities[1] = np.nan, 0.0
    thresholds = [ClassThresholds(None, 0.3, 0.2, 30), ClassThresholds(None, 0.5, 0.4, 0)]
    objectives = [MeanDice(), Prior(positives=0.3)]
    classes = [
        ClassSearch(counts[:, :, at], None, thresholds[at], objectives[at]) for at in range(2)
    ]
    search = ImageGateSearch(classes, probabilities, 0.07)
    scores = search.scores(np.ones((1, 60)))[0]
    assert 0.07 in search.gates
    for gate, score in zip(search.gates.tolist(), scores.tolist(), strict=True):
        closed = apply_image_gate(counts, probabilities, gate)
        expected = []
        for at, objective in enumerate(objectives):
            alone = ClassSearch(closed[:, :, at], None, thresholds[at], objective)
            pixels = alone.pairs(thresholds[at])
            weights = strip_weights(pixels.truth[:, 0], objective)
            expected.append(weights @ pair_scores(pixels, objective)[:, 0])
        assert score == pytest.approx(np.mean(expected), abs=1e-12)
        adds = search.weights(np.ones(60)) * search.strip_scores(gate)
        assert score == pytest.approx(adds.sum(), abs=1e-12)
    assert np.ptp(scores) > 0.05
