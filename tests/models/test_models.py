"""Networks of every kind: sizes, outputs, gradients, graphs, and settings that are refused."""

from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from tests.models.networks import (
    CLASSES,
    KINDS,
    PACKAGED,
    SMALL,
    SPECS,
    build,
    built,
    every_kind,
    every_network,
    logits_of,
    narrow,
    of_kind,
    small,
    strips,
)
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
    encoder_of,
)
from steelscan.models.blocks import use_mish
from steelscan.prediction import TorchModel
from steelscan.strip.errors import RecipeError


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
