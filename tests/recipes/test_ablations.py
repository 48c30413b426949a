"""Each ablation takes away what it is meant to, and fits again only what depends on that."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

from steelscan.pipeline import RunFolder
from steelscan.recipes import Recipe, with_budget
from steelscan.recipes.catalog import load, names

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MEMBERS = "steps.*.ensemble.members"
STAGE = f"{MEMBERS}.*.stages.*"
CHANGED = {
    "first_place_without_gate": {"steps", "tune"},
    "first_place_without_blackout": {f"{STAGE}.augment"},
    "first_place_without_pseudo_labels": {"pseudo_labels"},
    "third_place_single_network": {MEMBERS},
    "fourth_place_without_soft_gate": {"steps.*.gate"},
    "seventh_place_without_mixup_and_smoothing": {f"{STAGE}.mixup", f"{STAGE}.loss.smoothing"},
    "ninth_place_bce_only": {f"{STAGE}.loss"},
    "tenth_place_fpn_a": {
        f"{MEMBERS}.*.network.merge",
        f"{MEMBERS}.*.network.segmentation_channels",
    },
    "tenth_place_fpn_d": {
        f"{MEMBERS}.*.network.merge",
        f"{MEMBERS}.*.network.segmentation_channels",
    },
    "tenth_place_without_randaugment": {f"{STAGE}.augment.*"},
    "twelfth_place_without_emptiness_stage": {"steps"},
    "twelfth_place_best_checkpoint": {f"{STAGE}.keep", f"{MEMBERS}.*.start.stages.*.keep"},
    "fourteenth_place_without_loss_gate": {f"{STAGE}.loss.masks"},
    "fourteenth_place_without_edge_fill": {"steps"},
    "seventieth_place_arithmetic_mean": {
        "steps.*.ensemble.average",
        "steps.*.label",
        "steps.*.pixel",
    },
}
"""The fields of the recipe's JSON that differ, apart from its name and its list of changes."""
WIDTH = {f"{MEMBERS}.*.network.segmentation_channels"}
"""Of pyramids; a budget may give both kinds the same."""


@pytest.fixture(scope="module")
def ablations():
    """The list of ablations and their runs, imported as where they are run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module("ablation_list"), import_module("ablation_runs")
    for name in ("ablation_list", "ablation_runs"):
        sys.modules.pop(name, None)


def small(ablation) -> tuple[Recipe, Recipe]:
    """The recipe at the small budget, with and without the idea."""
    recipe = with_budget(load(ablation.recipe), "small")
    first = recipe.network_steps[-1].ensemble.members[0].name
    return recipe, ablation.variant(recipe, first)


def by_name(ablations) -> dict:
    return {each.label: each for each in ablations[0].ABLATIONS}


def differing(one, other, path=""):
    """Yield the paths at which two JSON values differ; positions in lists become "*".

    Lists of other lengths and objects of another kind differ as a whole.
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.get("kind") == other.get("kind"):
        for key in one.keys() | other.keys():
            at = f"{path}.{key}" if path else key
            yield from differing(one.get(key), other.get(key), at)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for each in zip(one, other, strict=True):
            yield from differing(*each, f"{path}.*")
    elif one != other:
        yield path


def test_every_solution_has_an_ablation(ablations) -> None:
    solutions = {name for name in names() if name.endswith("_place")}
    assert {each.recipe for each in ablations[0].ABLATIONS} == solutions
    assert set(by_name(ablations)) == set(CHANGED)
    assert len(ablations[0].ABLATIONS) == 15


@pytest.mark.parametrize("label", CHANGED)
def test_only_the_fields_of_the_idea_differ(ablations, label: str) -> None:
    recipe, variant = small(by_name(ablations)[label])
    documents = [json.loads(each.model_dump_json()) for each in (recipe, variant)]
    found = set(differing(*documents)) - {"name", "changes"}
    assert found | (CHANGED[label] & WIDTH) == CHANGED[label]
    assert found - WIDTH
    assert variant.name == label
    assert variant.changes[:-1] == recipe.changes
    assert Recipe.model_validate_json(variant.model_dump_json()) == variant


def test_removed_steps_are_those_of_the_idea(ablations) -> None:
    kinds = {
        label: [step.kind for step in small(by_name(ablations)[label])[1].steps]
        for label in CHANGED
        if "steps" in CHANGED[label]
    }
    assert kinds == {
        "first_place_without_gate": [
            "segment",
            "threshold",
            "min_area",
            "remove_small_components",
        ],
        "twelfth_place_without_emptiness_stage": ["classify", "segment", "threshold"],
        "fourteenth_place_without_edge_fill": ["segment", "threshold", "min_area"],
    }
    recipe, variant = small(by_name(ablations)["twelfth_place_without_emptiness_stage"])
    assert variant.named["segment"] == recipe.named["segment2"]


def test_thresholds_of_the_plain_mean_make_the_same_masks_of_a_single_network(ablations) -> None:
    recipe, variant = small(by_name(ablations)["seventieth_place_arithmetic_mean"])
    one, other = (each.rules[0] for each in (recipe, variant))
    for probability in (number / 1000 for number in range(1001)):
        for name in ("label", "pixel"):
            above = probability**0.5 > getattr(one, name)
            assert above == (probability > getattr(other, name))


