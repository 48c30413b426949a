"""What runs on the line: a bundle that scans strips. No torch here."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from steelscan.bundle.engines import MOST_THREADS, Device, open_models
from steelscan.bundle.package import Package, read_package
from steelscan.bundle.spec import Manifest
from steelscan.data import Source, read_picture
from steelscan.decision import (
    Detector,
    Prediction,
    distinct_pictures,
    masks_of,
    predict_pictures,
)
from steelscan.postprocess import Defect, defects_of
from steelscan.strip import Classes, Masks, Picture, map_ahead
from steelscan.strip.errors import InputError, OnError


@dataclass(frozen=True, eq=False)
class Scan:
    """What a bundle finds on a strip."""

    masks: Masks
    """bool ``(classes, height, width)``."""
    defects: tuple[Defect, ...]
    networks: tuple[str, ...]
    """The files of the networks that predicted."""
    seconds: Mapping[str, float]
    """Time of "network" (with resizing and averaging), of "cleaning" (rules, defects) and, if the
    picture was read here, of "decoding"."""

    @property
    def defective(self) -> bool:
        """The verdict: whether there is any defect."""
        return bool(self.defects)


class Bundle:
    """A bundle in memory, ready to scan; it may be used from several threads at once."""

    def __init__(self, package: Package, threads: int = 1, device: Device = "cpu") -> None:
        """Load the networks of a package. Raises BundleError, MissingPartError."""
        self.package = package
        self.threads = threads
        models = open_models(package, threads, device)
        self.detector = Detector(package.manifest.decision, models, len(package.manifest.classes))

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self.package.manifest

    @property
    def classes(self) -> Classes:
        """The classes that it finds."""
        return self.package.manifest.classes

    @property
    def networks(self) -> int:
        """How many networks it has."""
        return len(self.manifest.graphs)

    def scan(self, picture: Picture, *, cascade: bool = True) -> Scan:
        """Find the defects of a strip, uint8 ``(height, width)``.

        With ``cascade``, networks that cannot change the masks are skipped. Raises InputError for
        an array that is no such picture.
        """
        if picture.dtype != np.uint8 or picture.ndim != 2 or not picture.size:
            problem = f"is {picture.dtype} {picture.shape}"
            raise InputError("picture", problem, "Give uint8 (height, width), as read_picture does")
        start = time.perf_counter()
        outputs = self.detector.outputs(picture, cascade=cascade)
        rule_input = self.detector.rule_input(picture, outputs)
        middle = time.perf_counter()
        masks = masks_of(rule_input, self.detector.decision.last.rules)
        defects = defects_of(masks, rule_input.pixels)
        seconds = {"network": middle - start, "cleaning": time.perf_counter() - middle}
        networks = tuple(self.manifest.networks[step][at].file for step, at in outputs.used)
        return Scan(masks, defects, networks, seconds)

    def scan_file(self, source: Source | str, name: object = None, *, cascade: bool = True) -> Scan:
        """Read a picture and scan it. Raises PictureError."""
        start = time.perf_counter()
        picture = read_picture(Path(source) if isinstance(source, str) else source, name)
        decoding = time.perf_counter() - start
        scan = self.scan(picture, cascade=cascade)
        return replace(scan, seconds={"decoding": decoding, **scan.seconds})

    def scan_all(
        self, sources: Iterable[Source | str], *, workers: int | None = None, cascade: bool = True
    ) -> Iterator[Scan]:
        """Scan many pictures in their order, several at a time, and read the next ones meanwhile.

        At most twice as many as ``workers`` (None: the cores that this process may use) are in
        memory. Raises PictureError at the first that cannot be read.
        """
        scan_one = partial(self.scan_file, cascade=cascade)
        with closing(map_ahead(scan_one, sources, workers or usable_cores())) as results:
            for result in results:
                yield result()


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load(
    path: str | Path,
    *,
    threads: int = 1,
    device: Device = "cpu",
    signed_by: Path | None = None,
) -> Bundle:
    """Load a bundle; ``threads`` work on each strip.

    Several strips at once (`Bundle.scan_all`) use cores better than several threads on one.
    ``signed_by`` is a file with the public key that must have signed it, in addition to that of
    the environment variable STEELSCAN_REQUIRE_SIGNATURE. Raises BundleError for a file that is no
    bundle, is broken or is not signed so, InputError for an impossible number of threads,
    MissingPartError if its runtime is not installed.
    """
    if not 1 <= threads <= MOST_THREADS:
        problem = f"is {threads}"
        raise InputError("threads", problem, f"Give a number from 1 to {MOST_THREADS}")
    cv2.setNumThreads(threads)
    return Bundle(read_package(Path(path), signed_by), threads, device)


def scan_pictures(
    bundle: Path,
    pictures: str,
    out: Path,
    *,
    on_error: OnError = "stop",
    overlays: bool = True,
    cascade: bool = True,
    cores: int | None = None,
    signed_by: Path | None = None,
) -> Prediction:
    """Predict the masks of pictures: a folder, a file, a glob pattern or a zip.

    Writes what `steelscan.pipeline.predict` writes, and continues after an interruption. ``cores``
    is how many pictures are worked on at once; None: the cores that this process may use.
    ``signed_by`` is a file with the public key that must have signed the bundle. Raises
    BundleError, DatasetError, PictureError, and RunError if another process works in ``out``.
    """
    sources = distinct_pictures(pictures, out)
    opened = load(bundle, signed_by=signed_by)
    done = predict_pictures(
        sources,
        partial(opened.detector.masks, cascade=cascade),
        out,
        opened.classes,
        opened.manifest.layout,
        made_of=opened.package.sha256.encode(),
        on_error=on_error,
        overlays=overlays,
        workers=cores or usable_cores(),
        frames=[opened.manifest.strip],
    )
    return replace(done, notes=(*opened.manifest.notes, *done.notes))
