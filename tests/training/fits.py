"""What tests of the fit share: strips, networks, a validation, and a fit of two stages."""

from dataclasses import dataclass, field
from math import inf

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from steelscan.augment import HFlip
from steelscan.data import RandomCrop
from steelscan.losses import BCE, Dice, Mix
from steelscan.models import StripNetwork
from steelscan.strip import Classes, Frame
from steelscan.training import SGD, AdamW, Cosine, EveryStrip, Training, TrainingData
from steelscan.training.fit import fit

FRAME = Frame(32, 48)
TWO = Classes(names=("scratch", "hole"))
FIRST = Training(
    crop=RandomCrop(height=32, width=32, defect=0.5),
    augment=(HFlip(),),
    sampler=EveryStrip(),
    loss=BCE(pos_weight=(2.0, 1.0)),
    optimizer=AdamW(lr=0.05),
    schedule=Cosine(warmup=0.3),
    batch=2,
    epochs=3,
)

SECOND = FIRST.but(
    loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))), optimizer=SGD(lr=0.1, momentum=0.9), epochs=2
)

SCORES = (0.2, 0.5, 0.3, 0.1, 0.4)
"""By epochs of training of a network; the first stage is best in its middle, so the second one
continues from two epochs if the best is kept, from three if the last is."""


class InterruptedFitError(Exception):
    """Stops a fit."""


@dataclass
class Strips:
    """Six strips in memory; reading fails once ``reads_left`` are used up."""

    classes: Classes = TWO
    frames: tuple[Frame, ...] = (FRAME,) * 6
    reads_left: float = inf
    present: np.ndarray = field(init=False)

    def __post_init__(self):
        self.present = np.stack([self.masks(row).any((1, 2)) for row in range(6)])

    def __len__(self):
        return 6

    def picture(self, row):
        self.reads_left -= 1
        if self.reads_left < 0:
            raise InterruptedFitError
        return np.random.default_rng(row).integers(0, 256, FRAME).astype(np.uint8)

    def masks(self, row):
        masks = np.zeros((2, *FRAME), np.bool_)
        masks[row % 3 :, 4:20, 8 * (row % 4) : 8 * (row % 4) + 6] = True
        return masks


@dataclass
class Validation:
    """Returns the scores of a list, records the weights, and fails after ``calls_left`` calls."""

    scores: tuple[float, ...] = SCORES
    calls_left: float = inf
    states: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def __call__(self, network):
        assert not network.training
        self.calls_left -= 1
        if self.calls_left < 0:
            raise InterruptedFitError
        state = network.state_dict()
        self.states.append({name: tensor.clone() for name, tensor in state.items()})
        # a score must depend only on the network: here on the steps counted by its batch norm
        return {"score": self.scores[int(state["body.1.num_batches_tracked"]) // 3 - 1]}


def with_state(seed=0, head="masks"):
    """Return a network with all that an interruption could lose: batch norm, dropout, weights."""
    torch.manual_seed(seed)
    end = [nn.AdaptiveMaxPool2d(1), nn.Flatten()] if head == "classes" else []
    body = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Conv2d(4, 2, 1),
        *end,
    )
    return stripped(body, head=head)


def stripped(body, encoder="", head="masks"):
    """Return a network around any body."""
    return StripNetwork(body, encoder=encoder, mean=0.5, std=0.25, stride=32, head=head)


def without_state(seed=0):
    """Return a network whose outputs depend only on its weights and the strip."""
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 1))
    return stripped(body)


def run(
    folder, stages=(FIRST, SECOND), validate=None, strips=None, network=None, seed=3, rows=range(6)
):
    """Fit from the start, or continue the fit in the folder; return the network."""
    network = network or with_state()
    data = TrainingData(strips or Strips(), np.array(rows), None, seed)
    validate = validate or Validation()
    fit(network, stages, data, validate, folder, accelerator=Accelerator(cpu=True))
    return network


def files_of(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.safetensors",
        "metrics.csv",
    ]
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def entropy(logits, truth, weights=(1.0, 1.0)):
    """Binary cross entropy from probabilities, in float64."""
    p, y = logits.double().sigmoid(), truth.double()
    weights = torch.tensor(weights).reshape(-1, *[1] * (logits.ndim - 2))
    return -(weights * y * p.log() + (1 - y) * (1 - p).log()).mean()


@dataclass
class ByWeights(Validation):
    """Scores by the weights, so that averages of networks have scores of their own."""

    def __call__(self, network):
        self.calls_left -= 1
        if self.calls_left < 0:
            raise InterruptedFitError
        self.states.append({name: one.clone() for name, one in network.state_dict().items()})
        return {"score": -float(network.state_dict()["body.0.weight"].abs().sum())}
