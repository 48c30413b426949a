"""Every network of every recipe at its full size, without memory: shapes on torch's meta device."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from steelscan import recipes
from steelscan.models import (
    FPN,
    Classifier,
    EncoderWeights,
    PSPNet,
    TwoHeaded,
    Unet,
    WeightRecord,
    copy_encoder,
    encoder_of,
    first_weights,
)
from steelscan.prediction import EncoderFittedFor

CLASSES = 4
HEIGHT, WIDTH = 256, 512


def networks_of(name):
    """The networks of a recipe, also those that only lend their encoders."""
    members = [m for step in recipes.load(name).network_steps for m in step.ensemble.members]
    lenders = [m.start.network for m in members if isinstance(m.start, EncoderFittedFor)]
    return [member.network for member in members] + lenders


def label(network):
    return f"{network.kind}-{encoder_of(network).kind}-{encoder_of(network).encoder}"


EVERY = tuple(dict.fromkeys(spec for name in recipes.names() for spec in networks_of(name)))
every_network = pytest.mark.parametrize("spec", EVERY, ids=label)


def test_there_are_so_many_networks():
    assert len(recipes.names()) == 10
    assert len(EVERY) == 37


@every_network
def test_it_is_built_and_predicts(spec, of_shapes, only_shapes):
    network = of_shapes(spec)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert 1e6 < parameters < 3e8
    maps = []
    if network.head != "classes":
        network.body.encoder.register_forward_hook(lambda _, __, out: maps.extend(out))
    with only_shapes(), torch.inference_mode():
        outputs = network(torch.empty(1, 1, HEIGHT, WIDTH))
        probabilities = network.probabilities(outputs)
    if isinstance(spec, Classifier | TwoHeaded):
        assert outputs.classes.shape == (1, CLASSES)
    if not isinstance(spec, Classifier):
        planes = CLASSES + (encoder_of(spec).output == "softmax")
        assert outputs.masks.shape == (1, planes, HEIGHT, WIDTH)
        assert probabilities.masks.shape == (1, CLASSES, HEIGHT, WIDTH)
        strides = [HEIGHT // one.shape[2] for one in maps]
        dilated = isinstance(spec, PSPNet) and spec.dilated
        deep = [8, 8] if dilated else [16, 32] * (not isinstance(spec, PSPNet))
        assert strides == [1, 2, 4, 8, *deep]
        assert [WIDTH // one.shape[3] for one in maps] == strides


def test_the_pspnet_of_the_12th_uses_the_encoder_of_its_crop_classifier(of_shapes):
    """K:114309: the custom PSPNet on SENet154 starts from a classifier of crops."""
    plain, dilated = (spec for spec in networks_of("twelfth_place") if spec.kind == "psp")
    assert (plain.encoder, plain.dilated) == ("legacy_seresnext101_32x4d", False)
    assert (dilated.encoder, dilated.dilated) == ("legacy_senet154", True)
    for spec, least, most in ((dilated, 0.99, 1.0), (dilated.but(dilated=False), 0.0, 0.06)):
        source, target = of_shapes(Classifier(encoder=spec.encoder, channels=3)), of_shapes(spec)
        theirs, own = source.features(), target.features()
        copied = sum(own[name].numel() for name in own if own[name].shape == theirs[name].shape)
        assert copied > 5e6
        assert least < copied / sum(tensor.numel() for tensor in theirs.values()) <= most
        copy_encoder(source, target)  # raises if they do not fit


def the(**wanted):
    """The one network of all recipes with these settings."""
    found = [
        spec for spec in EVERY
        if all(getattr(encoder_of(spec), field, None) == value for field, value in wanted.items())
    ]  # fmt: skip
    assert len(found) == 1
    return found[0]


def test_the_14th_has_the_channels_that_its_author_states(of_shapes):
    plain, deep = the(encoder="legacy_seresnext50_32x4d", kind="asymmetric_unet"), the(stem="deep")
    for spec in (plain, deep):
        decoder = of_shapes(spec).body.decoder
        centre = [layer for layer in decoder.centre.modules() if isinstance(layer, nn.Conv2d)]
        assert [(one.in_channels, one.out_channels) for one in centre] == [(2048, 512), (512, 256)]
        blocks = [
            [layer for layer in block.convolve.modules() if isinstance(layer, nn.Conv2d)]
            for block in decoder.blocks
        ]
        assert [(one.in_channels, one.out_channels, two.out_channels) for one, two in blocks] == [
            (2048 + 256, 512, 64),
            (1024 + 64, 256, 64),
            (512 + 64, 128, 64),
            (256 + 64, 64, 64),
        ]
        assert (decoder.join[0].in_channels, decoder.join[0].out_channels) == (256, 64)
        assert of_shapes(spec).body.segmentation_head.logits.in_channels == 64


def test_added_and_concatenated_pyramids_of_the_10th_have_equal_widths(of_shapes):
    for encoder in ("legacy_seresnext50_32x4d", "tf_efficientnet_b3"):
        added = of_shapes(FPN(encoder=encoder)).body.decoder.out_channels
        concatenated = of_shapes(the(encoder=encoder, merge="cat")).body.decoder.out_channels
        assert concatenated == added == 128


@pytest.mark.parametrize("spec", [spec for spec in EVERY if encoder_of(spec).mish], ids=label)
def test_no_relu_is_left_if_the_recipe_sets_mish(spec, of_shapes):
    modules = list(of_shapes(spec).modules())
    assert not any(isinstance(module, nn.ReLU | nn.ReLU6) for module in modules)
    assert sum(isinstance(module, nn.Mish) for module in modules) >= 10


def test_the_recipes_use_each_setting():
    networks = EVERY
    encoders = [encoder_of(spec) for spec in networks]
    assert {each.channels for each in encoders} == {1, 3}
    assert {each.scale for each in encoders} == {"imagenet", "unit"}
    assert sum(each.mish for each in encoders) == 2
    assert sum(isinstance(each, Unet) and each.attention == "scse" for each in encoders) == 1
    assert {type(spec).__name__ for spec in networks} == {
        "Classifier", "FPN", "PSPNet", "TwoHeaded", "Unet",
    }  # fmt: skip


ENCODERS = {(encoder_of(spec).encoder, encoder_of(spec).stem, spec.kind): spec for spec in EVERY}
ENCODERS = {(name, stem, kind == "classifier"): ENCODERS[name, stem, kind]
            for name, stem, kind in ENCODERS}  # fmt: skip


@pytest.mark.parametrize("spec", ENCODERS.values(), ids=label)
def test_tensors_of_timm_s_own_network_reach_all_of_the_encoder(
    spec, of_shapes, only_shapes, monkeypatch
):
    """Except a deep stem, which plain ResNets lack. A grey first layer gets a sum."""
    network, encoder = of_shapes(spec), encoder_of(spec)
    with only_shapes():
        state = timm.create_model(encoder.encoder).state_dict()
    record = WeightRecord(encoder="e", source="s", licence="l", sha256="0" * 64, size=1)
    weights = EncoderWeights(record, "store", Path(), dict, "")
    vars(weights)["state"] = state
    loaded = {}
    monkeypatch.setattr(first_weights, "find_weights", lambda *_: weights)
    monkeypatch.setattr(network.encoder, "load_state_dict", loaded.update)
    sentence = first_weights.load_first_weights(network.encoder, encoder, None)
    assert loaded.keys() == network.encoder.state_dict().keys()
    theirs = set(map(id, state.values()))
    others = [name for name, tensor in loaded.items() if id(tensor) not in theirs]
    if isinstance(spec, Classifier):
        others = [name for name in others if not name.startswith(last_layer(encoder))]
    if encoder.stem == "deep":
        assert sentence.endswith("the deep stem starts random")
        others = [name for name in others if not name.startswith(("conv1.", "bn1."))]
        assert not others
    else:
        assert len(others) == (encoder.channels == 1)
        assert all(loaded[name].shape[1] == 1 for name in others)


def last_layer(encoder):
    return f"{timm.get_pretrained_cfg(encoder.encoder).classifier}."
