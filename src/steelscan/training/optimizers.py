"""Build torch's optimizers from settings, and freeze what they leave alone."""

from typing import Literal

from torch import nn, optim

from steelscan.models import StripNetwork
from steelscan.training.specs import SGD, Adam, AdamW, Optimizer, RAdam


def freeze(network: StripNetwork, what: Literal["nothing", "encoder", "encoder_but_norms"]) -> None:
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


def learning_rates(optimizer: optim.Optimizer) -> dict[str, float]:
    """Return the present rate as "lr", and the encoder's as "encoder_lr" if it has its own."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]  # the encoder comes first
    own = {"encoder_lr": rates[0]} if rates[0] != rates[-1] else {}
    return {"lr": rates[-1], **own}


def build_optimizer(spec: Optimizer, network: nn.Module) -> optim.Optimizer:
    """Build the optimizer of a network's parameters, without the frozen ones.

    The parameters of ``network.encoder``, if there is one, get the encoder's rate. Biases and the
    scales of normalisation layers (parameters with one axis) have no weight decay.
    """
    encoder = getattr(network, "encoder", None)
    in_encoder = {id(each) for each in encoder.parameters()} if encoder is not None else set()
    fitted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [
                p for p in fitted if (id(p) in in_encoder) is own and (p.ndim > 1) is decays
            ],
            "lr": spec.encoder_lr if own and spec.encoder_lr is not None else spec.lr,
            "weight_decay": spec.weight_decay if decays else 0.0,
        }
        for own in (True, False)
        for decays in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    match spec:
        case SGD():
            return optim.SGD(groups, momentum=spec.momentum)
        case Adam():
            return optim.Adam(groups)
        case AdamW():
            return optim.AdamW(groups)
        case RAdam():
            return optim.RAdam(groups)
