"""A classifier's threshold in the search, against gates and rules applied strip by strip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steelscan.evaluation.tuning import (
    Behind,
    Candidates,
    EscapeWeighted,
    Grid,
    ImageGate,
    MeanDice,
    Numbers,
    Prior,
    SetSurfaces,
    behind_gate,
    best,
    count_levels,
    every_gate,
    every_level,
    gate_scores,
    gated_best,
    gated_surface,
    pair_scores,
    strip_weights,
    surface,
    triplet_surface,
)
from steelscan.postprocess import MinArea, Threshold, Triplet, threshold
from steelscan.postprocess.areas import min_area
from steelscan.postprocess.thresholds import triplet
from steelscan.strip import InputError

CLOSE = 1e-12
VALUES = [0, 1, 51, 127, 128, 254, 255]
LOWEST = np.array([1, 2, 52, 128, 255, 256])
AREAS = np.array([0, 1, 2, 5, 12, 13])
GRID = Grid(LOWEST, LOWEST, AREAS)
GATES = np.array([0.0, 0.25, 0.5, 0.75])
WORDS = [0.0, 0.1, 0.25, 0.5, 0.6, 1.0, np.nan]
OBJECTIVES = [MeanDice(), EscapeWeighted(weight=1.5), Prior(positives=0.25)]

strips_and_words = st.integers(3, 6).flatmap(
    lambda strips: st.tuples(
        arrays(np.uint8, (strips, 3, 4), elements=st.sampled_from(VALUES)),
        arrays(np.bool_, (strips, 3, 4), elements=st.booleans(), fill=st.just(False)),
        arrays(np.float32, strips, elements=st.sampled_from(WORDS).map(np.float32)),
    )
)


def levels_of(maps, truth):
    pairs = zip(maps[:, None], truth[:, None], strict=True)
    return np.stack([count_levels(*pair)[:, 0] for pair in pairs])


def masked(plane, kind, label, pixel, area):
    top, bottom = (label - 1) / 255, (pixel - 1) / 255
    if kind == "triplet":
        return triplet(plane[None], Triplet(top=top, area=int(area), bottom=bottom))[0]
    masks = threshold(plane[None], Threshold(label=top, pixel=bottom))
    return min_area(masks, MinArea(pixels=int(area)))[0]


def by_definition(maps, truth, words, kind, objective, gate, setting):
    """The score of one setting: gate, rule and Dice of each strip, one after the other."""
    scores = []
    for plane, true, word in zip(maps, truth, words, strict=True):
        open_ = bool(np.isnan(word)) or float(word) > gate
        mask = masked(plane, kind, *setting) if open_ else np.zeros_like(true)
        sizes = int(mask.sum()) + int(true.sum())
        value = 2 * int((mask & true).sum()) / sizes if sizes else 1.0
        if objective.kind == "escape_weighted" and true.any() and not mask.any():
            value -= objective.weight
        scores.append(value)
    held = truth.any(axis=(1, 2))
    scores = np.array(scores)
    if objective.kind != "prior":
        return scores.mean()
    share = objective.positives
    return share * scores[held].mean() + (1 - share) * scores[~held].mean()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.kind)
@pytest.mark.parametrize("kind", ["threshold", "triplet"])
@settings(max_examples=3, deadline=None)
@given(strips_and_words)
def test_every_setting_behind_every_gate_scores_as_one_by_one(kind, objective, drawn):
    maps, truth, words = drawn
    truth[0], truth[1, 0, 0] = False, True
    levels = levels_of(maps, truth)
    found = gated_surface(levels, words, GATES, GRID, objective, kind)
    random = np.random.default_rng(0)
    for place in random.integers(0, found.shape, (25, 4)).tolist():
        gate, *at = place
        setting = [axis[i] for axis, i in zip((LOWEST, LOWEST, AREAS), at, strict=True)]
        expected = by_definition(maps, truth, words, kind, objective, GATES[gate], setting)
        assert abs(found[tuple(place)] - expected) < CLOSE
    (gate, setting), score = gated_best(levels, words, GATES, GRID, objective, kind)
    assert abs(score - found.max()) < CLOSE
    index = [GRID.setting(*at) for at in np.ndindex(GRID.shape)].index(setting)
    at = np.unravel_index(index, GRID.shape)
    assert abs(found[(np.flatnonzero(gate == GATES)[0], *at)] - found.max()) < CLOSE


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.kind)
@pytest.mark.parametrize("kind", ["threshold", "triplet"])
@settings(max_examples=3, deadline=None)
@given(strips_and_words, st.integers(0, 99))
def test_many_sets_at_once_score_as_each_alone(kind, objective, drawn, seed):
    """A strip that a set holds twice counts as if it stood there twice."""
    maps, truth, words = (np.concatenate([each, each]) for each in drawn)
    truth[:2], truth[2:4, 0, 0] = False, True
    levels = levels_of(maps, truth)
    times = np.random.default_rng(seed).integers(0, 3, (4, len(maps))).astype(np.float64)
    times[:, [0, 2]] += 1
    sets = SetSurfaces(levels, GRID, objective, kind, Behind(words, GATES))
    for found, counted in zip(sets.scores(times), times, strict=True):
        rows = np.repeat(np.arange(len(maps)), counted.astype(int))
        alone = gated_surface(levels[rows], words[rows], GATES, GRID, objective, kind)
        assert np.abs(found - alone).max() < CLOSE
    plain = SetSurfaces(levels, GRID, objective, kind).scores(times[:1])[0, 0]
    rows = np.repeat(np.arange(len(maps)), times[0].astype(int))
    search = surface if kind == "threshold" else triplet_surface
    assert np.abs(plain - search(levels[rows], GRID, objective)).max() < CLOSE


def random_levels(seed, strips=60):
    random = np.random.default_rng(seed)
    levels = np.zeros((strips, 2, 256), np.int32)
    levels[:, 0] = random.integers(0, 40, (strips, 256)) * (random.random((strips, 256)) < 0.3)
    levels[:, 0] *= np.arange(256) < random.integers(1, 257, (strips, 1))
    levels[:, 0, 0] += 5000
    levels[:, 1] = random.binomial(levels[:, 0], 0.8 * np.arange(256) / 255)
    levels[random.random(strips) < 0.4, 1] = 0
    return levels, random.random(strips)


@pytest.mark.parametrize("kind", ["threshold", "triplet"])
def test_a_gate_that_stops_nothing_changes_nothing_and_one_that_stops_all_empties(kind):
    levels, words = random_levels(0)
    grid = every_level(np.array([0, 30, 900]))
    search = surface if kind == "threshold" else triplet_surface
    ends = gated_surface(levels, words, np.array([0.0, 1.0]), grid, kind=kind)
    assert np.abs(ends[0] - search(levels, grid)).max() < CLOSE
    assert np.abs(ends[1] - (~levels[:, 1].any(axis=1)).mean()).max() < CLOSE
    unknown = gated_surface(levels, np.full(60, np.nan), np.array([1.0]), grid, kind=kind)
    assert np.abs(unknown[0] - ends[0]).max() < CLOSE
    found, score = gated_best(levels, words, np.array([0.0]), grid, kind=kind)
    _, highest = best(ends[0], grid)
    assert score == pytest.approx(highest, abs=CLOSE)
    at = [
        (axis == round(value * 255) + 1).argmax()
        for axis, value in zip((grid.label, grid.pixel), found.setting[:2], strict=True)
    ]
    at.append(grid.area.tolist().index(found.setting.area))
    assert ends[0][tuple(at)] == pytest.approx(highest, abs=CLOSE)
    assert found.gate == 0.0


@given(
    arrays(np.float64, 9, elements=st.integers(-8, 8).map(float)),
    arrays(np.float32, 9, elements=st.sampled_from(WORDS).map(np.float32)),
)
def test_sums_from_above_are_those_of_what_passes(gains, words):
    gates = np.array([0.5, 0.0, 0.25, -1.0, 1.0])
    expected = [
        sum(g for g, w in zip(gains, words, strict=True) if np.isnan(w) or w > gate)
        for gate in gates
    ]
    assert gate_scores(gains, words, gates).tolist() == expected
    ways = {tuple(np.isnan(words) | (words > gate)) for gate in np.linspace(0, 1, 101)}
    found = {tuple(np.isnan(words) | (words > gate)) for gate in every_gate(words)}
    assert ways <= found


def test_a_gate_of_the_image_scores_all_classes_together():
    (one, words), (two, others) = random_levels(1), random_levels(2)
    levels = np.stack([one, two], axis=2)
    said = np.stack([words, others], axis=1)
    said[0], said[1] = np.nan, 0.0
    numbers = [Numbers(None, 0.3, 0.2, 30), Numbers(None, 0.5, 0.4, 0)]
    aims = [MeanDice(), Prior(positives=0.3)]
    classes = [Candidates(levels[:, :, at], None, numbers[at], aims[at]) for at in range(2)]
    gate = ImageGate(classes, said, 0.07)
    scores = gate.scores(np.ones((1, 60)))[0]
    assert 0.07 in gate.gates
    for least, score in zip(gate.gates.tolist(), scores.tolist(), strict=True):
        closed = behind_gate(levels, said, least)
        expected = []
        for at in range(2):
            pairs = Candidates(closed[:, :, at], None, numbers[at], aims[at]).pairs(numbers[at])
            weights = strip_weights(pairs.truth[:, 0], aims[at])
            expected.append(weights @ pair_scores(pairs, aims[at])[:, 0])
        assert score == pytest.approx(np.mean(expected), abs=CLOSE)
        adds = gate.weights(np.ones(60)) * gate.values(least)
        assert score == pytest.approx(adds.sum(), abs=CLOSE)
    assert np.ptp(scores) > 0.05
    gains = (gate.weights(np.ones(60)) * (gate.values(-1.0) - gate.values(2.0))).sum(axis=1)
    said_most = np.where(np.isnan(said).any(axis=1), np.nan, said.max(axis=1))
    swept = gate_scores(gains, said_most, gate.gates)
    assert np.abs(np.diff(swept) - np.diff(scores)).max() < CLOSE


def test_words_of_other_strips_and_gates_that_fall_are_refused():
    levels, words = random_levels(3)
    with pytest.raises(InputError, match="shape"):
        gated_surface(levels, words[:-1], GATES, GRID)
    with pytest.raises(InputError, match="shape"):
        gate_scores(np.zeros(4), words, GATES)
    with pytest.raises(InputError, match="gates"):
        gated_surface(levels, words, GATES[::-1], GRID)
    with pytest.raises(InputError, match="none"):
        SetSurfaces(levels, GRID).scores(np.zeros((1, 60)))
