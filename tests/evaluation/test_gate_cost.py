"""Gates lowered by what they cost, against every threshold counted from the maps themselves."""

import numpy as np
import pytest

from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    CrossFitOptions,
    MeanDice,
    strip_histograms,
    tune_by_cost,
)
from steelscan.evaluation.tuning.crossfit import assign_parts
from steelscan.evaluation.tuning.gate_cost import GateSearch, thresholds_to_try

OPTIONS = CrossFitOptions(parts=4, repeats=1, resamples=0, seed=3)
MASKS = ClassThresholds(None, 0.8, 0.4, 0)


def random_maps(seed, strips=40, classes=3):
    """Maps of probabilities, true masks, and class probabilities that know a little of them."""
    random = np.random.default_rng(seed)
    truth = random.random((strips, classes, 6, 7)) < 0.5
    truth &= (random.random((strips, classes)) < 0.4)[..., None, None]
    maps = random.integers(0, 110, truth.shape) + 110 * truth
    maps += 140 * (random.random((strips, classes, 1, 1)) < 0.1)  # false alarms
    present = truth.any((2, 3))
    probabilities = random.random((strips, classes)) ** np.where(present, 3, 7)
    return maps.clip(0, 255).astype(np.uint8), truth, probabilities.astype(np.float32)


def searches_of(maps, truth, masks=MASKS):
    histograms = np.stack([strip_histograms(*each) for each in zip(maps, truth, strict=True)])
    return [
        ClassSearch(histograms[:, :, at], None, masks, MeanDice()) for at in range(maps.shape[1])
    ]


def dice_of(one_map, true, masks=MASKS):
    """Dice of one map, with label, pixel and area applied pixel by pixel."""
    mask = one_map / 255 > masks.pixel
    if not (one_map / 255 > masks.label).any() or mask.sum() < masks.area:
        mask = np.zeros_like(true)
    both = mask.sum() + true.sum()
    return 1.0 if both == 0 else 2 * (mask & true).sum() / both


def scores_of(maps, truth, passes, masks=MASKS):
    """Dice of each pair; a strip without a pass has empty masks."""
    return np.array(
        [
            [
                dice_of(one if opened else np.zeros_like(one), true, masks)
                for one, true in zip(of_strip, true_of_strip, strict=True)
            ]
            for of_strip, true_of_strip, opened in zip(maps, truth, passes, strict=True)
        ]
    )


def brute_force(maps, truth, probabilities, defaults, at, times):
    """The best threshold of one class of an image gate: the highest of those that are best.

    On strips without the class only losses count.
    """
    best, chosen = -np.inf, None
    without = [np.inf if each == at else value for each, value in enumerate(defaults)]
    before = scores_of(maps, truth, (probabilities > without).any(1)).sum(1)
    positive = truth[:, at].any((1, 2))
    for threshold in thresholds_to_try(defaults[at]).tolist():
        thresholds = list(defaults)
        thresholds[at] = threshold
        passes = (probabilities > thresholds).any(1)
        change = scores_of(maps, truth, passes).sum(1) - before
        score = times @ np.where(positive, change, np.minimum(change, 0))
        if score > best + 1e-9:
            best, chosen = score, thresholds[at]
    return chosen


def test_lower_thresholds_down_to_0_are_tried():
    assert thresholds_to_try(0.05).tolist() == [
        *(0.05, 0.025, 0.01, 0.005, 0.0025, 0.001, 0.0005, 0)
    ]
    assert set(thresholds_to_try(0.0).tolist()) == {0}


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_has_the_best_dice_of_all_that_are_tried(seed, classes):
    """With one class a gate of a class, with several a gate that opens whole strips."""
    maps, truth, probabilities = random_maps(seed, classes=classes)
    times = np.random.default_rng(seed).integers(0, 3, (3, len(maps))).astype(float)
    times[0] = 1
    defaults = (0.5, 0.3, 0.4)[:classes]
    searches = searches_of(maps, truth)
    for at in range(classes):
        search = GateSearch(searches, probabilities.astype(float), defaults, [at])
        for each, chosen in zip(times, search.choose(times), strict=True):
            expected = brute_force(maps, truth, probabilities, defaults, at, each)
            assert chosen[at] == expected
            assert chosen[:at] + chosen[at + 1 :] == defaults[:at] + defaults[at + 1 :]
            passes = (probabilities > chosen).any(1)
            counted = scores_of(maps, truth, passes)
            assert search.strip_scores(chosen) == pytest.approx(counted)
            mean = float((each[:, None] * counted).sum() / each.sum() / classes)
            assert search.total(each, search.strip_scores(chosen)) == pytest.approx(mean)


