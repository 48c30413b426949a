"""Budgets: what stays of a recipe, what shrinks, and that the smaller recipe runs."""

from functools import cache
from itertools import combinations
from math import lcm
from operator import attrgetter

import pytest
import torch
from torch import nn

from steelscan import recipes
from steelscan.data import LikeTest, RandomCrop, Shrink, WholeStrip, crop_frame
from steelscan.models import Classifier, PSPNet, TwoHeaded, copy_encoder, encoder_of
from steelscan.prediction import EncoderFittedFor, EncoderOf
from steelscan.recipes import Classify, Recipe, Segment, with_budget
from steelscan.recipes.limits import LIMITS, smaller_encoders
from steelscan.recipes.tuning import with_tuning
from steelscan.strip import Frame
from steelscan.training import BalancedSampler, BestAverage, CropPass, Plateau

CLASSES = 4
HEIGHT, WIDTH = 64, 128
SHRINKING = ("small", "tiny")

every_recipe = pytest.mark.parametrize("name", recipes.names())
each_way = pytest.mark.parametrize("budget", SHRINKING)


@cache
def shrunk(name, budget):
    return with_budget(recipes.load(name), budget)


def changes_of(recipe, budget):
    """Return a recipe at a budget, and its changes without "Budget ..."."""
    found = with_budget(recipe, budget)
    head = f"Budget {budget}: "
    assert all(line.startswith(head) and line.endswith(".") for line in found.changes)
    return found, tuple(line.removeprefix(head).removesuffix(".") for line in found.changes)


def members(recipe):
    return [member for step in recipe.network_steps for member in step.ensemble.members]


def networks(recipe):
    sources = [
        member.start.network
        for member in members(recipe)
        if isinstance(member.start, EncoderFittedFor)
    ]
    return [member.network for member in members(recipe)] + sources


def stages(recipe):
    return [stage for member in members(recipe) for stage in member.all_stages]


def passes(stage):
    return [CropPass(crop=stage.crop, batch=stage.batch), *stage.extra_passes]


def fits(recipe):
    return sum(len(recipe.folds_of(member)) for member in members(recipe))


def without_sizes(stage):
    """Return all of a stage that no budget may change, as plain values."""
    kept = stage.model_dump(
        exclude={
            "crop": True, "extra_passes": True, "max_samples": True, "min_samples": True,
            "batch": True, "accumulate_to": True, "epochs": True, "validate_on": True,
            "precision": True, "keep": True, "optimizer": {"lr", "encoder_lr"},
            "schedule": {"patience", "cooldown"},
        }
    )  # fmt: skip
    crops = [each.crop.model_dump(exclude={"height", "width"}) for each in passes(stage)]
    return kept, crops, stage.keep.kind


def without_widths(network):
    """Return all of a network that no budget may change, as plain values."""
    if isinstance(network, TwoHeaded):
        return network.model_dump(exclude={"segmenter"}), without_widths(network.segmenter)
    return network.model_dump(
        exclude={
            "encoder", "stem", "decoder_channels", "pyramid_channels", "segmentation_channels",
            "centre_channels", "middle_channels", "block_channels",
        }
    )  # fmt: skip


def essence(member):
    """Return what stays of a member at any budget."""
    start = member.start
    if isinstance(start, EncoderFittedFor):
        start = without_widths(start.network)
    return (
        without_widths(member.network),
        [without_sizes(stage) for stage in member.all_stages],
        start if isinstance(start, EncoderOf | None) else (start,),
        member.classes,
        member.tiles,
    )


def pairs_of(larger, smaller):
    """Return each member that is left in a smaller recipe, after the same one of the larger."""
    pairs = []
    for before, after in zip(larger.network_steps, smaller.network_steps, strict=True):
        old = {member.name: member for member in before.ensemble.members}
        pairs += [(old[member.name], member) for member in after.ensemble.members]
    return pairs


def unique(values):
    return [value for at, value in enumerate(values) if value not in values[:at]]


@every_recipe
def test_full_is_the_recipe_as_written(name):
    recipe = recipes.load(name)
    assert with_budget(recipe, "full") == recipe


