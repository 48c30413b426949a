"""What each setting changes in a network, against plain NumPy, OpenCV and smp's own parts."""

import cv2
import numpy as np
import pytest
import timm
import torch
from segmentation_models_pytorch.base.modules import SCSEModule
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from timm.models.senet import SEModule
from torch import nn

from steelscan.models import FPN, AsymmetricUnet, Classifier, PSPNet, TwoHeaded, Unet, build_network
from steelscan.models.blocks import ChannelAttention, MaxOfLogits, SpatialAttention
from steelscan.models.dilation import dilate, timm_dilates
from steelscan.models.pyramid import PyramidDecoder
from steelscan.strip.errors import RecipeError

small = {"encoder": "resnet10t", "weights": "random"}
asymmetric = AsymmetricUnet(
    **small, centre_channels=(24, 16), middle_channels=(24, 16, 16, 16), block_channels=32
)


def build(spec, seed=0):
    torch.manual_seed(seed)
    return build_network(spec, 3)[0].eval()


def strips(height=64, width=96):
    random = np.random.default_rng(height * width)
    return torch.from_numpy(random.integers(0, 256, (2, 1, height, width)).astype(np.uint8))


def outputs_of(network, *names, pixels=None):
    """The shapes that parts of the body give for strips of 64x96, by their names."""
    seen = {}
    for name in names:
        part = network.body.get_submodule(name)
        part.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    with torch.inference_mode():
        network(strips() if pixels is None else pixels)
    return [seen[name] for name in names]


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def numbers(module):
    return [tensor.detach().double().numpy() for tensor in module.parameters()]


def test_channel_attention_is_that_of_the_paper():
    torch.manual_seed(0)
    attention = ChannelAttention(32, reduction=8)
    maps = torch.randn(2, 32, 5, 7)
    first, first_bias, second, second_bias = numbers(attention.shared)
    assert first.shape == (4, 32, 1, 1)

    def perceive(pooled):
        hidden = np.maximum(pooled @ first[:, :, 0, 0].T + first_bias, 0)
        return hidden @ second[:, :, 0, 0].T + second_bias

    values = maps.double().numpy()
    weights = sigmoid(perceive(values.mean((2, 3))) + perceive(values.max((2, 3))))
    expected = values * weights[:, :, None, None]
    assert np.allclose(attention(maps).detach().numpy(), expected, atol=1e-5)


def test_spatial_attention_weighs_each_place_by_itself():
    torch.manual_seed(0)
    attention = SpatialAttention()
    maps = torch.randn(2, 6, 5, 7)
    weight, bias = numbers(attention)
    assert weight.shape == (1, 2, 1, 1)
    values = maps.double().numpy()
    logits = weight[0, 0, 0, 0] * values.max(1) + weight[0, 1, 0, 0] * values.mean(1) + bias
    expected = values * sigmoid(logits)[:, None]
    assert np.allclose(attention(maps).detach().numpy(), expected, atol=1e-5)
    changed = maps.clone()
    changed[:, :, 2, 3] = 9.0
    same = torch.ones(5, 7, dtype=torch.bool)
    same[2, 3] = False
    assert torch.equal(attention(changed)[..., same], attention(maps)[..., same])


@pytest.mark.parametrize("merge", ["add", "cat"])
def test_our_pyramid_of_four_maps_is_that_of_smp(merge):
    torch.manual_seed(0)
    channels = (8, 12, 16, 24)
    ours = PyramidDecoder(channels, 16, 32, merge, 0.2).eval()
    theirs = FPNDecoder([1, 4, *channels], 5, 16, 32, 0.2, merge).eval()
    pairs = zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict({name: tensor for (name, _), tensor in pairs})
    maps = [torch.randn(2, count, 32 >> step, 48 >> step) for step, count in enumerate(channels)]
    with torch.inference_mode():
        assert torch.equal(ours(maps), theirs(maps))
    assert ours.out_channels == theirs.out_channels


