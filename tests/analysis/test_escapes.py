"""What a plant counts of a finished run: scores against thresholds moved by hand."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.escapes import plant, rates_of, write_plant
from steelscan.data import open_dataset
from steelscan.decision import HardGate, SoftGate, StepOutput, class_scores, class_words, consult
from steelscan.decision.decide import decide
from steelscan.evaluation.metrics import Rates
from steelscan.evaluation.statistics import Estimate
from steelscan.pipeline import EvaluatedOutputs, Outcome, RunFolder, read_evaluated
from steelscan.postprocess import Threshold
from steelscan.recipes import Classify, KeepPresent, Recipe, Segment
from steelscan.strip import Frame, InputError, RunError

Finished = tuple[Path, Outcome]
FRAME, CLASSES = Frame(4, 6), 3


def moved(recipe: Recipe, threshold: float) -> Recipe:
    """A recipe of which every threshold on a strip is the same, and without areas."""
    steps = []
    for step in recipe.steps:
        match step:
            case Classify():
                steps.append(step.but(threshold=threshold))
            case Segment(gate=HardGate()):
                steps.append(step.but(gate=HardGate(threshold=threshold)))
            case Threshold():
                steps.append(Threshold(label=threshold, pixel=0.0))
            case Segment() | KeepPresent():
                steps.append(step)
    return recipe.but(steps=tuple(steps), tune=None)


def kinds_of(recipe: Recipe, two_headed: Segment) -> list[Recipe]:
    """Recipes that decide in all the ways there are."""
    judge, outline = recipe.steps[:2]
    again = two_headed.but(gate=None)
    return [
        recipe,
        recipe.but(steps=(judge.but(gate="class"), outline, Threshold())),
        recipe.but(steps=(outline, Threshold()), tune=None),
        recipe.but(steps=(two_headed.but(gate=SoftGate()), Threshold()), tune=None),
        recipe.but(steps=(judge, two_headed.but(gate=HardGate()), Threshold()), tune=None),
        recipe.but(
            steps=(
                judge,
                outline,
                Threshold(),
                KeepPresent(),
                judge.but(gate="class"),
                again,
                Threshold(),
            ),
            tune=None,
        ),
    ]


@pytest.fixture(scope="module")
def two_headed() -> Segment:
    from steelscan import recipes

    found = recipes.load("fourth_place").segment
    member = found.ensemble.members[0].but(folds=None)
    return found.but(ensemble=found.ensemble.but(members=(member,)))


@pytest.mark.parametrize("kind", range(6))
def test_a_class_is_found_exactly_where_its_score_is_above_the_threshold(
    tiny: Recipe, two_headed: Segment, kind: int
) -> None:
    """Every threshold is moved by hand, and the recipe's own way of deciding is asked."""
    recipe = kinds_of(tiny, two_headed)[kind]
    random = np.random.default_rng(kind)
    for _ in range(25):
        said = {}
        for name, step in recipe.named.items():
            levels = random.integers(0, 256, (CLASSES, *FRAME)).astype(np.uint8)
            levels //= random.integers(1, 5, (CLASSES, 1, 1)).astype(np.uint8)
            classes = random.random(CLASSES, np.float32)
            if isinstance(step, Classify):
                said[name] = StepOutput(None, classes)
            else:
                said[name] = StepOutput(levels, classes if step.gate else None)
        scores = class_scores(recipe, said.__getitem__, CLASSES)
        for threshold in (0.1, 0.3, 0.5, 0.7, 0.9, *(scores - 1e-6), *(scores + 1e-6)):
            by_hand = moved(recipe, float(np.clip(threshold, 0, 1)))
            opened = consult(by_hand, lambda name, _, said=said: said[name], CLASSES, FRAME)
            masks = decide(opened, by_hand.rules)
            assert masks.any(axis=(1, 2)).tolist() == (scores > np.clip(threshold, 0, 1)).tolist()


def test_a_class_that_a_classifier_does_not_know_is_scored_by_the_rest(tiny: Recipe) -> None:
    levels = np.full((CLASSES, *FRAME), 204, np.uint8)
    word = np.array([0.3, np.nan, 0.9], np.float32)
    recipe = tiny.but(steps=(tiny.steps[0].but(gate="class"), *tiny.steps[1:]))
    said = {"classify": StepOutput(None, word), "segment": StepOutput(levels, None)}
    assert class_scores(recipe, said.__getitem__, CLASSES) == pytest.approx([0.3, 0.8, 0.8])
    assert class_words(recipe, said.__getitem__, CLASSES) == pytest.approx(word, nan_ok=True)
    alone = tiny.but(steps=tiny.steps[1:])
    assert class_words(alone, said.__getitem__, CLASSES) == pytest.approx([0.8] * 3)


