"""A finished run tuned anew: what is counted, what is written, and who takes it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.tune import tune_run, tuning_text
from steelscan.analysis.tune.histograms import count_part, gate_of, numbers_of
from steelscan.analysis.tune.tune import rules_of
from steelscan.data import Dataset, open_dataset
from steelscan.decision import GivenOutputs, HardGate, StepOutput, run_steps
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.evaluation.tuning import CarefulTune, Numbers
from steelscan.pipeline import (
    Evaluated,
    Outcome,
    RunFolder,
    TunedGate,
    TunedThresholds,
    open_run,
    predict,
    read_evaluated,
    submit,
)
from steelscan.pipeline.tuned_thresholds import read_tuned, with_gate
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold, Triplet
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import InputError, RecipeError, RunError, decode, read_mask_table

Finished = tuple[Path, Outcome]
QUICK = CarefulTune(parts=3, repeats=1, resamples=20)


@pytest.fixture(scope="module")
def run(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run, whose strips are few."""
    copy = tmp_path_factory.mktemp("tune") / "run"
    shutil.copytree(finished[0], copy)
    return copy


def test_a_run_is_tuned_and_left_as_it_was(run: Path, strips: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = tune_run(run, strips, tune=QUICK)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    new = {path.relative_to(run).as_posix() for path in after.keys() - before.keys()}
    assert new == {"tuned/thresholds.json", "tuned/tuning.html"}
    assert {path: after[path] for path in before} == before
    assert done.held_out is not None
    tuned = read_tuned(done.thresholds, RunFolder(run))
    assert tuned.rules == rules_of([each.used for each in done.tuning.classes], "threshold")
    assert tuned.gate is not None
    assert tuned.gate.step == "classify"
    assert tuned.searched.value == pytest.approx(done.tuning.total.found.searched)
    told = tuning_text(done)
    assert "best, strips not searched" in told
    assert told.splitlines()[-1].startswith(str(sum(each.tuned for each in done.tuning.classes)))
    page = done.page.read_text()
    assert "On strips held out from everything" in page
    assert "http" not in page.replace("http-equiv", "").split("<svg")[0]


def test_histograms_decide_as_the_run_does(run: Path, strips: Path, tiny: Recipe) -> None:
    """Scores from histograms and gates against the masks that the networks make."""
    folder, dataset = RunFolder(run), open_dataset(strips)
    judged = read_evaluated(folder, len(dataset.classes))
    done = tune_run(run, strips, tune=QUICK)
    assert done.tuning.image_gate is not None
    part = judged["held out"]
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
    """Behind it nothing changes: what the recipe scores on strips held out is the same."""
    searched, decided = (
        tune_run(run, strips, tmp_path / by, tune=QUICK.but(by=by)) for by in ("search", "auto")
    )
    assert searched.held_out is not None
    assert decided.held_out is not None
    assert decided.held_out[0] == searched.held_out[0]
    told = read_tuned(decided.thresholds, RunFolder(run))
    assert told.gate == TunedGate(step="classify", threshold=0.2)


def test_predict_and_submit_take_the_file_and_others_do_not_mix(
    run: Path, strips: Path, tmp_path: Path
) -> None:
    """Thresholds that nothing passes leave every strip clean, by the rules and by the gate."""
    done = tune_run(run, strips, tmp_path / "tuned", tune=QUICK)
    tuned = read_tuned(done.thresholds, RunFolder(run))
    pictures = str(strips / "test_images")
    closed = tmp_path / "closed.json"
    for changed in (
        tuned.but(rules=(Threshold(label=1.0, pixel=0.5),)),
        tuned.but(gate=TunedGate(step="classify", threshold=1.0)),
    ):
        closed.write_text(changed.model_dump_json())
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        found = predict(run, pictures, out, device="cpu", thresholds=closed, overlays=False)
        assert found.clean == found.pictures == 3
        with pytest.raises(RunError, match="or with other settings"):
            predict(run, pictures, out, device="cpu", overlays=False)
    answers = tmp_path / "open.csv"
    wide = tuned.but(
        rules=(Threshold(label=0.0, pixel=0.0),), gate=TunedGate(step="classify", threshold=0.0)
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
    done = tune_run(run, strips, tmp_path / "tuned", tune=QUICK)
    told = json.loads(done.thresholds.read_text())
    other = tmp_path / "other.json"
    for changed in ({"run": "0" * 64}, {"round": 7}):
        other.write_text(json.dumps(told | changed))
        with pytest.raises(RunError, match="another run"):
            read_tuned(other, RunFolder(run))
    other.write_text("{}")
    with pytest.raises(RunError, match="no tuned thresholds"):
        read_tuned(other, RunFolder(run))
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
    assert gate_of(tiny, 4) == ("classify", "image", (0.2,) * 4)
    of_class = tiny.but(steps=(classify.but(gate="class"), segment, *rules))
    assert gate_of(of_class, 4) == ("classify", "class", (0.2,) * 4)
    several = classify.but(threshold=(0.1, 0.2, 0.3, 0.4))
    assert gate_of(tiny.but(steps=(several, segment, *rules)), 4) is None
    assert gate_of(tiny.but(steps=(segment, *rules)), 4) is None
    numbers = numbers_of(tiny.rules, 4, gate_of(of_class, 4))
    assert numbers == (Numbers(0.2, 0.5, 0.5, 4),) * 4
    assert numbers_of(tiny.rules, 2, gate_of(tiny, 2)) == (Numbers(None, 0.5, 0.5, 4),) * 2
    triplet = Triplet(top=(0.8, 0.9), area=7, bottom=0.3)
    assert numbers_of([triplet], 2, None) == (
        Numbers(None, 0.8, 0.3, 7),
        Numbers(None, 0.9, 0.3, 7),
    )
    with pytest.raises(RecipeError, match="remove_small_components"):
        numbers_of([Threshold(), RemoveSmallComponents(pixels=3)], 2, None)


def test_a_gate_is_put_in_its_step(tiny: Recipe) -> None:
    changed = with_gate(tiny, TunedGate(step="classify", threshold=0.75))
    assert changed.classify is not None
    assert changed.classify.threshold == 0.75
    assert changed.steps[1:] == tiny.steps[1:]
    assert tiny.classify is not None
    assert changed.but(steps=(tiny.classify, *changed.steps[1:])) == tiny
    with pytest.raises(RunError, match="no gate at step segment"):
        with_gate(tiny, TunedGate(step="segment", threshold=0.5))
    with pytest.raises(RunError, match="no gate at step other"):
        with_gate(tiny, TunedGate(step="other", threshold=0.5))


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
        tune_run(copy, strips, tmp_path / f"out{triplet}", triplet=triplet, tune=QUICK)
        for triplet in (False, True)
    )
    assert other.tuning.classes[0].default == Numbers(None, 0.5, 0.5, 1)
    told = TunedThresholds.model_validate_json(other.thresholds.read_text())
    assert isinstance(told.rules[0], Triplet)
    assert one.tuning.total.found.before == pytest.approx(other.tuning.total.found.before)
    assert one.held_out is not None
    assert other.held_out is not None
    assert one.held_out[0] == other.held_out[0]


def test_a_searched_hard_gate_closes_no_class_in_histograms(tiny: Recipe) -> None:
    """With aux heads: their probabilities are kept beside the histograms."""
    from steelscan.analysis.tune import histograms
    from steelscan.pipeline import StepStores
    from steelscan.strip import Frame

    random = np.random.default_rng(0)
    pixels = random.integers(1, 256, (4, 64, 160)).astype(np.uint8)
    classes = np.array([0.1, 0.9, 0.5, 0.0], np.float32)
    gate = histograms.Gate("segment", "class", (0.4,) * 4)
    stores = {"segment": StepStores({0: pixels}, {0: classes})}  # type: ignore[arg-type]
    outputs = histograms._WithOpenGate(stores, 0, gate)
    _, segment, *rules = tiny.steps
    assert isinstance(segment, Segment)
    recipe = tiny.model_copy(
        update={"steps": (segment.model_copy(update={"gate": HardGate(threshold=1.0)}), *rules)}
    )
    found = run_steps(recipe.decision, outputs, 4, Frame(64, 160))
    assert np.array_equal(found.pixels, pixels)
    assert np.array_equal(outputs.of_classes("segment"), classes)
    given = GivenOutputs({"segment": StepOutput(pixels, classes)})
    closed = run_steps(recipe.decision, given, 4, Frame(64, 160))
    assert not closed.pixels.any()


def _only(judged: Evaluated, row: int, dataset: Dataset) -> Evaluated:
    at = [judged.images.index(dataset.names[row])]
    return Evaluated(
        (dataset.names[row],), judged.groups[at], judged.folds[at], judged.pairs.select(at)
    )


def test_counting_needs_every_strip(run: Path, strips: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    log = copy / "probabilities" / "segment" / "strips.txt"
    log.write_text("\n".join(log.read_text().split("\n")[:-3]) + "\n")
    folder, dataset = RunFolder(copy), open_dataset(strips)
    judged = read_evaluated(folder, 4)
    row = int(log.read_text().split()[-1])
    kept = next(part for part in judged.values() if dataset.names[row] in part.images)
    assert len(
        count_part(folder, folder.load_recipe(), 0, dataset, _only(kept, row, dataset)).levels
    )
    with pytest.raises(RunError, match=r"holds no probabilities of "):
        count_part(folder, folder.load_recipe(), 0, dataset, judged["held out"])