@pytest.mark.parametrize("label", [label for label in CHANGED if "steps" in CHANGED[label]])
def test_a_decision_keeps_all_networks(ablations, label: str) -> None:
    recipe, variant = small(by_name(ablations)[label])
    copies = ablations[1].same_networks(by_name(ablations)[label], recipe, variant)
    assert [each.of_variant for each in copies] == ablations[1].all_tasks(variant)
    for each in copies:
        assert each.of_run in ablations[1].all_tasks(recipe)
        assert each.of_run.member == each.of_variant.member
    with pytest.raises(ValueError, match="is another network"):
        ablations[1].kept(recipe, longer(recipe), {})


def longer(recipe: Recipe) -> Recipe:
    """A recipe that fits its first network for one more epoch."""
    name, step = next(iter(recipe.named.items()))
    first, *others = step.ensemble.members
    stages = tuple(stage.but(epochs=stage.epochs + 1) for stage in first.stages)
    return recipe.with_members({name: [first.but(stages=stages), *others]})


def test_a_single_network_is_copied_from_its_place_in_the_ensemble(ablations) -> None:
    ablation = by_name(ablations)["third_place_single_network"]
    recipe = with_budget(load("third_place"), "small")
    names_ = [member.name for member in recipe.segment.ensemble.members]
    assert len(names_) == 9
    for number, name in enumerate(names_):
        copies = ablations[1].same_networks(ablation, recipe, ablation.variant(recipe, name))
        assert {each.of_run.number for each in copies} == {number}
        assert {each.of_variant.number for each in copies} == {0}


def unchanged_labels(ablations, recipe: Recipe, variant: Recipe) -> set[str]:
    return {task.label for task in ablations[1].unchanged(recipe, variant)}


def test_networks_are_fitted_again_if_anything_that_they_depend_on_differs(ablations) -> None:
    """Which networks stay follows from the JSON of their step and member."""

    def wanted(step: str, member: dict) -> dict[str, bool]:
        merge = member["network"].get("merge")
        return {
            "first_place_without_blackout": False,
            "first_place_without_pseudo_labels": True,
            "seventh_place_without_mixup_and_smoothing": False,
            "ninth_place_bce_only": step == "classify",
            "tenth_place_fpn_a": merge != "cat",
            "tenth_place_fpn_d": merge != "add",
            "tenth_place_without_randaugment": "up_to" not in json.dumps(member),
            "twelfth_place_best_checkpoint": False,
            "fourteenth_place_without_loss_gate": False,
        }

    trained = [each for each in ablations[0].ABLATIONS if each.kind == "training"]
    assert len(trained) == 9
    for ablation in trained:
        recipe, variant = small(ablation)
        same = {
            f"{step} {member.name}"
            for step, each in recipe.named.items()
            for member in each.ensemble.members
            if wanted(step, json.loads(member.model_dump_json()))[ablation.label]
        }
        labels = unchanged_labels(ablations, recipe, variant)
        assert {label.partition(", fold")[0] for label in labels} == same, ablation.label
        assert not any("round" in label for label in labels)


def test_a_fit_depends_on_folds_gates_and_pseudo_labels(ablations) -> None:
    recipe = with_budget(load("tenth_place"), "small")
    every = {task.label for task in ablations[1].all_tasks(recipe)}
    assert any("round 1" in label for label in every)
    assert unchanged_labels(ablations, recipe, recipe) == every
    other = recipe.but(folds=recipe.folds.but(count=recipe.folds.count + 1))
    assert unchanged_labels(ablations, recipe, other) == set()
    step = recipe.named["classify"]
    gate = recipe.with_steps({"classify": step.but(threshold=0.75)})
    assert unchanged_labels(ablations, recipe, gate) == set()
    rule = recipe.pseudo_labels.rule.but(min_share=0.5)
    labelled = recipe.but(pseudo_labels=recipe.pseudo_labels.but(rule=rule))
    first = {label for label in every if "round" not in label}
    assert unchanged_labels(ablations, recipe, labelled) == first


def test_a_network_that_starts_from_another_encoder_is_fitted_again(ablations) -> None:
    recipe = load("quick")
    (member,) = recipe.segment.ensemble.members
    stages = tuple(stage.but(epochs=1) for stage in member.stages)
    other = recipe.with_members({"segment": [member.but(stages=stages)]})
    assert unchanged_labels(ablations, recipe, other) == set()


def test_the_strongest_network_has_the_best_score_of_its_last_stage(ablations, tmp_path) -> None:
    recipe = with_budget(load("third_place"), "small").but(pseudo_labels=None)
    run = RunFolder(tmp_path)
    (run.path / "thresholds.json").write_text('{"rules": []}')
    for task in ablations[1].all_tasks(recipe):
        run.network(task).mkdir(parents=True)
        best = 0.9 if task.member.name == "4" else 0.5
        rows = ("stage,epoch,loss,mean_dice", f"0,1,0.1,{best}", "0,2,0.1,0.4", "0,3,0.1,")
        (run.network(task) / "metrics.csv").write_text("\n".join(rows) + "\n")
    assert ablations[1].strongest(run, recipe) == "4"


def test_a_folder_is_copied_once(ablations, tmp_path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    ablations[1].copy_folder(source, target)
    assert not target.exists()
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "file").write_text("one")
    ablations[1].copy_folder(source, target)
    assert (target / "inner" / "file").read_text() == "one"
    (source / "inner" / "file").write_text("two")
    ablations[1].copy_folder(source, target)
    assert (target / "inner" / "file").read_text() == "one"
    assert [path.name for path in target.parent.iterdir()] == ["target"]