@every_recipe
@each_way
def test_a_smaller_recipe_goes_to_json_and_back(name, budget):
    recipe = shrunk(name, budget)
    assert recipe.name == name
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe != recipes.load(name)


@every_recipe
@each_way
def test_the_same_budget_again_changes_nothing(name, budget):
    recipe = shrunk(name, budget)
    assert with_budget(recipe, budget) == recipe


@every_recipe
@each_way
def test_steps_and_rules_stay(name, budget):
    before, after = recipes.load(name), shrunk(name, budget)
    assert [step.kind for step in after.steps] == [step.kind for step in before.steps]
    for old, new in zip(before.steps, after.steps, strict=True):
        if isinstance(old, Classify | Segment):
            assert new.but(ensemble=old.ensemble) == old
            assert new.ensemble.but(members=old.ensemble.members) == old.ensemble
        else:
            assert new == old
    same = {"name", "written_for"}
    assert after.model_dump(include=same) == before.model_dump(include=same)
    assert after.folds.kind == before.folds.kind
    wanted = with_tuning(before)[0] if budget == "small" else before
    assert after.tune == wanted.tune
    assert (after.pseudo_labels is None) == (before.pseudo_labels is None)
    if before.pseudo_labels:
        assert after.pseudo_labels.but(rounds=before.pseudo_labels.rounds) == wanted.pseudo_labels


@every_recipe
@each_way
def test_every_kind_of_network_and_training_stays(name, budget):
    """Heads, losses, samplers, augmentations, schedules: nothing is removed or added."""
    before, after = recipes.load(name), shrunk(name, budget)
    for old, new in zip(before.network_steps, after.network_steps, strict=True):
        was = [essence(member) for member in old.ensemble.members]
        now = [essence(member) for member in new.ensemble.members]
        assert unique(now) == unique(was)


@every_recipe
@each_way
def test_nothing_but_low_rates_grows(name, budget):
    before, after = recipes.load(name), shrunk(name, budget)
    assert fits(after) <= fits(before)
    if before.pseudo_labels:
        assert after.pseudo_labels.rounds == 1
    for member, less in pairs_of(before, after):
        assert less.resize.pixels <= (member.resize.pixels if member.resize else 256 * 1600)
        for old, new in zip(member.all_stages, less.all_stages, strict=True):
            check_no_larger(old, new)


def check_no_larger(old, new):
    assert new.epochs <= old.epochs
    assert new.validate_on <= (old.validate_on or new.validate_on)
    assert new.max_samples <= (old.max_samples or new.max_samples)
    assert new.accumulate_to is None
    if isinstance(old.keep, BestAverage):
        assert new.keep.count <= old.keep.count
    if isinstance(old.schedule, Plateau):
        assert min(1, old.schedule.patience) <= new.schedule.patience <= old.schedule.patience
    for wide, narrow in zip(passes(old), passes(new), strict=True):
        assert narrow.batch <= wide.batch
        if not isinstance(wide.crop, WholeStrip):
            assert narrow.crop.height <= wide.crop.height
            assert narrow.crop.width <= wide.crop.width


LEAST = {"adam": 2e-3, "adamw": 2e-3, "radam": 4e-3, "sgd": 1e-2}


@every_recipe
def test_small_raises_rates_that_are_published_for_far_more_steps(name):
    """All rates of a fit by one factor; the encoder's own rate at least to 5e-4."""
    for old, new in pairs_of(recipes.load(name), shrunk(name, "small")):
        kept = sum(stage.epochs for stage in old.stages) <= 8
        first = old.stages[0].optimizer
        factor = 1 if kept else max(1, LEAST[first.kind] / first.lr)
        for was, now in zip(old.stages, new.stages, strict=True):
            assert now.optimizer.lr == pytest.approx(factor * was.optimizer.lr)
            if was.optimizer.encoder_lr is not None:
                assert now.optimizer.encoder_lr == pytest.approx(5e-4)
    for old, new in pairs_of(recipes.load(name), shrunk(name, "tiny")):
        for was, now in zip(old.all_stages, new.all_stages, strict=True):
            assert now.optimizer == was.optimizer


