"""Gates that a run tunes by F1: chosen before the masks, and used by everything that decides."""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steelscan import recipes
from steelscan.analysis.tune import tune_run, tuning_text, write_tuning
from steelscan.analysis.tune.gates import chosen_first
from steelscan.data import open_dataset
from steelscan.decision import Decision, HardGate
from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    CrossFitOptions,
    MeanDice,
    Tune,
)
from steelscan.pipeline import (
    Options,
    RunFolder,
    StoredOutputs,
    gates_by_cost,
    open_run,
    predict,
    tune_gates,
    with_gates,
)
from steelscan.pipeline.out_of_fold import steps_to_tune
from steelscan.pipeline.train import train
from steelscan.prediction import ProbabilityStore
from steelscan.recipes import Classify, Recipe, Segment, fit_to_classes
from steelscan.strip import Classes, PerClass, per_class

CPU = Options(device="cpu")
ONLY_GATES = Tune(gates="f1", label=False, pixel=False, area=False, positives=2)
QUICK = CrossFitOptions(parts=3, repeats=1, resamples=20)
pytestmark = pytest.mark.usefixtures("unreported")


@pytest.fixture
def planted(
    fitted: Callable[[Recipe, Path], None], strips: Path, tmp_path: Path
) -> Callable[[Recipe], Path]:
    """Return a function that starts a run whose outputs are stored already.

    The segmenter finds all masks. The classifier gives 0.1 to classes that are present and 0.04 to
    all others: all are below the recipe's gate of 0.2, and 0.07 separates them.
    """

    def plant(recipe: Recipe) -> Path:
        run, dataset = tmp_path / "run", open_dataset(strips)
        fitted(recipe, run)
        folder, classes = RunFolder(run), len(dataset.classes)
        of_classes = ProbabilityStore(folder.probabilities("classify", 0), 28, classes, ())
        pixels = ProbabilityStore(folder.probabilities("segment", 0), 28, classes, dataset.frames)
        for row in range(len(dataset)):
            values = np.where(dataset.present[row], 0.1, 0.04)
            of_classes[row] = values.astype(np.float32)
            pixels[row] = dataset.masks(row).astype(np.uint8) * np.uint8(255)
        return run

    return plant


def rounded(threshold: PerClass[float]) -> list[float]:
    assert isinstance(threshold, tuple)
    return [round(value, 6) for value in threshold]


def gate_of(decision: Decision) -> list[float]:
    return rounded(decision.stages[0].classifiers[0].threshold)


def test_a_run_decides_by_the_gates_that_it_tuned(
    planted: Callable[[Recipe], Path], strips: Path, tiny: Recipe
) -> None:
    recipe = tiny.but(tune=ONLY_GATES)
    run = planted(recipe)
    outcome = train(recipe, strips, run, CPU)
    dataset, folder = open_dataset(strips), RunFolder(run)
    folds = folder.load_folds(dataset.names)
    counts = dataset.present[np.isin(folds, recipe.folds.validation)].sum(0)
    expected = [0.07 if count >= 2 else 0.2 for count in counts]
    assert 0.07 in expected  # else nothing is tested
    tuned = folder.load_tuned()
    assert (tuned.search, tuned.rules) == (None, recipe.rules)
    (gate,) = tuned.gates
    assert gate.step == "classify"
    for scores, value in zip(gate.f1, expected, strict=True):
        assert (scores is None) == (value == 0.2)
        if scores is not None:
            assert (scores.default, scores.in_sample, scores.out_of_sample) == (0.0, 1.0, 1.0)
    sentences = [note for note in outcome.notes if note.startswith("Gate of step classify")]
    for number, (sentence, value) in enumerate(zip(sentences, expected, strict=True), start=1):
        reason = "F1 0.000 -> 1.000, 1.000 on other strips" if value == 0.07 else "2 are needed"
        assert sentence.startswith(f"Gate of step classify, class {number}: {value:g} (")
        assert sentence.endswith(f"{reason}).")
    # behind the recipe's gate every mask would be empty
    for name, scores in outcome.scores.items():
        assert scores.mean_dice.value > outcome.empty[name].mean_dice.value
    detector, stored = open_run(folder, torch.device("cpu")), StoredOutputs(folder, dataset)
    assert gate_of(detector.decision) == gate_of(stored.decision) == expected
    assert gate_of(folder.load_tuned_recipe().decision) == expected
    for row in stored.rows.tolist():
        opened = (dataset.present[row] & (np.array(expected) < 0.1)).any()
        assert np.array_equal(stored.masks(row), dataset.masks(row) & opened)


