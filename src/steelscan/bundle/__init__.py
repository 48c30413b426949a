"""What is deployed: export, the proof of equal decisions, the runtime that needs no torch."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.bundle.package import BUNDLE_KIND, Package, read_package
from steelscan.bundle.pictures import scan_pictures
from steelscan.bundle.runtime import Bundle, Scan, load
from steelscan.bundle.signing import make_keys
from steelscan.bundle.specs import Format, Manifest, Precision
from steelscan.bundle.verify import known_strips, prove, verify, what_to_know

if TYPE_CHECKING:
    from steelscan.bundle.budget import line_asked, plan, plan_json, plan_text
    from steelscan.bundle.exporting import Exported, export
    from steelscan.bundle.quantizing import Quantized, quantize
    from steelscan.bundle.speed import bench, bench_json, bench_text, read_threads

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "budget": ["line_asked", "plan", "plan_json", "plan_text"],
        "exporting": ["Exported", "export"],
        "quantizing": ["Quantized", "quantize"],
        "speed": ["bench", "bench_json", "bench_text", "read_threads"],
    },
)

__all__ = [
    "BUNDLE_KIND",
    "Bundle",
    "Exported",
    "Format",
    "Manifest",
    "Package",
    "Precision",
    "Quantized",
    "Scan",
    "bench",
    "bench_json",
    "bench_text",
    "export",
    "known_strips",
    "line_asked",
    "load",
    "make_keys",
    "plan",
    "plan_json",
    "plan_text",
    "prove",
    "quantize",
    "read_package",
    "read_threads",
    "scan_pictures",
    "verify",
    "what_to_know",
]
