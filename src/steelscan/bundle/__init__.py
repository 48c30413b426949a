"""What is deployed: export, the proof of equal decisions, the runtime that needs no torch."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.bundle.package import Package, read_package
from steelscan.bundle.runtime import Bundle, Scan, load
from steelscan.bundle.specs import Format, Manifest, Precision
from steelscan.bundle.verify import known_strips, prove, verify

if TYPE_CHECKING:
    from steelscan.bundle.export import Exported, export
    from steelscan.bundle.quantize import Quantized, quantize

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={"export": ["Exported", "export"], "quantize": ["Quantized", "quantize"]},
)

__all__ = [
    "Bundle",
    "Exported",
    "Format",
    "Manifest",
    "Package",
    "Precision",
    "Quantized",
    "Scan",
    "export",
    "known_strips",
    "load",
    "prove",
    "quantize",
    "read_package",
    "verify",
]
