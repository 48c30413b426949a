"""Scores of whole grids against gates and rules applied to maps, one combination at a time."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter, ValidationError

from steelscan.evaluation.metrics import Pairs
from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    EscapeWeighted,
    MeanDice,
    Objective,
    Prior,
    strip_histograms,
    strip_weights,
)
from steelscan.evaluation.tuning.histograms import pixels_above
from steelscan.evaluation.tuning.objectives import pair_scores
from steelscan.evaluation.tuning.surfaces import Axes, ScoreSurfaces
from steelscan.postprocess import MinArea, Threshold, Triplet, threshold
from steelscan.postprocess.areas import min_area
from steelscan.postprocess.thresholds import triplet
from steelscan.strip.errors import InputError, MaskError

CLOSE = 1e-12
KINDS = ["threshold", "triplet"]
VALUES = [0, 1, 51, 127, 128, 254, 255]
CUTS = np.array([0, 1, 51, 127, 254, 255]) / 255  # so that some maps peak just at a threshold
AREAS = np.array([0, 1, 2, 5, 12, 13])
GATES = np.array([0.0, 0.25, 0.5, 0.75])
AXES = Axes(GATES, CUTS, CUTS, AREAS)
PROBABILITIES = [0.0, 0.1, 0.25, 0.5, 0.6, 1.0, np.nan]
OBJECTIVES = [MeanDice(), EscapeWeighted(weight=1.5), Prior(positives=0.25)]

drawn_strips = st.integers(3, 6).flatmap(
    lambda strips: st.tuples(
        arrays(np.uint8, (strips, 3, 4), elements=st.sampled_from(VALUES)),
        arrays(np.bool_, (strips, 3, 4), elements=st.booleans(), fill=st.just(False)),
        arrays(np.float32, strips, elements=st.sampled_from(PROBABILITIES).map(np.float32)),
    )
)


def histograms_of(maps, truth):
    pairs = zip(maps[:, None], truth[:, None], strict=True)
    return np.stack([strip_histograms(*pair)[:, 0] for pair in pairs])


def scores_of(counts, axes, objective=None, kind="threshold", probabilities=None, times=None):
    surfaces = ScoreSurfaces(
        pixels_above(counts), axes, objective or MeanDice(), kind, probabilities
    )
    return surfaces.scores(np.ones((1, len(counts))) if times is None else times)


def masked(plane, kind, label, pixel, area):
    if kind == "triplet":
        return triplet(plane[None], Triplet(top=label, area=int(area), bottom=pixel))[0]
    masks = threshold(plane[None], Threshold(label=label, pixel=pixel))
    return min_area(masks, MinArea(pixels=int(area)))[0]


def score_by_definition(maps, truth, probabilities, kind, objective, at):
    """The score of one combination: gate, rule and Dice of each strip, one after the other."""
    gate, *rest = at
    scores = []
    for plane, true, probability in zip(maps, truth, probabilities, strict=True):
        opened = bool(np.isnan(probability)) or float(probability) > gate
        mask = masked(plane, kind, *rest) if opened else np.zeros_like(true)
        sizes = int(mask.sum()) + int(true.sum())
        value = Fraction(2 * int((mask & true).sum()), sizes) if sizes else Fraction(1)
        if objective.kind == "escape_weighted" and true.any() and not mask.any():
            value -= Fraction(objective.weight)
        scores.append(value)
    if objective.kind != "prior":
        return sum(scores) / len(scores)
    present = truth.any(axis=(1, 2))
    held = [score for score, has in zip(scores, present, strict=True) if has]
    free = [score for score, has in zip(scores, present, strict=True) if not has]
    share = Fraction(objective.positives)
    return share * sum(held) / len(held) + (1 - share) * sum(free) / len(free)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.kind)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(drawn_strips)
def test_every_combination_scores_as_gate_rule_and_metric_one_by_one(kind, objective, drawn):
    maps, truth, probabilities = drawn
    truth[0], truth[1, 0, 0] = False, True
    found = scores_of(histograms_of(maps, truth), AXES, objective, kind, probabilities)[0]
    assert found.dtype == np.float64
    assert found.shape == tuple(map(len, AXES))
    random = np.random.default_rng(0)
    for place in random.integers(0, found.shape, (40, 4)).tolist():
        at = [axis[index] for axis, index in zip(AXES, place, strict=True)]
        expected = score_by_definition(maps, truth, probabilities, kind, objective, at)
        assert abs(found[tuple(place)] - float(expected)) < CLOSE


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.kind)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=3, deadline=None)
@given(drawn_strips, st.integers(0, 99))
def test_many_resamples_at_once_score_as_each_alone(kind, objective, drawn, seed):
    """A strip that a resample contains twice counts as two equal strips."""
    maps, truth, probabilities = (np.concatenate([each, each]) for each in drawn)
    truth[:2], truth[2:4, 0, 0] = False, True
    counts = histograms_of(maps, truth)
    times = np.random.default_rng(seed).integers(0, 3, (4, len(maps))).astype(np.float64)
    times[:, [0, 2]] += 1
    together = scores_of(counts, AXES, objective, kind, probabilities, times)
    for found, each in zip(together, times, strict=True):
        rows = np.repeat(np.arange(len(maps)), each.astype(int))
        alone = scores_of(counts[rows], AXES, objective, kind, probabilities[rows])[0]
        assert np.abs(found - alone).max() < CLOSE


def random_histograms(seed, strips=60):
    """Histograms of maps whose peaks and areas differ: int32 ``(strips, 2, 256)``."""
    random = np.random.default_rng(seed)
    counts = np.zeros((strips, 2, 256), np.int32)
    counts[:, 0] = random.integers(0, 40, (strips, 256)) * (random.random((strips, 256)) < 0.3)
    counts[:, 0] *= np.arange(256) < random.integers(1, 257, (strips, 1))
    counts[:, 0, 0] += 5000
    counts[:, 1] = random.binomial(counts[:, 0], 0.8 * np.arange(256) / 255)
    counts[random.random(strips) < 0.4, 1] = 0
    return counts


def axes_of(label, pixel, area):
    return Axes(np.zeros(1), np.asarray(label, float), np.asarray(pixel, float), np.array(area))


EVERY = np.arange(0, 256, 5) / 255


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_grid_agrees_with_thresholds_applied_one_setting_at_a_time(kind):
    counts = random_histograms(0)
    axes = axes_of(EVERY, EVERY, [0, 1, 7, 100, 900, 2000])
    found = scores_of(counts, axes, kind=kind)[0, 0]
    random = np.random.default_rng(1)
    for label, pixel, area in random.integers(0, found.shape, (200, 3)).tolist():
        at = ClassThresholds(None, float(EVERY[label]), float(EVERY[pixel]), int(axes.area[area]))
        search = ClassSearch(counts, None, at, MeanDice(), kind)
        expected = search.strip_scores(at).mean()
        assert found[label, pixel, area] == pytest.approx(expected, abs=CLOSE)
    assert len(np.unique(found.round(9))) > 500


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_the_grid_in_any_order_scores_as_the_whole_does(kind):
    counts, area = random_histograms(2), [0, 3, 3, 50]
    whole = scores_of(counts, axes_of(EVERY, EVERY, area), kind=kind)[0, 0]
    label, pixel = np.array([40, 3, 51, 3]), np.array([18, 1, 50])
    part = scores_of(counts, axes_of(EVERY[label], EVERY[pixel], [3, 50]), kind=kind)[0, 0]
    assert np.abs(part - whole[np.ix_(label, pixel, [1, 3])]).max() < CLOSE


def test_a_probability_is_above_lower_thresholds_and_not_above_an_equal_one():
    counts = np.zeros((1, 2, 256), np.int32)
    counts[0, :, 51] = 10  # 51 / 255 is 0.2
    counts[0, 0, 0] = 90
    cuts = [0.0, 50 / 255, 0.2 - 1e-9, 0.2, 52 / 255, 1.0]
    found = scores_of(counts, axes_of(cuts, cuts, [0]))[0, 0, :, :, 0]
    passes = np.array([1, 1, 1, 0, 0, 0])
    assert found.tolist() == np.outer(passes, passes).tolist()


def test_a_mask_of_just_the_area_stays_and_one_pixel_fewer_goes():
    counts = np.zeros((2, 2, 256), np.int32)
    counts[:, :, 200] = [[10, 10], [9, 9]]
    counts[:, 0, 100] = 90
    axes = axes_of([0.5], [0.5], [0, 8, 9, 10, 11])
    for kind in KINDS:
        assert scores_of(counts, axes, kind=kind).ravel().tolist() == [1, 1, 1, 0.5, 0]
    # A lower bottom makes masks larger, and what is above the top stays.
    wide = axes_of([0.5], [0.35], [9, 10, 11])
    both = [20 / 110, 18 / 108]
    expected = [sum(both) / 2, both[0] / 2, 0]
    found = scores_of(counts, wide, kind="triplet").ravel()
    assert found == pytest.approx(expected, abs=CLOSE)


def test_the_area_of_a_triplet_is_above_the_top_and_that_of_a_threshold_in_the_mask():
    counts = np.zeros((1, 2, 256), np.int32)
    counts[0, :, 200], counts[0, :, 100] = 10, 20
    axes = axes_of([149 / 255], [49 / 255], [10, 11, 30, 31])
    assert scores_of(counts, axes, kind="triplet").ravel().tolist() == [1, 0, 0, 0]
    assert scores_of(counts, axes).ravel().tolist() == [1, 1, 1, 0]


def test_a_triplet_of_one_pixel_is_a_threshold_and_of_none_has_no_top():
    counts = random_histograms(3)
    triplets = scores_of(counts, axes_of(EVERY, EVERY, [0, 1]), kind="triplet")[0, 0]
    thresholds = scores_of(counts, axes_of(EVERY, EVERY, [0]))[0, 0, :, :, 0]
    assert np.abs(triplets[:, :, 1] - thresholds).max() < CLOSE
    assert np.abs(triplets[:, :, 0] - thresholds[:1]).max() < CLOSE
    assert np.ptp(thresholds) > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_is_true_only_empty_masks_score(kind):
    counts = np.zeros((4, 2, 256), np.int32)
    counts[:, 0, 0] = 100
    counts[0, 0, 9] = 1
    cuts = np.array([0, 8, 9]) / 255
    axes = axes_of(cuts, cuts, [1, 2])
    expected = np.ones((3, 3, 2))
    expected[:2, :2, 0] = 0.75
    assert scores_of(counts, axes, kind=kind)[0, 0].tolist() == expected.tolist()
    counts[0, 0, 9] = 0
    assert (scores_of(counts, axes, kind=kind) == 1).all()
    no_pixels = np.zeros((2, 2, 256), np.int32)
    assert (scores_of(no_pixels, axes, kind=kind) == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_weight_of_an_escape_is_paid_once_for_each_and_nothing_else_changes(kind):
    counts, axes = random_histograms(4), axes_of(EVERY, EVERY, [0, 20, 400])
    plain, dear, dearer = (
        scores_of(counts, axes, EscapeWeighted(weight=weight), kind)[0, 0]
        for weight in (0.0, 1.0, 3.0)
    )
    assert np.abs(plain - scores_of(counts, axes, kind=kind)).max() < CLOSE
    escapes = (plain - dear) * len(counts)
    assert np.abs(escapes - escapes.round()).max() < 1e-9
    assert np.abs(plain - dearer - 3 * (plain - dear)).max() < CLOSE
    at = ClassThresholds(None, float(EVERY[20]), float(EVERY[10]), 20)
    pairs = ClassSearch(counts, None, at, MeanDice(), kind).pairs(at)
    missed = int(((pairs.truth > 0) & (pairs.predicted == 0)).sum())
    assert round(escapes[20, 10, 1]) == missed > 0


def test_a_prior_weighs_strips_with_and_without_the_class():
    counts, axes = random_histograms(5), axes_of(EVERY, EVERY, [0, 30])
    present = counts[:, 1].any(axis=1)
    always, never = scores_of(counts[present], axes), scores_of(counts[~present], axes)
    for share in (0.0, 0.1, 1.0):
        expected = share * always + (1 - share) * never
        found = scores_of(counts, axes, Prior(positives=share))
        assert np.abs(found - expected).max() < CLOSE
    as_measured = scores_of(counts, axes, Prior(positives=float(present.mean())))
    assert np.abs(as_measured - scores_of(counts, axes)).max() < CLOSE


@pytest.mark.parametrize("kind", KINDS)
def test_a_gate_that_stops_nothing_changes_nothing_and_one_that_stops_all_empties(kind):
    counts = random_histograms(0)
    probabilities = np.random.default_rng(9).random(60)
    plain = axes_of(EVERY, EVERY, [0, 30, 900])
    gated = plain._replace(gate=np.array([0.0, 1.0]))
    ends = scores_of(counts, gated, None, kind, probabilities)[0]
    assert np.abs(ends[0] - scores_of(counts, plain, kind=kind)[0, 0]).max() < CLOSE
    assert np.abs(ends[1] - (~counts[:, 1].any(axis=1)).mean()).max() < CLOSE
    unknown = scores_of(counts, gated, None, kind, np.full(60, np.nan))[0]
    assert np.abs(unknown[1] - ends[0]).max() < CLOSE


def test_objectives_by_hand():
    true = np.array([[10], [10], [0], [0], [0]])
    predicted = np.array([[10], [0], [0], [5], [0]])
    shared = np.array([[5], [0], [0], [0], [0]])
    pairs = Pairs(predicted, true, shared)
    assert pair_scores(pairs, MeanDice()).ravel().tolist() == [0.5, 0, 1, 0, 1]
    assert pair_scores(pairs, EscapeWeighted(weight=2)).ravel().tolist() == [0.5, -2, 1, 0, 1]
    assert pair_scores(pairs, Prior(positives=0.5)).ravel().tolist() == [0.5, 0, 1, 0, 1]
    assert strip_weights(true[:, 0], MeanDice()).tolist() == [0.2] * 5
    assert strip_weights(true[:, 0], EscapeWeighted(weight=2)).tolist() == [0.2] * 5
    assert strip_weights(true[:, 0], Prior(positives=0.5)) == pytest.approx(
        [0.25] * 2 + [1 / 6] * 3
    )
    assert strip_weights(true[2:, 0], Prior(positives=0)) == pytest.approx([1 / 3] * 3)
    assert strip_weights(true[:2, 0], Prior(positives=1)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.kind)
def test_objectives_go_through_json_whole(objective):
    adapter = TypeAdapter(Objective)
    assert adapter.validate_json(adapter.dump_json(objective)) == objective


@pytest.mark.parametrize(
    "damaged",
    [
        {"kind": "escape_weighted"},
        {"kind": "escape_weighted", "weight": -1.0},
        {"kind": "prior", "positives": 1.5},
        {"kind": "mean_dice", "weight": 1.0},
        {"kind": "median_dice"},
    ],
)
def test_damaged_objectives_are_refused(damaged):
    with pytest.raises(ValidationError):
        TypeAdapter(Objective).validate_python(damaged)


def test_other_histograms_and_undefined_objectives_are_refused():
    counts = random_histograms(8, strips=3)
    with pytest.raises(MaskError, match="int64"):
        pixels_above(counts.astype(np.int64))
    with pytest.raises(MaskError, match="one class"):
        pixels_above(counts[:, :, None])
    axes = axes_of(EVERY, EVERY, [0])
    for times in (np.zeros((1, 3)), np.ones((1, 0))):
        with pytest.raises(InputError, match="strips: are none"):
            scores_of(counts[: times.shape[1]], axes, times=times)
    counts[:, 1] = 0
    with pytest.raises(InputError, match="strips with the class"):
        scores_of(counts, axes, Prior(positives=0.1))
    counts[:, 1, 0] = 1
    with pytest.raises(InputError, match="strips without the class"):
        scores_of(counts, axes, Prior(positives=0.9))
    assert np.isfinite(scores_of(counts, axes, Prior(positives=1.0))).all()
