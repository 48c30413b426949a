"""Recipes for other classes: no per-class settings, all classes covered, all changes noted."""

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
from steelscan.decision import ClassifyStep, HardGate, StepOutput, gated
from steelscan.decision.steps import passing
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Dice, Mix, loss_of_classes
from steelscan.models import Classifier, Unet
from steelscan.pipeline.context import check_classes
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold, Triplet, clean
from steelscan.prediction import EncoderOf, Ensemble, Member
from steelscan.recipes import (
    Classify,
    ConfidentClasses,
    ConfidentPixels,
    Recipe,
    Segment,
    StripPrediction,
    accepted_classes,
    fit_to_classes,
)
from steelscan.recipes.adapt_classes import NEUTRAL
from steelscan.recipes.catalog import load, names
from steelscan.strip import Classes, Spec, per_class
from steelscan.training import AdamW, Training

WINNERS = [name for name in names() if name != "quick"]
STAGE = Training(crop=WholeStrip(), loss=BCE(), optimizer=AdamW(lr=1e-3), batch=1, epochs=1)
NET = Member(network=Unet(encoder="resnet10t"), stages=(STAGE,))
CLASSIFIER = Member(network=Classifier(encoder="resnet10t"), stages=(STAGE,))
OURS = ("scratch", "hole", "pit", "rust")
BY_CLASS = {
    "first_place": {"BCE.pos_weight", "Threshold.label", "MinArea.pixels"},
    "third_place": {"Threshold.label"},
    "fourth_place": set(),
    "seventh_place": {"Triplet.top"},
    "ninth_place": {"Classify.threshold", "Threshold.pixel"},
    "tenth_place": {"ConfidentPixels.dilation"},
    "twelfth_place": {"MinArea.pixels"},
    "fourteenth_place": {
        "WherePresent.always",
        "HardGate.threshold",
        "MinArea.pixels",
        "ConfidentClasses.min_probability",
    },
    "seventieth_place": {"MinArea.pixels"},
}
"""The per-class settings of each solution, written out by hand."""
every_winner = pytest.mark.parametrize("name", WINNERS)
other_counts = pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])


def own(count: int) -> Classes:
    return Classes(names=tuple(f"own{number}" for number in range(count)))


