"""Freeze parts of a network for a stage."""

from typing import Literal

from torch import nn

from steelscan.models import StripNetwork

Frozen = Literal["nothing", "encoder", "encoder_but_norms"]


def freeze(network: StripNetwork, what: Frozen) -> None:
    """Freeze the encoder, with or without its batch norms, and unfreeze everything else.

    A frozen batch norm keeps its running statistics too: it is set to eval mode. Call this after
    ``network.train()``, which would undo that. (8th, K:114696, froze all but the norms.)
    """
    network.requires_grad_(True)
    if what == "nothing":
        return
    network.encoder.requires_grad_(False)
    for module in network.encoder.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(what == "encoder_but_norms")
            module.train(module.training and what == "encoder_but_norms")