@pytest.mark.parametrize(
    ("published", "lite"),
    [
        ([3], [0]),
        ([5, 0], [1, 0]),
        ([0, 5, 3], [0, 2, 1]),
        ([7, 5, 3, 0], [2, 1, 0, 0]),
        ([0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2]),
    ],
)
def test_small_keeps_encoders_apart_as_far_as_there_are_enough(published, lite):
    given = [f"tf_efficientnet_b{size}" for size in published]
    found = smaller_encoders([*given, "unknown"], LIMITS["small"])
    assert [found[each] for each in given] == [f"tf_efficientnet_lite{size}" for size in lite]
    assert set(found) == set(given)


@every_recipe
@each_way
def test_each_network_is_fitted_once_and_no_two_are_equal(name, budget):
    """Except for strips that are chosen by their out-of-fold probabilities."""
    recipe = shrunk(name, budget)
    out_of_fold = any(member.needs_class_probabilities for member in members(recipe))
    assert len(recipe.folds.validation) == ({"small": 3, "tiny": 2}[budget] if out_of_fold else 1)
    if not out_of_fold:
        assert fits(recipe) == len(members(recipe))
    for member in members(recipe):
        most = {"small": 8, "tiny": 3}[budget]
        assert sum(stage.epochs for stage in member.stages) <= max(most, len(member.stages))
    for step in recipe.network_steps:
        different = [member.but(name="", folds=None) for member in step.ensemble.members]
        assert unique(different) == different


@every_recipe
def test_small_holds_a_fifth_of_the_strips_out(name):
    """A fourth for the 9th, whose validation folds must cover all other strips."""
    folds, tiny = shrunk(name, "small").folds, shrunk(name, "tiny").folds
    if isinstance(folds, LikeTest):
        assert (folds.holdout, folds.holdout_share) == ((2,), 0.2)
    else:
        assert len(folds.holdout) / folds.count == (0.25 if name == "ninth_place" else 0.2)
        if name == "ninth_place":
            assert {*folds.validation, *folds.holdout} == set(range(folds.count))
    assert tiny.holdout == recipes.load(name).folds.holdout


@every_recipe
@each_way
def test_crops_show_as_much_of_a_strip_as_before(name, budget):
    """To half a stride, on the competition's strips; different widths of passes may differ more."""
    strip = Frame(256, 1600)
    for old, new in pairs_of(recipes.load(name), shrunk(name, budget)):
        before, after = (
            (each.resize or Shrink(pixels=strip.pixels)).frame(strip) for each in (old, new)
        )
        for wide, narrow in zip(old.all_stages, new.all_stages, strict=True):
            slack = 16 if len(passes(wide)) == 1 else 32
            for one, other in zip(passes(wide), passes(narrow), strict=True):
                was, now = crop_frame(one.crop, before), crop_frame(other.crop, after)
                for part, whole, was_part, was_whole in (
                    (now.height, after.height, was.height, before.height),
                    (now.width, after.width, was.width, before.width),
                ):
                    assert abs(part / whole - was_part / was_whole) <= slack / whole + 1e-9


def test_widths_and_batches_of_the_9th():
    for budget, sides, batches in (
        ("small", [(64, 64), (64, 96), (64, 160)], [12, 10, 6]),
        ("tiny", [(128, 128), (128, 192), (128, 320)], [8, 5, 3]),
    ):
        stage = shrunk("ninth_place", budget).segment.ensemble.members[0].stages[1]
        assert [(each.crop.height, each.crop.width) for each in passes(stage)] == sides
        assert [each.batch for each in passes(stage)] == batches


def test_the_remaining_folds():
    small = shrunk("first_place", "small")
    assert small.folds.validation == (0,)
    assert {member.folds for member in members(small)} == {(0,)}
    small = shrunk("ninth_place", "small")
    assert small.folds.validation == (0, 1, 2)
    folds = [small.folds_of(member) for member in members(small)]
    assert folds == [(0, 1, 2), (0, 1, 2), (0,), (0, 1, 2), (0, 1, 2)]


def pixels_of(stage, budget):
    """Return the pixels of a stage's crops of a strip."""
    whole = {"small": 64 * 400, "tiny": 128 * 800}[budget]
    crops = [each.crop for each in passes(stage)]
    return sum(
        whole if isinstance(crop, WholeStrip) else crop.height * crop.width for crop in crops
    )


