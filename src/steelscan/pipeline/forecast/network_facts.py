"""Sizes and speeds of networks on this machine, remembered in the user's cache folder."""

import hashlib
import platform
from contextlib import suppress
from pathlib import Path

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, RootModel

from steelscan.data import cache_folder
from steelscan.pipeline.forecast.fits import Fit
from steelscan.strip import OutputError, Spec, write_text

_PREDICTION = 1 / 3
"""Seconds per predicted pixel, as a share of those per trained pixel, before it was measured."""


class NetworkFacts(Spec):
    """Size and speed of a network; speeds are None until they were measured on this machine."""

    bytes: NonNegativeInt
    """Of a checkpoint."""
    kept: NonNegativeFloat
    """Bytes per pixel that are kept for the backward pass."""
    train: NonNegativeFloat | None = None
    """Seconds per pixel to train on it, with reading and augmentation."""
    predict: NonNegativeFloat | None = None
    """Seconds per pixel to predict it, with reading."""

    def after_fit(self, seconds: float, trained: float, predicted: float) -> "NetworkFacts":
        """Return the facts with speeds scaled to a fit that took ``seconds`` for these pixels."""
        train, predict = self.train or 1.0, self.predict or _PREDICTION
        factor = seconds / (trained * train + predicted * predict)
        return self.but(train=train * factor, predict=predict * factor)


class _File(RootModel[dict[str, NetworkFacts]]):
    """Facts by the key of a network."""


def read_facts(device: torch.device) -> dict[str, NetworkFacts]:
    """Return what is remembered of networks on this machine; nothing if the file is unreadable."""
    with suppress(OSError, RuntimeError, ValueError):
        return _File.model_validate_json(_path(device).read_bytes()).root
    return {}


def remember_facts(device: torch.device, facts: dict[str, NetworkFacts]) -> None:
    """Add facts to the file of this machine; a folder that cannot be written is ignored."""
    with suppress(OutputError, RuntimeError):
        content = _File(read_facts(device) | facts)
        write_text(_path(device), content.model_dump_json(indent=1) + "\n")


def key_of(fit: Fit) -> str:
    """Return the key of a fit's network: its settings, number of classes and precision."""
    precision = fit.passes[0].training.precision
    text = f"{fit.network.model_dump_json()} {fit.classes} {precision}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _path(device: torch.device) -> Path:
    """Return the file of this machine. Raises RuntimeError for a user without a home folder."""
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    machine = f"{platform.node()} {platform.machine()} {chip} {torch.get_num_threads()}"
    name = hashlib.blake2b(machine.encode(), digest_size=16).hexdigest()
    return cache_folder().expanduser() / "speeds" / f"{name}.json"
