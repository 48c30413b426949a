"""Rounds of pseudo-labels, and strips that a classifier suspects."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from steelscan.data import open_dataset
from steelscan.data.duplicates import group_strips
from steelscan.data.folds import read_folds
from steelscan.decision import RuleInput
from steelscan.pipeline import Options, RunFolder, open_folds, open_run, tasks
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.independence import dependence_notes
from steelscan.pipeline.networks import training_data
from steelscan.pipeline.out_of_fold import OutOfFold, first_classifier
from steelscan.pipeline.pseudo_labels import (
    confident_masks,
    pseudo_label,
    training_strips,
)
from steelscan.pipeline.train import begin_run, train
from steelscan.postprocess import MinArea, ScaledMinArea, Threshold
from steelscan.prediction import Ensemble
from steelscan.recipes import (
    ConfidentAndAgreed,
    ConfidentPixels,
    ConfidentStrips,
    PseudoLabels,
    Recipe,
)
from steelscan.strip import decode
from steelscan.strip.errors import MaskError, RunError
from steelscan.strip.tables import read_mask_table
from steelscan.training.resized import ResizedStrips

CPU = Options(device="cpu")
pytestmark = pytest.mark.usefixtures("unreported")


def context_of(recipe: Recipe, data: Path, run: Path, round_: int) -> RunContext:
    dataset = open_dataset(data)
    folds = read_folds(run / "folds.csv", dataset.names)
    return RunContext(RunFolder(run), recipe, dataset, group_strips(dataset), folds, CPU, round_)


@pytest.fixture(scope="module")
def trained(
    rounds: Recipe, strips: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Recipe, Path]:
    run = tmp_path_factory.mktemp("rounds") / "run"
    outcome = train(rounds, strips, run, CPU)
    assert [note for note in outcome.notes if note.startswith("Round")] == [
        f"Round {number}: 3 to 3 (per fold) of 3 test strips became pseudo-labels."
        for number in (1, 2)
    ]
    return rounds, run


def test_each_round_fits_networks_with_pseudo_labels_and_no_others(
    trained: tuple[Recipe, Path],
) -> None:
    _, run = trained
    names = {str(path.parent.relative_to(run)) for path in run.rglob("checkpoint.safetensors")}
    classifiers = {f"networks/classify-0-fold{fold}" for fold in (0, 1)}
    segmenters = {f"segment-0-fold{fold}" for fold in (0, 1)}
    folders = ("networks", "networks/round1", "networks/round2")
    assert names == classifiers | {f"{folder}/{name}" for folder in folders for name in segmenters}
    contents = [
        (run / folder / "segment-0-fold0/checkpoint.safetensors").read_bytes() for folder in folders
    ]
    assert len(set(contents)) == 3
    assert json.loads((run / "thresholds.json").read_text())["round"] == 2


def test_pseudo_labels_of_a_fold_come_from_networks_not_trained_on_it(
    trained: tuple[Recipe, Path], strips: Path
) -> None:
    """The file of each fold against predictions of that fold's networks of the round before."""
    recipe, run = trained
    for round_ in (1, 2):
        before = context_of(recipe, strips, run, round_ - 1)
        dataset = before.dataset
        for fold in recipe.folds.validation:
            path = run / "rounds" / f"round{round_}" / f"pseudo_labels-fold{fold}.csv"
            provenance = json.loads(path.with_suffix(".json").read_text())
            assert (provenance["predicted"], provenance["kept"]) == (3, 3)
            fitted = tasks(recipe, (fold,), round_ - 1)
            assert list(provenance["networks"]) == [task.label for task in fitted]
            table = read_mask_table(path)
            detector = open_folds(
                before.run,
                recipe,
                stored_rules(provenance),
                round_ - 1,
                (fold,),
                torch.device("cpu"),
            )
            for row, name in enumerate(dataset.test_names):
                masks = detector.masks(dataset.test_picture(row))
                texts = table.texts(name, len(dataset.classes))
                frame = dataset.test_frame(row)
                assert np.array_equal(masks, [decode(text, frame) for text in texts])
            joined, pseudo = training_strips(context_of(recipe, strips, run, round_), fold, None)
            assert pseudo.tolist() == [len(dataset), len(dataset) + 1, len(dataset) + 2]
            assert [joined.frames[row] for row in pseudo] == [
                dataset.test_frame(row) for row in range(3)
            ]
            assert np.array_equal(joined.picture(int(pseudo[1])), dataset.test_picture(1))
            assert np.array_equal(
                joined.present[pseudo], [joined.masks(row).any((1, 2)) for row in pseudo.tolist()]
            )
            assert np.array_equal(joined.masks(4), dataset.masks(4))