@every_recipe
@each_way
def test_a_run_has_few_pixels_in_single_precision(name, budget):
    """All fits together, each with about the same; an epoch has at least one batch."""
    recipe, total = shrunk(name, budget), 0
    refits = 1 if recipe.pseudo_labels else 0
    most = {"small": 5_000, "tiny": 96}[budget] * 128 * 256
    for member in members(recipe):
        fitted = [member.stages]
        if isinstance(member.start, EncoderFittedFor):
            fitted.append(member.start.stages)
        times = len(recipe.folds_of(member))
        times *= 1 + refits * recipe.trains_on_pseudo_labels(member)
        for fit in fitted:
            pixels, smallest = (
                sum(stage.epochs * samples(stage) * pixels_of(stage, budget) for stage in fit)
                for samples in (attrgetter("max_samples"), attrgetter("batch"))
            )
            assert pixels <= max(most, smallest)
            total += times * pixels
    assert all(stage.precision == "float32" for stage in stages(recipe))
    if budget == "small":
        assert total <= 15_000 * 128 * 256
        if name != "quick":
            assert total > 0.9 * min(15_000 * 128 * 256, fits(recipe) * most)


@every_recipe
@each_way
def test_an_epoch_draws_as_many_strips_whatever_the_data(name, budget):
    for stage in stages(shrunk(name, budget)):
        fixed = isinstance(stage.sampler, BalancedSampler)
        assert stage.min_samples == (None if fixed else stage.max_samples)


def networks_left(budget):
    return unique([spec for name in recipes.names() for spec in networks(shrunk(name, budget))])


def label(spec):
    if not isinstance(spec, tuple):
        return None
    budget, network = spec
    return f"{budget}-{network.kind}-{encoder_of(network).kind}-{encoder_of(network).encoder}"


EVERY = [(budget, spec) for budget in SHRINKING for spec in networks_left(budget)]


def test_there_are_networks_of_every_kind():
    for budget in SHRINKING:
        left = networks_left(budget)
        assert {spec.kind for spec in left} == {"classifier", "unet", "fpn", "psp", "two_headed"}
        heads = [spec.segmenter.kind for spec in left if isinstance(spec, TwoHeaded)]
        assert set(heads) == {"unet", "fpn", "asymmetric_unet"}
        assert len({encoder_of(spec).encoder for spec in left}) >= 3


