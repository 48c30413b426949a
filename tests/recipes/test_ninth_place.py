"""The 9th place: the published numbers, and what its parts do with real arrays."""

import numpy as np
import pytest

from steelscan import recipes
from steelscan.data import crop_frame, cut
from steelscan.decision import StepOutput
from steelscan.losses import BCE, Lovasz
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import EnsembleMean, Mean, to_uint8
from steelscan.strip import Frame
from steelscan.training import Plateau, SuspectStrips
from steelscan.training.sampling import select_strips

STRIP = Frame(256, 1600)


def test_numbers_of_the_ninth(stages):
    """K:114297."""
    recipe = recipes.load("ninth_place")
    classify, segment = recipe.network_steps
    (classifier,) = classify.ensemble.members
    assert (classifier.network.kind, classifier.network.encoder) == ("classifier", "resnet34")
    assert stages(classify)[0].loss == BCE()
    assert (classify.threshold, classify.gate) == ((0.3, 0.3, 0.25, 0.1), "class")
    for member in segment.ensemble.members:
        assert (member.network.kind, member.network.encoder) == ("fpn", "tf_efficientnet_b2")
    folds = {member.classes: len(member.folds) for member in segment.ensemble.members}
    assert folds == {(1,): 5, (2,): 1, (3,): 5, (4,): 5}
    assert recipe.folds.count == 5
    first, second = stages(segment)
    assert (first.loss, second.loss) == (BCE(), Lovasz())
    assert (first.optimizer.kind, first.optimizer.lr) == ("adam", 1e-3)
    assert (second.optimizer.kind, second.optimizer.lr) == ("adam", 1e-4)
    for stage in (first, second):
        assert stage.schedule == Plateau(factor=0.5, patience=3, eps=1e-9)
        assert stage.strips == SuspectStrips(above=0.01)
        assert stage.keep.kind == "best"
    assert segment.ensemble.average == Mean()
    assert recipe.rules == (
        Threshold(label=0.0, pixel=(0.55, 0.7, 0.53, 0.5)),
        MinArea(pixels=1000),
    )
    assert (recipe.tune, recipe.pseudo_labels) == (None, None)


def test_an_epoch_of_the_ninth_has_three_passes_of_different_widths(stages, blocks):
    """K:114297: 256x256 by 12, 256x416 by 12, 256x608 by 8."""
    masks = blocks((100, 700, 40, 60))[None]
    picture = np.random.default_rng(0).integers(40, 200, STRIP).astype(np.uint8)
    for stage in stages(recipes.load("ninth_place").segment):
        passes = [
            (stage.crop, stage.batch),
            *((each.crop, each.batch) for each in stage.extra_passes),
        ]
        shapes = []
        for crop, batch in passes:
            frame = crop_frame(crop, STRIP)
            cropped, planes = cut(picture, masks, crop, frame, np.random.default_rng(1))
            assert planes.shape[1:] == cropped.shape
            shapes.append((batch, *cropped.shape))
        assert shapes == [(12, 256, 256), (12, 256, 416), (8, 256, 608)]


def test_the_binary_networks_of_the_ninth_are_trained_on_as_many_strips_as_the_authors(stages):
    """K:114297: strips with the class, and those with a class probability above 0.01."""
    (strips,) = {stage.strips for stage in stages(recipes.load("ninth_place").segment)}
    #         all, of them suspected, with the class, suspected without it
    author = ((2405, 2377, 897, 1508), (949, 941, 247, 702), (8398, 8381, 5150, 3248),
              (1603, 1591, 801, 802))  # fmt: skip
    rng = np.random.default_rng(0)
    for everyone, suspected, holding, extra in author:
        assert everyone == holding + extra
        order = rng.permutation(12568)
        present = np.zeros((12568, 1), np.bool_)
        present[order[:holding]] = True
        probabilities = np.full((12568, 1), 0.01, np.float32)
        missed = everyone - suspected  # strips with the class that the classifier misses
        probabilities[order[missed : holding + extra]] = rng.uniform(0.02, 1, (suspected, 1))
        selected = select_strips(strips, present, probabilities)
        assert selected.sum() == everyone
        assert selected[present[:, 0]].all()
        assert (probabilities[selected, 0] > 0.01).sum() == suspected


def test_each_class_that_passes_in_the_ninth_goes_to_its_own_network(steady, sigmoid, decided):
    """K:114297: 0.3, 0.3, 0.25, 0.1, a class by itself."""
    recipe, frame = recipes.load("ninth_place"), Frame(64, 64)
    ensemble, logits = recipe.segment.ensemble, {1: 0.4, 2: 1.1, 3: 2.0, 4: 0.2}
    models = [steady([logits[m.classes[0]]], classes=m.classes) for m in ensemble.members]
    picture = np.full(frame, 90, np.uint8)
    maps = EnsembleMean(ensemble.views, picture, ensemble.average, models=models).masks(4)
    assert maps[:, 5, 5] == pytest.approx(sigmoid(list(logits.values())), abs=1e-6)
    for probabilities, opened in (
        ((0.31, 0.31, 0.26, 0.11), (1, 1, 1, 1)),
        ((0.31, 0.29, 0.24, 0.11), (1, 0, 0, 1)),
        ((0.29, 0.31, 0.26, 0.09), (0, 1, 1, 0)),
        ((0.29, 0.29, 0.24, 0.09), (0, 0, 0, 0)),
    ):
        classified = StepOutput(None, np.array(probabilities, np.float32))
        outputs = {"classify": classified, "segment": StepOutput(to_uint8(maps), None)}
        _, masks = decided(recipe, outputs, frame)
        assert masks.all((1, 2)).tolist() == [bool(one) for one in opened]
        assert masks.any((1, 2)).tolist() == masks.all((1, 2)).tolist()
