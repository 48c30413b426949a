"""Scores of whole grids against the rules themselves, applied to maps setting by setting."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter, ValidationError

from steelscan.evaluation.metrics import Pairs, dice
from steelscan.evaluation.tuning import (
    EscapeWeighted,
    Grid,
    MeanDice,
    Objective,
    Prior,
    Setting,
    Thresholds,
    best,
    count_levels,
    every_level,
    pair_scores,
    pairs_at,
    strip_weights,
    surface,
    triplet_surface,
)
from steelscan.postprocess import MinArea, Threshold, Triplet, lowest_level, threshold
from steelscan.postprocess.areas import min_area
from steelscan.postprocess.thresholds import triplet
from steelscan.strip import InputError, MaskError

CLOSE = 1e-12
HEIGHT, WIDTH = 3, 4
VALUES = [0, 1, 51, 127, 128, 254, 255]
LOWEST = np.array([1, 2, 52, 128, 255, 256])  # so that some maps peak just at a threshold
AREAS = np.array([0, 1, 2, 5, 12, 13])
GRID = Grid(LOWEST, LOWEST, AREAS)
OBJECTIVES = [MeanDice(), EscapeWeighted(weight=1.5), Prior(positives=0.25)]

maps_and_truth = st.integers(1, 5).flatmap(
    lambda strips: st.tuples(
        arrays(np.uint8, (strips, HEIGHT, WIDTH), elements=st.sampled_from(VALUES)),
        arrays(np.bool_, (strips, HEIGHT, WIDTH), elements=st.booleans(), fill=st.just(False)),
    )
)


def levels_of(maps, truth):
    pairs = zip(maps[:, None], truth[:, None], strict=True)
    return np.stack([count_levels(*pair)[:, 0] for pair in pairs])


def value_of(level):
    return (int(level) - 1) / 255


def by_threshold(plane, top, bottom, area):
    masks = threshold(plane[None], Threshold(label=value_of(top), pixel=value_of(bottom)))
    return min_area(masks, MinArea(pixels=int(area)))[0]


def by_triplet(plane, top, bottom, area):
    rule = Triplet(top=value_of(top), area=int(area), bottom=value_of(bottom))
    return triplet(plane[None], rule)[0]


def pair_by_definition(mask, true, objective):
    sizes = int(mask.sum()) + int(true.sum())
    score = Fraction(2 * int((mask & true).sum()), sizes) if sizes else Fraction(1)
    if objective.kind == "escape_weighted" and true.any() and not mask.any():
        score -= Fraction(objective.weight)
    return score


def score_by_definition(masks, truth, objective):
    scores = [pair_by_definition(*pair, objective) for pair in zip(masks, truth, strict=True)]
    if objective.kind != "prior":
        return sum(scores) / len(scores)
    held = [score for score, true in zip(scores, truth, strict=True) if true.any()]
    free = [score for score, true in zip(scores, truth, strict=True) if not true.any()]
    share = Fraction(objective.positives)
    return share * sum(held) / len(held) + (1 - share) * sum(free) / len(free)


def surface_by_definition(maps, truth, rule, objective):
    scores = np.empty(GRID.shape)
    for place in np.ndindex(*scores.shape):
        at = [axis[index] for axis, index in zip((LOWEST, LOWEST, AREAS), place, strict=True)]
        masks = [rule(plane, *at) for plane in maps]
        scores[place] = score_by_definition(masks, truth, objective)
    return scores


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.kind)
@pytest.mark.parametrize(
    ("rule", "search"), [(by_threshold, surface), (by_triplet, triplet_surface)]
)
@settings(max_examples=30, deadline=None)
@given(maps_and_truth)
def test_every_setting_scores_as_the_rule_and_the_metric_say(rule, search, objective, both):
    maps, truth = both
    if objective.kind == "prior":  # is defined only where there are strips of both sorts
        maps, truth = (np.concatenate([each, each[:1], each[:1]]) for each in (maps, truth))
        truth[-1], truth[-2, 0, 0] = False, True
    found = search(levels_of(maps, truth), GRID, objective)
    assert found.dtype == np.float64
    assert np.abs(found - surface_by_definition(maps, truth, rule, objective)).max() < CLOSE


def random_levels(seed, strips=60):
    """Counts of maps whose peaks and areas differ: int32 ``(strips, 2, 256)``."""
    random = np.random.default_rng(seed)
    levels = np.zeros((strips, 2, 256), np.int32)
    levels[:, 0] = random.integers(0, 40, (strips, 256)) * (random.random((strips, 256)) < 0.3)
    levels[:, 0] *= np.arange(256) < random.integers(1, 257, (strips, 1))
    levels[:, 0, 0] += 5000
    levels[:, 1] = random.binomial(levels[:, 0], 0.8 * np.arange(256) / 255)
    levels[random.random(strips) < 0.4, 1] = 0
    return levels


def test_the_whole_grid_agrees_with_thresholds_applied_one_setting_at_a_time():
    levels, grid = random_levels(0), every_level(np.array([0, 1, 7, 100, 900, 2000]))
    found = surface(levels, grid)
    assert found.shape == (256, 256, 6)
    random = np.random.default_rng(1)
    for place in random.integers(0, found.shape, (300, 3)).tolist():
        setting = grid.setting(*place)
        single = Thresholds(label=(setting.label,), pixel=(setting.pixel,), area=(setting.area,))
        expected = dice(pairs_at(levels[:, :, None], single)).mean()
        assert found[tuple(place)] == pytest.approx(expected, abs=CLOSE)
    assert len(np.unique(found.round(9))) > 5000


@pytest.mark.parametrize("search", [surface, triplet_surface])
def test_a_part_of_the_grid_in_any_order_scores_as_the_whole_does(search):
    levels = random_levels(2)
    area = np.array([0, 3, 3, 50])
    whole = search(levels, every_level(area))
    label, pixel = np.array([200, 3, 256, 3]), np.array([90, 1, 255])
    part = search(levels, Grid(label, pixel, area[[1, 3]]))
    assert np.abs(part - whole[np.ix_(label - 1, pixel - 1, [1, 3])]).max() < CLOSE


def test_a_level_is_above_the_thresholds_below_it_and_not_above_its_own():
    levels = np.zeros((1, 2, 256), np.int32)
    levels[0, :, 51] = 10  # 51 / 255 is 0.2
    levels[0, 0, 0] = 90
    tops = [0.0, 50 / 255, 0.2 - 1e-9, 0.2, 52 / 255, 1.0]
    lowest = np.array([lowest_level(top) for top in tops])
    found = surface(levels, Grid(lowest, lowest, np.array([0])))[:, :, 0]
    passes = np.array([1, 1, 1, 0, 0, 0])
    assert found.tolist() == np.outer(passes, passes).tolist()


def test_a_mask_of_just_the_area_stays_and_one_pixel_fewer_goes():
    levels = np.zeros((2, 2, 256), np.int32)
    levels[:, :, 200] = [[10, 10], [9, 9]]
    levels[:, 0, 100] = 90
    grid = Grid(np.array([128]), np.array([128]), np.array([0, 8, 9, 10, 11]))
    assert surface(levels, grid).ravel().tolist() == [1, 1, 1, 0.5, 0]
    assert triplet_surface(levels, grid).ravel().tolist() == [1, 1, 1, 0.5, 0]
    # A lower bottom makes masks larger, and what is above the top stays.
    wide = Grid(np.array([128]), np.array([90]), np.array([9, 10, 11]))
    both = [20 / 110, 18 / 108]
    expected = [sum(both) / 2, both[0] / 2, 0]
    assert triplet_surface(levels, wide).ravel() == pytest.approx(expected, abs=CLOSE)


def test_triplets_ask_for_the_area_above_the_top_and_thresholds_for_that_of_the_mask():
    levels = np.zeros((1, 2, 256), np.int32)
    levels[0, :, 200], levels[0, :, 100] = 10, 20
    grid = Grid(np.array([150]), np.array([50]), np.array([10, 11, 30, 31]))
    assert triplet_surface(levels, grid).ravel().tolist() == [1, 0, 0, 0]
    assert surface(levels, grid).ravel().tolist() == [1, 1, 1, 0]


def test_a_triplet_of_one_pixel_is_a_threshold_and_of_none_has_no_top():
    levels, every = random_levels(3), np.arange(1, 257)
    triplets = triplet_surface(levels, Grid(every, every, np.array([0, 1])))
    thresholds = surface(levels, Grid(every, every, np.array([0])))[:, :, 0]
    assert np.abs(triplets[:, :, 1] - thresholds).max() < CLOSE
    assert np.abs(triplets[:, :, 0] - thresholds[:1]).max() < CLOSE
    assert np.ptp(thresholds) > 0.1


@pytest.mark.parametrize("search", [surface, triplet_surface])
def test_where_nothing_is_true_only_empty_masks_score(search):
    levels = np.zeros((4, 2, 256), np.int32)
    levels[:, 0, 0] = 100
    levels[0, 0, 9] = 1
    grid = Grid(np.array([1, 9, 10]), np.array([1, 9, 10]), np.array([1, 2]))
    expected = np.ones((3, 3, 2))
    expected[:2, :2, 0] = 0.75
    assert search(levels, grid).tolist() == expected.tolist()
    levels[0, 0, 9] = 0
    assert (search(levels, grid) == 1).all()
    no_pixels = np.zeros((2, 2, 256), np.int32)
    assert (search(no_pixels, every_level(np.array([0]))) == 1).all()


@pytest.mark.parametrize("search", [surface, triplet_surface])
def test_the_weight_of_an_escape_is_paid_once_for_each_and_nothing_else_changes(search):
    levels, grid = random_levels(4), every_level(np.array([0, 20, 400]))
    plain, dear, dearer = (
        search(levels, grid, EscapeWeighted(weight=weight)) for weight in (0.0, 1.0, 3.0)
    )
    assert np.abs(plain - search(levels, grid)).max() < CLOSE
    escapes = (plain - dear) * len(levels)
    assert np.abs(escapes - escapes.round()).max() < 1e-9
    assert np.abs(plain - dearer - 3 * (plain - dear)).max() < CLOSE
    if search is surface:
        at = grid.setting(99, 49, 1)
        single = Thresholds(label=(at.label,), pixel=(at.pixel,), area=(at.area,))
        pairs = pairs_at(levels[:, :, None], single)
        missed = int(((pairs.truth > 0) & (pairs.predicted == 0)).sum())
        assert round(escapes[99, 49, 1]) == missed > 0


def test_a_prior_weighs_strips_with_and_without_the_class():
    levels, grid = random_levels(5), every_level(np.array([0, 30]))
    held = levels[:, 1].any(axis=1)
    always, never = surface(levels[held], grid), surface(levels[~held], grid)
    for share in (0.0, 0.1, 1.0):
        expected = share * always + (1 - share) * never
        assert np.abs(surface(levels, grid, Prior(positives=share)) - expected).max() < CLOSE
    as_found = surface(levels, grid, Prior(positives=float(held.mean())))
    assert np.abs(as_found - surface(levels, grid)).max() < CLOSE


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


def test_strips_may_stand_in_any_order_and_twice():
    levels, grid = random_levels(6), every_level(np.array([0, 30]))
    order = np.random.default_rng(0).permutation(len(levels))
    for search, objective in product((surface, triplet_surface), OBJECTIVES):
        once = search(levels, grid, objective)
        assert np.abs(search(levels[order], grid, objective) - once).max() < CLOSE
        twice = np.concatenate([levels, levels])
        assert np.abs(search(twice, grid, objective) - once).max() < CLOSE


def test_the_best_setting_is_the_first_of_those_as_good_and_scores_what_it_says():
    grid = Grid(np.array([52, 103]), np.array([1, 256]), np.array([5, 9]))
    scores = np.array([[[0.1, 0.5], [0.7, 0.2]], [[0.7, 0.1], [0.7, 0.6]]])
    assert best(scores, grid) == (Setting(0.2, 1.0, 5), 0.7)
    scores[0, 1, 0] -= 1e-15  # by rounding alone
    assert best(scores, grid)[0] == (0.2, 1.0, 5)
    scores[0, 1, 0] -= 1e-6
    assert best(scores, grid)[0] == (0.4, 0.0, 5)
    levels, whole = random_levels(7), every_level(np.array([0, 30, 500]))
    setting, score = best(surface(levels, whole), whole)
    single = Thresholds(label=(setting.label,), pixel=(setting.pixel,), area=(setting.area,))
    assert dice(pairs_at(levels[:, :, None], single)).mean() == pytest.approx(score, abs=CLOSE)
    assert score >= surface(levels, whole).max() - CLOSE


def test_the_threshold_of_every_level_gives_that_level_back():
    grid = every_level(np.array([4]))
    assert grid.shape == (256, 256, 1)
    for index in range(256):
        setting = grid.setting(index, 255 - index, 0)
        assert (lowest_level(setting.label), lowest_level(setting.pixel)) == (
            index + 1,
            256 - index,
        )
        assert 0 <= setting.label <= 1


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


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"label": [0, 257]}, "grid.label"),
        ({"pixel": [-1]}, "grid.pixel"),
        ({"pixel": []}, "grid.pixel"),
        ({"label": [[1]]}, "grid.label"),
        ({"area": [0, 9, 8]}, "grid.area"),
        ({"area": [-1, 0]}, "grid.area"),
    ],
)
def test_impossible_grids_are_refused(changes, named):
    axes = {"label": [1], "pixel": [1], "area": [0]} | changes
    with pytest.raises(InputError, match=named):
        Grid(**{name: np.array(axis, np.int64) for name, axis in axes.items()})
    with pytest.raises(InputError, match="float64"):
        Grid(np.array([0.5]), np.array([1]), np.array([0]))


@pytest.mark.parametrize("search", [surface, triplet_surface])
def test_other_levels_and_undefined_objectives_are_refused(search):
    levels = random_levels(8, strips=3)
    with pytest.raises(MaskError, match="int64"):
        search(levels.astype(np.int64), GRID)
    with pytest.raises(MaskError, match="one class"):
        search(levels[:, :, None], GRID)
    with pytest.raises(MaskError, match="no strip"):
        search(levels[:0], GRID)
    levels[:, 1] = 0
    with pytest.raises(InputError, match="strips with the class"):
        search(levels, GRID, Prior(positives=0.1))
    levels[:, 1, 0] = 1
    with pytest.raises(InputError, match="strips without the class"):
        search(levels, GRID, Prior(positives=0.9))
    assert search(levels, GRID, Prior(positives=1.0)).shape == GRID.shape
