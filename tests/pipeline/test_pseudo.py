"""Rounds of pseudo-labels, and strips that a classifier suspects: what teaches whom."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from steelscan.data import open_dataset, read_folds
from steelscan.data.duplicates import group_strips
from steelscan.decision import RuleInput
from steelscan.pipeline import Options, Predictor, RunContext, RunFolder, learned, tasks
from steelscan.pipeline.out_of_fold import Answers, suspicion
from steelscan.pipeline.pseudo_labels import sure
from steelscan.pipeline.train import train
from steelscan.postprocess import MinArea, ScaledMinArea, Threshold
from steelscan.recipes import (
    ConfidentAndAgreed,
    ConfidentPixels,
    ConfidentStrips,
    PseudoLabels,
    Recipe,
)
from steelscan.strip import decode, read_mask_table

CPU = Options(device="cpu")
pytestmark = pytest.mark.usefixtures("unreported")


def plan_of(recipe: Recipe, data: Path, run: Path, round_: int) -> RunContext:
    dataset = open_dataset(data)
    folds = read_folds(run / "folds.csv", dataset.names)
    return RunContext(RunFolder(run), recipe, dataset, group_strips(dataset), folds, CPU, round_)


@pytest.fixture(scope="module")
def taught(
    rounds: Recipe, strips: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Recipe, Path]:
    run = tmp_path_factory.mktemp("rounds") / "run"
    outcome = train(rounds, strips, run, CPU)
    assert [note for note in outcome.notes if note.startswith("Round")] == [
        f"Round {number}: 3 to 3, a fold, of 3 test strips were sure enough to teach."
        for number in (1, 2)
    ]
    return rounds, run


def test_each_round_fits_anew_what_learns_from_it_and_nothing_else(
    taught: tuple[Recipe, Path],
) -> None:
    _, run = taught
    names = {str(path.parent.relative_to(run)) for path in run.rglob("checkpoint.safetensors")}
    judges = {f"networks/classify-0-fold{fold}" for fold in (0, 1)}
    outliners = {f"segment-0-fold{fold}" for fold in (0, 1)}
    places = ("networks", "networks/round1", "networks/round2")
    assert names == judges | {f"{place}/{name}" for place in places for name in outliners}
    contents = [
        (run / place / "segment-0-fold0/checkpoint.safetensors").read_bytes() for place in places
    ]
    assert len(set(contents)) == 3
    assert json.loads((run / "thresholds.json").read_text())["round"] == 2


def test_a_fold_learns_from_the_answers_of_networks_that_have_not_seen_it(
    taught: tuple[Recipe, Path], strips: Path
) -> None:
    """The file of each fold against that fold's networks of the round before, asked anew."""
    recipe, run = taught
    for round_ in (1, 2):
        before = plan_of(recipe, strips, run, round_ - 1)
        dataset = before.dataset
        for fold in recipe.folds.validation:
            path = run / "rounds" / f"round{round_}" / f"pseudo_labels-fold{fold}.csv"
            told = json.loads(path.with_suffix(".json").read_text())
            assert (told["asked"], told["kept"]) == (3, 3)
            fitted = tasks(recipe, (fold,), round_ - 1)
            assert list(told["networks"]) == [task.label for task in fitted]
            table = read_mask_table(path)
            predictor = Predictor.of_round(
                before.run, recipe, told_rules(told), round_ - 1, (fold,), torch.device("cpu")
            )
            for row, name in enumerate(dataset.test_names):
                masks = predictor.masks(dataset.test_picture(row))
                texts = table.texts(name, len(dataset.classes))
                frame = dataset.test_frame(row)
                assert np.array_equal(masks, [decode(text, frame) for text in texts])
            joined, pseudo = learned(plan_of(recipe, strips, run, round_), fold)
            assert pseudo.tolist() == [len(dataset), len(dataset) + 1, len(dataset) + 2]
            assert [joined.frames[row] for row in pseudo] == [
                dataset.test_frame(row) for row in range(3)
            ]
            assert np.array_equal(joined.picture(int(pseudo[1])), dataset.test_picture(1))
            assert np.array_equal(
                joined.present[pseudo], [joined.masks(row).any((1, 2)) for row in pseudo.tolist()]
            )
            assert np.array_equal(joined.masks(4), dataset.masks(4))


def told_rules(told: dict[str, list[dict[str, object]]]) -> tuple[Threshold, MinArea]:
    threshold, area = (json.dumps(rule) for rule in told["masks"])
    return Threshold.model_validate_json(threshold), MinArea.model_validate_json(area)