def stored_rules(provenance: dict[str, list[dict[str, object]]]) -> tuple[Threshold, MinArea]:
    threshold, area = (json.dumps(rule) for rule in provenance["masks"])
    return Threshold.model_validate_json(threshold), MinArea.model_validate_json(area)


def test_a_strip_is_suspected_by_a_network_not_trained_on_it(
    trained: tuple[Recipe, Path], strips: Path
) -> None:
    recipe, run = trained
    context = context_of(recipe, strips, run, 0)
    suspected = first_classifier(context, len(context.dataset) + 2)
    assert suspected.shape == (len(context.dataset) + 2, 4)
    assert not suspected[len(context.dataset) :].any()
    unpredicted = context.rows(2)
    assert len(unpredicted)
    assert not suspected[unpredicted].any()
    for fold in recipe.folds.validation:
        detector = open_folds(context.run, recipe, recipe.rules, 0, (fold,), torch.device("cpu"))
        for row in context.rows(fold).tolist():
            expected = detector.rule_input(context.dataset.picture(row)).classes
            assert expected is not None
            assert np.array_equal(suspected[row], expected)


def test_pseudo_labels_of_all_networks_come_with_a_warning(
    rounds: Recipe, strips: Path, tmp_path: Path, fitted: Callable[[Recipe, Path], None]
) -> None:
    """Without tuning, and with an area that depends on the classifier."""
    steps = (*rounds.network_steps, Threshold(), ScaledMinArea(pixels=9, factor=4.0))
    spec = PseudoLabels(
        rule=ConfidentPixels(low=0.5, high=0.5, dilation=0, min_share=1.0), predicted_by="all"
    )
    recipe = rounds.but(steps=steps, tune=None, pseudo_labels=spec)
    fitted(recipe, tmp_path / "run")
    outcome = train(recipe, strips, tmp_path / "run", CPU)
    assert "Round 1: 3 of 3 test strips became pseudo-labels." in outcome.notes
    assert any("too high" in note for note in outcome.notes)
    assert [path.name for path in (tmp_path / "run" / "rounds" / "round1").glob("*.csv")] == [
        "pseudo_labels.csv"
    ]
    context = context_of(recipe, strips, tmp_path / "run", 1)
    stored = OutOfFold(context)
    detector = open_run(context.run, torch.device("cpu"))
    rows = context.rows(*recipe.folds.holdout).tolist()
    for row in rows:
        assert stored.rule_input(row).classes is not None
        masks = stored.masks(row, recipe.rules)
        assert np.array_equal(masks, detector.masks(context.dataset.picture(row)))
    (pixels, _), (_, classes) = (stored._stores[name] for name in ("segment", "classify"))
    planted = np.zeros((4, *context.dataset.frames[rows[0]]), np.uint8)
    for plane, area in zip(planted, (30, 30, 30, 9), strict=True):
        plane[0, :area] = 255
    assert pixels is not None
    assert classes is not None
    pixels[rows[0]], classes[rows[0]] = planted, np.array([0.0, 0.5, 1.0, 1.0], np.float32)
    areas = stored.masks(rows[0], recipe.rules).sum((1, 2))
    assert areas.tolist() == [0, 30, 30, 9]  # of at least 36, 22.5, 9 and 9


