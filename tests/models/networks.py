"""One network of each kind and setting, small enough for tests."""

from copy import deepcopy
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch

from steelscan.models import (
    FPN,
    AsymmetricUnet,
    Classifier,
    Network,
    PSPNet,
    TwoHeaded,
    Unet,
    build_network,
    encoder_of,
)

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