@pytest.mark.parametrize("which", EVERY, ids=label)
def test_a_smaller_network_is_built_and_predicts(which, of_shapes, only_shapes):
    budget, spec = which
    network = of_shapes(spec)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters < {"small": 5e7, "tiny": 4e6}[budget]
    maps = []
    if network.head != "classes":
        network.body.encoder.register_forward_hook(lambda _, __, out: maps.extend(out))
    with only_shapes(), torch.inference_mode():
        outputs = network(torch.empty(1, 1, HEIGHT, WIDTH))
        probabilities = network.probabilities(outputs)
    if isinstance(spec, Classifier | TwoHeaded):
        assert outputs.classes.shape == (1, CLASSES)
    if not isinstance(spec, Classifier):
        assert probabilities.masks.shape == (1, CLASSES, HEIGHT, WIDTH)
        strides = [HEIGHT // one.shape[2] for one in maps]
        dilated = isinstance(spec, PSPNet) and spec.dilated
        deep = [8, 8] if dilated else [16, 32] * (not isinstance(spec, PSPNet))
        assert strides == [1, 2, 4, 8, *deep]
    if encoder_of(spec).mish:
        assert not any(isinstance(module, nn.ReLU | nn.ReLU6) for module in network.modules())


@every_recipe
@each_way
def test_encoders_of_other_networks_still_fit(name, budget, of_shapes):
    recipe = shrunk(name, budget)
    for member in members(recipe):
        start = member.start
        if isinstance(start, EncoderOf):
            source = recipe.source_of(start).network
        elif isinstance(start, EncoderFittedFor):
            source = start.network
        else:
            continue
        source, target = of_shapes(source), of_shapes(member.network)
        copy_encoder(source, target)
        assert len(target.features()) >= 20


def changed(way):
    """Return quick with its segmenter replaced."""
    recipe = recipes.load("quick")
    classify, segment, *rules = recipe.steps
    (member,) = segment.ensemble.members
    other = segment.but(ensemble=segment.ensemble.but(members=way(member)))
    return recipe.but(steps=(classify, other, *rules))


@pytest.mark.parametrize(("source", "merged"), [("1", "1"), ("2", "1"), ("3", "3")])
def test_an_encoder_comes_from_the_network_that_replaces_an_equal_one(source, merged):
    def three(member):
        other = member.but(name="3", network=member.network.but(dropout=0.5))
        return member.but(name="1"), member.but(name="2"), other

    recipe = recipes.load("quick")
    classify, segment, *rules = recipe.steps
    (classifier,), (segmenter,) = classify.ensemble.members, segment.ensemble.members
    classifiers = tuple(
        classifier.but(name=f"from {name}", start=EncoderOf(step="segment", member=name))
        for name in dict.fromkeys((source, "2", "1"))
    )
    classify = classify.but(ensemble=classify.ensemble.but(members=classifiers))
    segment = segment.but(ensemble=segment.ensemble.but(members=three(segmenter)))
    recipe = recipe.but(steps=(classify, segment, *rules))
    tiny, changes = changes_of(recipe, "tiny")
    assert "networks of segment: 3 became 2" in changes
    assert [member.name for member in tiny.segment.ensemble.members] == ["1", "3"]
    assert [member.network.dropout for member in tiny.segment.ensemble.members] == [0.1, 0.5]
    starts = [member.start.member for member in tiny.classify.ensemble.members]
    assert starts == ([merged] if merged == "1" else ["3", "1"])
    assert with_budget(tiny, "tiny") == tiny


def test_an_encoder_without_a_smaller_one_stays():
    text = recipes.load("quick").model_dump_json().replace("tf_efficientnet_lite0", "resnet50")
    recipe = Recipe.model_validate_json(text)
    tiny, changes = changes_of(recipe, "tiny")
    assert {network.encoder for network in networks(tiny)} == {"resnet50"}
    assert not any(line.startswith("encoder") for line in changes)
    assert any(line.startswith("epochs") for line in changes)


@each_way
@pytest.mark.parametrize("widths", [(256, 288, 320), (320, 256), (64, 96, 128), (1024, 32, 992)])
def test_different_widths_of_passes_stay_different(budget, widths):
    crops = [RandomCrop(height=160, width=width) for width in widths]
    more = tuple(CropPass(crop=crop, batch=8) for crop in crops[1:])

    def passing(member):
        stage = member.stages[0].but(crop=crops[0], extra_passes=more)
        return (member.but(stages=(stage,), resize=None),)

    stage = with_budget(changed(passing), budget).segment.ensemble.members[0].stages[0]
    left = [each.crop.width for each in passes(stage)]
    assert all(
        new <= max(32, old // 2) and new % 32 == 0 for old, new in zip(widths, left, strict=True)
    )
    for (old, new), (other, another) in combinations(zip(widths, left, strict=True), 2):
        assert (old < other) == (new < another) or {new, another} == {32}


@each_way
@pytest.mark.parametrize("sizes", [(1,), (2,), (3,), (16,), (33,), (12, 12, 8), (16, 1), (40, 8)])
@pytest.mark.parametrize("together", [True, False])
def test_a_step_has_few_pixels_but_two_crops(budget, sizes, together):
    def stepping(member):
        stage = member.stages[0]
        more = tuple(CropPass(crop=stage.crop, batch=size) for size in sizes[1:])
        steps = lcm(*sizes) if together else None
        stage = stage.but(batch=sizes[0], accumulate_to=steps, extra_passes=more)
        return (member.but(stages=(stage,)),)

    stage = with_budget(changed(stepping), budget).segment.ensemble.members[0].stages[0]
    assert stage.accumulate_to is None
    most = {"small": 3, "tiny": 4}[budget] * 128 * 256
    for old, one in zip(sizes, passes(stage), strict=True):
        assert one.batch * one.crop.height * one.crop.width <= most or one.batch <= 2
        assert min(2, old) <= one.batch <= old