def test_without_confident_masks_nothing_is_fitted_again(
    rounds: Recipe, strips: Path, tmp_path: Path, fitted: Callable[[Recipe, Path], None]
) -> None:
    recipe = rounds.but(pseudo_labels=PseudoLabels(rule=ConfidentStrips(margin=0.5), rounds=2))
    fitted(recipe, tmp_path / "run")
    outcome = train(recipe, strips, tmp_path / "run", CPU)
    note_begins = "Round 1: 0 to 0 (per fold) of 3 test strips became pseudo-labels: no network was"
    assert any(note.startswith(note_begins) for note in outcome.notes)
    assert not (tmp_path / "run" / "networks" / "round1").exists()
    assert train(recipe, strips, tmp_path / "run", CPU).notes == outcome.notes


def test_without_test_strips_there_are_no_rounds(
    rounds: Recipe, strips: Path, tmp_path: Path, fitted: Callable[[Recipe, Path], None]
) -> None:
    fitted(rounds, tmp_path / "run")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train_images", "train.csv", "groups.csv"):
        (data / name).symlink_to(strips / name)
    outcome = train(rounds, data, tmp_path / "run", CPU)
    assert "No test strips to pseudo-label: every network was fitted once." in outcome.notes


class Stub:
    """A detector with these pixels for the test strips, in turn."""

    def __init__(self, pixels: list[np.ndarray]) -> None:
        self.pixels = iter(pixels)

    def rule_input(self, picture: np.ndarray) -> RuleInput:
        planes = next(self.pixels)[:, None, None]
        return RuleInput(np.broadcast_to(planes, (4, *picture.shape)).astype(np.uint8), None)