def test_the_tune_verb_chooses_gates_as_the_recipe_does_and_the_file_is_used(
    planted: Callable[[Recipe], Path], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    recipe = tiny.but(tune=ONLY_GATES)
    run = planted(recipe)
    train(recipe, strips, run, CPU)
    done = tune_run(run, strips, options=QUICK)
    write_tuning(done)
    assert len(done.gates) == 4
    assert "chosen first, by F1" in tuning_text(done)
    assert "Gates, chosen by F1" in done.page.read_text()
    (gate,) = done.thresholds.gates
    assert gate.step == "classify"
    assert done.tuning.image_gate is None
    detector = open_run(RunFolder(run), torch.device("cpu"), done.thresholds_file)
    assert gate_of(detector.decision) == rounded(gate.threshold)
    by_objective = tune_run(run, strips, tmp_path / "other", options=QUICK, gates="objective")
    assert by_objective.gates == ()
    assert by_objective.tuning.image_gate is not None
    found = predict(run, str(strips / "test_images"), tmp_path / "out", overlays=False)
    assert found.pictures == 3


def test_a_gate_that_loses_every_defect_and_saves_nothing_is_lowered_for_each_class(
    planted: Callable[[Recipe], Path], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """All masks are right, so each defect that the recipe's gate of 0.2 closes is a cost."""
    recipe = tiny.but(tune=Tune(gates="cost"))
    run = planted(recipe)
    outcome = train(recipe, strips, run, CPU)
    dataset, folder = open_dataset(strips), RunFolder(run)
    rows = np.isin(folder.load_folds(dataset.names), recipe.folds.validation)
    counts = dataset.present[rows].sum(0)
    (gate,) = folder.load_tuned().gates
    assert gate.f1 == ()
    # on strips with several classes, an earlier one may have opened all strips of a later one
    lowered = [value < 0.2 for value in rounded(gate.threshold)]
    assert lowered[int(np.flatnonzero(counts)[0])]
    assert not any(low and not count for low, count in zip(lowered, counts, strict=True))
    assert all(value <= 0.1 for value, low in zip(gate.threshold, lowered, strict=True) if low)
    sentences = [note for note in outcome.notes if note.startswith("Gate of step classify")]
    for sentence, count, low in zip(sentences, counts, lowered, strict=True):
        assert ("lowered from 0.2: it lost" in sentence) == low
        assert f"it lost {count} of {count} strips with the class out of fold" in sentence
    assert outcome.scores["out of fold"].mean_dice.value == 1.0
    done = tune_run(run, strips, tmp_path / "tuned", options=QUICK)
    write_tuning(done)
    assert done.thresholds.gates[0].threshold == gate.threshold
    assert "chosen first, by their cost" in tuning_text(done)
    assert "Gates, chosen by their cost" in done.page.read_text()
    assert done.tuning.used.scores.out_of_sample > done.recorded - 0.2
    detector = open_run(folder, torch.device("cpu"), done.thresholds_file)
    assert gate_of(detector.decision) == rounded(gate.threshold)


def test_a_gate_behind_another_is_measured_behind_what_was_chosen_for_the_first(
    tiny: Recipe,
) -> None:
    """All gates after the one that is measured are open, those before it as they were chosen."""
    classify, *others = tiny.steps
    assert isinstance(classify, Classify)
    first, last = classify.but(threshold=0.4), classify.but(threshold=0.2, gate="class")
    recipe = tiny.but(steps=(first, last, *others), tune=Tune(gates="cost"))
    histograms = np.zeros((6, 2, 4, 256), np.int32)
    histograms[:, 0, :, 0] = 16
    histograms[:2, 0, 0], histograms[:2, 1, 0] = 0, 0  # two strips with class 1, found wholly
    histograms[:2, :, 0, 255] = 16
    asked: list[tuple[tuple[float, ...], tuple[str, ...]]] = []

    def searches_of(decision: Decision, ungated: Collection[str]) -> list[ClassSearch]:
        thresholds = per_class(decision.stages[0].classifiers[0].threshold, 4, "gate")
        asked.append((tuple(round(each, 6) for each in thresholds), tuple(ungated)))
        masks = ClassThresholds(None, 0.5, 0.5, 0)
        return [ClassSearch(histograms[:, :, at], None, masks, MeanDice()) for at in range(4)]

    values = {"classify": np.full((6, 4), 0.3), "classify2": np.full((6, 4), 0.3)}
    found = gates_by_cost(
        recipe,
        searches_of,
        lambda step: values[step].astype(np.float32),
        np.arange(6),
        QUICK,
    )
    assert asked == [
        ((0.4,) * 4, ("classify", "classify2")),
        ((0.2, 0.4, 0.4, 0.4), ("classify2",)),
    ]
    assert [rounded(gate.threshold) for gate in found.gates] == [[0.2, 0.4, 0.4, 0.4], [0.2] * 4]
    assert len(found.without_own) == 6
    assert with_gates(recipe, found.gates).decision.stages[0].classifiers[1].gate == "class"


def test_masks_are_tuned_behind_the_gates_of_best_f1(
    planted: Callable[[Recipe], Path], strips: Path, tiny: Recipe
) -> None:
    """Behind the recipe's gate all masks are empty; behind the tuned one they are right."""
    recipe = tiny.but(tune=Tune(gates="f1", positives=2))
    run = planted(recipe)
    train(recipe, strips, run, CPU)
    tuned = RunFolder(run).load_tuned()
    assert tuned.search is not None
    dataset = open_dataset(strips)
    rows = np.isin(RunFolder(run).load_folds(dataset.names), recipe.folds.validation)
    present = dataset.present[rows]
    found = np.array(rounded(tuned.gates[0].threshold)) == 0.07
    opened = (present & found).any(1)
    right = (~present | opened[:, None]).mean(0)
    assert tuned.search.before == pytest.approx(tuple(right))
    assert (right > (~present).mean(0)).any()


def test_which_steps_have_gates_and_which_outputs_they_need(tiny: Recipe) -> None:
    assert steps_to_tune(tiny.but(tune=None)) == []
    assert steps_to_tune(tiny) == ["classify", "segment"]
    assert steps_to_tune(tiny.but(tune=ONLY_GATES)) == ["classify"]
    only_costs = ONLY_GATES.but(gates="cost")  # which depend on the masks behind the gates
    assert steps_to_tune(tiny.but(tune=only_costs)) == ["classify", "segment"]
    classify, segment, *rules = tiny.steps
    assert isinstance(classify, Classify)
    assert isinstance(segment, Segment)
    with pytest.raises(ValidationError, match="no step has a gate"):
        tiny.but(steps=(segment, *rules), tune=ONLY_GATES)
    assert tiny.but(steps=(segment, *rules), tune=Tune()).tune == Tune()
    nothing_to_lower = tiny.but(steps=(segment, *rules), tune=Tune(gates="cost"))
    assert chosen_first(nothing_to_lower, None) is None
    assert chosen_first(nothing_to_lower, "cost") == "cost"  # which is then refused
    assert chosen_first(tiny.but(tune=Tune(gates="cost")), None) == "cost"
    assert chosen_first(tiny.but(tune=Tune(gates="cost")), "objective") is None


def test_a_hard_gate_of_aux_heads_is_tuned_like_a_classifier() -> None:
    recipe = recipes.load("fourteenth_place")
    random = np.random.default_rng(0)
    present = random.random((80, 4)) < 0.3
    values = np.where(present, 0.6, 0.1) + random.random((80, 4)) * 0.3
    values[:, 3] = np.nan
    given = {"segment": values.astype(np.float32)}
    found = tune_gates(recipe, given.__getitem__, present, np.arange(80), QUICK, 8)
    (gate,) = found.gates
    thresholds = rounded(gate.threshold)
    assert all(0.4 < value < 0.6 for value in (thresholds[1], thresholds[2]))
    assert thresholds[0] == 0.55  # it is among the best already
    assert thresholds[3] == 0.5
    assert gate.reasons[3] == "no network predicts this class"
    changed = with_gates(recipe, found.gates).segment.gate
    assert isinstance(changed, HardGate)
    assert changed.threshold == gate.threshold
    assert len(found.without_own) == 80
    assert {each.step for gates in found.without_own for each in gates} == {"segment"}


def test_other_classes_get_tuned_masks_too() -> None:
    """The 12th tunes its gates alone; with other classes its masks have no published thresholds."""
    recipe = recipes.load("twelfth_place")
    adapted, notes = fit_to_classes(recipe, Classes(names=("scratch", "dent", "rust")))
    assert adapted.tune == Tune(gates="f1", neutral=True)
    assert any("all gates, by F1" in note for note in notes)
