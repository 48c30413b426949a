"""The weights with which an encoder starts: found on this machine, and loaded whole."""

from collections.abc import Mapping
from pathlib import Path

from timm.models import adapt_input_conv
from torch import Tensor, nn

from steelscan.models.network import shared_name
from steelscan.models.specs import Encoder
from steelscan.models.weight_files import last_layer
from steelscan.models.weight_packages import package_weights
from steelscan.models.weight_record import EncoderWeights
from steelscan.models.weight_store import WeightStore
from steelscan.strip.errors import InputError

_STEM = ("conv1_", "bn1_")
"""How the names of a ResNet's stem begin."""


def find_weights(encoder: str, folder: Path | None = None) -> EncoderWeights | None:
    """Return the ImageNet weights of a timm encoder that are on this machine, or None.

    The store in ``folder`` comes first (None: the user's, see `WeightStore.at`), then installed
    packages. Nothing is downloaded. Raises InputError for a damaged store.
    """
    return WeightStore.at(folder).find(encoder) or package_weights(encoder)


def load_first_weights(encoder: nn.Module, spec: Encoder, folder: Path | None) -> str:
    """Load pretrained weights into every tensor of an encoder; return their source.

    Where the encoder takes one grey channel, weights are summed over the three colours. If the
    recipe sets random weights, or if no others are on this machine, the encoder stays as it
    is, and the returned sentence states it. Raises InputError if the file is damaged or lacks a
    tensor of the encoder.
    """
    if spec.weights == "random":
        return "random, as set in the recipe"
    weights = find_weights(spec.encoder, folder)
    if weights is None:
        return "random: no ImageNet weights of this encoder are installed"
    theirs = {shared_name(name): weight for name, weight in weights.state.items()}
    deep = spec.stem == "deep" and "conv1_weight" in theirs
    if deep:
        theirs = _behind_deep_stem(theirs)
    own = encoder.state_dict()
    head = last_layer(getattr(encoder, "pretrained_cfg", {}))
    wanted = {
        name: tensor
        for name, tensor in own.items()
        if not name.startswith(head)
        and not (name.endswith("num_batches_tracked") and shared_name(name) not in theirs)
        and not (deep and shared_name(name).startswith(_STEM))
    }
    encoder.load_state_dict(own | _fitting(wanted, theirs, weights))
    return f"{weights.source}; the deep stem starts random" if deep else weights.source


def _fitting(
    wanted: Mapping[str, Tensor], theirs: Mapping[str, Tensor], weights: EncoderWeights
) -> dict[str, Tensor]:
    """Return weights for all wanted tensors. Raises InputError if one does not fit."""
    fitting = {}
    for name, tensor in wanted.items():
        weight = theirs.get(shared_name(name))
        if weight is not None and tensor.ndim == 4 and (tensor.shape[1], weight.shape[1]) == (1, 3):
            weight = adapt_input_conv(1, weight)
        if weight is not None and weight.shape == tensor.shape:
            fitting[name] = weight
    missing = [name for name in wanted if name not in fitting]
    if missing:
        fit = f"{len(fitting)} of {len(wanted)} tensors fit, {missing[0]} does not"
        problem = f"does not fit {weights.record.encoder} as the recipe sets it: {fit}"
        raise InputError(weights.path, problem, 'Use other settings, or weights "random"')
    return fitting


def _behind_deep_stem(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a plain ResNet under the names of one with a deep stem.

    The stem is left out; shortcuts have a pooling, which has no weights, before the convolution
    (He et al. 2018, arXiv:1812.01187).
    """
    renamed = {}
    for name, tensor in theirs.items():
        before, shortcut, after = name.partition("_downsample_")
        if shortcut:
            number, _, rest = after.partition("_")
            renamed[f"{before}{shortcut}{int(number) + 1}_{rest}"] = tensor
        elif not name.startswith(_STEM):
            renamed[name] = tensor
    return renamed