def test_stored_answers_make_the_masks_that_the_run_wrote_down(
    finished: Finished, strips: Path
) -> None:
    dataset = open_dataset(strips)
    answers = EvaluatedOutputs(RunFolder(finished[0]), dataset)
    for part in answers.parts.values():
        made = [answers.masks_of(image).sum(axis=(1, 2)).tolist() for image in part.images]
        assert made == part.pairs.predicted.tolist()


def test_everything_is_counted_on_the_strips_out_of_fold(
    finished: Finished, strips: Path, tmp_path: Path
) -> None:
    run, outcome = finished
    found = plant(run, rates_of(0.6, None, 0.8), data=strips)
    judged = read_evaluated(RunFolder(run), len(found.classes))
    assert found.images == judged["out of fold"].images
    assert found.now == outcome.scores["out of fold"]
    assert found.strips.scores.tolist() == found.class_scores.max(axis=1).tolist()
    assert found.strips.defective.tolist() == (
        (judged["out of fold"].pairs.truth > 0).any(axis=1).tolist()
    )
    assert found.held_out is not None
    assert len(found.held_out) == outcome.scores["held out"].strips
    assert list(found.class_curves) == list(found.classes.names)
    truth = judged["out of fold"].pairs.truth
    assert [curve.defective for curve in found.class_curves.values()] == (
        (truth > 0).sum(axis=0).tolist()
    )
    assert found.sorted is not None
    assert found.sorted.strips == len(found.images)
    assert found.sizes
    assert sum(row.strips for row in found.sizes) == found.now.defective
    text = write_plant(found, tmp_path / "out")
    assert "Two thresholds:" in text
    assert "nan" not in text
    assert "held out, which nothing was chosen on" in text
    with (tmp_path / "out" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == list(found.images)
    goes = [row["goes"] for row in rows]
    assert goes.count("pass") == found.sorted.passed_defective + found.sorted.passed_clean
    told = json.loads((tmp_path / "out" / "plant.json").read_text())
    assert told["now"]["escaped"] == found.now.escaped
    assert len(told["curve"]["points"]) == len(found.curve.points)
    page = (tmp_path / "out" / "plant.html").read_text()
    assert page.count("<svg") == 1
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "Pass, review, stop" in page


def test_without_rates_only_curves_are_drawn(finished: Finished, tmp_path: Path) -> None:
    found = plant(finished[0])
    text = write_plant(found, tmp_path)
    assert found.review is None
    assert found.sorted is None
    assert "Two thresholds" not in text
    assert json.loads((tmp_path / "plant.json").read_text())["review"] is None


def test_what_cannot_be_promised_or_counted_is_refused(
    finished: Finished, strips: Path, tmp_path: Path
) -> None:
    run = finished[0]
    with pytest.raises(InputError, match="It takes 299 of them"):
        plant(run, Rates())
    with pytest.raises(InputError, match="mm per pixel"):
        plant(run, mm_per_pixel=0.0)
    assert rates_of(None, None, 0.95) is None
    with pytest.raises(InputError, match="without an escape rate"):
        rates_of(None, 0.1, 0.95)
    assert rates_of(0.1, None, 0.9) == Rates(0.1, 0.1, 0.9)
    with pytest.raises(RunError, match="is no run"):
        plant(tmp_path)
    shutil.copytree(strips, tmp_path / "other")
    (tmp_path / "other" / "train_images" / open_dataset(strips).names[0]).unlink()
    rows = (strips / "train.csv").read_text().splitlines()
    kept = [row for row in rows if not row.startswith(open_dataset(strips).names[0])]
    (tmp_path / "other" / "train.csv").write_text("\n".join(kept) + "\n")
    with pytest.raises(RunError, match="is other data than that"):
        plant(run, data=tmp_path / "other")


def test_a_run_is_read_without_writing_and_a_broken_store_is_one_error(
    finished: Finished, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert isinstance(plant(run).now.mean_dice, Estimate)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    (run / "probabilities" / "segment" / "strips.txt").write_text("\n")
    with pytest.raises(RunError, match="holds no probabilities of"):
        plant(run)
    shutil.rmtree(run / "probabilities" / "segment")
    with pytest.raises(RunError, match="segment: holds no probabilities"):
        plant(run)
