"""A small network that tells test strips from training strips, fitted on other groups' strips."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steelscan.data import resize_picture
from steelscan.evaluation.adversarial import LikenessScores, TrainTest, cross_parts, likeness_scores
from steelscan.pipeline import Device, accelerator
from steelscan.strip import Frame, Progress
from steelscan.strip.progress import progress

_PIXELS = 48 * 300
"""Of a shrunk strip; all get the sides of the middle one, so that none is told by its size."""

_PARTS = 3
_STEPS = 250
_BATCH = 16
_RATE = 3e-3
_WIDTHS = (16, 32, 48, 64)


def by_network(sides: TrainTest, seed: int, level: float, device: Device) -> LikenessScores:
    """How much each strip looks like a test strip, by networks that saw neither it nor its group.

    Four convolutions on shrunk strips, fitted from random weights three times, on two thirds of
    the groups each; strips are drawn from both sides alike and mirrored at random. About a minute
    on one CPU core, whatever the number of strips. Raises InputError as `likeness_to_test` does,
    and PictureError.
    """
    engine = accelerator(device).device
    parts = cross_parts(sides.groups, sides.is_test, seed, _PARTS)
    strips = _shrunk(sides)
    said = np.zeros(len(sides))
    with progress("Fitting networks", _PARTS * _STEPS) as shown:
        for number, away in enumerate(parts):
            own = np.random.SeedSequence((seed, number))
            network = _fitted(strips, sides.is_test, np.flatnonzero(~away), own, engine, shown)
            said[away] = _asked(network, strips[np.flatnonzero(away)], engine)
    return likeness_scores(said, sides.is_test, sides.groups, level)


def _shrunk(sides: TrainTest) -> NDArray[np.uint8]:
    """All strips at one size, uint8 ``(strips, height, width)``."""
    height, width = np.median(np.array(sides.frames), axis=0)
    scale = min(1.0, (_PIXELS / (height * width)) ** 0.5)
    frame = Frame(max(16, round(height * scale)), max(16, round(width * scale)))
    return np.stack([resize_picture(sides.picture(row), frame) for row in range(len(sides))])


def _network() -> nn.Module:
    layers: list[nn.Module] = []
    before = 1
    for width in _WIDTHS:
        layers += [nn.Conv2d(before, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1))


def _fitted(
    strips: NDArray[np.uint8],
    is_test: NDArray[np.bool_],
    rows: NDArray[np.int64],
    own: np.random.SeedSequence,
    device: torch.device,
    shown: Progress,
) -> nn.Module:
    rng = np.random.default_rng(own)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(own.generate_state(1)[0]))
        network = _network().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    loss_of = nn.BCEWithLogitsLoss()
    halves = [rows[is_test[rows] == side] for side in (False, True)]
    labels = torch.arange(_BATCH, device=device).ge(_BATCH // 2).float()
    for _ in range(_STEPS):
        drawn = np.concatenate([rng.choice(half, _BATCH // 2) for half in halves])
        mirrored = strips[drawn][:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        said = network(_as_input(mirrored, device)).squeeze(1)
        loss: Tensor = loss_of(said, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        shown.advance()
    return network.eval()


@torch.no_grad()
def _asked(
    network: nn.Module, strips: NDArray[np.uint8], device: torch.device
) -> NDArray[np.float64]:
    """The probability of each strip to be a test strip, mean of the logits of both mirrorings."""
    said = []
    for start in range(0, len(strips), _BATCH):
        batch = strips[start : start + _BATCH]
        both = [network(_as_input(turned, device)) for turned in (batch, batch[:, :, ::-1])]
        said.append(torch.stack(both).mean(0).squeeze(1).sigmoid().cpu().numpy())
    return np.concatenate(said).astype(np.float64)


def _as_input(strips: NDArray[np.uint8], device: torch.device) -> Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(strips)[:, None]).to(device)
    return planes.float() / 127.5 - 1
