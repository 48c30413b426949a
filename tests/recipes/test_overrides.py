"""Values of a recipe that the command line replaces: KEY=VALUE."""

import re
from itertools import chain

import pytest

from steelscan.data import LikeTest
from steelscan.models import encoder_of
from steelscan.prediction import EncoderFittedFor
from steelscan.recipes import load, names, with_budget, with_overrides
from steelscan.strip.errors import RecipeError
from steelscan.training import Plateau, SuspectStrips


def members(recipe):
    return [each for step in recipe.network_steps for each in step.ensemble.members]


def stages(recipe):
    return list(chain.from_iterable(each.all_stages for each in members(recipe)))


def networks(recipe):
    starts = [each.start for each in members(recipe)]
    first = [each.network for each in starts if isinstance(each, EncoderFittedFor)]
    return first + [each.network for each in members(recipe)]


def test_recipes_with_all_cases_are_tested():
    kinds = [stage for name in names() for stage in stages(load(name))]
    assert any(stage.extra_passes for stage in kinds)
    assert any(stage.accumulate_to for stage in kinds)
    assert any(stage.optimizer.encoder_lr for stage in kinds)
    assert any(isinstance(stage.schedule, Plateau) and stage.schedule.min_lr for stage in kinds)
    assert any(len(each.stages) > 1 for name in names() for each in members(load(name)))


@pytest.mark.parametrize("name", names())
def test_epochs_are_those_of_every_stage_and_nothing_else_changes(name):
    before = load(name)
    after = with_overrides(before, ["epochs=7"])
    assert {stage.epochs for stage in stages(after)} == {7}
    pairs = zip(stages(before), stages(after), strict=True)
    assert all(old == new.but(epochs=old.epochs) for old, new in pairs)
    assert networks(after) == networks(before)


@pytest.mark.parametrize("name", names())
def test_an_encoder_is_that_of_every_network(name):
    before = load(name)
    after = with_overrides(before, ["encoder=resnet50"])
    assert {encoder_of(each).encoder for each in networks(after)} == {"resnet50"}
    assert stages(after) == stages(before)


@pytest.mark.parametrize("name", names())
def test_a_learning_rate_is_that_of_the_first_stage_and_the_others_keep_their_ratio(name):
    before, after = load(name), with_overrides(load(name), ["lr=0.00123"])
    for old, new in zip(members(before), members(after), strict=True):
        assert new.stages[0].optimizer.lr == 0.00123
        ratio = 0.00123 / old.stages[0].optimizer.lr
        for one, other in zip(old.all_stages, new.all_stages, strict=True):
            assert other.optimizer.lr == pytest.approx(one.optimizer.lr * ratio)
            if one.optimizer.encoder_lr is None:
                assert other.optimizer.encoder_lr is None
            else:
                assert other.optimizer.encoder_lr / other.optimizer.lr == pytest.approx(
                    one.optimizer.encoder_lr / one.optimizer.lr
                )
            if isinstance(one.schedule, Plateau):
                assert other.schedule.min_lr == pytest.approx(one.schedule.min_lr * ratio)
    assert networks(after) == networks(before)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("batch", [1, 5, 16, 100])
def test_an_accumulated_batch_stays_as_far_as_whole_batches_allow(name, batch):
    after = with_overrides(load(name), [f"batch={batch}"])
    for old, new in zip(stages(load(name)), stages(after), strict=True):
        assert new.batch == batch
        sizes = {each.batch for each in new.passes}
        for one, other in zip(old.extra_passes, new.extra_passes, strict=True):
            assert abs(other.batch - one.batch * batch / old.batch) <= 0.5 or other.batch == 1
        assert (new.accumulate_to is None) == (old.accumulate_to is None)
        if old.accumulate_to and len(sizes) == 1:
            assert new.accumulate_to == max(old.accumulate_to - old.accumulate_to % batch, batch)


def test_a_step_or_a_member_alone_is_changed():
    recipe = load("first_place")
    after = with_overrides(recipe, ["segment.epochs=3"])
    assert after.classify == recipe.classify
    assert {stage.epochs for each in after.segment.ensemble.members for stage in each.stages} == {3}
    name = recipe.segment.ensemble.members[4].name
    after = with_overrides(recipe, [f"segment.{name}.epochs=3"])
    changed = [
        each.name for each, old in zip(members(after), members(recipe), strict=True) if each != old
    ]
    assert changed == [name]


def test_a_member_may_have_dots_and_equal_signs_in_its_name():
    recipe = load("quick")
    (member,) = recipe.segment.ensemble.members
    only = recipe.segment.but(
        ensemble=recipe.segment.ensemble.but(members=(member.but(name="b3.a=1"),))
    )
    recipe = recipe.but(steps=(only, *recipe.rules))
    after = with_overrides(recipe, ["segment.b3.a=1.epochs=5"])
    assert [stage.epochs for stage in stages(after)] == [5]


