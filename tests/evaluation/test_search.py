"""The threshold search against applying thresholds to the maps, by definition."""

import json
from itertools import product

import numpy as np
import pytest
from pydantic import ValidationError

from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    EscapeWeighted,
    MeanDice,
    Prior,
    Thresholds,
    Tune,
    pairs_at,
    search_thresholds,
    strip_histograms,
)
from steelscan.evaluation.tuning.search import _gain
from steelscan.evaluation.tuning.surfaces import smoothed_argmax
from steelscan.strip.errors import MaskError, RecipeError

CAREFREE = Tune(gain=0, errors=0, positives=1)


def strips_at_random(seed, strips=14, classes=2, height=40, width=60):
    """Maps that resemble the truth: (uint8 maps, bool truth)."""
    random = np.random.default_rng(seed)
    truth = np.zeros((strips, classes, height, width), np.bool_)
    for strip, index in product(range(strips), range(classes)):
        if random.random() < 0.6:
            top, left = random.integers(0, height - 20), random.integers(0, width - 30)
            truth[strip, index, top : top + 20, left : left + random.integers(5, 30)] = True
    maps = 0.45 * truth + 0.55 * random.random(truth.shape) ** random.uniform(
        1, 4, (strips, classes, 1, 1)
    )
    return (255 * maps).astype(np.uint8), truth


def masks_by_definition(maps, setting):
    """Masks of one class, ``(strips, height, width)``: gate, then pixels, then area."""
    masks = []
    for plane in maps / 255:
        mask = plane > setting.pixel
        if not plane.max() > setting.label or mask.sum() < setting.area:
            mask = np.zeros_like(mask)
        masks.append(mask)
    return np.array(masks)


def mean_dice_by_definition(maps, truth, setting):
    masks = masks_by_definition(maps, setting)
    return dice(
        Pairs.of([count_pixels(m[None], t[None]) for m, t in zip(masks, truth, strict=True)])
    )


def histograms_of(maps, truth):
    return np.stack([strip_histograms(*strip) for strip in zip(maps, truth, strict=True)])


def thresholds(label, pixel, area, classes=2):
    return Thresholds(label=(label,) * classes, pixel=(pixel,) * classes, area=(area,) * classes)


def test_histograms_count_every_pixel_at_its_probability():
    maps, truth = strips_at_random(0, strips=1)
    counts = strip_histograms(maps[0], truth[0])
    assert counts.dtype == np.int32
    assert counts.shape == (2, 2, 256)
    for index, level in product(range(2), range(256)):
        here = maps[0, index] == level
        assert counts[0, index, level] == here.sum()
        assert counts[1, index, level] == (here & truth[0, index]).sum()


@pytest.mark.parametrize(
    ("maps", "truth"),
    [
        (np.zeros((1, 2, 3), np.float32), np.zeros((1, 2, 3), np.bool_)),
        (np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8)),
        (np.zeros((1, 2, 3), np.uint8), np.zeros((1, 3, 2), np.bool_)),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.bool_)),
    ],
)
def test_histograms_refuse_other_shapes_and_types(maps, truth):
    with pytest.raises(MaskError):
        strip_histograms(maps, truth)


@pytest.mark.parametrize(
    "setting",
    [
        ClassThresholds(None, 0.5, 0.5, 0),
        ClassThresholds(None, 0.2, 0.4, 0),  # both are stored probabilities: 51 / 255 and 102 / 255
        ClassThresholds(None, 0.2, 0.1, 0),
        ClassThresholds(None, 0.4, 0.1, 0),
        ClassThresholds(None, 0.95, 0.6, 100),
        ClassThresholds(None, 0.3, 0.8, 300),
        ClassThresholds(None, 0.0, 0.0, 1),
        ClassThresholds(None, 1.0, 0.1, 1),
    ],
)
def test_pairs_from_histograms_equal_pairs_from_masks(setting):
    maps, truth = strips_at_random(1)
    maps[0, 0] = 0
    maps[1, 0], maps[2, 0] = np.minimum(maps[1, 0], 51), np.minimum(maps[2, 0], 102)
    masks = np.stack([masks_by_definition(maps[:, index], setting) for index in range(2)], axis=1)
    expected = Pairs.of([count_pixels(*both) for both in zip(masks, truth, strict=True)])
    found = pairs_at(histograms_of(maps, truth), thresholds(*setting[1:]))
    assert found.predicted.tolist() == expected.predicted.tolist()
    assert found.truth.tolist() == expected.truth.tolist()
    assert found.shared.tolist() == expected.shared.tolist()


