"""Runs with gates, other averages, and networks that know only some classes, to the very end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from steelscan.data import open_dataset
from steelscan.data.duplicates import group_strips
from steelscan.data.folds import read_folds
from steelscan.decision import HardGate, RuleInput, SoftGate, masks_of
from steelscan.losses import BCE, BothHeads, Dice, Mix
from steelscan.models import TwoHeaded
from steelscan.pipeline import Options, RunFolder, open_run
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.out_of_fold import OutOfFold
from steelscan.pipeline.train import train
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, LogitMean, Member, PowerMean, Tiles
from steelscan.recipes import Classify, KeepPresent, Recipe, Segment
from steelscan.strip.errors import RecipeError
from steelscan.strip.tables import read_mask_table

CPU = Options(device="cpu")
pytestmark = pytest.mark.usefixtures("unreported")
RULES = (Threshold(label=0.0, pixel=0.15), MinArea(pixels=4))


def plan_of(recipe: Recipe, data: Path, run: Path) -> RunContext:
    dataset = open_dataset(data)
    folds = read_folds(run / "folds.csv", dataset.names)
    return RunContext(RunFolder(run), recipe, dataset, group_strips(dataset), folds, CPU)


def agree(recipe: Recipe, data: Path, run: Path) -> np.ndarray:
    """Check that strips are decided alike from the stores and anew.

    Returns which classes are open to the last rules, bool ``(strips, classes)``.
    """
    context = plan_of(recipe, data, run)
    stored, detector = OutOfFold(context), open_run(RunFolder(run), torch.device("cpu"))
    rules = RunFolder(run).load_tuned().rules
    found = []
    for row in context.rows(*recipe.folds.holdout).tolist():
        before, again = stored.rule_input(row), detector.rule_input(context.dataset.picture(row))
        assert np.array_equal(before.pixels, again.pixels)
        assert np.array_equal(stored.masks(row, rules), masks_of(again, rules))
        found.append(before.pixels.any((1, 2)))
    return np.array(found)


def forgotten(store: Path, rows: int) -> None:
    """Let a store forget the rows that were written last."""
    lines = (store / "strips.txt").read_text().split()
    (store / "strips.txt").write_text("".join(f"\n{line}\n" for line in lines[:-rows]))
    assert len(lines) > rows


def two_headed(tiny: Recipe, **changes: object) -> Member:
    """The segmenter of the small recipe with a second head, fitted for one epoch."""
    (member,) = tiny.segment.ensemble.members
    assert member.network.kind == "fpn"
    outline = Mix(parts=((1.0, BCE(pos_weight=(1.0, 2.0, 3.0, 4.0))), (1.0, Dice())))
    stage = member.stages[0].but(loss=BothHeads(masks=outline, classes=BCE()), epochs=1)
    return member.but(network=TwoHeaded(segmenter=member.network), stages=(stage,), **changes)


def test_a_soft_gate_over_mean_logits_goes_the_whole_way_and_on_after_a_crash(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    ensemble = Ensemble(
        members=(two_headed(tiny, tiles=Tiles(width=96, overlap=32)),),
        views=("identity", "hflip"),
        average=LogitMean(),
    )
    steps = (Segment(ensemble=ensemble, gate=SoftGate()), *RULES)
    recipe = tiny.but(name="soft", steps=steps)
    run, broken = tmp_path / "run", tmp_path / "broken"
    outcome = train(recipe, strips, run, CPU)
    assert agree(recipe, strips, run).any()
    assert 0 <= outcome.scores["held out"].mean_dice.value <= 1
    stores = run / "probabilities"
    assert {path.name for path in stores.iterdir()} == {"segment", "segment-classes"}
    shutil.copytree(run, broken)
    for name in ("thresholds.json", "scores.json", "submission.csv"):
        (broken / name).unlink()
    forgotten(broken / "probabilities" / "segment-classes", 3)
    forgotten(broken / "probabilities" / "segment", 1)
    train(recipe, strips, broken, CPU)
    for name in ("thresholds.json", "scores.json", "submission.csv"):
        assert (broken / name).read_bytes() == (run / name).read_bytes()
    for row in range(3):
        both = [OutOfFold(plan_of(recipe, strips, each)) for each in (broken, run)]
        assert np.array_equal(*(each.rule_input(row).pixels for each in both))


def test_a_hard_gate_and_networks_for_single_classes_go_the_whole_way(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """Class 2 has no network; the classifier knows class 1 alone, and closes it everywhere."""
    assert tiny.classify is not None
    (classifier,) = tiny.classify.ensemble.members
    stages = (classifier.stages[0].but(epochs=1),)
    judge = Ensemble(members=(classifier.but(classes=(1,), stages=stages),))
    outliners = Ensemble(
        members=(
            two_headed(tiny, classes=(1,)),
            two_headed(tiny, classes=(3, 4)),
            two_headed(tiny, classes=(4,), folds=(1,)),
        ),
        average=PowerMean(t=0.5, form="true"),
    )
    steps = (
        Classify(ensemble=judge, threshold=0.99, gate="class"),
        Segment(ensemble=outliners, gate=HardGate(threshold=0.0)),
        *RULES,
    )
    recipe, run = tiny.but(name="hard", steps=steps, tune=None), tmp_path / "run"
    train(recipe, strips, run, CPU)
    found = agree(recipe, strips, run)
    assert not found[:, :2].any()
    assert found[:, 2:].any()
    table = read_mask_table(run / "submission.csv")
    texts = [table.texts(name, 4) for name in table.rows]
    assert not any(text for each in texts for text in each[:2])
    assert json.loads((run / "scores.json").read_text())["out of fold"]["strips"] > 0


def test_classes_that_the_data_set_has_not_are_refused_when_the_run_begins(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    (member,) = tiny.segment.ensemble.members
    segment = Segment(ensemble=Ensemble(members=(member, member.but(classes=(1, 5)))))
    recipe = tiny.but(steps=(segment, *RULES))
    with pytest.raises(RecipeError, match="segment 2, classes: includes class 5, the data set"):
        train(recipe, strips, tmp_path / "run", CPU)
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_two_rounds_of_judging_and_outlining_go_the_whole_way_and_on_after_a_crash(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """The 12th place's shape: outlined once to find the classes, then anew, a network a class.

    The first rules find every class but the fourth, whatever the networks predict.
    """
    assert tiny.classify is not None
    (member,) = tiny.segment.ensemble.members
    decider = member.but(stages=(member.stages[0].but(epochs=1),))
    binary = tuple(decider.but(classes=(class_id,)) for class_id in (3, 4))
    lenient = (Threshold(label=0.0, pixel=(0.0, 0.0, 0.0, 1.0)), MinArea(pixels=200))
    second = tuple(each.but(folds=(at,)) for at, each in enumerate((decider, decider)))
    steps = (
        tiny.classify.but(threshold=0.0),
        Segment(ensemble=Ensemble(members=second)),
        *lenient,
        KeepPresent(),
        tiny.classify.but(threshold=0.0),
        Segment(ensemble=Ensemble(members=binary)),
        Threshold(label=0.0, pixel=0.3),
    )
    recipe, run, broken = tiny.but(name="rounds", steps=steps), tmp_path / "run", tmp_path / "two"
    train(recipe, strips, run, CPU)
    names = {path.name for path in (run / "networks").iterdir()}
    assert names == {
        *("classify-0-fold0", "classify-0-fold1", "classify2-0-fold0", "classify2-0-fold1"),
        *("segment-0-fold0", "segment-1-fold1"),
        *(f"segment2-{number}-fold{fold}" for number in range(2) for fold in range(2)),
    }
    assert {path.name for path in (run / "probabilities").iterdir()} == set(recipe.named)
    one, two = (run / "networks" / f"{name}-0-fold0" for name in ("classify", "classify2"))
    weights = [(folder / "checkpoint.safetensors").read_bytes() for folder in (one, two)]
    assert weights[0] != weights[1]  # networks of two steps begin with seeds of their own
    found = agree(recipe, strips, run)
    assert found.any(0).tolist() == [False, False, True, False]
    context = plan_of(recipe, strips, run)
    stored, segment = OutOfFold(context), np.ones(4, np.bool_)
    for row in context.rows(3).tolist():  # the second round can only take classes away
        output = stored.outputs(row).output("segment", segment)
        once = masks_of(RuleInput(output.pixels, None), lenient).any((1, 2))
        assert not (stored.rule_input(row).pixels.any((1, 2)) & ~once).any()
    shutil.copytree(run, broken)
    shutil.rmtree(broken / "networks" / "segment2-1-fold0")
    shutil.rmtree(broken / "probabilities" / "segment2")
    forgotten(broken / "probabilities" / "segment", 2)
    for name in ("thresholds.json", "scores.json", "submission.csv"):
        (broken / name).unlink()
    train(recipe, strips, broken, CPU)
    for name in ("thresholds.json", "scores.json", "submission.csv"):
        assert (broken / name).read_bytes() == (run / name).read_bytes()
