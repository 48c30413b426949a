"""Tune a finished run: histograms, files, and the verbs that use them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelscan.analysis.tune import Tuned, tune_run, tuning_text, write_tuning
from steelscan.analysis.tune import histograms as run_histograms
from steelscan.analysis.tune.histograms import PartReader, default_thresholds, last_gate
from steelscan.analysis.tune.tune import rules_of
from steelscan.data import Dataset, open_dataset
from steelscan.decision import GivenOutputs, HardGate, StepOutput, run_steps
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.evaluation.tuning import ClassThresholds, CrossFitOptions
from steelscan.pipeline import (
    Evaluated,
    Outcome,
    RunFolder,
    TunedGate,
    check_independent,
    open_run,
    predict,
    read_evaluated,
    submit,
    with_gates,
)
from steelscan.pipeline.tuned_thresholds import read_tuned
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold, Triplet
from steelscan.recipes import Classify, ConfidentStrips, PseudoLabels, Recipe, Segment
from steelscan.strip import decode
from steelscan.strip.errors import InputError, RecipeError, RunError
from steelscan.strip.tables import read_mask_table

Finished = tuple[Path, Outcome]
QUICK = CrossFitOptions(parts=3, repeats=1, resamples=20)


@pytest.fixture(scope="module")
def run(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run, whose strips are few."""
    copy = tmp_path_factory.mktemp("tune") / "run"
    shutil.copytree(finished[0], copy)
    return copy


def tuned_and_written(*arguments: Path, **options: Any) -> Tuned:
    done = tune_run(*arguments, options=QUICK, **options)
    write_tuning(done)
    return done


