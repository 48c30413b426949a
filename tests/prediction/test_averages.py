"""Averages and the assembly of classes: by numpy over stub networks, and values taken by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from steelscan.data import Shrink, WholeStrip
from steelscan.losses import BCE, CrossEntropy
from steelscan.models import StripNetwork, Unet
from steelscan.prediction import (
    Ensemble,
    EnsembleMean,
    LogitMean,
    Mean,
    Member,
    PowerMean,
    TorchModel,
)
from steelscan.prediction.averages import inverse, mean_of, transform
from steelscan.training import AdamW, Training

EVERY = [
    Mean(),
    LogitMean(),
    *(PowerMean(t=t, form=form) for t in (0.5, 3.0) for form in ("raw", "starter", "true")),
]
IDENTITIES = [each for each in EVERY if getattr(each, "form", "true") == "true"]
FLIPS = {
    "identity": lambda planes: planes,
    "hflip": lambda planes: planes[..., ::-1],
    "vflip": lambda planes: planes[..., ::-1, :],
}
VIEWS = ("identity", "hflip", "vflip")


def averaged(average, outputs, mirrored, *, softmax=False):
    """The average of outputs, ``(classes, ...)``, from its three steps."""
    terms = transform(average, outputs, mirrored, softmax=softmax)
    return inverse(average, mean_of(terms), softmax)


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def by_numpy(average, logits, mirrored, softmax=False):
    """The average of ``(rows, classes, ...)`` logits, by its formula, in float64."""
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits)
    p = (powers / powers.sum(1, keepdims=True))[:, 1:] if softmax else sigmoid(logits)
    if average.kind == "mean":
        return p.mean(0)
    if average.kind == "logit_mean":
        powers = np.exp(logits.mean(0))
        return (powers / powers.sum(0))[1:] if softmax else sigmoid(logits.mean(0))
    if average.form == "starter":
        return np.mean(
            [
                one**average.t if mirrored else one
                for one, mirrored in zip(p, mirrored, strict=True)
            ],
            0,
        )
    raw = (p**average.t).mean(0)
    return raw if average.form == "raw" else raw ** (1 / average.t)


def asked(average, logits, mirrored, softmax=False):
    """The average by the package; all but the mean of logits take probabilities."""
    rows = torch.tensor(np.asarray(logits), dtype=torch.float64)
    if average.kind != "logit_mean":
        rows = rows.softmax(1)[:, 1:] if softmax else rows.sigmoid()
    return averaged(average, rows.numpy(), mirrored, softmax=softmax)


@pytest.mark.parametrize(
    ("average", "rows", "expected"),
    [
        (Mean(), (0.25, 0.75), 0.5),
        (PowerMean(t=0.5, form="raw"), (0.25, 0.25), 0.5),
        (PowerMean(t=0.5, form="true"), (0.25, 0.25), 0.25),
        (PowerMean(t=0.5, form="starter"), (0.25, 0.25), 0.375),  # 0.25 as it is, 0.5 mirrored
        (PowerMean(t=2.0, form="raw"), (0.6, 0.8), 0.5),
        (PowerMean(t=2.0, form="true"), (0.6, 0.8), 0.5**0.5),
    ],
)
def test_known_values(average, rows, expected):
    column = np.array(rows, np.float32)[:, None]
    assert averaged(average, column, (False, True)).item() == pytest.approx(expected, abs=1e-6)


def test_the_mean_of_opposite_logits_is_one_half():
    assert averaged(LogitMean(), np.array([[-3.0], [3.0]]), (False, False)).item() == 0.5


@pytest.mark.parametrize("average", EVERY, ids=repr)
@pytest.mark.parametrize("softmax", [False, True])
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_an_average_is_its_formula(average, softmax, rows, classes, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (rows, classes + softmax, 2, 3))
    mirrored = rng.random(rows) < 0.5
    expected = by_numpy(average, logits, mirrored, softmax)
    assert np.allclose(asked(average, logits, mirrored, softmax), expected, atol=1e-9)


@pytest.mark.parametrize("average", IDENTITIES, ids=repr)
@pytest.mark.parametrize("softmax", [False, True])
def test_of_one_answer_it_is_that_answer(average, softmax):
    logits = np.random.default_rng(0).normal(0, 3, (1, 4, 5, 6))
    expected = by_numpy(Mean(), logits, [False], softmax)
    assert np.allclose(asked(average, logits, [False], softmax), expected, atol=1e-12)


class Body(nn.Module):
    """Logits that depend on grey and place; with ``both``, class logits of the mean grey too."""

    def __init__(self, slopes, *, both=False):
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor(slopes).reshape(1, -1, 1, 1))
        self.both, self.calls = both, []

    def forward(self, strips):
        self.calls.append(tuple(strips.shape))
        columns = torch.arange(strips.shape[-1])
        masks = strips * self.slopes + 0.02 * columns * self.slopes
        return (masks, masks.mean((2, 3))) if self.both else masks


def model(slopes, *, head="masks", classes=None, resize=None, output="sigmoid"):
    body = Body(slopes, both=head == "both")
    network = StripNetwork(
        body, encoder="", mean=0.5, std=0.5, stride=32, head=head, output=output
    ).eval()
    return TorchModel(network, resize, classes)


def logits_of(slopes, strip):
    """What Body says of a strip whose sides are multiples of 32, in plain numbers."""
    grey, columns = strip / 255 * 2 - 1, np.arange(strip.shape[1])
    return np.stack([grey * slope + 0.02 * columns * slope for slope in slopes])


def strip(height=32, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


@pytest.mark.parametrize("average", EVERY, ids=repr)
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
@pytest.mark.parametrize("views", [("identity",), ("hflip", "identity"), VIEWS])
def test_networks_and_views_are_averaged_together(average, output, views):
    slopes = [(1.0, -2.0, 0.5), (0.3, 1.5, -4.0), (-1.0, 0.2, 2.0)]
    picture = strip()
    logits = [FLIPS[view](logits_of(own, FLIPS[view](picture))) for own in slopes for view in views]
    mirrored = [view != "identity" for _ in slopes for view in views]
    expected = by_numpy(average, logits, mirrored, output == "softmax")
    outputs = EnsembleMean(
        views, picture, average, models=[model(own, output=output) for own in slopes]
    ).masks()
    assert outputs.dtype == np.float32
    assert np.allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("average", EVERY, ids=repr)
def test_both_heads_are_averaged_alike_from_one_prediction(average):
    slopes = [(1.0, -2.0), (0.3, 1.5)]
    models = [model(own, head="both") for own in slopes]
    picture = strip()
    mean = EnsembleMean(VIEWS, picture, average, {"masks", "classes"})
    for each in models:
        mean.add(each)
    masks, classes = mean.masks(None), mean.classes(None)
    assert [each.network.body.calls for each in models] == [[(1, 1, 32, 64)] * 3] * 2
    assert np.array_equal(masks, EnsembleMean(VIEWS, picture, average, models=models).masks())
    assert np.array_equal(
        classes, EnsembleMean(VIEWS, picture, average, {"classes"}, models).classes()
    )
    logits = [logits_of(own, FLIPS[view](picture)).mean((1, 2)) for own in slopes for view in VIEWS]
    expected = by_numpy(average, logits, [view != "identity" for _ in slopes for view in VIEWS])
    assert classes.dtype == np.float32
    assert np.allclose(classes, expected, atol=1e-5)


@pytest.mark.parametrize("average", EVERY, ids=repr)
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_each_class_is_averaged_over_the_networks_that_predict_it(average, output):
    """Three networks predict classes 1 and 4, 4 and 5, and 1; none predicts 2, 3 and 6."""
    predicts = {(1, 4): (1.0, -2.0), (4, 5): (0.4, 1.5), (1,): (-0.7,)}
    softmax = output == "softmax"
    sound = 0.25 if softmax else None
    own = {ids: slopes if sound is None else (sound, *slopes) for ids, slopes in predicts.items()}
    models = [model(slopes, classes=ids, output=output) for ids, slopes in own.items()]
    picture = strip()
    outputs = EnsembleMean(("identity",), picture, average, models=models).masks(6)
    logits = {ids: logits_of(slopes, picture) for ids, slopes in own.items()}
    assert outputs.shape == (6, 32, 64)
    assert not outputs[[1, 2, 5]].any()
    if average.kind == "logit_mean" and softmax:
        over = {1: [], 4: [], 5: []}
        for ids, planes in logits.items():
            for class_id, plane in zip(ids, planes[1:], strict=True):
                over[class_id].append(plane - planes[0])
        powers = {class_id: np.exp(np.mean(planes, 0)) for class_id, planes in over.items()}
        expected = {
            class_id: power / (1 + sum(powers.values())) for class_id, power in powers.items()
        }
    else:
        expected = {}
        for class_id in (1, 4, 5):
            who = [ids for ids in predicts if class_id in ids]
            if average.kind == "logit_mean":
                expected[class_id] = sigmoid(
                    np.mean([logits[ids][ids.index(class_id)] for ids in who], 0)
                )
                continue
            each = [by_numpy(Mean(), logits[ids][None], [False], softmax) for ids in who]
            planes = [one[ids.index(class_id)] for one, ids in zip(each, who, strict=True)]
            logit = np.log(np.array(planes)) - np.log1p(-np.array(planes))
            expected[class_id] = by_numpy(average, logit[:, None], [False] * len(who))[0]
    for class_id, plane in expected.items():
        assert np.allclose(outputs[class_id - 1], plane, atol=1e-5)


def test_a_class_that_no_network_predicts_is_nan():
    models = [model((1.0, 2.0), head="both", classes=(2, 3)), model((3.0,), head="both")]
    models[1] = TorchModel(models[1].network, None, (3,))
    picture = strip()
    outputs = EnsembleMean(("identity",), picture, heads={"classes"}, models=models).classes(4)
    first, second = (sigmoid(logits_of(own, picture).mean((1, 2))) for own in ((1.0, 2.0), (3.0,)))
    assert np.isnan(outputs[[0, 3]]).all()
    assert np.allclose(outputs[1:3], [first[0], (first[1] + second[0]) / 2], atol=1e-6)


def test_the_mean_of_masks_is_to_the_bit_what_numpy_says():
    models = [
        model((0.3 * number - 1, 1.7, -0.4 * number), resize=Shrink(pixels=900) if at else None)
        for number, at in enumerate((0, 1, 0, 0, 1))
    ]
    for shape in ((33, 70), (64, 128)):
        picture = strip(*shape)
        parts = [EnsembleMean(VIEWS, picture, models=[each]).masks() for each in models]
        expected = np.mean(parts, axis=0, dtype=np.float32)
        assert np.array_equal(EnsembleMean(VIEWS, picture, models=models).masks(), expected)


def test_a_smaller_view_of_the_strip_is_enlarged_before_the_power_and_as_logits():
    """A ramp of logits, enlarged, is a ramp; its probabilities, enlarged, are not."""
    picture = np.full((64, 256), 128, np.uint8)
    half = model((6.0,), resize=Shrink(pixels=32 * 128))
    small = 0.02 * 6.0 * np.arange(128) + 6.0 * (128 / 255 * 2 - 1)
    places = (np.arange(256) + 0.5) / 2 - 0.5
    ramp = np.interp(places, np.arange(128), small)
    outputs = EnsembleMean(("identity",), picture, LogitMean(), models=[half]).masks()
    assert np.allclose(outputs[0], sigmoid(ramp), atol=1e-5)
    between = np.interp(places, np.arange(128), sigmoid(small))
    outputs = EnsembleMean(("identity",), picture, PowerMean(t=3.0), models=[half]).masks()
    assert np.allclose(outputs[0], between**3, atol=1e-5)


STAGE = Training(crop=WholeStrip(), loss=BCE(), optimizer=AdamW(lr=1e-3), batch=1, epochs=1)


def test_logits_of_two_sorts_are_not_averaged():
    plain = Member(network=Unet(encoder="resnet10t"), stages=(STAGE,))
    exclusive = Member(
        network=Unet(encoder="resnet10t", output="softmax"),
        stages=(STAGE.but(loss=CrossEntropy()),),
    )
    assert Ensemble(members=(plain, exclusive))
    assert Ensemble(members=(exclusive,) * 2, average=LogitMean())
    with pytest.raises(
        ValidationError, match="output sigmoid and of output softmax cannot be averaged"
    ):
        Ensemble(members=(plain, exclusive), average=LogitMean())


@pytest.mark.parametrize("classes", [(), (0,), (-1, 2), (2, 1), (1, 1), (1, 3, 3)])
def test_classes_of_a_member_are_distinct_rising_ids(classes):
    member = Member(network=Unet(encoder="resnet10t"), stages=(STAGE,), classes=(1, 3))
    with pytest.raises(ValidationError, match="classes"):
        member.but(classes=classes)