def test_a_mask_of_just_the_area_stays_and_one_pixel_fewer_goes():
    counts = np.zeros((2, 2, 1, 256), np.int32)
    counts[:, 0, 0, 200], counts[:, 0, 0, 0] = (10, 9), 100
    assert pairs_at(counts, thresholds(0.5, 0.5, 10, classes=1)).predicted.tolist() == [[10], [0]]


def test_each_class_has_its_own_thresholds():
    maps, truth = strips_at_random(2)
    mixed = Thresholds(label=(0.5, 0.9), pixel=(0.3, 0.6), area=(0, 200))
    found = pairs_at(histograms_of(maps, truth), mixed).predicted
    for index in range(2):
        masks = masks_by_definition(maps[:, index], mixed.of_class(index))
        assert found[:, index].tolist() == masks.sum(axis=(1, 2)).tolist()


def surface_by_definition(maps, truth, axes):
    surface = np.zeros([len(axis) for axis in axes[1:]])
    for place in np.ndindex(*surface.shape):
        rest = (axis[at] for axis, at in zip(axes[1:], place, strict=True))
        setting = ClassThresholds(None, *rest)
        surface[place] = mean_dice_by_definition(maps, truth, setting).mean()
    return surface


def smoothed_argmax_by_loops(surface, origin):
    """Mean of the 27 settings around each, the edge standing in for what is beyond it."""
    smooth = np.zeros_like(surface)
    for place in np.ndindex(*surface.shape):
        around = [
            surface[tuple(np.clip(np.add(place, step), 0, np.subtract(surface.shape, 1)))]
            for step in product((-1, 0, 1), repeat=3)
        ]
        smooth[place] = sum(around) / 27
    good = [place for place in np.ndindex(*surface.shape) if smooth[place] >= smooth.max() - 1e-4]
    return min(good, key=lambda place: sum(abs(a - b) for a, b in zip(place, origin, strict=True)))


@pytest.mark.parametrize("seed", range(2))
def test_the_search_equals_brute_force_over_the_whole_grid(seed):
    maps, truth = strips_at_random(seed, strips=8, classes=1, height=24, width=40)
    for strip, level in enumerate((51, 102, 153)):  # exactly at thresholds of the grid
        maps[strip] = np.minimum(maps[strip], level)
    counts = histograms_of(maps, truth)
    start = ClassThresholds(None, 0.72, 0.55, 7)
    search = ClassSearch(counts[:, :, 0], None, start, MeanDice())
    axes = search.axes
    assert [len(axis) for axis in axes[:3]] == [1, 20, 19]
    assert 0.72 in axes.label
    assert {0, 7} < set(axes.area.tolist())
    expected = surface_by_definition(maps[:, 0], truth[:, 0], axes)
    surface = search.surfaces(np.ones((1, len(counts))))[0, 0]
    assert np.abs(surface - expected).max() < 1e-13
    assert expected.std() > 0.01
    origin = tuple(
        axis.tolist().index(value) for axis, value in zip(axes[1:], start[1:], strict=True)
    )
    best = smoothed_argmax_by_loops(expected, origin)
    found = search_thresholds(counts, thresholds(*start[1:], classes=1), CAREFREE)
    assert found.of_class(0) == search.at((0, *best))
    assert found.tuned == (True,)
    assert found.after[0] == pytest.approx(expected[best], abs=1e-13)
    assert found.before[0] == pytest.approx(expected[origin], abs=1e-13)
    assert found.after[0] > found.before[0]


@pytest.mark.parametrize("tuned", ["label", "pixel", "area"])
def test_only_what_may_be_tuned_changes(tuned):
    maps, truth = strips_at_random(3)
    start = thresholds(0.5, 0.5, 1)
    flags = {name: name == tuned for name in ("label", "pixel", "area")}
    found = search_thresholds(histograms_of(maps, truth), start, CAREFREE.but(**flags))
    changed = {name for name in flags if getattr(found, name) != getattr(start, name)}
    assert changed == {tuned}
    assert found.defaults == start


