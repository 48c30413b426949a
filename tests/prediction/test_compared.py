"""One asking for many averages and sets: beside asking anew, and voting beside counting votes."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from steelscan.data import Shrink
from steelscan.models import StripNetwork
from steelscan.prediction import (
    LogitMean,
    Mean,
    PowerMean,
    Tiles,
    TorchModel,
    hear,
    predict_both,
    predict_classes,
    predict_masks,
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


def voter(planes, seed, *, both=False, classes=None, resize=None, output="sigmoid", tiles=None):
    body = Body(planes + (output == "softmax"), seed, both)
    head = "both" if both else "masks"
    network = StripNetwork(
        body, encoder="", mean=0.5, std=0.5, stride=32, head=head, output=output
    ).eval()
    return TorchModel(network, resize, classes, tiles)


VOTERS = {
    "plain": [voter(3, seed) for seed in range(3)],
    "some classes": [voter(3, 0), voter(2, 1, classes=(1, 3)), voter(1, 2, classes=(3,))],
    "smaller": [voter(2, 0, resize=Shrink(pixels=900)), voter(2, 1)],
    "exclusive": [voter(2, seed, output="softmax") for seed in range(3)],
    "two heads": [voter(2, 0, both=True), voter(1, 1, both=True, classes=(2,))],
    "tiles": [voter(2, 0, tiles=Tiles(width=64, overlap=32)), voter(2, 1)],
}


def planes_of(kind):
    return 3 if kind in ("plain", "some classes") else 2


def asked_anew(models, average, classes):
    if models[0].network.head == "both":
        masks, said = predict_both(models, VIEWS, STRIP, average, classes)
        return to_uint8(masks), said
    return to_uint8(predict_masks(models, VIEWS, STRIP, average, classes)), None


def same(one, other):
    assert np.array_equal(one[0], other[0])
    assert (one[1] is None) == (other[1] is None)
    if one[1] is not None:
        assert np.array_equal(one[1], other[1], equal_nan=True)


@pytest.mark.parametrize("kind", VOTERS)
def test_every_average_is_to_the_bit_what_asking_for_it_gives(kind):
    models, classes = VOTERS[kind], planes_of(kind)
    for each in models:
        each.network.body.calls = 0
    heard = hear(models, VIEWS, STRIP, Mean(), AVERAGES, classes)
    tiles = [2 if each.tiles else 1 for each in models]
    assert [each.network.body.calls for each in models] == [len(VIEWS) * n for n in tiles]
    assert set(heard.answers) == set(AVERAGES)
    assert len(heard.seconds) == len(models)
    for average, answer in heard.answers.items():
        same(answer, asked_anew(models, average, classes))


@pytest.mark.parametrize("kind", VOTERS)
@pytest.mark.parametrize("own", AVERAGES, ids=repr)
def test_every_set_is_to_the_bit_an_ensemble_of_these_voters(kind, own):
    models, classes = VOTERS[kind], planes_of(kind)
    found = dict(hear(models, VIEWS, STRIP, own, (), classes).sets([False] * len(models)))
    every = [
        chosen
        for size in range(1, len(models) + 1)
        for chosen in combinations(range(len(models)), size)
    ]
    assert sorted(found) == sorted(every)
    for chosen, answer in found.items():
        same(answer, asked_anew([models[at] for at in chosen], own, classes))


def test_voters_that_stay_are_in_every_set():
    heard = hear(VOTERS["plain"], VIEWS, STRIP, Mean(), (), 3)
    chosen = sorted(each for each, _ in heard.sets([False, True, False]))
    assert chosen == [(0, 1), (0, 1, 2), (1,), (1, 2)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_majority_is_that_of_the_votes(count):
    models = [voter(2, seed) for seed in range(count)]
    levels = hear(models, VIEWS, STRIP, LogitMean(), (), 2).majority()
    alone = np.stack([to_uint8(predict_masks([each], VIEWS, STRIP)) for each in models])
    for threshold in range(0, 255, 17):
        votes = (alone > threshold).sum(axis=0)
        assert np.array_equal(levels > threshold, 2 * votes > count)


def test_of_a_class_those_vote_who_know_it():
    levels = hear(VOTERS["some classes"], VIEWS, STRIP, Mean(), (), 4).majority()
    first = predict_masks(VOTERS["some classes"][:1], VIEWS, STRIP)
    assert np.array_equal(levels[1], to_uint8(first)[1])
    assert not levels[3].any()


@pytest.mark.parametrize("kind", ["plain", "exclusive"])
@pytest.mark.parametrize("own", AVERAGES, ids=repr)
def test_no_set_reaches_a_level_outside_its_box(kind, own):
    """All are heard less and less away from the middle of the strip."""
    heard = hear(VOTERS[kind], VIEWS, STRIP, own, (), planes_of(kind))
    rows, columns = np.ogrid[: STRIP.shape[0], : STRIP.shape[1]]
    away = np.hypot(rows - 15, columns - 40).astype(np.float32)
    for alone in heard._alone:
        if own.kind == "logit_mean":
            np.subtract(alone.maps, away / 3, out=alone.maps)
        else:
            np.multiply(alone.maps, np.exp(-away / 9), out=alone.maps)
    box = heard.box(60)
    inside = np.zeros(STRIP.shape, np.bool_)
    inside[box] = True
    stays = [False] * len(VOTERS[kind])
    cropped = dict(heard.sets(stays, box))
    for chosen, (levels, _) in heard.sets(stays):
        assert not (levels[:, ~inside] >= 60).any()
        assert np.array_equal(cropped[chosen][0], levels[:, box[0], box[1]])
    whole = kind == "exclusive" and own.kind == "logit_mean"
    assert inside.all() == whole
    if not whole:  # no line at its edges is there for nothing
        alone = [levels for chosen, (levels, _) in heard.sets(stays) if len(chosen) == 1]
        reached = (np.stack(alone) >= 59).any(axis=(0, 1))[box]
        assert reached.any(axis=0)[[0, -1]].all()
        assert reached.any(axis=1)[[0, -1]].all()


def test_where_nothing_is_reached_the_box_is_empty():
    heard = hear(VOTERS["plain"], VIEWS, STRIP, Mean(), (), 3)
    for alone in heard._alone:
        alone.maps[:] = 0.01
    assert heard.box(100) == (slice(0), slice(0))


def test_judgements_of_strips_are_those_of_predict_classes():
    models = VOTERS["two heads"]
    heard = hear(models, VIEWS, STRIP, Mean(), (LogitMean(),), 2)
    said = predict_classes(models, VIEWS, STRIP, LogitMean(), 2)
    assert np.array_equal(heard.answers[LogitMean()][1], said)
