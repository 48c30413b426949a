"""The device that fits and predicts."""

from typing import Literal

from accelerate import Accelerator

Device = Literal["auto", "cpu"]


def accelerator(device: Device) -> Accelerator:
    """The engine of this process: the fastest device there is, or the CPU when told so."""
    return Accelerator(cpu=device == "cpu")
