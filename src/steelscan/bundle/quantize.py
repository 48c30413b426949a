"""A bundle in another precision, held against the decisions of the trained networks. No torch here.

Some strips calibrate, others judge; none does both. What costs more than its budget, of verdicts or
of the defects of any class, is refused.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

import steelscan
from steelscan.bundle.beside import Beside, beside, speed_text
from steelscan.bundle.guard import LOST, Guard, Kept, failures
from steelscan.bundle.lowered import Lowered, Strips, check_parts, to_fp16, to_int8
from steelscan.bundle.package import Package, read_package, write_package
from steelscan.bundle.parity import LIMITS, Expected, Limits, Parity, picture_sha256, read_lines
from steelscan.bundle.runtime import Bundle
from steelscan.bundle.seen import SeenStrips
from steelscan.bundle.verify import known_strips, prove, runtime_versions
from steelscan.data import PictureFile, find_pictures, read_picture
from steelscan.prediction import sort_for
from steelscan.strip import BundleError, Picture, track

Lower = Literal["fp16", "int8"]
"""The precisions that a bundle can be brought to."""

SEED = 0
"""Draws the strips that calibrate."""

APART: Mapping[Lower, float] = {"fp16": 2.0, "int8": 5.0}
"""Levels of 255; a network that lies further beside itself stays in float32."""

_LOWERED: Mapping[Lower, Callable[[bytes, Strips], Lowered]] = {"fp16": to_fp16, "int8": to_int8}


@dataclass(frozen=True)
class Network:
    """What became of one network: beside itself, the nodes left in float32; None: all are."""

    file: str
    found: Beside
    kept: tuple[str, ...] | None


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
        lowered = (
            each.found.before if each.kept is None else each.found.after for each in self.networks
        )
        return speed_text(before, sum(lowered), self.to)

    def lines(self) -> list[str]:
        """What was done and found, for people."""
        stay = [each.file for each in self.networks if each.kept is None]
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
) -> Quantized:
    """Write a bundle whose networks compute in another precision, where that costs little enough.

    ``data`` holds the strips whose decisions the bundle records, which judge, and others, of which
    so many calibrate. ``budget`` is the share of verdicts that may flip and of the defects of a
    class that may be lost; None: what the precision is held to (`LIMITS`, `LOST`).

    Raises BundleError where it costs more (nothing is written then), where strips of either kind
    are missing, or for a bundle that is not of onnx in fp32; MissingPartError, DatasetError,
    PictureError, OutputError.
    """
    check_parts()
    package = read_package(bundle)
    _check(bundle, out, package)
    limits, lost = _limits(to, budget)
    judging = list(known_strips(package, data))
    files = _drawn(package, data, strips)
    networks, contents = _networks(package, to, files)
    if all(each.kept is None for each in networks):
        apart = ", ".join(f"{each.file} {each.found.apart:.1f}" for each in networks)
        found = f"has no network that bears {to}; beside themselves they lie, of 255: {apart}"
        raise BundleError(bundle, found, "Use it in fp32")
    lowered = Package(package.manifest.but(precision=to), {**package.contents, **contents})
    parity, kept = _judged(bundle, lowered, judging)
    failed = [*failures(kept, lost), *parity.failures(limits)]
    if failed:
        every = "; ".join(each.text(lost) for each in kept)
        found = f"costs too much in {to}: {'; '.join(failed)}. Class by class: {every}"
        raise BundleError(bundle, found, "Use it in fp32, or state a larger --budget")
    calibrated = tuple((file.name, _sha256(file)) for file in files)
    done = Quantized(out, lowered, to, calibrated, networks, parity, kept, lost)
    certificate = _certificate(package, done, limits)
    written = {**lowered.contents, **_papers(package, done, certificate)}
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


def _limits(to: Lower, budget: float | None) -> tuple[Limits, float]:
    """What a proof holds it to, and the share of the defects of a class that may be lost."""
    limits = LIMITS[to]
    if budget is None:
        return limits, LOST[to]
    return limits.but(flipped=budget, changed=max(limits.changed, budget)), budget


def _drawn(package: Package, data: str, count: int) -> list[PictureFile]:
    """So many pictures, at most, of those whose decisions a bundle does not record.

    Raises BundleError where there is none.
    """
    files = find_pictures(data)
    recorded = {each.picture for each in read_lines(package.contents["expected.jsonl"])}
    drawn: list[PictureFile] = []
    for place in np.random.default_rng(SEED).permutation(len(files)).tolist():
        if len(drawn) == count:
            break
        if _sha256(files[place]) not in recorded:
            drawn.append(files[place])
    if not drawn:
        found = "holds only strips that judge, and none to calibrate on"
        raise BundleError(data, found, "Give other strips beside these: the whole data set")
    return drawn


def _sha256(file: PictureFile) -> str:
    return picture_sha256(read_picture(file.read(), file.name))


def _networks(
    package: Package, to: Lower, files: Sequence[PictureFile]
) -> tuple[tuple[Network, ...], dict[str, bytes]]:
    """All networks, and the contents of those that bear the precision."""
    asked = [(step, graph) for step in package.manifest.steps for graph in step.graphs]
    networks, contents = [], {}
    for step, graph in track(asked, f"Bringing networks to {to}", len(asked)):
        strips = SeenStrips(graph, step, files)
        lowered = _LOWERED[to](package.contents[graph.file], strips)
        logits = sort_for(step.average) == "logits"
        found = beside(package, graph, lowered.content, strips, logits=logits)
        bears = found.apart <= APART[to]
        networks.append(Network(graph.file, found, lowered.kept if bears else None))
        if bears:
            contents[graph.file] = lowered.content
    return tuple(networks), contents


def _judged(
    bundle: Path, lowered: Package, judging: Sequence[tuple[Expected, Picture]]
) -> tuple[Parity, tuple[Kept, ...]]:
    """Hold the new networks against what the trained ones decided, over all and class by class."""
    ready = Bundle(lowered, 1, "cpu")
    guard = Guard(lowered.manifest.classes)
    try:
        with np.errstate(invalid="raise"):  # a level that is not a number would pass for sound
            parity = prove(ready, judging)
            for expected, picture in track(judging, "Counting classes", len(judging)):
                guard.hold(expected, ready.scan(picture).masks)
    except FloatingPointError:
        found = f"says what is not a number in {lowered.manifest.precision}: its sums overflow"
        raise BundleError(bundle, found, "Use it in fp32") from None
    return parity, guard.kept()


def _certificate(package: Package, done: Quantized, limits: Limits) -> dict[str, Any]:
    """The certificate of the bundle in fp32, with what was done to it and what came of that."""
    was = package.json("certificate.json") or {}
    return {
        **was,
        "precision": done.to,
        "limits": limits.model_dump(),
        "parity": done.parity.model_dump(),
        "quantized": {
            "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "steelscan": steelscan.__version__,
            "runtime": runtime_versions(),
            "from": package.sha256,
            "in_fp32": {key: was.get(key) for key in ("limits", "parity")},
            "seed": SEED,
            "calibrated": dict(done.calibrated),
            "networks": {each.file: _network(each) for each in done.networks},
            "lost": done.lost,
            "classes": [each.model_dump() for each in done.kept],
            "speed": done.speed,
        },
    }


def _network(network: Network) -> dict[str, Any]:
    in_fp32 = "all" if network.kept is None else list(network.kept)
    return {**network.found.model_dump(), "in_fp32": in_fp32}


def _papers(package: Package, done: Quantized, certificate: dict[str, Any]) -> dict[str, bytes]:
    """The certificate, and the card with a section more."""
    card = package.contents.get("card.md", b"").decode()
    found = "".join(f"- {line}.\n" for line in done.lines())
    return {
        "certificate.json": (json.dumps(certificate, indent=2) + "\n").encode(),
        "card.md": f"{card}\n## Precision\n\n{found}".encode(),
    }