def test_classes_are_searched_apart():
    maps, truth = strips_at_random(4)
    counts = histograms_of(maps, truth)
    both = search_thresholds(counts, thresholds(0.1, 0.1, 1), CAREFREE)
    for index in range(2):
        alone = search_thresholds(
            counts[:, :, [index]], thresholds(0.1, 0.1, 1, classes=1), CAREFREE
        )
        assert alone.of_class(0) == both.of_class(index)
    at_best = dice(pairs_at(counts, both)).mean(axis=0)
    assert both.after == pytest.approx(tuple(at_best))


def test_a_class_with_few_positives_keeps_the_recipes_numbers_with_the_reason():
    maps, truth = strips_at_random(5, strips=30)
    truth[3:, 1] = False
    truth[:3, 1, :20, :20] = True
    found = search_thresholds(histograms_of(maps, truth), thresholds(0.1, 0.1, 1))
    assert found.tuned == (True, False)
    assert found.of_class(1) == (None, 0.1, 0.1, 1)
    assert found.reasons[1] == "3 strips have this class, 8 are needed"
    assert found.before[1] == found.after[1]
    assert found.reasons[0].startswith("gain +0.")


def rare_class(highest, false_alarms=0):
    """Strips of which three have the class, with true pixels of ``highest`` / 255."""
    maps, truth = np.zeros((2, 30, 1, 20, 20))
    maps, truth = maps.astype(np.uint8), truth.astype(np.bool_)
    truth[:3, 0, :5, :5] = True
    maps[:3, 0, :5, :5] = highest
    maps[3 : 3 + false_alarms, 0, 9:12, 9:12] = highest
    return histograms_of(maps, truth)


def test_a_rare_class_that_is_never_found_gets_neutral_thresholds():
    strict, neutral = thresholds(0.8, 0.6, 0, classes=1), Tune(neutral=True)
    few = "3 strips have this class, 8 are needed"
    missed = f"{few}; it is found on none of them"
    seen = rare_class(180)  # 0.71: above 0.5 and 0.6, below 0.8
    found = search_thresholds(seen, strict, neutral)
    assert (found.of_class(0), found.tuned) == ((None, 0.5, 0.5, 0), (True,))
    assert found.reasons == (f"{missed}, therefore 0.5 instead",)
    assert (found.before, found.after) == (pytest.approx((0.9,)), pytest.approx((1.0,)))
    kept = [
        (search_thresholds(seen, strict), few),  # of a recipe for these classes
        (search_thresholds(rare_class(210), strict, neutral), few),  # it is found
        (search_thresholds(rare_class(100), strict, neutral), f"{missed}, and 0.5 is no better"),
        (search_thresholds(rare_class(180, 4), strict, neutral), f"{missed}, and 0.5 is no better"),
    ]
    for each, reason in kept:
        assert (each.of_class(0), each.tuned, each.reasons) == (
            (None, 0.8, 0.6, 0), (False,), (reason,),
        )  # fmt: skip
    only_label = search_thresholds(seen, strict, neutral.but(pixel=False))
    assert only_label.of_class(0) == (None, 0.5, 0.6, 0)
    lower = search_thresholds(rare_class(180), thresholds(0.8, 0.3, 0, classes=1), neutral)
    assert lower.of_class(0) == (None, 0.5, 0.3, 0)


def noise_only_histograms(random, strips=40):
    """Histograms in which every lower threshold adds true or false pixels by a fair toss.

    Dice 2 S / (P + T) stays the same on average when the chance of a true pixel is Dice / 2: the
    thresholds matter to each strip, and none is better than another by more than luck.
    """
    counts = np.zeros((strips, 2, 1, 256), np.int32)
    counts[:, 0, 0, 255], counts[:, 1, 0, 255] = 700, 500
    size = 1500
    for level in range(250, 12, -13):
        value = 2 * counts[:, 1, 0].sum(axis=1) / (counts[:, 0, 0].sum(axis=1) + size)
        counts[:, 0, 0, level] = 100
        counts[:, 1, 0, level] = 100 * (random.random(strips) < value / 2)
    missing = np.maximum(size - counts[:, 1, 0].sum(axis=1), 0)
    counts[:, :, 0, 0] += missing[:, None]
    counts[:, 0, 0, 0] += 5000
    return counts


