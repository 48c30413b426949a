"""Escapes and overkill of a finished run: scores against thresholds moved by hand."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.escapes import count_escapes, rates_of, write_escapes
from steelscan.analysis.escapes.review import Rates
from steelscan.data import open_dataset
from steelscan.decision import (
    GivenOutputs,
    HardGate,
    SoftGate,
    StepOutput,
    class_probabilities,
    class_scores,
    masks_of,
    run_steps,
)
from steelscan.evaluation.statistics import Estimate
from steelscan.pipeline import EvaluatedOutputs, Outcome, RunFolder, read_evaluated
from steelscan.postprocess import Threshold
from steelscan.recipes import Classify, KeepPresent, Recipe, Segment
from steelscan.strip import Frame
from steelscan.strip.errors import InputError, RunError

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
    """Recipes of every kind of decision."""
    classify, segment = recipe.steps[:2]
    again = two_headed.but(gate=None)
    return [
        recipe,
        recipe.but(steps=(classify.but(gate="class"), segment, Threshold())),
        recipe.but(steps=(segment, Threshold()), tune=None),
        recipe.but(steps=(two_headed.but(gate=SoftGate()), Threshold()), tune=None),
        recipe.but(steps=(classify, two_headed.but(gate=HardGate()), Threshold()), tune=None),
        recipe.but(
            steps=(
                classify,
                segment,
                Threshold(),
                KeepPresent(),
                classify.but(gate="class"),
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
def test_a_class_is_predicted_exactly_if_its_score_is_above_the_threshold(
    tiny: Recipe, two_headed: Segment, kind: int
) -> None:
    """Every threshold is moved by hand, and the recipe decides."""
    recipe = kinds_of(tiny, two_headed)[kind]
    random = np.random.default_rng(kind)
    for _ in range(25):
        given = {}
        for name, step in recipe.named.items():
            probabilities = random.integers(0, 256, (CLASSES, *FRAME)).astype(np.uint8)
            probabilities //= random.integers(1, 5, (CLASSES, 1, 1)).astype(np.uint8)
            classes = random.random(CLASSES, np.float32)
            if isinstance(step, Classify):
                given[name] = StepOutput(None, classes)
            else:
                given[name] = StepOutput(probabilities, classes if step.gate else None)
        outputs = GivenOutputs(given)
        scores = class_scores(recipe.decision, outputs, CLASSES)
        for threshold in (0.1, 0.3, 0.5, 0.7, 0.9, *(scores - 1e-6), *(scores + 1e-6)):
            by_hand = moved(recipe, float(np.clip(threshold, 0, 1)))
            masks = masks_of(run_steps(by_hand.decision, outputs, CLASSES, FRAME), by_hand.rules)
            assert masks.any(axis=(1, 2)).tolist() == (scores > np.clip(threshold, 0, 1)).tolist()


def test_a_class_that_a_classifier_does_not_predict_is_scored_by_the_rest(tiny: Recipe) -> None:
    levels = np.full((CLASSES, *FRAME), 204, np.uint8)
    classes = np.array([0.3, np.nan, 0.9], np.float32)
    recipe = tiny.but(steps=(tiny.steps[0].but(gate="class"), *tiny.steps[1:]))
    outputs = {"classify": StepOutput(None, classes), "segment": StepOutput(levels, None)}
    given, decision = GivenOutputs(outputs), recipe.decision
    assert class_scores(decision, given, CLASSES) == pytest.approx([0.3, 0.8, 0.8])
    assert class_probabilities(decision, given, CLASSES) == pytest.approx(classes, nan_ok=True)
    alone = tiny.but(steps=tiny.steps[1:]).decision
    assert class_probabilities(alone, given, CLASSES) == pytest.approx([0.8] * 3)


def test_stored_outputs_give_the_masks_of_the_run(finished: Finished, strips: Path) -> None:
    dataset = open_dataset(strips)
    outputs = EvaluatedOutputs(RunFolder(finished[0]), dataset)
    for part in outputs.parts.values():
        made = [outputs.masks_of(image).sum(axis=(1, 2)).tolist() for image in part.images]
        assert made == part.pairs.predicted.tolist()


def test_everything_is_counted_on_the_out_of_fold_strips(
    finished: Finished, strips: Path, tmp_path: Path
) -> None:
    run, outcome = finished
    found = count_escapes(run, rates_of(0.6, None, 0.8), data=strips)
    evaluated = read_evaluated(RunFolder(run), len(found.classes))
    assert found.images == evaluated["out of fold"].images
    assert found.now == outcome.scores["out of fold"]
    assert found.strips.scores.tolist() == found.class_scores.max(axis=1).tolist()
    assert found.strips.defective.tolist() == (
        (evaluated["out of fold"].pairs.truth > 0).any(axis=1).tolist()
    )
    assert found.held_out is not None
    assert len(found.held_out) == outcome.scores["held out"].strips
    assert list(found.class_curves) == list(found.classes.names)
    truth = evaluated["out of fold"].pairs.truth
    assert [curve.defective for curve in found.class_curves.values()] == (
        (truth > 0).sum(axis=0).tolist()
    )
    assert found.sorted is not None
    assert found.sorted.strips == len(found.images)
    assert found.sizes
    assert sum(row.strips for row in found.sizes) == found.now.defective
    text = write_escapes(found, tmp_path / "out")
    assert "Pass, review, stop:" in text
    assert "nan" not in text
    assert "Held-out strips, on which nothing was chosen" in text
    with (tmp_path / "out" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == list(found.images)
    goes = [row["goes"] for row in rows]
    assert goes.count("pass") == found.sorted.passed_defective + found.sorted.passed_clean
    written = json.loads((tmp_path / "out" / "escapes.json").read_text())
    assert written["now"]["escaped"] == found.now.escaped
    assert len(written["curve"]["points"]) == len(found.curve.points)
    page = (tmp_path / "out" / "escapes.html").read_text()
    assert page.count("<svg") == 1
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "Pass, review, stop" in page


def test_the_file_is_the_same_whatever_terminal_it_is_written_from(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = count_escapes(finished[0])
    piped = write_escapes(found, tmp_path / "piped")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    assert write_escapes(found, tmp_path / "narrow") != piped
    for folder in ("piped", "narrow"):
        assert (tmp_path / folder / "escapes.txt").read_text() == f"{piped}\n"


def test_without_rates_only_curves_are_drawn(finished: Finished, tmp_path: Path) -> None:
    found = count_escapes(finished[0])
    text = write_escapes(found, tmp_path)
    assert found.review is None
    assert found.sorted is None
    assert "Pass, review, stop" not in text
    assert json.loads((tmp_path / "escapes.json").read_text())["review"] is None


def test_rates_that_cannot_be_promised_and_other_data_are_refused(
    finished: Finished, strips: Path, tmp_path: Path
) -> None:
    run = finished[0]
    with pytest.raises(InputError, match="Use 299 of them"):
        count_escapes(run, Rates())
    with pytest.raises(InputError, match="mm per pixel"):
        count_escapes(run, mm_per_pixel=0.0)
    assert rates_of(None, None, 0.95) is None
    with pytest.raises(InputError, match="without an escape rate"):
        rates_of(None, 0.1, 0.95)
    assert rates_of(0.1, None, 0.9) == Rates(0.1, 0.1, 0.9)
    with pytest.raises(RunError, match="is not a run"):
        count_escapes(tmp_path)
    shutil.copytree(strips, tmp_path / "other")
    (tmp_path / "other" / "train_images" / open_dataset(strips).names[0]).unlink()
    rows = (strips / "train.csv").read_text().splitlines()
    kept = [row for row in rows if not row.startswith(open_dataset(strips).names[0])]
    (tmp_path / "other" / "train.csv").write_text("\n".join(kept) + "\n")
    with pytest.raises(RunError, match="is other data than that"):
        count_escapes(run, data=tmp_path / "other")


def test_a_run_is_read_without_writing_and_a_broken_store_is_one_error(
    finished: Finished, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert isinstance(count_escapes(run).now.mean_dice, Estimate)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    (run / "probabilities" / "segment" / "strips.txt").write_text("\n")
    with pytest.raises(RunError, match="holds no probabilities of"):
        count_escapes(run)
    shutil.rmtree(run / "probabilities" / "segment")
    with pytest.raises(RunError, match="segment: holds no probabilities"):
        count_escapes(run)
