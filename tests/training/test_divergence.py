"""Losses are read in blocks, and a number that is not finite is reported with its own step."""

from math import inf, nan

import pytest
import torch
from accelerate import Accelerator

from steelscan.strip.errors import RunError
from steelscan.training.divergence import EpochLosses

STEPS = 50


def run(wrong_loss=None, wrong_norm=None, batches=1):
    """Add an epoch with a loss and a norm that are not finite at some steps."""
    losses, read = EpochLosses(Accelerator(cpu=True)), []
    for step in range(STEPS):
        for _ in range(batches):
            losses.add(step, torch.tensor(nan if step == wrong_loss else float(step)))
        norm = torch.tensor(inf if step == wrong_norm else 1.0)
        losses.stepped(step, norm, last=step + 1 == STEPS)
        read.append(losses.note)
    return losses, read


@pytest.mark.parametrize(
    ("loss", "norm", "found"),
    [
        (0, None, "step 1: has the loss nan"),
        (7, None, "step 8: has the loss nan"),
        (49, None, "step 50: has the loss nan"),
        (None, 0, "step 1: has weights that"),
        (None, 33, "step 34: has weights that"),
        (12, 12, "step 13: has the loss nan"),
        (13, 12, "step 13: has weights that"),
    ],
)
@pytest.mark.parametrize("batches", [1, 3])
def test_the_first_step_that_is_not_finite_is_named(loss, norm, found, batches):
    with pytest.raises(RunError, match=found):
        run(loss, norm, batches)


def test_losses_are_read_every_twenty_batches_and_at_the_end():
    losses, read = run()
    assert losses.mean() == sum(range(STEPS)) / STEPS
    assert len(losses) == STEPS
    changes = [step for step in range(STEPS) if read[step] != (read[step - 1] if step else "")]
    assert changes == [19, 39, 49]
    assert read[19] == "loss 19.0000"