def test_a_gain_by_chance_is_mostly_not_accepted():
    random = np.random.default_rng(6)
    flags = {"label": False, "area": False}
    start = thresholds(0.5, 0.5, 0, classes=1)
    samples = [noise_only_histograms(random) for _ in range(60)]
    careful = [search_thresholds(each, start, Tune(**flags)) for each in samples]
    careless = [search_thresholds(each, start, CAREFREE.but(**flags)) for each in samples]
    assert sum(each.tuned[0] for each in careless) >= 50
    assert sum(each.tuned[0] for each in careful) <= 15
    kept = next(each for each in careful if not each.tuned[0])
    assert kept.of_class(0) == start.of_class(0)


def test_a_real_gain_is_accepted():
    maps, truth = strips_at_random(7, strips=40)
    start = thresholds(0.1, 0.1, 0)
    found = search_thresholds(histograms_of(maps, truth), start)
    assert found.tuned == (True, True)
    assert all(
        after > before + 0.1 for before, after in zip(found.before, found.after, strict=True)
    )


def test_the_middle_of_a_plateau_is_taken_and_not_its_edge_or_a_lone_peak():
    counts = np.zeros((20, 2, 1, 256), np.int32)
    counts[:, 0, 0, 0] = 4000
    counts[:, :, 0, 200] = 100  # the defect: any threshold from 0.5 to 0.75 finds it alone
    counts[:, 0, 0, 125] = 300  # false pixels below that
    found = search_thresholds(
        counts, thresholds(0.05, 0.05, 0, classes=1), Tune(label=False, area=False)
    )
    assert found.pixel[0] == 0.55  # the nearest to the start that is no edge of the plateau
    assert found.after == (1.0,)


def test_among_settings_as_good_as_the_best_the_nearest_to_the_start_is_taken():
    surface = np.full((19, 19, 5), 0.9)
    surface += 1e-6 * np.arange(19)[:, None, None]  # a slope that means nothing
    assert smoothed_argmax(surface, (4, 7, 2), (1, 1, 1)) == (4, 7, 2)
    surface[12:, 3:, :] += 0.01
    assert smoothed_argmax(surface, (4, 7, 2), (1, 1, 1)) == (
        13,
        7,
        2,
    )  # one step inside the better part


def averages_by_loops(surface, reach):
    smooth = np.zeros_like(surface)
    for place in np.ndindex(*surface.shape):
        steps = product(*(range(-far, far + 1) for far in reach))
        around = [
            surface[tuple(np.clip(np.add(place, step), 0, np.subtract(surface.shape, 1)))]
            for step in steps
        ]
        smooth[place] = np.mean(around)
    return smooth


def test_neighbours_are_taken_from_as_far_as_wanted():
    scores = np.random.default_rng(9).random((8, 7, 5))
    reach, origin = (3, 2, 1), (3, 5, 1)
    smooth = averages_by_loops(scores, reach)
    expected = np.unravel_index(smooth.argmax(), scores.shape)
    assert smoothed_argmax(scores, origin, reach) == expected


def test_nearest_counts_each_axis_in_its_own_steps():
    scores = np.zeros((30, 30, 9))
    scores[0, 29, :] = scores[29, 0, :] = 1
    assert smoothed_argmax(scores, (12, 12, 3), (2, 1, 1)) == (29, 0, 3)
    assert smoothed_argmax(scores, (12, 12, 3), (1, 2, 1)) == (0, 29, 3)


