"""Compare a bundle with the records of the trained networks. No torch here."""

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
    Parity,
    compare,
    limits_of,
    parity_of,
)
from steelscan.bundle.proof.records import Expected, picture_sha256, read_json_lines
from steelscan.data import find_pictures, read_picture
from steelscan.decision import GivenOutputs, RuleInput, masks_of
from steelscan.postprocess import Rule
from steelscan.strip import Frame, Masks, Picture, track
from steelscan.strip.errors import BundleError

_UNPROVEN = "Do not use it: the bundle can prove nothing. Export it anew"


def prove(bundle: Bundle, strips: Iterable[tuple[Expected, Picture]]) -> Parity:
    """Compare a bundle with the records of strips, nearest to a threshold first.

    Each is scanned with all networks, and with the cascade: if the masks differ, the early exit
    must be the reason, or BundleError is raised.
    """
    results = []
    ordered = sorted(strips, key=lambda each: each[0].margin)
    for expected, picture in track(ordered, "Proving", len(ordered)):
        contradiction = expected.contradicts(bundle.manifest, Frame(*picture.shape))
        if contradiction is not None:
            raise BundleError(f"expected.jsonl: {expected.name}", contradiction, _UNPROVEN)
        rules = bundle.manifest.decision.last.rules
        outputs = bundle.detector.predict_steps(picture)
        rule_input = bundle.detector.rule_input(picture, GivenOutputs(outputs))
        masks = masks_of(rule_input, rules)
        scan = bundle.scan(picture)
        early = bundle.manifest.early_exit is not None and not scan.defective
        if not early and not np.array_equal(scan.masks, masks):
            problem = f"has other masks with {', '.join(scan.networks)} alone"
            raise BundleError(expected.name, problem, "Report this")
        near = partial(_near_a_threshold, rule_input, rules)
        results.append(compare(expected, masks, outputs, near, escapes=early))
    return parity_of(results, len(bundle.classes))


def _near_a_threshold(rule_input: RuleInput, rules: Sequence[Rule]) -> Masks:
    """Return the pixels whose masks change if probabilities are 1/255 higher, or lower."""
    lower, higher = np.maximum(rule_input.pixels, 1) - 1, np.minimum(rule_input.pixels, 254) + 1
    least, most = (masks_of(rule_input._replace(pixels=each), rules) for each in (lower, higher))
    return np.asarray(least != most)


def known_strips(package: Package, data: str | None) -> Iterator[tuple[Expected, Picture]]:
    """Yield the recorded strips: those in a folder of pictures, or those in the bundle.

    Raises BundleError if there is none, or if the records are broken.
    """
    records = {each.picture: each for each in recorded(package)}
    count = 0
    for picture in _pictures(package, data):
        expected = records.get(picture_sha256(picture))
        if expected is not None:
            count += 1
            yield expected, picture
    included = package.certificate.included_strips
    if data is None and count != included:
        problem = f"contains {count} recorded strips; the certificate lists {included}"
        raise BundleError("the bundle", problem, _UNPROVEN)
    if not count:
        problem = "holds none of the strips that this bundle records"
        raise BundleError(data or "the bundle", problem, "Give the data that it was proven on")


def recorded(package: Package) -> list[Expected]:
    """Read the records of a bundle.

    Raises BundleError if they are missing, broken, or not as many as the certificate lists.
    """
    try:
        records = read_json_lines(package.contents["expected.jsonl"])
    except (KeyError, ValueError):
        raise BundleError("expected.jsonl", "is missing or broken", _UNPROVEN) from None
    defective = sum(any(each.masks) for each in records)
    proven = package.certificate.parity
    if (len(records), defective) != (proven.strips, proven.defective):
        problem = (
            f"records {len(records)} strips, {defective} of them defective; "
            f"the certificate lists {proven.strips} and {proven.defective}"
        )
        raise BundleError("expected.jsonl", problem, _UNPROVEN)
    return records


def _pictures(package: Package, data: str | None) -> Iterator[Picture]:
    if data is not None:
        sources = find_pictures(data)
        for source in track(sources, "Looking for recorded strips", len(sources)):
            yield read_picture(source.read(), source.name)
        return
    for name in sorted(package.contents):
        if name.startswith("strips/"):
            yield read_picture(BytesIO(package.contents[name]), name)


def runtime_versions() -> dict[str, str]:
    """Return the machine and the versions on which a bundle runs."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("onnxruntime", "openvino", "torch", "numpy", "opencv-python-headless"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def verify(
    path: Path,
    data: str | None = None,
    *,
    threads: int = 1,
    budget: float | None = None,
    escape_budget: float | None = None,
    signed_by: Path | None = None,
) -> Parity:
    """Compare a bundle, as it runs here, with the records of the trained networks.

    ``data`` are pictures, among them recorded ones; None: the strips in the bundle. ``budget`` is
    the share of verdicts that may flip (None: `LIMITS`), ``escape_budget`` the share of defective
    strips that the early exit may lose (None: `ESCAPES`); the bundle cannot change these limits.
    Raises BundleError if it exceeds them, is no bundle, or is not signed by the key in the file
    ``signed_by``; DatasetError and PictureError.
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
        failures.append(f"{lost} escaped by the early exit when it was exported")
    if early is not None and not early.defective:
        failures.append("the early exit was measured on no defective strip")
    if failures:
        problem = f"does not decide as the trained networks: {'; '.join(failures)}"
        raise BundleError(path, problem, _remedy(certificate.limits != LIMITS[precision], early))
    return parity


def signature_notes(bundle: Path, signed_by: Path | None) -> list[str]:
    """Return lines on the signature of a bundle, and on classes that it never predicts."""
    package, keys = read_package(bundle, signed_by), required_keys(signed_by)
    if keys:
        signature = f"Signed by the owner of {' and of '.join(map(str, keys))}"
    elif package.signed:
        signature = "Signed; the signer was not checked: use --require-signed-by PUBLIC"
    else:
        signature = "Not signed: anybody could have made it"
    return [signature, *(f"Note: {note}" for note in package.manifest.notes)]


def _remedy(loosened: bool, early: object) -> str:
    if loosened:
        return "Do not use it, or give --budget as when it was made if you accept that"
    if early is not None:
        return "Do not use it, or give the --escape-budget that you accept"
    return "Do not use it on this machine"