@pytest.mark.parametrize("seed", range(3))
def test_several_classes_are_lowered_one_after_another(seed):
    maps, truth, probabilities = random_maps(seed)
    search = GateSearch(searches_of(maps, truth), probabilities.astype(float), (0.6,) * 3, [0, 2])
    (chosen,) = search.choose(np.ones((1, 40)))
    first = brute_force(maps, truth, probabilities, (0.6,) * 3, 0, np.ones(40))
    last = brute_force(maps, truth, probabilities, (first, 0.6, 0.6), 2, np.ones(40))
    assert chosen == (first, 0.6, last)


def tuned(maps, truth, probabilities, defaults, whole_strips=False, **settings):
    groups = settings.pop("groups", np.arange(len(maps)))
    searches = searches_of(maps, truth)
    return tune_by_cost(
        searches,
        probabilities,
        groups,
        defaults,
        settings.pop("options", OPTIONS),
        whole_strips=whole_strips,
        **settings,
    )


def planted(*strips):
    """Return strips with one class: each is (found, true, class probability)."""
    maps, truth = np.zeros((len(strips), 1, 4, 4), np.uint8), np.zeros((len(strips), 1, 4, 4), bool)
    for at, (found, true, _) in enumerate(strips):
        maps[at, 0, :2] = 255 * found
        truth[at, 0, :2] = true
    return maps, truth, np.array([[strip[2]] for strip in strips], np.float32)


LOST, KEPT_CLEAN, CLEAN = (1, 1, 0.003), (1, 0, 0.003), (0, 0, 0.001)


def test_a_gate_that_loses_defects_and_saves_nothing_is_lowered_for_a_single_strip():
    (choice,) = tuned(*planted(LOST, *[CLEAN] * 20), [0.05])
    assert choice.used == 0.0025  # no further than the strip needs
    assert choice.reason == (
        "lowered from 0.05: it lost 1 of 1 strips with the class out of fold, and kept 0 of 20 "
        "others clean; now 0 and 0; Dice +0.0476"
    )
    (choice,) = tuned(*planted((1, 1, 1e-9), *[CLEAN] * 20), [0.05])
    assert choice.used == 0
    assert choice.reason.startswith("at 0.05 it lost 1 of 1 strips")


def test_a_gate_that_saves_as_much_as_it_costs_is_kept():
    (choice,) = tuned(*planted(LOST, KEPT_CLEAN, *[CLEAN] * 20), [0.05])
    assert choice.used == 0.05
    assert choice.reason == (
        "it lost 1 of 1 strips with the class out of fold, and kept 1 of 21 others clean"
    )


def test_a_gain_with_losses_needs_other_strips():
    """Found by many strips, it is confirmed on others; found by two, it is not."""
    many = planted(*[LOST] * 8, *[KEPT_CLEAN] * 2, *[CLEAN] * 20)
    (choice,) = tuned(*many, [0.05])
    assert choice.used < 0.05
    assert choice.reason.endswith("now 0 and 0; Dice +0.2000, +0.2000 on other strips")
    few = planted((1, 1, 0.003), (1, 1, 0.003), (1, 0, 0.003), *[CLEAN] * 20)
    (choice,) = tuned(*few, [0.05])
    assert choice.used == 0.05
    assert "no gain, or one that may be chance" in choice.reason


def test_one_group_cannot_confirm_a_gain_but_shows_a_gate_that_saves_nothing():
    strips = planted(LOST, LOST, KEPT_CLEAN, *[CLEAN] * 5)
    groups = np.zeros(8, np.int64)
    (choice,) = tuned(*strips, [0.05], groups=groups)
    assert choice.used == 0.05
    (choice,) = tuned(*planted(LOST, *[CLEAN] * 5), [0.05], groups=groups[:6])
    assert choice.used < 0.05
    assert set(choice.without_own.tolist()) == {choice.used}