def test_a_search_against_escapes_misses_no_more_than_one_for_dice():
    maps, truth = strips_at_random(11, strips=40)
    maps = (maps * np.random.default_rng(0).uniform(0.2, 1, (40, 2, 1, 1))).astype(np.uint8)
    counts = histograms_of(maps, truth)
    start = thresholds(0.9, 0.5, 0)
    weights = (EscapeWeighted(weight=0.0), EscapeWeighted(weight=20.0))
    plain = search_thresholds(counts, start, CAREFREE)
    mixed = search_thresholds(counts, start, CAREFREE, weights)
    wary = search_thresholds(counts, start, CAREFREE, weights[1])
    assert mixed.of_class(0) == plain.of_class(0)
    assert mixed.of_class(1) == wary.of_class(1)

    def missed(found):
        pairs = pairs_at(counts, found)
        return ((pairs.truth > 0) & (pairs.predicted == 0)).sum(axis=0).tolist()

    assert missed(plain)[0] > missed(wary)[0] == 0
    assert missed(plain)[1] > missed(wary)[1] == 0
    at_best = dice(pairs_at(counts, wary)).mean(axis=0)
    assert wary.after == pytest.approx(tuple(at_best))  # mean Dice, whatever is searched for
    with pytest.raises(RecipeError, match="objective"):
        search_thresholds(counts, start, CAREFREE, (MeanDice(),))


def test_where_a_class_is_rare_thresholds_rise():
    maps, truth = strips_at_random(12, strips=60)
    maps = (maps * np.random.default_rng(0).uniform(0.2, 1, (60, 2, 1, 1))).astype(np.uint8)
    counts = histograms_of(maps, truth)
    start = thresholds(0.5, 0.5, 0)
    flags = {"pixel": False, "area": False}
    rare, frequent = (
        search_thresholds(counts, start, CAREFREE.but(**flags), Prior(positives=share)).label
        for share in (0.01, 0.99)
    )
    assert all(high > low for high, low in zip(rare, frequent, strict=True))


def test_a_gain_and_its_error_are_those_of_the_textbook():
    random = np.random.default_rng(13)
    true = np.where(random.random((50, 1)) < 0.4, 100, 0)
    old, new = (Pairs(random.integers(0, 50, (50, 1)), true, np.zeros_like(true)) for _ in "ab")
    more = dice(new) - dice(old)
    gain, error = _gain(old, new, MeanDice())
    assert gain == pytest.approx(more.mean())
    assert error == pytest.approx(more.std() / np.sqrt(50))
    as_found = Prior(positives=float((true > 0).mean()))
    assert _gain(old, new, as_found) == pytest.approx((gain, error))


def test_no_strips_leave_all_as_it_was():
    start = thresholds(0.5, 0.4, 10)
    found = search_thresholds(np.zeros((0, 2, 2, 256), np.int32), start)
    assert found.tuned == (False, False)
    assert found.before == found.after == (None, None)
    assert len(pairs_at(np.zeros((0, 2, 2, 256), np.int32), found)) == 0


def test_thresholds_go_through_json_whole():
    maps, truth = strips_at_random(8)
    found = search_thresholds(histograms_of(maps, truth), thresholds(0.1, 0.1, 1), CAREFREE)
    again = Thresholds.model_validate_json(found.model_dump_json())
    assert again == found
    assert again.defaults == thresholds(0.1, 0.1, 1)


@pytest.mark.parametrize(
    "damage",
    [
        {"label": "0.5"},
        {"label": [0.5]},
        {"area": [1.5, 2.0]},
        {"tuned": [1, 0]},
        {"defaults": 3},
        {"pixel": None},
    ],
)
def test_damaged_thresholds_are_refused(damage):
    whole = thresholds(0.5, 0.5, 1).model_dump()
    with pytest.raises(ValidationError):
        Thresholds.model_validate_json(json.dumps({**whole, **damage}))


def test_thresholds_of_other_classes_and_other_histograms_are_refused():
    counts = np.zeros((3, 2, 2, 256), np.int32)
    with pytest.raises(RecipeError, match="for 3 classes, the histograms for 2"):
        search_thresholds(counts, thresholds(0.5, 0.5, 0, classes=3))
    with pytest.raises(MaskError, match="int64"):
        pairs_at(counts.astype(np.int64), thresholds(0.5, 0.5, 0))
    with pytest.raises(ValidationError, match="pixel"):
        Thresholds(label=(0.5,), pixel=(0.5, 0.5), area=(1,))
