"""The value of the early exit, against every value tried in turn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from steelscan.bundle import load
from steelscan.bundle.export.early_exit import early_exit, find_early_exit
from steelscan.bundle.export.export import export
from steelscan.data import open_dataset
from steelscan.decision import Detector
from steelscan.evaluation.statistics import upper_bound
from steelscan.pipeline import Options, RunFolder, open_run
from steelscan.pipeline.train import train
from steelscan.recipes import Recipe
from steelscan.strip.errors import RunError


def lost(level, highest, truth, found):
    return sum(
        1
        for high, true, seen in zip(highest, truth, found, strict=True)
        if true and seen and 0 <= high <= level
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.1, 0.5]))
def test_it_is_the_highest_that_the_budget_allows(seed, budget):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 60)
    highest = rng.integers(-1, 256, count)
    truth = rng.random(count) < 0.5
    found = (rng.random(count) < 0.7) & (highest >= 0)
    early = early_exit(highest, truth, found, budget)
    allowed = [
        level for level in range(255)
        if lost(level, highest, truth, found) <= budget * truth.sum() + 1e-9
    ]  # fmt: skip
    if early is None:
        assert not any(0 <= high <= max(allowed, default=-1) for high in highest)
        return
    assert early.skipped
    assert early.value == max(allowed)
    assert early.escapes == lost(early.value, highest, truth, found)
    assert early.skipped == sum(0 <= high <= early.value for high in highest)
    assert early.shown == sum(high >= 0 for high in highest)
    if truth.any():
        assert early.at_most == pytest.approx(upper_bound(early.escapes, int(truth.sum())))
    assert str(early.skipped) in early.text()


def blinded(checkpoint: Path, class_id: int) -> None:
    """Make a planted segmenter find nothing of a class."""
    tensors = load_file(checkpoint)
    tensors["body.segmentation_head.0.weight"][class_id - 1] = 0
    tensors["body.segmentation_head.0.bias"][class_id - 1] = -9
    save_file(tensors, checkpoint)


def test_a_bundle_with_a_budget_skips_networks_for_strips_that_the_first_finds_clean(
    strips: Path,
    tiny: Recipe,
    finished: tuple[Path, object],
    plant_networks: Callable[[Recipe, Path], None],
    tmp_path: Path,
) -> None:
    """The first segmenter does not find stripes, which are all that is on some strips."""
    segment = tiny.segment
    (member,) = segment.ensemble.members
    other = member.but(network=member.network.but(pyramid_channels=64))
    two = segment.but(ensemble=segment.ensemble.but(members=(member, other)))
    assert tiny.classify is not None
    steps = (tiny.classify.but(gate="class"), two, *tiny.rules)
    recipe = tiny.but(steps=steps, folds=tiny.folds.but(validation=(0,)))
    run, path = tmp_path / "run", tmp_path / "early"
    plant_networks(recipe, run)
    for checkpoint in run.glob("networks/segment-0-*/checkpoint.safetensors"):
        blinded(checkpoint, 3)
    train(recipe, strips, run, Options(device="cpu"))
    done = export(run, path, strips=4, escape_budget=0.6)
    assert done.early is not None
    assert done.package.manifest.early_exit == done.early.value
    assert done.package.certificate.early == done.early
    assert done.early.text() in done.package.contents["card.md"].decode()
    bundle, detector = load(path), open_run(RunFolder(run), torch.device("cpu"))
    first = Detector(detector.decision, {"segment": detector.models["segment"][:1]}, 4)
    every = np.ones(4, np.bool_)
    dataset, left = open_dataset(strips), []
    for row in range(len(dataset.names)):
        picture = dataset.picture(row)
        used = [file for file in bundle.scan(picture).networks if "segment" in file]
        pixels = first.outputs(picture).output("segment", every).pixels
        assert pixels is not None
        is_open = detector.rule_input(picture).pixels.any((1, 2))
        left.append(len(used) < 2)
        assert left[-1] == (pixels[is_open].max(initial=0) <= done.early.value)
    assert 0 < sum(left) < len(left)
    folder = RunFolder(run)
    (stage,) = detector.decision.stages  # other thresholds than the run's, as tuned later
    shut = stage.but(classifiers=tuple(each.but(threshold=1.0) for each in stage.classifiers))
    assert find_early_exit(folder, detector.decision.but(stages=(shut,)), dataset, 0.6) is None
    folds = folder.load_folds(dataset.names)  # as given folds that separate a group
    folder.record.write_text(folder.load_record().but(folds="given").model_dump_json())
    folder.write_folds(dataset.names, np.zeros(len(folds), np.int64), folds)
    assert find_early_exit(folder, detector.decision, dataset, 0.6) == done.early
    with pytest.raises(RunError, match="no early exit threshold"):  # of one segmenter
        export(finished[0], tmp_path / "none", strips=4, escape_budget=0.6)