def test_a_gate_of_whole_strips_counts_the_false_alarms_of_all_classes():
    """Lowering the gate for class 1 opens strips on which class 2 has false alarms."""
    maps, truth, probabilities = planted(*[LOST] * 3, *[(0, 0, 0.002)] * 9)
    other = np.zeros_like(maps)
    other[3:, :, :1] = 255  # opened by a threshold under 0.002 only
    both = np.concatenate([maps, other], 1), np.concatenate([truth, truth & False], 1)
    values = np.concatenate([probabilities, probabilities * 0], 1)
    needed, unneeded = tuned(*both, values, [0.05, 0.05], whole_strips=True)
    assert (needed.used, unneeded.used) == (0.0025, 0.05)
    other[:3, :, :1] = 255  # now each strip that is found has a false alarm, too
    both = np.concatenate([maps, other], 1), both[1]
    kept, _ = tuned(*both, values, [0.05, 0.05], whole_strips=True)
    assert kept.used == 0.05
    # defects of class 1 are no reason to lower the threshold of class 2, which is on no strip
    _, other_class = tuned(
        maps.repeat(2, 1), both[1], values[:, ::-1], [0.05, 0.05], whole_strips=True
    )
    assert other_class.used == 0.05
    alone, _ = tuned(*both, values, [0.05, 0.05])  # each class by itself
    assert alone.used == 0.0025


@pytest.mark.parametrize("whole_strips", [False, True])
def test_each_strip_has_thresholds_chosen_without_its_part(whole_strips):
    maps, truth, probabilities = random_maps(1, strips=60, classes=2)
    choices = tuned(maps, truth, probabilities, [0.9, 0.9], whole_strips=whole_strips)
    assert all(choice.used < 0.9 for choice in choices)
    positive = truth.any((2, 3))
    for at, choice in enumerate(choices):
        parts = positive.any(1) if whole_strips else positive[:, at]
        part_of = assign_parts(np.arange(60), parts, 4, OPTIONS.seed)
        for part in range(4):
            own, times = part_of == part, (part_of != part).astype(float)
            if whole_strips:
                thresholds = (0.9, 0.9)
                for each in range(at + 1):
                    value = brute_force(maps, truth, probabilities, thresholds, each, times)
                    thresholds = (*thresholds[:each], value, *thresholds[each + 1 :])
                expected = thresholds[at]
            else:
                single = slice(at, at + 1)
                one = maps[:, single], truth[:, single], probabilities[:, single]
                expected = brute_force(*one, [0.9], 0, times)
            assert set(choice.without_own[own].tolist()) == {expected}


@pytest.mark.parametrize("whole_strips", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_gates_are_never_raised_nor_lowered_if_that_costs(seed, whole_strips):
    maps, truth, probabilities = random_maps(seed)
    probabilities[:, 1] = np.nan  # no network predicts this class: it passes
    defaults = [0.5, 0.5, 0.5]
    choices = tuned(maps, truth, probabilities, defaults, whole_strips=whole_strips)
    used = [choice.used for choice in choices]
    assert all(value <= 0.5 for value in used)
    assert used[1] == 0.5

    def score(thresholds):
        passes = (probabilities > thresholds) | np.isnan(probabilities)
        if whole_strips:
            return scores_of(maps, truth, passes.any(1)).mean()
        columns = [
            scores_of(maps[:, [at]], truth[:, [at]], passes[:, at]).mean() for at in range(3)
        ]
        return np.mean(columns)

    assert score(used) >= score(defaults) - 1e-12


def test_a_class_that_only_neutral_thresholds_find_is_not_kept_from_them_by_its_gate():
    maps, truth, probabilities = planted(*[LOST] * 3, *[CLEAN] * 20)
    maps = (maps // 255 * 150).astype(np.uint8)  # 0.59: under the label threshold of 0.8
    (kept,) = tuned(maps, truth, probabilities, [0.05])
    assert kept.used == 0.05
    (lowered,) = tuned(maps, truth, probabilities, [0.05], neutral=True)
    assert lowered.used == 0.0025
    assert lowered.reason.startswith("lowered from 0.05: it lost 3 of 3 strips")
    maps[3:, :, :1] = 150  # 0.5 alarms on each clean strip that passes the gate
    probabilities[3:] = 0.2
    (kept,) = tuned(maps, truth, probabilities, [0.05], neutral=True)
    assert kept.used == 0.05