def test_a_strip_is_suspected_by_a_network_that_has_not_seen_it(
    taught: tuple[Recipe, Path], strips: Path
) -> None:
    recipe, run = taught
    context = plan_of(recipe, strips, run, 0)
    found = suspicion(context, len(context.dataset) + 2)
    assert found.shape == (len(context.dataset) + 2, 4)
    assert not found[len(context.dataset) :].any()
    unjudged = context.rows(2)
    assert len(unjudged)
    assert not found[unjudged].any()
    for fold in recipe.folds.validation:
        predictor = Predictor.of_round(
            context.run, recipe, recipe.rules, 0, (fold,), torch.device("cpu")
        )
        for row in context.rows(fold).tolist():
            word = predictor.opened(context.dataset.picture(row)).word
            assert word is not None
            assert np.array_equal(found[row], word)


def test_with_all_networks_answering_the_scores_out_of_fold_are_said_to_flatter(
    rounds: Recipe, strips: Path, tmp_path: Path, fitted: Callable[[Recipe, Path], None]
) -> None:
    """No tuning here, and an area that asks the classifier; the rule decides who teaches."""
    steps = (*rounds.asking, Threshold(), ScaledMinArea(pixels=9, factor=4.0))
    wanted = PseudoLabels(
        rule=ConfidentPixels(low=0.5, high=0.5, dilation=0, min_share=1.0), predicted_by="all"
    )
    recipe = rounds.but(steps=steps, tune=None, pseudo_labels=wanted)
    fitted(recipe, tmp_path / "run")
    outcome = train(recipe, strips, tmp_path / "run", CPU)
    assert "Round 1: 3 of 3 test strips were sure enough to teach." in outcome.notes
    assert any("too good" in note for note in outcome.notes)
    assert [path.name for path in (tmp_path / "run" / "rounds" / "round1").glob("*.csv")] == [
        "pseudo_labels.csv"
    ]
    context = plan_of(recipe, strips, tmp_path / "run", 1)
    answers = Answers(context)
    predictor = Predictor.load(context.run, torch.device("cpu"))
    rows = context.rows(*recipe.folds.holdout).tolist()
    for row in rows:
        assert answers.opened(row).word is not None
        masks = answers.masks(row, recipe.rules)
        assert np.array_equal(masks, predictor.masks(context.dataset.picture(row)))
    (levels, _), (_, words) = (answers._stores[name] for name in ("segment", "classify"))
    planted = np.zeros((4, *context.dataset.frames[rows[0]]), np.uint8)
    for plane, area in zip(planted, (30, 30, 30, 9), strict=True):
        plane[0, :area] = 255
    assert levels is not None
    assert words is not None
    levels[rows[0]], words[rows[0]] = planted, np.array([0.0, 0.5, 1.0, 1.0], np.float32)
    areas = answers.masks(rows[0], recipe.rules).sum((1, 2))
    assert areas.tolist() == [0, 30, 30, 9]  # of at least 36, 22.5, 9 and 9


def test_when_no_answer_is_sure_nothing_is_fitted_again(
    rounds: Recipe, strips: Path, tmp_path: Path, fitted: Callable[[Recipe, Path], None]
) -> None:
    recipe = rounds.but(pseudo_labels=PseudoLabels(rule=ConfidentStrips(margin=0.5), rounds=2))
    fitted(recipe, tmp_path / "run")
    outcome = train(recipe, strips, tmp_path / "run", CPU)
    told = "Round 1: 0 to 0, a fold, of 3 test strips were sure enough to teach: no network was"
    assert any(note.startswith(told) for note in outcome.notes)
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


def test_a_class_that_no_classifier_knows_is_judged_by_its_highest_pixel() -> None:
    levels = np.zeros((3, 8, 8), np.uint8)
    levels[1, 2:5, 2:5] = 255
    levels[2, 0, 0] = 2
    rules = (Threshold(),)
    rule = ConfidentAndAgreed(low=0.05, high=0.95)
    masks = sure(RuleInput(levels, None), rules, rule)
    assert masks is not None
    assert np.array_equal(masks, levels > 127)
    doubtful = np.array([0.5, np.nan, np.nan], np.float32)
    assert sure(RuleInput(levels, doubtful), rules, rule) is None
    contradicted = np.array([0.0, 0.01, np.nan], np.float32)
    assert sure(RuleInput(levels, contradicted), rules, rule) is None
    knows = np.array([0.01, 0.99, np.nan], np.float32)
    assert sure(RuleInput(levels, knows), rules, rule) is not None
    levels[2, 0, 0] = 90
    assert sure(RuleInput(levels, knows), rules, rule) is None
