"""Recipes on other classes: nothing of single classes is left, all are covered, all is told."""

import importlib
import inspect
import json
import pkgutil
import re
from types import UnionType
from typing import Annotated, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import steelscan
from steelscan.data import Folds, WholeStrip
from steelscan.decision import StepOutput, passing, weighed
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Dice, Mix, loss_of_classes
from steelscan.models import Classifier, Unet
from steelscan.pipeline.context import check_classes
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold, Triplet, clean
from steelscan.prediction import EncoderOf, Ensemble, Member
from steelscan.recipes import (
    Answer,
    Classify,
    ConfidentClasses,
    ConfidentPixels,
    Recipe,
    Segment,
    fit_to_classes,
    teaches,
)
from steelscan.recipes.adapt_classes import NEUTRAL
from steelscan.recipes.catalog import load, names
from steelscan.strip import Classes, Spec, per_class
from steelscan.training import AdamW, Training

WINNERS = [name for name in names() if name != "quick"]
STAGE = Training(crop=WholeStrip(), loss=BCE(), optimizer=AdamW(lr=1e-3), batch=1, epochs=1)
NET = Member(network=Unet(encoder="resnet10t"), stages=(STAGE,))
JUDGE = Member(network=Classifier(encoder="resnet10t"), stages=(STAGE,))
OURS = ("scratch", "hole", "pit", "rust")
BY_CLASS = {
    "first_place": {"BCE.pos_weight", "Threshold.label", "MinArea.pixels"},
    "third_place": {"Threshold.label"},
    "fourth_place": set(),
    "seventh_place": {"Triplet.top"},
    "ninth_place": {"Classify.threshold", "Threshold.pixel"},
    "tenth_place": {"ConfidentPixels.grown"},
    "twelfth_place": {"MinArea.pixels"},
    "fourteenth_place": {
        "WherePresent.always",
        "HardGate.threshold",
        "MinArea.pixels",
        "ConfidentClasses.least",
    },
    "seventieth_place": {"MinArea.pixels"},
}
"""What each solution has a class; written out by hand."""
every_winner = pytest.mark.parametrize("name", WINNERS)
other_counts = pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])


def own(count: int) -> Classes:
    return Classes(names=tuple(f"own{number}" for number in range(count)))


