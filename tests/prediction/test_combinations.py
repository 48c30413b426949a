"""Many averages and subsets of one prediction, compared with predicting again; majority votes."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from steelscan.data import Shrink
from steelscan.models import StripNetwork
from steelscan.prediction import (
    EnsembleMean,
    LogitMean,
    Mean,
    PowerMean,
    Tiles,
    TorchModel,
    predict_each,
    to_uint8,
)

AVERAGES = (
    Mean(),
    LogitMean(),
    PowerMean(t=0.5),
    PowerMean(t=0.5, form="starter"),
    PowerMean(t=0.5, form="true"),
    PowerMean(t=2.0, form="true"),
)
VIEWS = ("identity", "hflip", "vflip")
STRIP = np.random.default_rng(0).integers(0, 255, (33, 70), dtype=np.uint8)


class Body(nn.Module):
    """Logits that look like noise, other ones for each seed, strip and place."""

    def __init__(self, planes, seed, both):
        super().__init__()
        self.waves = nn.Parameter(torch.arange(1.0, planes + 1).reshape(1, -1, 1, 1) * (seed + 3))
        self.both, self.calls = both, 0

    def forward(self, strips):
        self.calls += 1
        masks = 4 * torch.sin(strips * 40 * self.waves + torch.arange(strips.shape[-1]))
        return (masks, 9 * masks.mean((2, 3))) if self.both else masks


def model(planes, seed, *, both=False, classes=None, resize=None, output="sigmoid", tiles=None):
    body = Body(planes + (output == "softmax"), seed, both)
    head = "both" if both else "masks"
    network = StripNetwork(
        body, encoder="", mean=0.5, std=0.5, stride=32, head=head, output=output
    ).eval()
    return TorchModel(network, resize, classes, tiles)


MODELS = {
    "plain": [model(3, seed) for seed in range(3)],
    "some classes": [model(3, 0), model(2, 1, classes=(1, 3)), model(1, 2, classes=(3,))],
    "smaller": [model(2, 0, resize=Shrink(pixels=900)), model(2, 1)],
    "exclusive": [model(2, seed, output="softmax") for seed in range(3)],
    "two heads": [model(2, 0, both=True), model(1, 1, both=True, classes=(2,))],
    "tiles": [model(2, 0, tiles=Tiles(width=64, overlap=32)), model(2, 1)],
}


def planes_of(kind):
    return 3 if kind in ("plain", "some classes") else 2


def predicted_again(models, average, classes):
    masks = to_uint8(EnsembleMean(VIEWS, STRIP, average, models=models).masks(classes))
    if models[0].network.head == "both":
        return masks, EnsembleMean(VIEWS, STRIP, average, {"classes"}, models).classes(classes)
    return masks, None


def same(one, other):
    assert np.array_equal(one[0], other[0])
    assert (one[1] is None) == (other[1] is None)
    if one[1] is not None:
        assert np.array_equal(one[1], other[1], equal_nan=True)


@pytest.mark.parametrize("kind", MODELS)
def test_every_average_equals_predicting_with_it_to_the_bit(kind):
    models, classes = MODELS[kind], planes_of(kind)
    for each in models:
        each.network.body.calls = 0
    found = predict_each(models, VIEWS, STRIP, Mean(), AVERAGES, classes)
    tiles = [2 if each.tiles else 1 for each in models]
    assert [each.network.body.calls for each in models] == [len(VIEWS) * n for n in tiles]
    assert set(found.by_average) == set(AVERAGES)
    assert len(found.seconds) == len(models)
    for average, outputs in found.by_average.items():
        same(outputs, predicted_again(models, average, classes))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("own", AVERAGES, ids=repr)
def test_every_subset_equals_an_ensemble_of_these_models_to_the_bit(kind, own):
    models, classes = MODELS[kind], planes_of(kind)
    found = dict(
        predict_each(models, VIEWS, STRIP, own, (), classes).subsets([False] * len(models))
    )
    every = [
        chosen
        for size in range(1, len(models) + 1)
        for chosen in combinations(range(len(models)), size)
    ]
    assert sorted(found) == sorted(every)
    for chosen, outputs in found.items():
        same(outputs, predicted_again([models[at] for at in chosen], own, classes))


def test_models_that_stay_are_in_every_subset():
    found = predict_each(MODELS["plain"], VIEWS, STRIP, Mean(), (), 3)
    chosen = sorted(each for each, _ in found.subsets([False, True, False]))
    assert chosen == [(0, 1), (0, 1, 2), (1,), (1, 2)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_majority_is_that_of_the_votes(count):
    models = [model(2, seed) for seed in range(count)]
    pixels = predict_each(models, VIEWS, STRIP, LogitMean(), (), 2).majority()
    alone = np.stack(
        [to_uint8(EnsembleMean(VIEWS, STRIP, models=[each]).masks()) for each in models]
    )
    for threshold in range(0, 255, 17):
        votes = (alone > threshold).sum(axis=0)
        assert np.array_equal(pixels > threshold, 2 * votes > count)


def test_only_models_that_predict_a_class_vote_on_it():
    pixels = predict_each(MODELS["some classes"], VIEWS, STRIP, Mean(), (), 4).majority()
    first = EnsembleMean(VIEWS, STRIP, models=MODELS["some classes"][:1]).masks()
    assert np.array_equal(pixels[1], to_uint8(first)[1])
    assert not pixels[3].any()


@pytest.mark.parametrize("kind", ["plain", "exclusive"])
@pytest.mark.parametrize("own", AVERAGES, ids=repr)
def test_no_subset_reaches_a_value_outside_its_box(kind, own):
    """All are found less and less away from the middle of the strip."""
    found = predict_each(MODELS[kind], VIEWS, STRIP, own, (), planes_of(kind))
    rows, columns = np.ogrid[: STRIP.shape[0], : STRIP.shape[1]]
    away = np.hypot(rows - 15, columns - 40).astype(np.float32)
    for terms in found._terms:
        if own.kind == "logit_mean":
            np.subtract(terms.maps, away / 3, out=terms.maps)
        else:
            np.multiply(terms.maps, np.exp(-away / 9), out=terms.maps)
    box = found.box(60)
    inside = np.zeros(STRIP.shape, np.bool_)
    inside[box] = True
    always = [False] * len(MODELS[kind])
    cropped = dict(found.subsets(always, box))
    for chosen, (pixels, _) in found.subsets(always):
        assert not (pixels[:, ~inside] >= 60).any()
        assert np.array_equal(cropped[chosen][0], pixels[:, box[0], box[1]])
    whole = kind == "exclusive" and own.kind == "logit_mean"
    assert inside.all() == whole
    if not whole:  # no line at its edges is there for nothing
        alone = [pixels for chosen, (pixels, _) in found.subsets(always) if len(chosen) == 1]
        reached = (np.stack(alone) >= 59).any(axis=(0, 1))[box]
        assert reached.any(axis=0)[[0, -1]].all()
        assert reached.any(axis=1)[[0, -1]].all()


def test_the_box_is_empty_if_nothing_is_reached():
    found = predict_each(MODELS["plain"], VIEWS, STRIP, Mean(), (), 3)
    for terms in found._terms:
        terms.maps[:] = 0.01
    assert found.box(100) == (slice(0), slice(0))


def test_class_probabilities_are_those_of_the_ensemble_mean():
    models = MODELS["two heads"]
    found = predict_each(models, VIEWS, STRIP, Mean(), (LogitMean(),), 2)
    classes = EnsembleMean(VIEWS, STRIP, LogitMean(), {"classes"}, models).classes(2)
    assert np.array_equal(found.by_average[LogitMean()][1], classes)