@pytest.mark.parametrize(
    ("finest", "coarsest", "strides"),
    [(4, 32, [4, 8, 16, 32]), (2, 16, [2, 4, 8, 16]), (2, 32, [2, 4, 8, 16, 32])],
    ids=["A", "B", "C"],
)
def test_a_pyramid_takes_the_maps_of_its_strides_and_works_at_the_finest(finest, coarsest, strides):
    network = build(FPN(**small, finest=finest, coarsest=coarsest))
    seen = []
    decoder = network.body.decoder
    for layer in decoder.modules():  # all that an encoder's map goes into
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    (merged,) = outputs_of(network, "decoder")
    assert sorted(64 // maps.shape[2] for maps in seen) == strides
    every = {2 ** (n + 1): count for n, count in enumerate((64, 64, 128, 256, 512))}
    found = {64 // maps.shape[2]: maps.shape[1] for maps in seen}
    assert found == {stride: every[stride] for stride in strides}
    assert merged.shape == (2, 128, 64 // finest, 96 // finest)


def test_concatenated_maps_are_as_wide_as_added_ones():
    added = build(FPN(**small))
    concatenated = build(FPN(**small, merge="cat", segmentation_channels=32))
    assert concatenated.body.decoder.out_channels == added.body.decoder.out_channels == 128
    five = build(FPN(**small, finest=2, merge="cat", segmentation_channels=32))
    assert five.body.decoder.out_channels == 160


def test_pspnet_works_at_stride_8_and_has_no_deeper_encoder():
    for encoder in ("resnet10t", "tf_efficientnet_lite0", "mobilenetv3_small_050", "densenet121"):
        network = build(PSPNet(encoder=encoder, weights="random", decoder_channels=48))
        (maps,) = outputs_of(network, "decoder")
        assert maps.shape == (2, 48, 8, 12)
        whole = build(Unet(encoder=encoder, weights="random"))
        assert len(network.features()) < 0.6 * len(whole.features())


@pytest.mark.parametrize("encoder", ["resnet18", "tf_efficientnet_lite0", "mobilenetv2_050"])
def test_our_dilation_is_that_of_timm(encoder):
    torch.manual_seed(0)
    ours = timm.create_model(encoder, features_only=True).eval()
    theirs = timm.create_model(encoder, features_only=True, output_stride=8).eval()
    theirs.load_state_dict(ours.state_dict())
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    dilate(ours, encoder, channels=3, stride=8)
    assert all(torch.equal(before[name], tensor) for name, tensor in ours.state_dict().items())
    with torch.inference_mode():
        maps, expected = (each(strips().float().expand(-1, 3, -1, -1)) for each in (ours, theirs))
    for own, other in zip(maps, expected, strict=True):
        assert torch.allclose(own, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "by_timm"),
    [
        ("resnet10t", True),
        ("tf_efficientnet_lite0", True),
        ("legacy_seresnet18", False),
        ("legacy_senet154", False),
    ],
)
def test_a_dilated_pspnet_has_the_deepest_map_at_stride_8(encoder, by_timm, of_shapes, only_shapes):
    assert timm_dilates(encoder) == by_timm
    network = of_shapes(
        PSPNet(encoder=encoder, weights="random", decoder_channels=48, dilated=True)
    )
    with only_shapes():
        pixels = torch.empty(2, 1, 64, 96)
        names = ("encoder", "decoder", "segmentation_head")
        maps, decoded, masks = outputs_of(network, *names, pixels=pixels)
    whole = of_shapes(Unet(encoder=encoder, weights="random")).encoder.feature_info.channels()
    assert [64 // one.shape[2] for one in maps] == [1, 2, 4, 8, 8, 8]
    assert [one.shape[1] for one in maps] == [1, *whole]
    assert decoded.shape == (2, 48, 8, 12)
    assert masks.shape == (2, 4, 64, 96)


@pytest.mark.parametrize("encoder", ["legacy_seresnet18", "legacy_seresnext26_32x4d"])
def test_a_dilated_senet_keeps_every_value_and_adds_those_between(encoder, monkeypatch):
    """Without its attention, which pools whole maps: then each kernel meets the same pixels."""
    monkeypatch.setattr(SEModule, "forward", lambda _, maps: maps)
    with pytest.raises(TypeError, match="output_stride"):  # timm cannot dilate these
        timm.create_model(encoder, features_only=True, output_stride=8)
    (fine,) = outputs_of(build(PSPNet(encoder=encoder, weights="random", dilated=True)), "encoder")
    (coarse,) = outputs_of(build(Unet(encoder=encoder, weights="random")), "encoder")
    for own, other, step in zip(fine, coarse, (1, 1, 1, 1, 2, 4), strict=True):
        assert own.shape[2] == step * other.shape[2]
        assert torch.allclose(own[:, :, ::step, ::step], other, atol=1e-5, rtol=1e-4)
        assert own.std() > 0


def test_an_encoder_that_strides_by_pooling_is_not_dilated():
    with pytest.raises(RecipeError, match="densenet121: cannot be dilated to stride 8"):
        build(PSPNet(encoder="densenet121", weights="random", dilated=True))
    with pytest.raises(RecipeError, match="resnet10t: cannot be dilated"):
        dilate(timm.create_model("resnet10t", features_only=True), "resnet10t", 3, 8)


def test_the_asymmetric_decoder_stops_at_stride_2():
    network = build(asymmetric)
    names = [f"decoder.blocks.{number}" for number in range(4)]
    *blocks, joined, half, masks = outputs_of(
        network, *names, "decoder.join", "segmentation_head.logits", "segmentation_head"
    )
    assert [64 // maps.shape[2] for maps in blocks] == [16, 8, 4, 2]
    assert {maps.shape[1] for maps in blocks} == {32}
    assert network.body.decoder.join[0].in_channels == 4 * 32
    assert joined.shape == (2, 32, 32, 48)
    assert half.shape == (2, 3, 32, 48)
    expected = np.stack([cv2.resize(one.transpose(1, 2, 0), (96, 64), interpolation=1)
                         for one in half.numpy()]).transpose(0, 3, 1, 2)  # fmt: skip
    assert np.allclose(masks.numpy(), expected, atol=1e-5)


def test_the_asymmetric_unet_uses_each_map_from_stride_4_and_not_stride_2():
    decoder = build(asymmetric).body.decoder
    maps = [torch.randn(1, channels, 32 >> step, 48 >> step)
            for step, channels in enumerate((64, 64, 128, 256, 512))]  # fmt: skip
    with torch.inference_mode():
        before = decoder(maps)
        moved = []
        for number, one in enumerate(maps):
            changed = [*maps[:number], one + 1, *maps[number + 1 :]]
            moved.append(not torch.equal(decoder(changed), before))
    assert moved == [False, True, True, True, True]


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize(
    ("segmenter", "channels"),
    [
        (Unet(**small), 512),
        (Unet(**small, decoder_channels=(32, 16)), 64),
        (FPN(**small, finest=2, coarsest=16, output="softmax"), 256),
        (FPN(**small, finest=2), 512),
        (PSPNet(**small), 128),
        (asymmetric, 512),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_the_aux_head_is_a_linear_layer_on_the_deepest_map(segmenter, channels, pool):
    network = build(TwoHeaded(segmenter=segmenter, pool=pool, dropout=0.5))
    (maps,) = outputs_of(network, "encoder")
    deepest = maps[-1].double().numpy()
    assert deepest.shape[1] == channels
    weight, bias = numbers(network.body.classification_head)
    if pool == "avg":
        logits = deepest.mean((2, 3)) @ weight.T + bias
    else:
        everywhere = np.einsum("scyx,kc->skyx", deepest, weight[..., 0, 0])
        logits = everywhere.max((2, 3)) + bias
    with torch.inference_mode():
        outputs = network(strips())
    assert np.allclose(outputs.classes.numpy(), logits, atol=1e-4)
    alone = build(segmenter, seed=1)
    second = "body.classification_head."
    state = network.state_dict()
    alone.load_state_dict({name: state[name] for name in state if not name.startswith(second)})
    with torch.inference_mode():
        assert torch.equal(alone(strips()).masks, outputs.masks)


def test_the_maximum_of_logits_of_a_strip_is_the_highest_of_its_parts():
    torch.manual_seed(0)
    head = MaxOfLogits(6, 3, dropout=0.5).eval()
    left, right = torch.randn(2, 5, 6, 2, 4), torch.randn(2, 5, 6, 2, 7)
    for one, other in zip(left, right, strict=True):
        whole = head(torch.cat((one, other), 3))
        assert torch.allclose(whole, torch.maximum(head(one), head(other)), atol=1e-5)
        assert not torch.allclose(whole, head(one))


def count(network, *kinds):
    return sum(isinstance(module, kinds) for module in network.modules())


@pytest.mark.parametrize(
    "spec",
    [
        Classifier(**small),
        Unet(**small, attention="scse"),
        FPN(encoder="densenet121", weights="random"),  # its ReLUs are inside the norm layers
        FPN(encoder="legacy_seresnet18", weights="random", finest=2),
        PSPNet(encoder="mobilenetv2_050", weights="random"),  # has ReLU6
        TwoHeaded(segmenter=asymmetric),
    ],
    ids=lambda spec: spec.kind,
)
def test_mish_replaces_every_relu(spec):
    plain = build(spec)
    segmenter = {"segmenter": spec.segmenter.but(mish=True)} if isinstance(spec, TwoHeaded) else {}
    network = build(spec.but(**(segmenter or {"mish": True})))
    relus = count(plain, nn.ReLU, nn.ReLU6)
    assert relus > 5
    assert count(network, nn.ReLU, nn.ReLU6) == 0
    assert count(network, nn.Mish) == relus
    assert count(plain, nn.Mish) == 0
    called = []
    for module in network.modules():
        if isinstance(module, nn.Mish):
            module.register_forward_hook(lambda module, *_: called.append(id(module)))
    with torch.inference_mode():
        network(strips())
    assert len(set(called)) == relus  # none is put where nobody asks it


def test_efficientnets_keep_silu_with_mish_in_their_decoder():
    network = build(Unet(encoder="tf_efficientnet_b0", weights="random", mish=True))
    assert count(network.body.encoder, nn.SiLU) > 40
    assert count(network.body.encoder, nn.Mish) == 0
    assert count(network.body.decoder, nn.Mish) == 10
    assert count(network, nn.ReLU) == 0


def test_a_deep_stem_is_three_small_convolutions_and_shortcuts_are_pooled():
    deep = build(Unet(encoder="resnet18", weights="random", stem="deep")).encoder
    plain = build(Unet(encoder="resnet18", weights="random")).encoder
    stem = [layer for layer in deep.conv1.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size for layer in stem] == [(3, 3)] * 3
    assert [layer.out_channels for layer in stem] == [32, 32, 64]
    assert [layer.stride[0] for layer in stem] == [2, 1, 1]
    assert plain.conv1.kernel_size == (7, 7)
    for stage in (deep.layer2, deep.layer3, deep.layer4):
        assert isinstance(stage[0].downsample[0], nn.AvgPool2d)
    assert count(plain, nn.AvgPool2d) == 0


def test_scse_is_twice_in_each_block_but_once_in_the_last():
    assert count(build(Unet(**small)), SCSEModule) == 0
    assert count(build(Unet(**small, attention="scse")), SCSEModule) == 9


def test_the_first_plane_of_softmax_is_the_background():
    network = build(Unet(**small, output="softmax"))
    with torch.no_grad():
        network.body.segmentation_head[0].bias[:] = torch.tensor([50.0, 0, 0, 0])
    with torch.inference_mode():
        outputs = network(strips())
        masks = network.probabilities(outputs).masks
    assert outputs.masks.shape[1] == 4
    assert masks.shape[1] == 3
    assert float(masks.max()) < 1e-6