def test_settings_apply_in_order_after_a_budget_and_are_described():
    recipe = with_budget(load("quick"), "tiny")
    after = with_overrides(recipe, ["epochs=9", "segment.epochs=20", "segment.lr=1e-3"])
    assert after.changes[: len(recipe.changes)] == recipe.changes
    few = stages(recipe)[0].epochs
    assert after.changes[len(recipe.changes) :] == (
        f"Set epochs: {few} became 9.",
        "Set segment.epochs: 9 became 20.",
        "Set segment.lr: 0.002 became 0.001.",
    )
    assert after.budget == "tiny"


@pytest.mark.parametrize("budget", ["full", "small", "tiny"])
@pytest.mark.parametrize("name", names())
def test_more_validation_folds_are_the_first_that_are_not_held_out(name, budget):
    """Each network is fitted for all of them; recipes with networks of single folds refuse."""
    before = with_budget(load(name), budget)
    free = [fold for fold in range(before.folds.count) if fold not in before.folds.holdout]
    own = {tuple(sorted(before.folds_of(each))) for each in members(before)}
    for count in range(2, len(free) + 1):
        if isinstance(before.folds, LikeTest) or own != {before.folds.validation}:
            with pytest.raises(RecipeError, match="is not possible"):
                with_overrides(before, [f"folds={count}"])
            continue
        after = with_overrides(before, [f"folds={count}"])
        assert after.folds == before.folds.but(validation=tuple(free[:count]))
        assert {after.folds_of(each) for each in members(after)} == {tuple(free[:count])}
        assert networks(after) == networks(before)
        assert stages(after) == stages(before)
        if after.folds != before.folds:
            became = f"became {', '.join(map(str, free[:count]))} of "
            assert after.changes[:-1] == before.changes
            assert after.changes[-1].startswith("Set folds: validation folds ")
            assert became in after.changes[-1]


def test_after_a_budget_most_solutions_can_have_more_folds():
    for name in ("first_place", "third_place", "fourth_place", "seventh_place", "twelfth_place"):
        recipe = with_budget(load(name), "small")
        assert len(with_overrides(recipe, ["folds=4"]).folds.validation) == 4
        with pytest.raises(RecipeError, match="alone"):
            with_overrides(load(name), ["folds=4"])


def test_networks_that_need_out_of_fold_probabilities_need_two_folds():
    recipe = load("quick")
    (segmenter,) = recipe.segment.ensemble.members
    (classifier,) = recipe.classify.ensemble.members
    (stage,) = segmenter.stages
    chosen = segmenter.but(stages=(stage.but(strips=SuspectStrips()),))
    recipe = recipe.with_members(
        {"classify": [classifier.but(start=None)], "segment": [chosen]},
        folds=recipe.folds.but(validation=(0, 1)),
    )
    assert chosen.needs_class_probabilities
    with pytest.raises(RecipeError, match=r"need a second fold\. Give 2 or more"):
        with_overrides(recipe, ["folds=1"])


def test_a_setting_that_changes_nothing_leaves_the_recipe():
    recipe = load("quick")
    assert with_overrides(recipe, ["batch=8", "segment.epochs=12"]) == recipe
    assert with_overrides(recipe, []) == recipe


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("epochs", "has no value. Write KEY=VALUE"),
        ("epochs=", "has no value"),
        ("=20", "unknown key ''; there are epochs, batch, encoder, lr, folds"),
        ("colour=red", "unknown key 'colour'; there are epochs, batch, encoder, lr, folds"),
        ("segment.colour=red", "unknown key 'colour'"),
        ("epochs=0", "greater than 0"),
        ("epochs=-1", "greater than 0"),
        ("epochs=12.5", "'12.5' is not a whole number"),
        ("epochs=1e3", "'1e3' is not a whole number"),
        ("epochs=٣", "is not a whole number"),
        ("epochs=" + "9" * 5000, "is not a whole number"),
        ("epochs=999999999", "less than or equal to 100000"),
        ("batch=0", "greater than 0"),
        ("batch=many", "'many' is not a whole number"),
        ("lr=fast", "'fast' is not a number"),
        ("lr=0", "greater than 0"),
        ("lr=nan", "a finite number"),
        ("lr=1e999", "a finite number"),
        ("lr=-1e-3", "greater than 0"),
        ("folds=0", "the recipe has 10 folds, and holds 2 of them out. Give a number from 1 to 8"),
        ("folds=9", "Give a number from 1 to 8"),
        ("folds=two", "'two' is not a whole number"),
        ("segment.folds=2", "all of a recipe has the same folds. Use folds=N"),
        ("masks.epochs=2", "names the step 'masks'; the recipe has classify, segment"),
        ("segment.9.epochs=2", "names the member '9'; segment has segmenter"),
        ("segment..epochs=2", "names the member ''; segment has segmenter"),
        ("segment.encoder=resnet18", "starts from a network with another encoder"),
    ],
)
def test_a_setting_that_does_not_fit_is_one_error(setting, problem):
    with pytest.raises(RecipeError, match=re.escape(problem)) as caught:
        with_overrides(load("quick"), [setting])
    assert caught.value.where == f"--set {setting}"
    assert len(str(caught.value).splitlines()) == 1
