"""A bundle held against what the trained networks decided, with or without them. No torch here."""

import platform
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

import numpy as np

from steelscan.bundle import Bundle, Package, load, read_package, required_keys
from steelscan.bundle.proof.parity import (
    ESCAPES,
    LIMITS,
    Expected,
    Parity,
    Proof,
    limits_of,
    picture_sha256,
    read_lines,
)
from steelscan.data import find_pictures, read_picture
from steelscan.decision import RuleInput
from steelscan.decision.decide import decide
from steelscan.postprocess import Rule
from steelscan.strip import BundleError, Frame, Masks, Picture, track

_UNPROVEN = "Do not use it: the bundle can prove nothing. Export it anew"


def prove(bundle: Bundle, strips: Iterable[tuple[Expected, Picture]]) -> Parity:
    """Hold a bundle against what is expected of strips, nearest to a threshold first.

    Each is scanned with all networks, and as it is in use: where the two find other masks the strip
    has left early, or BundleError is raised.
    """
    proof = Proof(len(bundle.classes))
    ordered = sorted(strips, key=lambda each: each[0].margin)
    for expected, picture in track(ordered, "Proving", len(ordered)):
        contradiction = expected.contradicts(bundle.manifest, Frame(*picture.shape))
        if contradiction is not None:
            raise BundleError(f"expected.jsonl: {expected.name}", contradiction, _UNPROVEN)
        said = bundle.say(picture)
        opened = bundle.opened(said, picture)
        masks = decide(opened, bundle.manifest.rules)
        in_use, asked = bundle.look(picture, cascade=True)
        used = decide(in_use, bundle.manifest.rules)
        early = bundle.manifest.early is not None and not used.any()
        if not early and not np.array_equal(used, masks):
            found = f"is decided otherwise by {', '.join(asked)} alone"
            raise BundleError(expected.name, found, "Report this")
        near = partial(_near_a_threshold, opened, bundle.manifest.rules)
        proof.hold(expected, masks, said, near, escapes=early)
    return proof.parity()


def _near_a_threshold(opened: RuleInput, rules: Sequence[Rule]) -> Masks:
    """The pixels that rules decide otherwise if probabilities are 1/255 higher, or lower."""
    levels = opened.levels
    lower, higher = np.maximum(levels, 1) - 1, np.minimum(levels, 254) + 1
    least, most = (decide(opened._replace(levels=each), rules) for each in (lower, higher))
    return np.asarray(least != most)


def known_strips(package: Package, data: str | None) -> Iterator[tuple[Expected, Picture]]:
    """The strips whose decisions a bundle records: of a folder, or those that it brings along.

    Raises BundleError when there is none, or the records are broken.
    """
    records = {each.picture: each for each in recorded(package)}
    found = 0
    for picture in _pictures(package, data):
        expected = records.get(picture_sha256(picture))
        if expected is not None:
            found += 1
            yield expected, picture
    brought = package.certificate.included_strips
    if data is None and found != brought:
        found_text = f"brings {found} strips whose decisions it records; certified are {brought}"
        raise BundleError("the bundle", found_text, _UNPROVEN)
    if not found:
        found_text = "is not of the strips whose decisions this bundle records"
        raise BundleError(data or "the bundle", found_text, "Give the data that it was proven on")


def recorded(package: Package) -> list[Expected]:
    """What the trained networks decided, as a bundle records it.

    Raises BundleError where that is missing, broken, or of another number than was certified.
    """
    try:
        records = read_lines(package.contents["expected.jsonl"])
    except (KeyError, ValueError):
        raise BundleError("expected.jsonl", "is missing or broken", _UNPROVEN) from None
    defective = sum(any(each.masks) for each in records)
    proven = package.certificate.parity
    if (len(records), defective) != (proven.strips, proven.defective):
        found = (
            f"records {len(records)} strips, {defective} of them defective; "
            f"certified are {proven.strips} and {proven.defective}"
        )
        raise BundleError("expected.jsonl", found, _UNPROVEN)
    return records


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


def verify(
    path: Path,
    data: str | None = None,
    *,
    threads: int = 1,
    budget: float | None = None,
    escape_budget: float | None = None,
    signed_by: Path | None = None,
) -> Parity:
    """Hold a bundle, as it runs here, against what the trained networks decided.

    ``data`` are pictures, of which those are taken whose decisions the bundle records; None: those
    that it brings along. What it is held to is up to this program and whoever asks: ``budget`` is
    the share of verdicts that may flip (None: `LIMITS`), ``escape_budget`` that of defective strips
    that may be lost by leaving early (None: `ESCAPES`). Raises BundleError when it decides
    otherwise, is no bundle, or is not signed by the key in the file ``signed_by``; DatasetError and
    PictureError.
    """
    bundle = load(path, threads=threads, signed_by=signed_by)
    parity = prove(bundle, known_strips(bundle.package, data))
    precision = bundle.manifest.precision
    escapes = ESCAPES if escape_budget is None else escape_budget
    failures = parity.failures(limits_of(precision, budget), escapes)
    certificate = bundle.package.certificate
    early = certificate.early
    if early is not None and early.escapes > escapes * early.defective:
        lost = f"{early.escapes} of {early.defective} defective strips"
        failures.append(f"{lost} escaped by leaving early when it was made")
    if early is not None and not early.defective:
        failures.append("leaving early was measured on no defective strip")
    if failures:
        found = f"decides otherwise than what was trained: {'; '.join(failures)}"
        raise BundleError(path, found, _remedy(certificate.limits != LIMITS[precision], early))
    return parity


def what_to_know(bundle: Path, signed_by: Path | None) -> list[str]:
    """Lines on what the signature of a bundle is worth, and on classes that it never predicts."""
    package, keys = read_package(bundle, signed_by), required_keys(signed_by)
    if keys:
        signature = f"Signed by the owner of {' and of '.join(map(str, keys))}"
    elif package.signed:
        signature = "Signed, by whom was not asked: --require-signed-by PUBLIC tells"
    else:
        signature = "Not signed: nobody vouches for it but the bundle itself"
    return [signature, *(f"Note: {note}" for note in package.manifest.notes)]


def _remedy(loosened: bool, early: object) -> str:
    if loosened:
        return "Do not use it, or give the --budget that it was made with if you accept that"
    if early is not None:
        return "Do not use it, or give the --escape-budget that you accept"
    return "Do not use it on this machine"
