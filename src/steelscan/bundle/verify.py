"""A bundle held against what the trained networks decided, with or without them. No torch here."""

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from steelscan.bundle.package import Package
from steelscan.bundle.parity import (
    LIMITS,
    Expected,
    Limits,
    Parity,
    Proof,
    picture_sha256,
    read_lines,
)
from steelscan.bundle.runtime import Bundle, load
from steelscan.data import find_pictures, read_picture
from steelscan.pipeline import decide
from steelscan.strip import BundleError, Picture, track


def prove(bundle: Bundle, strips: Iterable[tuple[Expected, Picture]]) -> Parity:
    """Hold a bundle against what is expected of strips, nearest to a threshold first.

    Each is scanned with all networks and with the cascade. Raises BundleError where these two find
    other masks.
    """
    proof = Proof(len(bundle.classes))
    ordered = sorted(strips, key=lambda each: each[0].margin)
    for expected, picture in track(ordered, "Proving", len(ordered)):
        said = bundle.say(picture)
        masks = bundle.decided(said, picture)
        if not bundle.leaves_early:
            sooner, asked = bundle.look(picture, cascade=True)
            if not np.array_equal(decide(sooner, bundle.manifest.rules), masks):
                found = f"is decided otherwise by {', '.join(asked)} alone"
                raise BundleError(expected.name, found, "Report this")
        proof.hold(expected, masks, said)
    return proof.parity()


def known_strips(package: Package, data: str | None) -> Iterator[tuple[Expected, Picture]]:
    """The strips whose decisions a bundle records: of a folder, or those that it brings along.

    Raises BundleError when there is none, or the records are broken.
    """
    records = {each.picture: each for each in recorded(package)}
    found = False
    for picture in _pictures(package, data):
        expected = records.get(picture_sha256(picture))
        if expected is not None:
            found = True
            yield expected, picture
    if not found:
        found_text = "is not of the strips whose decisions this bundle records"
        raise BundleError(data or "the bundle", found_text, "Give the data that it was proven on")


def recorded(package: Package) -> list[Expected]:
    """What the trained networks decided, as a bundle records it. Raises BundleError."""
    try:
        return read_lines(package.contents["expected.jsonl"])
    except (KeyError, ValidationError):
        found = "is missing or broken: the bundle can prove nothing"
        raise BundleError("expected.jsonl", found, "Export it anew") from None


def _pictures(package: Package, data: str | None) -> Iterator[Picture]:
    if data is not None:
        sources = find_pictures(data)
        for source in track(sources, "Looking for known strips", len(sources)):
            yield read_picture(source.read(), source.name)
        return
    for name in sorted(package.contents):
        if name.startswith("strips/"):
            yield read_picture(BytesIO(package.contents[name]), name)


def runtime_versions() -> dict[str, str]:
    """Machine and versions on which a bundle is run."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("onnxruntime", "openvino", "torch", "numpy", "opencv-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def limits_of(package: Package) -> Limits:
    """What a bundle was held to when it was made."""
    certificate = package.json("certificate.json") or {}
    if "limits" not in certificate:
        return LIMITS[package.manifest.precision]
    return Limits.model_validate(certificate["limits"])


def verify(path: Path, data: str | None = None, *, threads: int = 1) -> Parity:
    """Hold a bundle, as it runs here, against what the trained networks decided.

    ``data`` are pictures, of which those are taken whose decisions the bundle records; None: those
    that it brings along. Raises BundleError when it decides otherwise, or is no bundle;
    DatasetError and PictureError.
    """
    bundle = load(path, threads=threads)
    parity = prove(bundle, known_strips(bundle.package, data))
    failures = parity.failures(limits_of(bundle.package))
    if failures:
        remedy = "Do not use it on this machine"
        raise BundleError(
            path, f"decides otherwise than what was trained: {'; '.join(failures)}", remedy
        )
    return parity
