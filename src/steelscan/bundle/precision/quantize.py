"""A bundle in another precision, held against the decisions of the trained networks. No torch here.

Some strips calibrate, others judge; none does both. What costs more than its budget, of verdicts or
of the defects of any class, is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import steelscan
from steelscan.bundle import (
    Bundle,
    Certificate,
    Graph,
    Package,
    certified,
    private_key,
    read_package,
    write_package,
)
from steelscan.bundle.precision.drift import Beside, beside, speed_text
from steelscan.bundle.precision.graphs import Lowered, Strips, check_parts, to_fp16, to_int8
from steelscan.bundle.precision.inputs import SeenStrips
from steelscan.bundle.proof import (
    ESCAPES,
    LOST,
    ClassProof,
    Expected,
    Kept,
    Limits,
    Parity,
    failures,
    known_strips,
    limits_of,
    picture_sha256,
    prove,
    recorded,
    runtime_versions,
)
from steelscan.data import PictureFile, find_pictures, read_picture
from steelscan.decision import Step
from steelscan.strip import BundleError, Picture, track

Lower = Literal["fp16", "int8"]
"""The precisions that a bundle can be brought to."""

SEED = 0
"""Draws the strips that calibrate."""

APART: Mapping[Lower, float] = {"fp16": 0.01, "int8": 0.02}
"""Share of its probabilities; a network that lies further beside itself stays in float32."""

_TRIED: Mapping[Lower, Sequence[Callable[[bytes, Strips], Lowered]]] = {
    "fp16": (to_fp16,),
    "int8": (to_int8, partial(to_int8, behind=0.5), partial(to_int8, behind=0.8)),
}
"""The least of a network that is left in float32 comes first."""


@dataclass(frozen=True)
class Network:
    """What became of one network: beside itself, and whether it is taken or stays in float32."""

    file: str
    found: Beside
    lowered: Lowered
    taken: bool


@dataclass(frozen=True)
class Quantized:
    """A bundle in another precision, and what its proof found."""

    path: Path
    package: Package
    to: Lower
    calibrated: tuple[tuple[str, str], ...]
    """Names and SHA-256 of the strips that calibrated."""
    networks: tuple[Network, ...]
    parity: Parity
    kept: tuple[Kept, ...]
    lost: float
    """Share of the defects of a class that may be lost."""

    @property
    def speed(self) -> str:
        """What was measured here, in words."""
        before = sum(each.found.before for each in self.networks)
        lowered = (each.found.after if each.taken else each.found.before for each in self.networks)
        return speed_text(before, sum(lowered), self.to)

    def lines(self) -> list[str]:
        """What was done and found, for people."""
        stay = [each.file for each in self.networks if not each.taken]
        return [
            f"Calibrated on {len(self.calibrated)} strips that do not judge (seed {SEED})",
            f"In {self.to}: {len(self.networks) - len(stay)} of {len(self.networks)} networks"
            + (f"; in fp32, which they need: {', '.join(stay)}" if stay else ""),
            f"Held against the trained networks: {self.parity.text()}",
            *(each.text(self.lost) for each in self.kept),
            self.speed,
        ]


def quantize(
    bundle: Path,
    out: Path,
    *,
    to: Lower,
    data: str,
    strips: int = 32,
    budget: float | None = None,
    sign: Path | None = None,
    signed_by: Path | None = None,
) -> Quantized:
    """Write a bundle whose networks compute in another precision, where that costs little enough.

    ``data`` holds the strips whose decisions the bundle records, which judge, and others, of which
    so many calibrate. ``budget`` is the share of verdicts that may flip and of the defects of a
    class that may be lost; None: what the precision is held to (`LIMITS`, `LOST`). A signature
    does not pass over: ``sign`` is a file with the private key that vouches for the new bundle,
    ``signed_by`` one with the public key that must have signed the old one.

    Raises BundleError where it costs more (nothing is written then), where strips of either kind
    are missing, or for a bundle that is not of onnx in fp32; MissingPartError, DatasetError,
    PictureError, OutputError.
    """
    check_parts()
    key = None if sign is None else private_key(sign)
    package = read_package(bundle, signed_by)
    _check(bundle, out, package)
    limits, lost = limits_of(to, budget), LOST[to] if budget is None else budget
    judging = list(known_strips(package, data))
    files = _drawn(package, data, strips)
    networks = _networks(package, to, files)
    contents = {each.file: each.lowered.content for each in networks if each.taken}
    lowered = Package(package.manifest.but(precision=to), {**package.contents, **contents})
    parity, kept = judged(lowered, judging)
    failed = [*failures(kept, lost), *parity.failures(limits, _escapes(package.certificate))]
    if failed:
        every = "; ".join(each.text(lost) for each in kept)
        found = f"costs too much in {to}: {'; '.join(failed)}. Class by class: {every}"
        raise BundleError(bundle, found, "Use it in fp32, or state a larger --budget")
    calibrated = tuple((file.name, _sha256(file)) for file in files)
    done = Quantized(out, lowered, to, calibrated, networks, parity, kept, lost)
    certificate = _certificate(package, done, limits)
    papers = {**lowered.contents, "card.md": _card(package, done)}
    written = certified(lowered.manifest, papers, certificate, key)
    return replace(done, package=write_package(out, lowered.manifest, written))


def _check(bundle: Path, out: Path, package: Package) -> None:
    """Refuse what cannot be brought to another precision."""
    manifest = package.manifest
    if manifest.written_for != "onnx":
        found = f"is written for {manifest.written_for}"
        raise BundleError(bundle, found, "Export it with --format onnx")
    if manifest.precision != "fp32":
        found = f"is in {manifest.precision} already"
        raise BundleError(bundle, found, "Take the bundle in fp32 that it was made from")
    if out.exists() and out.samefile(bundle):
        raise BundleError(out, "is the bundle to be read", "Name another file with --out")


def _escapes(certificate: Certificate) -> float:
    """The share of defective strips that the bundle in fp32 was made to lose by leaving early."""
    early = certificate.early
    return ESCAPES if early is None else max(ESCAPES, early.at_most)


def _drawn(package: Package, data: str, count: int) -> list[PictureFile]:
    """So many pictures, at most, of those whose decisions a bundle does not record.

    Raises BundleError where there is none.
    """
    files = find_pictures(data)
    judging = {each.picture for each in recorded(package)}
    drawn: list[PictureFile] = []
    for place in np.random.default_rng(SEED).permutation(len(files)).tolist():
        if len(drawn) == count:
            break
        if _sha256(files[place]) not in judging:
            drawn.append(files[place])
    if not drawn:
        found = "holds only strips that judge, and none to calibrate on"
        raise BundleError(data, found, "Give other strips beside these: the whole data set")
    return drawn


def _sha256(file: PictureFile) -> str:
    return picture_sha256(read_picture(file.read(), file.name))


def _networks(package: Package, to: Lower, files: Sequence[PictureFile]) -> tuple[Network, ...]:
    """All networks, each with as little left in float32 as it bears.

    Where none bears it all are taken as they are: their decisions may yet be the same, and if not
    it is told of which classes.
    """
    asked = package.manifest.graphs
    networks = [
        _network(package, step, graph, to, files)
        for step, graph in track(asked, f"Bringing networks to {to}", len(asked))
    ]
    if not any(each.taken for each in networks):
        return tuple(replace(each, taken=True) for each in networks)
    return tuple(networks)


def _network(
    package: Package, step: Step, graph: Graph, to: Lower, files: Sequence[PictureFile]
) -> Network:
    """One network with as little left in float32 as it bears; where it bears none, the first."""
    strips = SeenStrips(graph, step, files)
    tried: list[Network] = []
    for lower in _TRIED[to]:
        lowered = lower(package.contents[graph.file], strips)
        if not lowered.layers:
            continue
        found = beside(package, step, graph, lowered.content, strips)
        tried.append(Network(graph.file, found, lowered, taken=found.apart <= APART[to]))
        if tried[-1].taken:
            return tried[-1]
    if not tried:
        raise BundleError(graph.file, f"has no layer that {to} would hasten", "Use it in fp32")
    return tried[0]


def judged(
    lowered: Package, judging: Sequence[tuple[Expected, Picture]]
) -> tuple[Parity, tuple[Kept, ...]]:
    """Hold the new networks against what the trained ones decided, over all and class by class."""
    ready = Bundle(lowered, 1, "cpu")
    proof = ClassProof(lowered.manifest.classes)
    parity = prove(ready, judging)
    for expected, picture in track(judging, "Counting classes", len(judging)):
        proof.add(expected, ready.scan(picture).masks)
    return parity, proof.kept()


def _certificate(package: Package, done: Quantized, limits: Limits) -> Certificate:
    """The certificate of the bundle in fp32, with what was done to it and what came of that."""
    was = package.certificate
    return was.but(
        precision=done.to,
        limits=limits,
        parity=done.parity,
        quantized={
            "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "steelscan": steelscan.__version__,
            "runtime": runtime_versions(),
            "from": package.sha256,
            "in_fp32": {
                "limits": was.limits.model_dump(mode="json"),
                "parity": was.parity.model_dump(mode="json"),
            },
            "seed": SEED,
            "calibrated": dict(done.calibrated),
            "networks": {each.file: _told(each) for each in done.networks},
            "lost": done.lost,
            "classes": [each.model_dump(mode="json") for each in done.kept],
            "speed": done.speed,
        },
    )


def _told(network: Network) -> dict[str, Any]:
    found, lowered = network.found.model_dump(), network.lowered
    if not network.taken:
        return {**found, "layers": 0}
    return {**found, "layers": lowered.layers, "nodes_in_fp32": list(lowered.kept)}


def _card(package: Package, done: Quantized) -> bytes:
    """The card with a section more."""
    card = package.contents.get("card.md", b"").decode(errors="replace")
    found = "".join(f"- {line}.\n" for line in done.lines())
    return f"{card}\n## Precision\n\n{found}".encode()
