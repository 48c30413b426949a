"""Reduce the precision of a bundle, if it still decides as the trained networks do.

Some strips calibrate the networks, others, those whose decisions the bundle records, prove the
result; no strip does both. A bundle is refused if it changes more verdicts, or loses more defects
of any class, than its budget allows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import steelscan
from steelscan.bundle import (
    Bundle,
    Certificate,
    Graph,
    Judge,
    Outline,
    Package,
    Run,
    certified,
    open_run,
    private_key,
    read_package,
    write_package,
)
from steelscan.bundle.precision.graphs import (
    Calibration,
    ReducedGraph,
    check_parts,
    to_fp16,
    to_int8,
)
from steelscan.bundle.precision.inputs import StripInputs
from steelscan.bundle.proof import (
    ESCAPES,
    LOST,
    Expected,
    Guard,
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
from steelscan.prediction import kind_for
from steelscan.strip import BundleError, Picture, track

ReducedPrecision = Literal["fp16", "int8"]

SEED = 0
"""Seed of the choice of strips that calibrate."""

MOST_DRIFT: Mapping[ReducedPrecision, float] = {"fp16": 0.01, "int8": 0.02}
"""A network whose outputs drift more than this stays in float32; see `drift_of`."""

_DRIFT_STRIPS = 16
"""Strips on which the drift is measured, at most."""

_ATTEMPTS: Mapping[ReducedPrecision, Sequence[Callable[[bytes, Calibration], ReducedGraph]]] = {
    "fp16": (to_fp16,),
    "int8": (to_int8, partial(to_int8, fp32_depth=0.5), partial(to_int8, fp32_depth=0.8)),
}
"""Ways to reduce a network, the one that leaves least in float32 first."""


@dataclass(frozen=True)
class ReducedNetwork:
    """A network in reduced precision, and whether it replaces the one in float32."""

    file: str
    graph: ReducedGraph
    drift: float
    used: bool


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
    strips: int = 32,
    budget: float | None = None,
    sign: Path | None = None,
    signed_by: Path | None = None,
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
    networks = _reduce_networks(package, to, files)
    contents = {each.file: each.graph.content for each in networks if each.used}
    reduced = Package(package.manifest.but(precision=to), {**package.contents, **contents})
    parity, kept = prove_reduced(reduced, expected)
    failed = [*failures(kept, lost), *parity.failures(limits, _escapes(package.certificate))]
    if failed:
        classes = "; ".join(each.text(lost) for each in kept)
        problem = f"decides too differently in {to}: {'; '.join(failed)}. Per class: {classes}"
        raise BundleError(bundle, problem, "Use it in fp32, or give a larger --budget")
    calibrated = tuple((file.name, _sha256(file)) for file in files)
    done = Quantized(out, reduced, to, calibrated, networks, parity, kept, lost)
    certificate = _certificate(package, done, limits)
    papers = {**reduced.contents, "card.md": _card(package, done)}
    written = certified(reduced.manifest, papers, certificate, key)
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


def _escapes(certificate: Certificate) -> float:
    """Return the share of defective strips that may escape by the early exit."""
    early = certificate.early
    return ESCAPES if early is None else max(ESCAPES, early.at_most)


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


def _reduce_networks(
    package: Package, to: ReducedPrecision, files: Sequence[PictureFile]
) -> tuple[ReducedNetwork, ...]:
    """Reduce all networks.

    If the outputs of all networks drift too much, all are used nevertheless: decisions may still
    be the same, and if not, the refusal names the classes.
    """
    graphs = [(step, graph) for step in package.manifest.steps for graph in step.graphs]
    networks = [
        _reduce_network(package, step, graph, to, files)
        for step, graph in track(graphs, f"Converting networks to {to}", len(graphs))
    ]
    if not any(each.used for each in networks):
        return tuple(replace(each, used=True) for each in networks)
    return tuple(networks)


def _reduce_network(
    package: Package,
    step: Judge | Outline,
    graph: Graph,
    to: ReducedPrecision,
    files: Sequence[PictureFile],
) -> ReducedNetwork:
    """Return the first attempt whose outputs drift little enough, or the first of all."""
    strips = StripInputs(graph, step, files)
    tried: list[ReducedNetwork] = []
    for attempt in _ATTEMPTS[to]:
        reduced = attempt(package.contents[graph.file], strips)
        if reduced.layers:
            drift = drift_of(package, step, graph, reduced.content, strips)
            tried.append(ReducedNetwork(graph.file, reduced, drift, drift <= MOST_DRIFT[to]))
            if tried[-1].used:
                return tried[-1]
    if not tried:
        raise BundleError(graph.file, f"has no layer to compute in {to}", "Use it in fp32")
    return tried[0]


def drift_of(
    package: Package, step: Judge | Outline, graph: Graph, reduced: bytes, strips: Calibration
) -> float:
    """Return how far the probabilities of a reduced network are from those in float32.

    That is the sum of their absolute differences over the first strips, divided by the sum of the
    probabilities in float32, of the output where it is largest; 1 if an output is not finite.
    """
    logits = kind_for(step.average) == "logits"
    original, other = (
        _open(package, step, graph, content) for content in (package.contents[graph.file], reduced)
    )
    sums = np.zeros((len(graph.heads), 2))
    for index in range(min(len(strips), _DRIFT_STRIPS)):
        for inputs in strips[index]:
            for at, outputs in enumerate(zip(original(inputs), other(inputs), strict=True)):
                one, two = (_probabilities(each, logits) for each in outputs)
                sums[at] += float(np.abs(one - two).sum()), float(one.sum())
    shares = sums[:, 0] / np.maximum(sums[:, 1], 1e-9)
    return float(shares.max()) if np.isfinite(shares).all() else 1.0


def _open(package: Package, step: Judge | Outline, graph: Graph, content: bytes) -> Run:
    return open_run(Package(package.manifest, {graph.file: content}), step, graph, 1, "cpu")


def _probabilities(outputs: NDArray[np.float32], logits: bool) -> NDArray[np.float32]:
    return np.asarray((np.tanh(outputs / 2) + 1) / 2) if logits else outputs


def prove_reduced(
    package: Package, expected: Sequence[tuple[Expected, Picture]]
) -> tuple[Parity, tuple[Kept, ...]]:
    """Compare the decisions of a bundle with those of the trained networks, also per class."""
    ready = Bundle(package, 1, "cpu")
    classes = Guard(package.manifest.classes)
    parity = prove(ready, expected)
    for each, picture in track(expected, "Counting defects per class", len(expected)):
        classes.hold(each, ready.scan(picture).masks)
    return parity, classes.kept()


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