def modules() -> list[str]:
    found = pkgutil.walk_packages(steelscan.__path__, "steelscan.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def specs(base: type[Spec] = Spec) -> set[type[Spec]]:
    """Return all specs of recipes, without those of other tests and of results of a run."""
    below = {spec for each in base.__subclasses__() for spec in {each} | specs(each)}
    written = ("steelscan.pipeline.gates", "steelscan.bundle.spec")
    ours = {spec for spec in below if spec.__module__.startswith("steelscan.")}
    return {spec for spec in ours if spec.__module__ not in written}


def is_per_class(annotation: object) -> bool:
    """Return whether it allows a value or a tuple of any number of the same values."""
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


def test_exactly_the_per_class_settings_have_a_neutral_value():
    of_decisions = {(ClassifyStep, "threshold")}  # made from a recipe, after it is adapted
    found = per_class_settings() - of_decisions
    assert found == set(NEUTRAL)
    assert len(found) == 18
    written = {
        (spec, name)
        for spec in specs()
        for name in re.findall(r"^    (\w+): .*\bPerClass\[", inspect.getsource(spec), re.MULTILINE)
    }
    assert written - of_decisions == found


@pytest.mark.parametrize("setting", NEUTRAL, ids=lambda setting: f"{setting[0].__name__}")
def test_a_neutral_value_is_valid_for_its_setting(setting):
    spec, name = setting
    needed = {"pixels": 9, "top": 0.7, "area": 9, "bottom": 0.3, "loss": BCE()}
    needed["ensemble"] = Ensemble(members=(CLASSIFIER,))
    rest = {key: needed[key] for key, field in spec.model_fields.items() if field.is_required()}
    values = (True, False) if name == "always" else (1, 1, 8) if NEUTRAL[setting].in_pixels else ()
    one = NEUTRAL[setting].of(values or (1.0, 1.0))
    assert getattr(spec(**{**rest, name: one}), name) == one
    assert not isinstance(one, tuple)


def per_class_values(text: str) -> list[object]:
    """Return the values of all per-class settings in a recipe's JSON, by their names."""
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
def test_a_recipe_stays_as_it_is_for_its_own_classes(name):
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
def test_no_per_class_setting_is_left(name, count):
    recipe, _ = fit_to_classes(load(name), own(count))
    values = per_class_values(recipe.model_dump_json())
    assert values
    assert not any(isinstance(value, list) for value in values)
    assert recipe.written_for == own(count).names
    check_classes(recipe, count)


@every_winner
@other_counts
def test_every_class_is_segmented_and_classified_in_every_fold(name, count):
    recipe, _ = fit_to_classes(load(name), own(count))
    before = load(name)
    assert len(recipe.named) == len(before.named)
    for step in recipe.network_steps:
        for fold in recipe.folds.validation:
            here = [each for each in step.ensemble.members if fold in recipe.folds_of(each)]
            covered = {k for each in here for k in each.classes or range(1, count + 1)}
            assert covered == set(range(1, count + 1))
    for step, old in zip(recipe.network_steps, before.network_steps, strict=True):
        bare = {each.but(name="", classes=None) for each in step.ensemble.members}
        assert bare <= {each.but(name="", classes=None) for each in without(old)}


def without(step: Classify | Segment) -> tuple[Member, ...]:
    """Return the members of a step without per-class settings in their losses."""
    text = step.ensemble.model_dump_json()
    plain = re.sub(r'"pos_weight":\[[^]]*\]', '"pos_weight":1.0', text)
    plain = re.sub(r'"always":\[[^]]*\]', '"always":true', plain)
    return Ensemble.model_validate_json(plain).members


@every_winner
@other_counts
def test_the_notes_name_what_changed_and_only_that(name, count):
    before = load(name)
    recipe, notes = fit_to_classes(before, own(count))
    assert notes[0].startswith(f"Recipe {name} was written for the classes 1, 2, 3, 4; the data")
    assert f"has {', '.join(own(count).names)}." in notes[0]
    assert len(notes) == len(set(notes))
    assert all(note.endswith(".") and "\n" not in note for note in notes)
    neutral = {note.partition(" is ")[0] for note in notes if " for all classes instead " in note}
    assert neutral == BY_CLASS[name]
    copied = {note.split()[1][:-1] for note in notes if note.startswith("Step ")}
    changed = {
        key
        for key, step in before.named.items()
        if any(member.classes for member in step.ensemble.members)
    }
    assert copied == changed
    for key in changed:
        members = recipe.named[key].ensemble.members
        networks = sum(len(recipe.folds_of(member)) for member in members)
        assert any(f"Step {key}" in note and f"({networks} networks" in note for note in notes)


@every_winner
@other_counts
def test_an_adapted_recipe_is_not_adapted_again(name, count):
    recipe, _ = fit_to_classes(load(name), own(count))
    assert fit_to_classes(recipe, own(count)) == (recipe, [])
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert fit_to_classes(load(name), own(count))[0] == recipe


@every_winner
def test_four_other_classes_are_not_the_winners_four(name):
    """The names of the classes decide, not their number."""
    recipe, notes = fit_to_classes(load(name), Classes(names=("4", "3", "2", "1")))
    assert recipe != load(name)
    assert notes


@every_winner
def test_rules_are_tuned_if_anything_changed_and_the_search_supports_them(name):
    before, (recipe, notes) = load(name), fit_to_classes(load(name), own(3))
    tuned = [note for note in notes if note.startswith("Tuned out-of-fold")]
    refused = [note for note in notes if "cannot be tuned" in note]
    kinds = [rule.kind for rule in before.rules]
    if name == "fourth_place":  # it has no per-class setting
        assert (recipe.tune, tuned, refused) == (None, [], [])
    elif kinds in (["threshold"], ["threshold", "min_area"]):
        only_gates = name == "twelfth_place"  # the authors tuned no mask for their own classes
        gated = before.classify is not None or isinstance(before.segment.gate, HardGate)
        by = "f1" if only_gates else "cost" if gated else "keep"
        expected = Tune() if only_gates else before.tune or Tune()
        assert recipe.tune == expected.but(gates=by, neutral=True)
        assert [len(tuned), len(refused)] == [1, 0]
        assert ("label" in tuned[0]) == recipe.tune.label
    else:
        gated = name != "seventh_place"
        only_gates = Tune(gates="f1", label=False, pixel=False, area=False)
        assert recipe.tune == (only_gates if gated else None)
        assert [len(tuned), len(refused)] == [gated, 1]
        assert ", ".join(kinds) in refused[0]


@every_winner
@other_counts
def test_every_part_works_for_as_many_classes(name, count):
    """The parts refuse a tuple of another length, or a class that does not exist."""
    fitted, _ = fit_to_classes(load(name), own(count))
    rng = np.random.default_rng(count)
    levels = rng.integers(0, 256, (count, 32, 64), np.uint8)
    probabilities = rng.random(count, np.float32)
    for step in fitted.decision.steps.values():
        if isinstance(step, ClassifyStep):
            assert passing(step, probabilities).shape == (count,)
        else:
            output = StepOutput(levels, probabilities)
            assert gated(step.gate, output).shape == levels.shape
    for step in fitted.network_steps:
        for member in step.ensemble.members:
            for stage in member.stages:
                assert loss_of_classes(stage.loss, member.classes, count)
    for stage in fitted.decision.stages:
        assert clean(levels, stage.rules, probabilities).shape == levels.shape
    if fitted.pseudo_labels:
        every = np.ones(count, np.bool_)
        prediction = StripPrediction(probabilities, levels / 255, probabilities > 0.5, every)
        assert accepted_classes(fitted.pseudo_labels.rule, prediction).shape == (count,)


@every_winner
def test_recipes_that_are_tuned_get_pseudo_labels_by_fold(name):
    """Of all networks together they would depend on the strips on which thresholds are tuned."""
    before, (after, notes) = load(name), fit_to_classes(load(name), own(3))
    old, new = before.pseudo_labels, after.pseudo_labels
    assert (old is None) == (new is None)
    if old is None:
        return
    by_fold = old.predicted_by == "fold" or after.tune is not None
    assert new.predicted_by == ("fold" if by_fold else "all")
    changed = [note for note in notes if note.startswith("Pseudo-labels of each fold")]
    assert len(changed) == (new.predicted_by != old.predicted_by)
    assert bool(changed) == (name in ("first_place", "third_place", "fourteenth_place"))


def recipe(
    *rules: Spec,
    members: tuple[Member, ...] = (NET,),
    classifiers: tuple[Member, ...] = (CLASSIFIER,),
) -> Recipe:
    return Recipe(
        name="ours",
        folds=Folds(count=3, validation=(0, 1)),
        steps=(
            Classify(ensemble=Ensemble(members=classifiers)),
            Segment(ensemble=Ensemble(members=members)),
            *(rules or (Threshold(),)),
        ),
        written_for=OURS,
    )


@pytest.mark.parametrize(
    ("label", "pixel"),
    [((0.9, 0.6), (0.5, 0.6)), ((0.9, 0.6), 0.55), (0.7, (0.7, 0.2)), ((0.2, 0.0), (0.5, 0.6))],
)
def test_two_thresholds_keep_their_order(label, pixel):
    fitted, _ = fit_to_classes(recipe(Threshold(label=label, pixel=pixel)), own(3))
    rule = fitted.rules[0]
    pairs = zip(per_class(label, 2, "label"), per_class(pixel, 2, "pixel"), strict=True)
    assert (rule.label >= rule.pixel) == all(one >= other for one, other in pairs)
    assert 0 <= rule.label <= 1


def test_a_triplet_without_its_area_still_needs_its_top_threshold():
    rule = Triplet(top=(0.8, 0.9), area=(50, 90), bottom=(0.3, 0.4))
    fitted, _ = fit_to_classes(recipe(rule), own(3))
    assert fitted.rules == (Triplet(top=0.8, area=1, bottom=0.3),)


def test_pseudo_labels_become_stricter_not_laxer():
    for name, kind in (("tenth_place", ConfidentPixels), ("fourteenth_place", ConfidentClasses)):
        old = load(name).pseudo_labels
        new = fit_to_classes(load(name), own(2))[0].pseudo_labels
        assert isinstance(new.rule, kind)
        assert old.but(rule=new.rule, predicted_by="fold") == new
    assert new.rule.min_probability == max(old.rule.min_probability)


def test_sizes_in_pixels_stay_and_are_noted_once():
    rules = (MinArea(pixels=50), RemoveSmallComponents(pixels=0), MinArea(pixels=50))
    fitted, notes = fit_to_classes(recipe(Threshold(), *rules), own(2))
    assert fitted.rules == (Threshold(), *rules)
    assert [note for note in notes if "in pixels" in note] == [
        "MinArea.pixels is 50, in pixels of the strips it was written for."
    ]


def test_inside_a_loss_only_per_class_settings_change():
    deep = Mix(parts=((0.75, BCE(pos_weight=(2.0, 3.0), smoothing=0.1)), (0.25, Dice())))
    member = NET.but(stages=(STAGE.but(loss=deep), STAGE))
    fitted, notes = fit_to_classes(recipe(members=(member, NET)), own(2))
    (first, second), plain = fitted.segment.ensemble.members[0].stages, fitted.segment
    assert first.loss == Mix(parts=((0.75, BCE(smoothing=0.1)), (0.25, Dice())))
    assert (second, plain.ensemble.members[1]) == (STAGE, NET.but(name="2"))
    assert sum("BCE.pos_weight" in note for note in notes) == 1


def unnamed(step: Classify | Segment) -> tuple[Member, ...]:
    """Return the members of a step without their names."""
    return tuple(member.but(name="") for member in step.ensemble.members)


def classed(*each: tuple[int, ...] | None, **changes: object) -> tuple[Member, ...]:
    return tuple(NET.but(classes=classes, **changes) for classes in each)


def test_the_networks_of_the_class_with_most_folds_then_most_networks_are_copied():
    few, most = NET.but(classes=(1,), folds=(0,)), NET.but(classes=(2,))
    other = NET.but(classes=(3,), network=Unet(encoder="resnet34"))
    for members, pattern in (
        ((few, few, few, most), most),
        ((most, most, other, other, other), other),
        ((other, most), most.but(classes=(2,))),
    ):
        copied = [member for member in members if member.classes == pattern.classes]
        fitted, notes = fit_to_classes(recipe(members=members), own(3))
        expected = tuple(each.but(classes=(k,)) for each in copied for k in (1, 2, 3))
        assert unnamed(fitted.segment) == expected
        assert any(f"gets the networks of class {pattern.classes[0]} (" in note for note in notes)


def test_a_class_with_networks_in_some_folds_gets_networks_in_all():
    first, second = NET.but(classes=(1,), folds=(0,)), NET.but(classes=(2,), folds=(1,))
    fitted, _ = fit_to_classes(recipe(members=(first, second)), own(3))
    assert unnamed(fitted.segment) == classed((1,), (2,), (3,))
    names = [member.name for member in fitted.segment.ensemble.members]
    assert names == ["1, class 1", "1, class 2", "1, class 3"]


def test_networks_of_several_classes_become_networks_of_all():
    whole = NET.but(network=Unet(encoder="resnet34"))
    members = (*classed((1,), (2, 4)), whole)
    fitted, notes = fit_to_classes(recipe(members=members), own(2))
    assert unnamed(fitted.segment) == (NET, whole, *classed((1,), (2,)))
    assert "Step segment: networks of several classes are fitted for all." in notes
    alone, notes = fit_to_classes(recipe(members=classed((1, 3), (2, 4))), own(2))
    assert unnamed(alone.segment) == (NET, NET)
    assert not any("every class gets" in note for note in notes)


def adapted_start(
    sources: tuple[Member, ...], name: str, **changes: object
) -> tuple[Recipe, list[str]]:
    """Adapt to three classes: a classifier that starts from the encoder of a segmenter."""
    start = EncoderOf(step="segment", member=name)
    classifier = CLASSIFIER.but(start=start, **changes)
    return fit_to_classes(recipe(members=sources, classifiers=(classifier,)), own(3))


def sources_of(adapted: Recipe) -> list[Member | None]:
    classifiers = adapted.classify.ensemble.members
    found = [each.start and adapted.source_of(each.start) for each in classifiers]
    return [each and each.but(name="") for each in found]


def test_an_encoder_still_comes_from_the_same_network():
    whole = NET.but(resize=None, folds=(0, 1))
    adapted, notes = adapted_start((*classed((1,), (2,)), whole), "3")
    assert sources_of(adapted) == [whole]
    assert adapted.classify.ensemble.members[0].start.member == "3"
    adapted, notes = adapted_start(classed((1,), (2,)), "1", classes=(1,))
    assert sources_of(adapted) == list(classed((1,), (2,), (3,)))
    assert not any("without the encoder" in note for note in notes)


@pytest.mark.parametrize(
    ("sources", "name", "changes"),
    [
        (classed((1,), (2,)), "2", {"classes": (1,)}),  # the network of class 2 is removed
        (classed((1,), (2,)), "1", {}),  # several networks replace the source
    ],
)
def test_without_its_source_a_network_starts_by_itself_with_a_note(sources, name, changes):
    adapted, notes = adapted_start(sources, name, **changes)
    assert set(sources_of(adapted)) == {None}
    assert "Step classify: some networks start without the encoder of another network." in notes


def test_a_network_with_more_folds_than_its_source_starts_by_itself():
    source, other = NET.but(folds=(0,)), NET.but(folds=(1,))
    start = EncoderOf(step="segment", member="1")
    classifiers = (
        CLASSIFIER.but(start=start, classes=(1,), folds=(0,)),
        CLASSIFIER.but(classes=(2,), folds=(1,)),
    )
    before = recipe(members=(source, other), classifiers=classifiers)
    adapted, notes = fit_to_classes(before, own(2))
    assert unnamed(adapted.classify) == tuple(CLASSIFIER.but(classes=(k,)) for k in (1, 2))
    assert any("without the encoder" in note for note in notes)
