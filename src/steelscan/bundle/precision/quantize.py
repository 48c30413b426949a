"""Reduce the precision of a bundle, if it still decides as the trained networks do.

Some strips calibrate the networks, others, those whose decisions the bundle records, prove the
result; no strip does both. A bundle is refused if it changes more verdicts, or loses more defects
of any class, than its budget allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import steelscan
from steelscan.bundle import (
    Bundle,
    Certificate,
    Package,
    certified,
    private_key,
    read_package,
    write_package,
)
from steelscan.bundle.precision.graphs import check_parts
from steelscan.bundle.precision.networks import ReducedNetwork, ReducedPrecision, reduce_networks
from steelscan.bundle.proof import (
    ESCAPES,
    LOST,
    Expected,
    Kept,
    Limits,
    Parity,
    failures,
    kept_per_class,
    known_strips,
    limits_of,
    picture_sha256,
    prove,
    recorded,
    runtime_versions,
)
from steelscan.data import PictureFile, find_pictures, read_picture
from steelscan.strip import Picture, track
from steelscan.strip.errors import BundleError

SEED = 0
"""Seed of the choice of strips that calibrate."""


@dataclass(frozen=True)
class Quantized:
    """A bundle in reduced precision, and the result of its proof.

    Attributes:
        path: the file.
        package: its contents.
        to: its precision.
        calibrated: names and SHA-256 of the strips that calibrated it.
        networks: all networks, those that stay in float32 too.
        parity: its decisions compared with those of the trained networks.
        kept: the same per class.
        lost: share of the defects of a class that may be lost.
    """

    path: Path
    package: Package
    to: ReducedPrecision
    calibrated: tuple[tuple[str, str], ...]
    networks: tuple[ReducedNetwork, ...]
    parity: Parity
    kept: tuple[Kept, ...]
    lost: float

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        fp32 = [each.file for each in self.networks if not each.used]
        return [
            f"Calibrated on {len(self.calibrated)} strips that the proof does not use "
            f"(seed {SEED})",
            f"In {self.to}: {len(self.networks) - len(fp32)} of {len(self.networks)} networks"
            + (f"; still in fp32, for accuracy: {', '.join(fp32)}" if fp32 else ""),
            f"Compared with the trained networks: {self.parity.text()}",
            *(each.text(self.lost) for each in self.kept),
        ]


def quantize(
    bundle: Path,
    out: Path,
    *,
    to: ReducedPrecision,
    data: str,
    budget: float | None = None,
    sign: Path | None = None,
    signed_by: Path | None = None,
    strips: int = 32,
) -> Quantized:
    """Write a bundle whose networks compute in reduced precision, if its decisions hardly change.

    Args:
        bundle: a bundle of ONNX networks in float32.
        out: the new bundle.
        to: its precision.
        data: pictures, among them the strips whose decisions the bundle records, which are used
            for the proof, and others to calibrate on.
        strips: number of strips to calibrate on, at most.
        budget: share of verdicts that may change, and of the defects of a class that may be lost;
            None: the limits of the precision (`LIMITS`, `LOST`).
        sign: private key to sign the new bundle with; a signature of the old one is not copied.
        signed_by: public key that must have signed the old bundle.

    Raises BundleError, and writes nothing, if decisions change more than that, if strips of either
    kind are missing, or if the bundle is not one of ONNX in float32; MissingPartError,
    DatasetError, PictureError, OutputError.
    """
    check_parts()
    key = None if sign is None else private_key(sign)
    package = read_package(bundle, signed_by)
    _check(bundle, out, package)
    limits, lost = limits_of(to, budget), LOST[to] if budget is None else budget
    expected = list(known_strips(package, data))
    files = _calibration_files(package, data, strips)
    networks = reduce_networks(package, to, files)
    contents = {each.file: each.graph.content for each in networks if each.used}
    reduced = Package(package.manifest.but(precision=to), {**package.contents, **contents})
    parity, kept = prove_reduced(reduced, expected)
    early = package.certificate.early
    escapes = ESCAPES if early is None else max(ESCAPES, early.at_most)
    failed = [*failures(kept, lost), *parity.failures(limits, escapes)]
    if failed:
        classes = "; ".join(each.text(lost) for each in kept)
        problem = f"decides too differently in {to}: {'; '.join(failed)}. Per class: {classes}"
        raise BundleError(bundle, problem, "Use it in fp32, or give a larger --budget")
    calibrated = tuple((file.name, _sha256(file)) for file in files)
    done = Quantized(out, reduced, to, calibrated, networks, parity, kept, lost)
    certificate = _certificate(package, done, limits)
    contents = {**reduced.contents, "card.md": _card(package, done)}
    written = certified(reduced.manifest, contents, certificate, key)
    return replace(done, package=write_package(out, reduced.manifest, written))


def _check(bundle: Path, out: Path, package: Package) -> None:
    """Raise BundleError if the precision of a bundle cannot be reduced."""
    manifest = package.manifest
    if manifest.written_for != "onnx":
        problem = f"is written for {manifest.written_for}"
        raise BundleError(bundle, problem, "Export it with --format onnx")
    if manifest.precision != "fp32":
        problem = f"is in {manifest.precision} already"
        raise BundleError(bundle, problem, "Take the bundle in fp32 that it was made from")
    if out.exists() and out.samefile(bundle):
        raise BundleError(out, "is the bundle to be read", "Name another file with --out")


def _calibration_files(package: Package, data: str, count: int) -> list[PictureFile]:
    """Choose at most ``count`` pictures whose decisions the bundle does not record.

    Raises BundleError if there are none.
    """
    files = find_pictures(data)
    proof = {each.picture for each in recorded(package)}
    chosen: list[PictureFile] = []
    for index in np.random.default_rng(SEED).permutation(len(files)).tolist():
        if len(chosen) == count:
            break
        if _sha256(files[index]) not in proof:
            chosen.append(files[index])
    if not chosen:
        problem = "holds only strips of the proof, and none to calibrate on"
        raise BundleError(data, problem, "Give more strips: the whole data set")
    return chosen


def _sha256(file: PictureFile) -> str:
    return picture_sha256(read_picture(file.read(), file.name))


def prove_reduced(
    package: Package, expected: Sequence[tuple[Expected, Picture]]
) -> tuple[Parity, tuple[Kept, ...]]:
    """Compare the decisions of a bundle with those of the trained networks, also per class."""
    ready = Bundle(package)
    parity = prove(ready, expected)
    tracked = track(expected, "Counting defects per class", len(expected))
    scanned = ((each, ready.scan(picture).masks) for each, picture in tracked)
    return parity, kept_per_class(package.manifest.classes, scanned)


def _certificate(package: Package, done: Quantized, limits: Limits) -> Certificate:
    """Return the certificate of the bundle in float32, updated for the reduced one."""
    before = package.certificate
    return before.but(
        precision=done.to,
        limits=limits,
        parity=done.parity,
        quantized={
            "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "steelscan": steelscan.__version__,
            "runtime": runtime_versions(),
            "from": package.sha256,
            "in_fp32": {
                "limits": before.limits.model_dump(mode="json"),
                "parity": before.parity.model_dump(mode="json"),
            },
            "seed": SEED,
            "calibrated": dict(done.calibrated),
            "networks": {each.file: _network_record(each) for each in done.networks},
            "lost": done.lost,
            "classes": [each.model_dump(mode="json") for each in done.kept],
        },
    )


def _network_record(network: ReducedNetwork) -> dict[str, Any]:
    if not network.used:
        return {"drift": network.drift, "layers": 0}
    nodes = list(network.graph.fp32_nodes)
    return {"drift": network.drift, "layers": network.graph.layers, "fp32_nodes": nodes}


def _card(package: Package, done: Quantized) -> bytes:
    """Return the model card with a section on the precision."""
    card = package.contents.get("card.md", b"").decode(errors="replace")
    lines = "".join(f"- {line}.\n" for line in done.lines())
    return f"{card}\n## Precision\n\n{lines}".encode()