def test_a_run_whose_networks_depend_on_its_strips_is_not_tuned(
    run: Path, strips: Path, tmp_path: Path
) -> None:
    """Through pseudo-labels by the networks of all folds; without a round there are none."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    folder = RunFolder(copy)
    labels = PseudoLabels(rule=ConfidentStrips(), predicted_by="all")
    untuned = folder.load_recipe().but(tune=None, pseudo_labels=labels)
    folder.recipe.write_text(untuned.model_dump_json())
    tune_run(copy, strips, options=QUICK)
    folder.write_tuned(folder.load_tuned().but(round=1))
    with pytest.raises(RunError, match="out-of-fold scores depend on the strips"):
        tune_run(copy, strips, options=QUICK)
    by_fold = untuned.but(pseudo_labels=labels.but(predicted_by="fold"))
    folder.recipe.write_text(by_fold.model_dump_json())
    check_independent(folder)


def test_a_run_is_tuned_and_left_as_it_was(run: Path, strips: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = tuned_and_written(run, strips)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    new = {path.relative_to(run).as_posix() for path in after.keys() - before.keys()}
    assert new == {"tuned/thresholds.json", "tuned/tuning.html"}
    assert {path: after[path] for path in before} == before
    assert done.held_out is not None
    tuned = read_tuned(done.thresholds_file, RunFolder(run))
    assert tuned.rules == rules_of([each.used for each in done.tuning.classes], "threshold")
    assert [gate.step for gate in tuned.gates] == ["classify"]
    assert tuned.in_sample.value == pytest.approx(done.tuning.best.scores.in_sample)
    text = tuning_text(done)
    assert "best, other strips" in text
    assert text.splitlines()[-1].startswith(str(sum(each.tuned for each in done.tuning.classes)))
    page = done.page.read_text()
    assert "On held-out strips" in page
    assert "http" not in page.replace("http-equiv", "").split("<svg")[0]


def test_histograms_decide_as_the_run_does(run: Path, strips: Path, tiny: Recipe) -> None:
    """Scores from histograms and gates against the masks that the networks make."""
    folder, dataset = RunFolder(run), open_dataset(strips)
    parts = read_evaluated(folder, len(dataset.classes))
    done = tune_run(run, strips, options=QUICK)
    assert done.tuning.image_gate is not None
    part = parts["held out"]
    detector = open_run(folder, __import__("torch").device("cpu"))
    detector = replace(detector, decision=tiny.decision)
    counts = []
    for image in part.images:
        row = dataset.names.index(image)
        counts.append(count_pixels(detector.masks(dataset.picture(row)), dataset.masks(row)))
    assert done.held_out is not None
    expected = dice(Pairs.of(counts)).mean()
    assert done.held_out[0].mean_dice.value == pytest.approx(expected, abs=1e-12)


def test_the_decision_rule_leaves_the_gate_of_the_image(
    run: Path, strips: Path, tmp_path: Path
) -> None:
    """The score of the recipe on held-out strips does not change."""
    searched, decided = (
        tune_run(run, strips, tmp_path / by, options=QUICK.but(by=by)) for by in ("search", "auto")
    )
    assert searched.held_out is not None
    assert decided.held_out is not None
    assert decided.held_out[0] == searched.held_out[0]
    assert decided.thresholds.gates == (TunedGate(step="classify", threshold=0.2),)


def test_predict_and_submit_take_the_file_and_others_do_not_mix(
    run: Path, strips: Path, tmp_path: Path
) -> None:
    """Thresholds that nothing passes leave every strip clean, by the rules and by the gate."""
    done = tuned_and_written(run, strips, tmp_path / "tuned")
    tuned = read_tuned(done.thresholds_file, RunFolder(run))
    pictures = str(strips / "test_images")
    closed = tmp_path / "closed.json"
    for changed in (
        tuned.but(rules=(Threshold(label=1.0, pixel=0.5),)),
        tuned.but(gates=(TunedGate(step="classify", threshold=1.0),)),
    ):
        closed.write_text(changed.model_dump_json())
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        found = predict(run, pictures, out, device="cpu", thresholds=closed, overlays=False)
        assert found.clean == found.pictures == 3
        with pytest.raises(RunError, match="or with other settings"):
            predict(run, pictures, out, device="cpu", overlays=False)
    answers = tmp_path / "open.csv"
    wide = tuned.but(
        rules=(Threshold(label=0.0, pixel=0.0),),
        gates=(TunedGate(step="classify", threshold=0.0),),
    )
    closed.write_text(wide.model_dump_json())
    done_ = submit(run, answers, images=pictures, device="cpu", thresholds=closed)
    assert done_.clean == 0
    table = read_mask_table(answers)
    frame = open_dataset(strips).frames[0]
    for name in table.rows:
        assert any(decode(text, frame).any() for text in table.texts(name, 4))
    with pytest.raises(InputError, match="--thresholds"):
        submit(run, thresholds=closed)


def test_thresholds_of_another_run_or_none_are_refused(
    run: Path, strips: Path, tmp_path: Path
) -> None:
    done = tuned_and_written(run, strips, tmp_path / "tuned")
    stored = json.loads(done.thresholds_file.read_text())
    other = tmp_path / "other.json"
    for changed in ({"run": "0" * 64}, {"round": 7}):
        other.write_text(json.dumps(stored | changed))
        with pytest.raises(RunError, match="another run"):
            read_tuned(other, RunFolder(run))
    other.write_text("{}")
    with pytest.raises(RunError, match="no valid tuned thresholds"):
        read_tuned(other, RunFolder(run))
    older = {name: value for name, value in stored.items() if name != "gates"} | {"gate": None}
    other.write_text(json.dumps(older))
    with pytest.raises(RunError, match=r"another version \(gate: Extra inputs") as refused:
        read_tuned(other, RunFolder(run))
    assert "\n" not in str(refused.value)
    with pytest.raises(RunError, match="cannot be read"):
        read_tuned(tmp_path / "nothing.json", RunFolder(run))


def test_other_data_and_unfinished_runs_are_refused(
    run: Path, strips: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "strips"
    shutil.copytree(strips, copy)
    rows = (copy / "train.csv").read_text().splitlines()
    (copy / "train.csv").write_text("\n".join(rows[:-1]) + "\n")
    with pytest.raises(RunError, match="other data"):
        tune_run(run, copy, tmp_path / "out")
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("run.json", "recipe.json"):
        shutil.copy(run / name, begun)
    with pytest.raises(RunError, match="training has not ended"):
        tune_run(begun, strips, tmp_path / "out")
    bare = tmp_path / "bare"
    shutil.copytree(run, bare, ignore=shutil.ignore_patterns("probabilities"))
    with pytest.raises(RunError, match="holds no probabilities"):
        tune_run(bare, strips, tmp_path / "out")
    assert not (bare / "probabilities").exists()


def test_which_gate_is_searched(tiny: Recipe) -> None:
    classify, segment, *rules = tiny.steps
    assert isinstance(classify, Classify)
    assert isinstance(segment, Segment)
    assert last_gate(tiny, 4) == ("classify", "image", (0.2,) * 4)
    of_class = tiny.but(steps=(classify.but(gate="class"), segment, *rules))
    assert last_gate(of_class, 4) == ("classify", "class", (0.2,) * 4)
    several = classify.but(threshold=(0.1, 0.2, 0.3, 0.4))
    assert last_gate(tiny.but(steps=(several, segment, *rules)), 4) is None
    assert last_gate(tiny.but(steps=(segment, *rules)), 4) is None
    thresholds = default_thresholds(tiny.rules, 4, last_gate(of_class, 4))
    assert thresholds == (ClassThresholds(0.2, 0.5, 0.5, 4),) * 4
    assert (
        default_thresholds(tiny.rules, 2, last_gate(tiny, 2))
        == (ClassThresholds(None, 0.5, 0.5, 4),) * 2
    )
    triplet = Triplet(top=(0.8, 0.9), area=7, bottom=0.3)
    assert default_thresholds([triplet], 2, None) == (
        ClassThresholds(None, 0.8, 0.3, 7),
        ClassThresholds(None, 0.9, 0.3, 7),
    )
    with pytest.raises(RecipeError, match="remove_small_components"):
        default_thresholds([Threshold(), RemoveSmallComponents(pixels=3)], 2, None)


def test_a_gate_is_put_in_its_step(tiny: Recipe) -> None:
    changed = with_gates(tiny, [TunedGate(step="classify", threshold=0.75)])
    assert changed.classify is not None
    assert changed.classify.threshold == 0.75
    assert changed.steps[1:] == tiny.steps[1:]
    assert tiny.classify is not None
    assert changed.but(steps=(tiny.classify, *changed.steps[1:])) == tiny
    with pytest.raises(RunError, match="no gate at step segment"):
        with_gates(tiny, [TunedGate(step="segment", threshold=0.5)])
    with pytest.raises(RunError, match="no gate at step other"):
        with_gates(tiny, [TunedGate(step="other", threshold=0.5)])


def test_a_triplet_takes_the_place_of_thresholds_that_it_can_stand_for(
    run: Path, strips: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="least area"):
        tune_run(run, strips, tmp_path, triplet=True)  # the recipe asks for four pixels
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    recipe = RunFolder(copy).load_recipe()
    rules = (Threshold(), MinArea(pixels=0))
    plain = recipe.but(steps=(*recipe.steps[:2], *rules))
    RunFolder(copy).recipe.write_text(plain.model_dump_json())
    one, other = (
        tune_run(copy, strips, tmp_path / f"out{triplet}", triplet=triplet, options=QUICK)
        for triplet in (False, True)
    )
    assert other.tuning.classes[0].default == ClassThresholds(None, 0.5, 0.5, 1)
    assert isinstance(other.thresholds.rules[0], Triplet)
    expected = pytest.approx(other.tuning.best.scores.default)
    assert one.tuning.best.scores.default == expected
    assert one.held_out is not None
    assert other.held_out is not None
    assert one.held_out[0] == other.held_out[0]


def test_a_searched_hard_gate_closes_no_class_in_histograms(tiny: Recipe) -> None:
    """The probabilities of aux heads are returned with the histograms."""
    from steelscan.pipeline import StepStores
    from steelscan.strip import Frame

    random = np.random.default_rng(0)
    pixels = random.integers(1, 256, (4, 64, 160)).astype(np.uint8)
    classes = np.array([0.1, 0.9, 0.5, 0.0], np.float32)
    stores = {"segment": StepStores({0: pixels}, {0: classes})}  # type: ignore[arg-type]
    outputs = run_histograms._Outputs(stores, 0)
    _, segment, *rules = tiny.steps
    assert isinstance(segment, Segment)
    recipe = tiny.model_copy(
        update={"steps": (segment.model_copy(update={"gate": HardGate(threshold=1.0)}), *rules)}
    )
    found = run_steps(recipe.decision, outputs, 4, Frame(64, 160), ("segment",))
    assert np.array_equal(found.pixels, pixels)
    assert found.classes is not None
    assert np.array_equal(found.classes, classes)
    given = GivenOutputs({"segment": StepOutput(pixels, classes)})
    closed = run_steps(recipe.decision, given, 4, Frame(64, 160))
    assert not closed.pixels.any()


def _only(part: Evaluated, row: int, dataset: Dataset) -> Evaluated:
    at = [part.images.index(dataset.names[row])]
    return Evaluated((dataset.names[row],), part.groups[at], part.folds[at], part.pairs.select(at))


def test_histograms_need_every_strip(run: Path, strips: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    log = copy / "probabilities" / "segment" / "strips.txt"
    log.write_text("\n".join(log.read_text().split("\n")[:-3]) + "\n")
    folder, dataset = RunFolder(copy), open_dataset(strips)
    parts = read_evaluated(folder, 4)
    row = int(log.read_text().split()[-1])
    kept = next(part for part in parts.values() if dataset.names[row] in part.images)
    reader, gate = PartReader(folder, folder.load_recipe(), 0, dataset), None
    assert len(reader.histograms(_only(kept, row, dataset), gate).histograms)
    with pytest.raises(RunError, match=r"holds no probabilities of "):
        reader.histograms(parts["held out"], gate)