def modules() -> list[str]:
    found = pkgutil.walk_packages(steelscan.__path__, "steelscan.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def specs(base: type[Spec] = Spec) -> set[type[Spec]]:
    """All specs of recipes; those of other tests do not count, nor what is written of a run."""
    below = {spec for each in base.__subclasses__() for spec in {each} | specs(each)}
    written = ("steelscan.pipeline.tuned_thresholds", "steelscan.bundle.spec")
    ours = {spec for spec in below if spec.__module__.startswith("steelscan.")}
    return {spec for spec in ours if spec.__module__ not in written}


def is_per_class(annotation: object) -> bool:
    """Whether it allows a value or a tuple of any number of just such values."""
    if get_origin(annotation) is Annotated:
        return is_per_class(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, UnionType):
        return False
    arms = get_args(annotation)
    return any(tuple[arm, ...] in arms for arm in arms)


def per_class_settings() -> set[tuple[type[Spec], str]]:
    for module in modules():
        importlib.import_module(module)
    return {
        (spec, name)
        for spec in specs()
        for name, annotation in get_type_hints(spec, include_extras=True).items()
        if name in spec.model_fields and is_per_class(annotation)
    }


def test_every_setting_a_class_has_a_neutral_value_and_nothing_else_has():
    found = per_class_settings()
    assert found == set(NEUTRAL)
    assert len(found) == 18
    written = {
        (spec, name)
        for spec in specs()
        for name in re.findall(r"^    (\w+): .*\bPerClass\[", inspect.getsource(spec), re.MULTILINE)
    }
    assert written == found


@pytest.mark.parametrize("setting", NEUTRAL, ids=lambda setting: f"{setting[0].__name__}")
def test_a_neutral_value_is_one_that_its_setting_takes(setting):
    spec, name = setting
    needed = {"pixels": 9, "top": 0.7, "area": 9, "bottom": 0.3, "loss": BCE()}
    needed["ensemble"] = Ensemble(members=(JUDGE,))
    rest = {key: needed[key] for key, field in spec.model_fields.items() if field.is_required()}
    values = (True, False) if name == "always" else (1, 1, 8) if NEUTRAL[setting].in_pixels else ()
    one = NEUTRAL[setting].of(values or (1.0, 1.0))
    assert getattr(spec(**{**rest, name: one}), name) == one
    assert not isinstance(one, tuple)


def at_settings(text: str) -> list[object]:
    """The values of all settings a class that stand in a recipe's JSON, found by their names."""
    keys = {name for _, name in NEUTRAL}

    def walk(node: object) -> list[object]:
        if isinstance(node, list):
            return [found for each in node for found in walk(each)]
        if not isinstance(node, dict):
            return []
        here = [value for key, value in node.items() if key in keys]
        return here + [found for value in node.values() for found in walk(value)]

    return walk(json.loads(text))


@pytest.mark.parametrize("name", names())
def test_a_recipe_stays_as_it_is_on_the_classes_it_was_written_for(name):
    recipe = load(name)
    assert fit_to_classes(recipe, Classes(names=("1", "2", "3", "4"))) == (recipe, [])
    assert recipe.written_for == (None if name == "quick" else ("1", "2", "3", "4"))


@other_counts
def test_a_recipe_for_any_classes_stays_as_it_is(count):
    assert fit_to_classes(load("quick"), own(count)) == (load("quick"), [])
    fixed = load("third_place").but(written_for=None)
    assert fit_to_classes(fixed, own(count)) == (fixed, [])


@every_winner
@other_counts
def test_nothing_of_single_classes_is_left(name, count):
    recipe, _ = fit_to_classes(load(name), own(count))
    values = at_settings(recipe.model_dump_json())
    assert values
    assert not any(isinstance(value, list) for value in values)
    assert recipe.written_for == own(count).names
    check_classes(recipe, count)


@every_winner
@other_counts
def test_every_class_is_outlined_and_judged_in_every_fold(name, count):
    recipe, _ = fit_to_classes(load(name), own(count))
    before = load(name)
    assert len(recipe.named) == len(before.named)
    for step in recipe.asking:
        for fold in recipe.folds.validation:
            here = [each for each in step.ensemble.members if fold in recipe.folds_of(each)]
            known = {k for each in here for k in each.classes or range(1, count + 1)}
            assert known == set(range(1, count + 1))
    for step, old in zip(recipe.asking, before.asking, strict=True):
        bare = {each.but(classes=None) for each in step.ensemble.members}
        assert bare <= {each.but(classes=None) for each in without(old)}


def without(step: Classify | Segment) -> tuple[Member, ...]:
    """The members of a step as they are without numbers of single classes in their losses."""
    text = step.ensemble.model_dump_json()
    plain = re.sub(r'"pos_weight":\[[^]]*\]', '"pos_weight":1.0', text)
    plain = re.sub(r'"always":\[[^]]*\]', '"always":true', plain)
    return Ensemble.model_validate_json(plain).members


@every_winner
@other_counts
def test_it_is_told_what_changed_and_only_that(name, count):
    before = load(name)
    recipe, notes = fit_to_classes(before, own(count))
    assert notes[0].startswith(f"Recipe {name} was written for the classes 1, 2, 3, 4, the data")
    assert f"has {', '.join(own(count).names)};" in notes[0]
    assert len(notes) == len(set(notes))
    assert all(note.endswith(".") and "\n" not in note for note in notes)
    told = {note.partition(",")[0] for note in notes if ", by class " in note}
    assert told == BY_CLASS[name]
    spread = {note.split()[1][:-1] for note in notes if note.startswith("Step ")}
    changed = {
        key
        for key, step in before.named.items()
        if any(member.classes for member in step.ensemble.members)
    }
    assert spread == changed
    for key in changed:
        members = recipe.named[key].ensemble.members
        networks = sum(len(recipe.folds_of(member)) for member in members)
        assert any(f"Step {key}" in note and f"({networks} networks" in note for note in notes)


@every_winner
@other_counts
def test_once_fitted_it_stays_and_goes_to_json_and_back(name, count):
    recipe, _ = fit_to_classes(load(name), own(count))
    assert fit_to_classes(recipe, own(count)) == (recipe, [])
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert fit_to_classes(load(name), own(count))[0] == recipe


@every_winner
def test_four_other_classes_are_not_the_winners_four(name):
    """What a class is called decides, not how many there are."""
    recipe, notes = fit_to_classes(load(name), Classes(names=("4", "3", "2", "1")))
    assert recipe != load(name)
    assert notes


@every_winner
def test_what_can_be_tuned_is_tuned_when_anything_fell_back(name):
    before, (recipe, notes) = load(name), fit_to_classes(load(name), own(3))
    tuned = [note for note in notes if note.startswith("Tuned out-of-fold")]
    refused = [note for note in notes if "cannot be tuned" in note]
    kinds = [rule.kind for rule in before.rules]
    if name == "fourth_place":  # it has no number of a single class
        assert (recipe.tune, tuned, refused) == (None, [], [])
    elif kinds in (["threshold"], ["threshold", "min_area"]):
        assert recipe.tune == (before.tune or Tune())
        assert [len(tuned), len(refused)] == [1, 0]
        assert ("label" in tuned[0]) == recipe.tune.label
    else:
        assert recipe.tune is None
        assert [len(tuned), len(refused)] == [0, 1]
        assert ", ".join(kinds) in refused[0]


@every_winner
@other_counts
def test_every_part_takes_as_many_classes(name, count):
    """What the parts refuse is a tuple of another length, or a class that is not there."""
    fitted, _ = fit_to_classes(load(name), own(count))
    rng = np.random.default_rng(count)
    levels = rng.integers(0, 256, (count, 32, 64), np.uint8)
    said = rng.random(count, np.float32)
    for step in fitted.asking:
        if isinstance(step, Classify):
            assert passing(step, said).shape == (count,)
        else:
            assert weighed(step, StepOutput(levels, said)).shape == levels.shape
        for member in step.ensemble.members:
            for stage in member.stages:
                assert loss_of_classes(stage.loss, member.classes, count)
    for _, _, rules in fitted.rounds:
        assert clean(levels, rules, said).shape == levels.shape
    if fitted.pseudo_labels:
        answer = Answer(said, levels / 255, said > 0.5)
        assert teaches(fitted.pseudo_labels.rule, answer) in (True, False)


def recipe(
    *rules: Spec, members: tuple[Member, ...] = (NET,), judges: tuple[Member, ...] = (JUDGE,)
) -> Recipe:
    return Recipe(
        name="ours",
        folds=Folds(count=3, validation=(0, 1)),
        steps=(
            Classify(ensemble=Ensemble(members=judges)),
            Segment(ensemble=Ensemble(members=members)),
            *(rules or (Threshold(),)),
        ),
        written_for=OURS,
    )


@pytest.mark.parametrize(
    ("label", "pixel"),
    [((0.9, 0.6), (0.5, 0.6)), ((0.9, 0.6), 0.55), (0.7, (0.7, 0.2)), ((0.2, 0.0), (0.5, 0.6))],
)
def test_two_levels_keep_their_order(label, pixel):
    fitted, _ = fit_to_classes(recipe(Threshold(label=label, pixel=pixel)), own(3))
    rule = fitted.rules[0]
    pairs = zip(per_class(label, 2, "label"), per_class(pixel, 2, "pixel"), strict=True)
    assert (rule.label >= rule.pixel) == all(one >= other for one, other in pairs)
    assert 0 <= rule.label <= 1


def test_a_triplet_without_its_area_still_asks_for_its_top_threshold():
    rule = Triplet(top=(0.8, 0.9), area=(50, 90), bottom=(0.3, 0.4))
    fitted, _ = fit_to_classes(recipe(rule), own(3))
    assert fitted.rules == (Triplet(top=0.8, area=1, bottom=0.3),)


def test_pseudo_labels_become_stricter_not_laxer():
    for name, kind in (("tenth_place", ConfidentPixels), ("fourteenth_place", ConfidentClasses)):
        old = load(name).pseudo_labels
        new = fit_to_classes(load(name), own(2))[0].pseudo_labels
        assert isinstance(new.rule, kind)
        assert old.but(rule=new.rule) == new
    assert new.rule.least == max(old.rule.least)


def test_sizes_in_pixels_stay_and_are_named_once():
    rules = (MinArea(pixels=50), RemoveSmallComponents(pixels=0), MinArea(pixels=50))
    fitted, notes = fit_to_classes(recipe(Threshold(), *rules), own(2))
    assert fitted.rules == (Threshold(), *rules)
    assert [note for note in notes if "in pixels" in note] == [
        "MinArea.pixels is 50, in pixels of the strips it was written for."
    ]


def test_deep_inside_a_loss_only_what_must_change_does():
    deep = Mix(parts=((0.75, BCE(pos_weight=(2.0, 3.0), smoothing=0.1)), (0.25, Dice())))
    member = NET.but(stages=(STAGE.but(loss=deep), STAGE))
    fitted, notes = fit_to_classes(recipe(members=(member, NET)), own(2))
    (first, second), plain = fitted.segment.ensemble.members[0].stages, fitted.segment
    assert first.loss == Mix(parts=((0.75, BCE(smoothing=0.1)), (0.25, Dice())))
    assert (second, plain.ensemble.members[1]) == (STAGE, NET)
    assert sum("BCE.pos_weight" in note for note in notes) == 1


def classed(*each: tuple[int, ...] | None, **changes: object) -> tuple[Member, ...]:
    return tuple(NET.but(classes=classes, **changes) for classes in each)


def test_the_class_with_most_folds_then_most_networks_lends_its_pattern():
    few, most = NET.but(classes=(1,), folds=(0,)), NET.but(classes=(2,))
    other = NET.but(classes=(3,), network=Unet(encoder="resnet34"))
    for members, pattern in (
        ((few, few, few, most), most),
        ((most, most, other, other, other), other),
        ((other, most), most.but(classes=(2,))),
    ):
        chosen = [member for member in members if member.classes == pattern.classes]
        fitted, notes = fit_to_classes(recipe(members=members), own(3))
        expected = tuple(each.but(classes=(k,)) for each in chosen for k in (1, 2, 3))
        assert fitted.segment.ensemble.members == expected
        assert any(f"that class {pattern.classes[0]} had" in note for note in notes)


def test_a_class_judged_in_some_folds_only_gets_networks_in_all():
    first, second = NET.but(classes=(1,), folds=(0,)), NET.but(classes=(2,), folds=(1,))
    fitted, _ = fit_to_classes(recipe(members=(first, second)), own(3))
    assert fitted.segment.ensemble.members == classed((1,), (2,), (3,))


def test_networks_of_all_classes_stay_and_those_of_some_know_all():
    whole = NET.but(network=Unet(encoder="resnet34"))
    members = (*classed((1,), (2, 4)), whole)
    fitted, notes = fit_to_classes(recipe(members=members), own(2))
    assert fitted.segment.ensemble.members == (NET, whole, *classed((1,), (2,)))
    assert "Step segment: networks of some classes know all." in notes
    alone, notes = fit_to_classes(recipe(members=classed((1, 3), (2, 4))), own(2))
    assert alone.segment.ensemble.members == (NET, NET)
    assert not any("every class gets" in note for note in notes)


def lent(lenders: tuple[Member, ...], at: int, **changes: object) -> tuple[Recipe, list[str]]:
    """A recipe whose only classifier begins with the encoder of an outliner, fitted to three."""
    judge = JUDGE.but(start=EncoderOf(step="segment", member=at), **changes)
    return fit_to_classes(recipe(members=lenders, judges=(judge,)), own(3))


def lenders_of(fitted: Recipe) -> list[Member | None]:
    outliners = fitted.segment.ensemble.members
    judges = fitted.classify.ensemble.members
    return [None if each.start is None else outliners[each.start.member] for each in judges]


def test_who_begins_with_the_encoder_of_another_finds_it_again():
    whole = NET.but(resize=None, folds=(0, 1))
    fitted, notes = lent((*classed((1,), (2,)), whole), 2)
    assert lenders_of(fitted) == [whole]
    assert fitted.classify.ensemble.members[0].start.member == 0
    fitted, notes = lent(classed((1,), (2,)), 0, classes=(1,))
    assert lenders_of(fitted) == list(classed((1,), (2,), (3,)))
    assert not any("lender" in note for note in notes)


@pytest.mark.parametrize(
    ("lenders", "at", "changes"),
    [
        (classed((1,), (2,)), 1, {"classes": (1,)}),  # class 2's network goes
        (classed((1,), (2,)), 0, {}),  # a network of all classes has no single lender any more
    ],
)
def test_who_has_lost_its_lender_begins_without_and_it_is_told(lenders, at, changes):
    fitted, notes = lent(lenders, at, **changes)
    assert set(lenders_of(fitted)) == {None}
    assert "Step classify: networks whose lender of an encoder went begin without it." in notes


def test_a_network_widened_to_more_folds_than_its_lender_begins_without():
    lender, rest = NET.but(folds=(0,)), NET.but(folds=(1,))
    start = EncoderOf(step="segment", member=0)
    judges = (
        JUDGE.but(start=start, classes=(1,), folds=(0,)),
        JUDGE.but(classes=(2,), folds=(1,)),
    )
    fitted, notes = fit_to_classes(recipe(members=(lender, rest), judges=judges), own(2))
    assert fitted.classify.ensemble.members == tuple(JUDGE.but(classes=(k,)) for k in (1, 2))
    assert any("lender of an encoder went" in note for note in notes)
