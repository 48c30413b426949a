"""Helpers of the tests of single solutions: counts of networks, masks, steady networks."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from steelscan.decision import GivenOutputs, masks_of, run_steps
from steelscan.models import StripNetwork, encoder_of
from steelscan.prediction import TorchModel
from steelscan.strip import Frame

STRIP = Frame(256, 1600)


def _fitted(step):
    """Count the networks of each kind and encoder of a step, once per fold of a member."""
    found = Counter()
    for member in step.ensemble.members:
        kind = getattr(member.network, "segmenter", member.network).kind
        found[kind, encoder_of(member.network).encoder] += len(member.folds or ())
    return found


def _stages(step):
    """Return all stages of a step's networks, each once, in order."""
    return tuple(dict.fromkeys(each for m in step.ensemble.members for each in m.stages))


def _kinds(parts):
    return [part.kind for part in parts]


def _blocks(*places, frame=STRIP):
    """Return a mask of rectangles ``(top, left, height, width)``."""
    mask = np.zeros(frame, np.bool_)
    for top, left, height, width in places:
        mask[top : top + height, left : left + width] = True
    return mask


def _maps_of(masks, value):
    """Return maps of a probability inside masks and 0 outside, as uint8."""
    return (np.stack(masks) * np.uint8(round(255 * value))).astype(np.uint8)


class _Steady(nn.Module):
    """Returns the same logits for every pixel of every strip, and ``classes`` for each strip."""

    def __init__(self, masks, classes=None):
        super().__init__()
        self.masks = nn.Parameter(torch.tensor(masks))
        self.classes = None if classes is None else nn.Parameter(torch.tensor(classes))

    def forward(self, strips):
        count, _, height, width = strips.shape
        maps = self.masks.clone()[None, :, None, None].expand(count, -1, height, width)
        return maps if self.classes is None else (maps, self.classes.clone().expand(count, -1))


def _steady(masks, labels=None, classes=None):
    """Return a model with these logits."""
    head = "masks" if labels is None else "both"
    network = StripNetwork(
        _Steady(masks, labels), encoder="", mean=0.5, std=0.5, stride=32, head=head
    )
    return TorchModel(network.eval(), None, classes)


def _sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


def _decided(recipe, outputs, frame):
    """Return probabilities and masks of a recipe, given the outputs of its steps by name."""
    found = run_steps(recipe.decision, GivenOutputs(outputs), 4, frame)
    return found.pixels, masks_of(found, recipe.rules)


@pytest.fixture(scope="session")
def fitted():
    return _fitted


@pytest.fixture(scope="session")
def stages():
    return _stages


@pytest.fixture(scope="session")
def kinds():
    return _kinds


@pytest.fixture(scope="session")
def blocks():
    return _blocks


@pytest.fixture(scope="session")
def maps_of():
    return _maps_of


@pytest.fixture(scope="session")
def steady():
    return _steady


@pytest.fixture(scope="session")
def sigmoid():
    return _sigmoid


@pytest.fixture(scope="session")
def decided():
    return _decided