@pytest.fixture
def by_class(
    tiny: Recipe, strips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunContext:
    """A run in round 1 of a recipe with networks of class 1, of class 3, and of both.

    The first test strip is sure in class 1 alone, the second in classes 1 and 3, the third in none.
    """
    (plain,) = tiny.segment.ensemble.members
    members = tuple(
        plain.but(name=f"net{at}", classes=classes, start=None)
        for at, classes in enumerate(((1,), (3,), (1, 3)))
    )
    rule = ConfidentPixels(dilation=0)
    recipe = tiny.but(
        steps=(tiny.segment.but(ensemble=Ensemble(members=members)), Threshold()),
        pseudo_labels=PseudoLabels(rule=rule, predicted_by="all"),
        tune=None,
    )
    context, _ = begin_run(RunFolder(tmp_path / "run"), recipe, strips, CPU)
    for task in tasks(recipe, recipe.folds.validation):
        folder = context.run.network(task)
        folder.mkdir(parents=True)
        (folder / "checkpoint.safetensors").write_bytes(task.label.encode())
    pixels = [np.array(each) for each in ((250, 0, 120, 0), (10, 0, 250, 0), (130, 0, 60, 0))]
    module = import_module("steelscan.pipeline.pseudo_labels")
    monkeypatch.setattr(module, "open_folds", lambda *_: Stub(pixels))
    assert pseudo_label(context, 1) == (
        True,
        [
            "Round 1: 2 of 3 test strips became pseudo-labels.",
            "Round 1 has pseudo-labels of class 1 on 2, class 2 on 0, class 3 on 1, class 4 on 0 "
            "test strips.",
            *dependence_notes(recipe.pseudo_labels, 1),
        ],
    )
    return replace(context, round=1)


def test_a_strip_that_is_sure_in_one_class_trains_the_networks_of_that_class(
    by_class: RunContext,
) -> None:
    """K:114465 has networks per class. A network of two classes needs both of them."""
    size = len(by_class.dataset)
    expected = {(1,): ["first", "second"], (3,): ["second"], (1, 3): ["second"]}
    whole = {"first": (1, 0), "second": (0, 1)}  # masks of classes 1 and 3
    names = dict(zip(("first", "second"), by_class.dataset.test_names, strict=False))
    for task in by_class.new_tasks:
        assert task.member.classes is not None
        joined, pseudo = training_strips(by_class, task.fold, task.member.classes)
        data = training_data(by_class, task, joined, pseudo, None)
        assert data.pseudo.tolist() == [size + at for at in range(len(expected[data.classes]))]
        seen = ResizedStrips(data.strips, None, classes=data.classes)
        for row, strip in zip(data.pseudo.tolist(), expected[data.classes], strict=True):
            position = by_class.dataset.test_names.index(names[strip])
            assert np.array_equal(seen.picture(row), by_class.dataset.test_picture(position))
            masks = [whole[strip][(1, 3).index(class_id)] for class_id in data.classes]
            assert seen.masks(row).all((1, 2)).tolist() == [bool(mask) for mask in masks]
            assert seen.masks(row).any((1, 2)).tolist() == seen.present[row].tolist()
    assert {task.member.classes for task in by_class.new_tasks} == set(expected)
    assert training_strips(by_class, 0, None)[1].tolist() == []  # no class 2 was predicted


def test_a_class_that_was_not_accepted_is_not_read_as_clean(by_class: RunContext) -> None:
    path = by_class.run.pseudo_labels(1, None)
    table, dataset = by_class.run.load_pseudo_labels(1, None), by_class.dataset
    first, second = dataset.test_names[:2]
    frame = dataset.test_frame(0)
    full = f"1 {frame.pixels}"
    assert table.rows == {
        first: {1: full, 2: "unsure", 3: "unsure", 4: "unsure"},
        second: {1: "", 2: "unsure", 3: full, 4: "unsure"},
    }
    with pytest.raises(MaskError, match="a class whose pseudo-label was not accepted"):
        decode(table.rows[first][3], frame)
    provenance = json.loads(path.with_suffix(".json").read_text())
    assert provenance["accepted"] == dict(zip(dataset.classes.names, (2, 0, 1, 0), strict=True))
    text = path.read_text()
    path.write_text(text.replace("unsure", "", 1))  # a class becomes clean
    with pytest.raises(RunError, match="is damaged"):
        training_strips(by_class, 0, (1,))
    rows = text.splitlines(keepends=True)
    path.write_text("".join(row for row in rows if not row.startswith(f"{second}_3")))
    by_class.run.seal(path)
    assert len(training_strips(by_class, 0, (1,))[1]) == 2
    assert len(training_strips(by_class, 0, (3,))[1]) == 0  # a class without row is unsure


def test_a_class_without_classifier_has_the_probability_of_its_highest_pixel() -> None:
    levels = np.zeros((3, 8, 8), np.uint8)
    levels[1, 2:5, 2:5] = 255
    levels[2, 0, 0] = 2
    rules = (Threshold(),)
    rule, every = ConfidentAndAgreed(low=0.05, high=0.95), np.ones(3, np.bool_)
    masks = confident_masks(RuleInput(levels, None), rules, rule, every)
    assert masks is not None
    assert all(mask is not None for mask in masks)
    assert np.array_equal(masks, levels > 127)
    doubtful = np.array([0.5, np.nan, np.nan], np.float32)
    assert confident_masks(RuleInput(levels, doubtful), rules, rule, every) is None
    contradicted = np.array([0.0, 0.01, np.nan], np.float32)
    assert confident_masks(RuleInput(levels, contradicted), rules, rule, every) is None
    confident = np.array([0.01, 0.99, np.nan], np.float32)
    assert confident_masks(RuleInput(levels, confident), rules, rule, every) is not None
    levels[2, 0, 0] = 90
    assert confident_masks(RuleInput(levels, confident), rules, rule, every) is None
