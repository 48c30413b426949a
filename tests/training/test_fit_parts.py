"""Parts of a network, a batch or the classes: freezing, mixup, two heads, one class."""

import numpy as np
import polars as pl
import pytest
import torch
from accelerate import Accelerator
from tests.training.fits import (
    FIRST,
    Strips,
    Validation,
    entropy,
    files_of,
    run,
    stripped,
    without_state,
)
from torch import nn

from steelscan.augment import Mixup
from steelscan.losses import BCE, BothHeads, Dice, Mix, WherePresent
from steelscan.strip import Classes
from steelscan.strip.errors import RecipeError
from steelscan.training import SGD, Last, TrainingData
from steelscan.training.crops import EpochCrops
from steelscan.training.fit import fit


class Parts(nn.Module):
    """An encoder with a batch norm, and a head."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, strips):
        return self.head(self.encoder(strips))


@pytest.mark.parametrize(
    ("freeze", "still"),
    [
        ("encoder", {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean"}),
        ("encoder_but_norms", {"0.weight", "0.bias"}),
        ("nothing", set()),
    ],
)
def test_frozen_parts_stay_until_the_next_stage(tmp_path, freeze, still):
    torch.manual_seed(0)
    network = stripped(Parts(), encoder="encoder")
    begun = {name: one.clone() for name, one in network.state_dict().items()}
    validate = Validation()
    stages = (FIRST.but(freeze=freeze, keep=Last()), FIRST.but(keep=Last()))
    folder = tmp_path / "fit"

    def score(network):
        validate.states.append({name: one.clone() for name, one in network.state_dict().items()})
        return {"score": 0.0}

    run(folder, stages, score, network=network)
    middle, end = validate.states[2], validate.states[5]
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean"):
        whole = f"body.encoder.{name}"
        assert torch.equal(middle[whole], begun[whole]) == (name in still), name
        assert not torch.equal(end[whole], middle[whole])
    assert not torch.equal(middle["body.head.weight"], begun["body.head.weight"])


def test_mixup_blends_pictures_and_masks_alike(tmp_path):
    """One step by hand, with the blend written out."""
    stage = FIRST.but(
        mixup=Mixup(alpha=0.5), optimizer=SGD(lr=1e-30), loss=BCE(), batch=6, epochs=1
    )
    network = without_state()
    run(tmp_path, (stage,), lambda _: {"score": 0.0}, network=network)
    crops = EpochCrops(Strips(), np.arange(6), stage, (3, 0, 0))
    pictures, masks = (
        torch.stack(part).double() for part in zip(*(crops[at] for at in range(6)), strict=True)
    )
    rng = np.random.default_rng((3, 0, 0, 0, 0, 0))
    share = rng.beta(0.5, 0.5)
    share, other = max(share, 1 - share), rng.permutation(6)
    assert 0.5 < share < 1
    blended, truth = (share * one + (1 - share) * one[other] for one in (pictures, masks))
    with torch.no_grad():
        loss = entropy(without_state()(blended.float()).masks, truth)
    assert pl.read_csv(tmp_path / "metrics.csv")["loss"][0] == pytest.approx(float(loss), rel=1e-5)


class TwoHeads(nn.Module):
    """Logits of the masks, and their highest as those of the classes."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, strips):
        masks = self.body(strips)
        return masks, masks.amax((2, 3)) - 1


def test_two_heads_are_trained_on_masks_and_labels(tmp_path):
    torch.manual_seed(0)
    network = stripped(TwoHeads(), head="both")
    weights = {name: one.clone() for name, one in network.state_dict().items()}
    both = BothHeads(masks=BCE(), classes=BCE(), weight=3.0)
    stage = FIRST.but(loss=both, optimizer=SGD(lr=1e-30), batch=6, epochs=1, keep=Last())
    run(tmp_path, (stage,), lambda _: {"score": 0.0}, network=network)
    network.load_state_dict(weights)
    crops = EpochCrops(Strips(), np.arange(6), stage, (3, 0, 0))
    pictures, masks = (
        torch.stack(part) for part in zip(*(crops[at] for at in range(6)), strict=True)
    )
    with torch.no_grad():
        outputs = network(pictures)
        labels = torch.tensor([[bool(mask.any()) for mask in planes] for planes in masks])
        expected = entropy(outputs.masks, masks) + 3 * entropy(outputs.classes, labels)
    found = pl.read_csv(tmp_path / "metrics.csv")["loss"][0]
    assert found == pytest.approx(float(expected), rel=1e-5)


class OnlyHoles(Strips):
    """The six strips without the class scratch."""

    def masks(self, row):
        return super().masks(row)[1:]


HOLES = Classes(names=("hole",))
PAIRED = (
    (BCE(pos_weight=(2.0, 5.0)), BCE(pos_weight=(5.0,))),
    (BCE(pos_weight=3.0), BCE(pos_weight=3.0)),
    (
        Mix(parts=((0.5, BCE(pos_weight=(2.0, 5.0))), (1.0, Dice()))),
        Mix(parts=((0.5, BCE(pos_weight=(5.0,))), (1.0, Dice()))),
    ),
    (
        WherePresent(loss=BCE(pos_weight=(2.0, 5.0)), always=(False, True)),
        WherePresent(loss=BCE(pos_weight=(5.0,)), always=(True,)),
    ),
)


@pytest.mark.parametrize(("loss", "own"), PAIRED)
def test_a_network_for_one_class_is_fitted_as_if_the_strips_had_no_other(tmp_path, loss, own):
    for name, strips, classes, used in (
        ("some", Strips(), (2,), loss),
        ("all", OnlyHoles(classes=HOLES), None, own),
    ):
        torch.manual_seed(1)
        network = stripped(nn.Conv2d(1, 1, 3, padding=1))
        fit(
            network,
            (FIRST.but(loss=used, keep=Last()),),
            TrainingData(strips, np.arange(6), None, 3, classes),
            lambda _: {"score": 0.5},
            tmp_path / name,
            accelerator=Accelerator(cpu=True),
        )
    assert files_of(tmp_path / "some") == files_of(tmp_path / "all")


def test_a_setting_that_is_not_for_the_data_sets_classes_is_refused(tmp_path):
    """Also if it holds one value per class of the network."""
    with pytest.raises(RecipeError, match=r"BCE\.pos_weight: holds 1 values, the data set has 2"):
        fit(
            stripped(nn.Conv2d(1, 1, 3, padding=1)),
            (FIRST.but(loss=BCE(pos_weight=(2.0,))),),
            TrainingData(Strips(), np.arange(6), None, 3, (2,)),
            lambda _: {"score": 0.5},
            tmp_path,
            accelerator=Accelerator(cpu=True),
        )
