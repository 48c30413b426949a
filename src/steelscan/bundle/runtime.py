"""What runs on the line: a bundle that scans strips. No torch here."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.bundle.cascade import Consultation
from steelscan.bundle.engines import MOST_THREADS, Device, OnnxModel, open_models
from steelscan.bundle.package import Package, read_package
from steelscan.bundle.spec import Manifest
from steelscan.data import Source, read_picture
from steelscan.decision import (
    Prediction,
    RuleInput,
    StepOutput,
    answer_pictures,
    claimed,
    consult,
    find_distinct,
)
from steelscan.decision.decide import decide
from steelscan.postprocess import Defect, defects_of
from steelscan.strip import Classes, Frame, InputError, Masks, Picture


@dataclass(frozen=True, eq=False)
class Scan:
    """What a bundle finds on a strip."""

    masks: Masks
    """bool ``(classes, height, width)``."""
    defects: tuple[Defect, ...]
    asked: tuple[str, ...]
    """The networks that were asked, by their files."""
    seconds: Mapping[str, float]
    """Spent on "network" (with resizing and averaging) and on "cleaning" (rules, defects); where
    the picture was read here, on "decoding"."""
    probabilities: NDArray[np.float32] | None = None
    """Of pixels, ``(classes, height, width)``, behind all gates; only on request."""
    words: NDArray[np.float32] | None = None
    """Of classes on the whole strip, ``(classes,)``, where networks judge that; on request."""

    @property
    def defective(self) -> bool:
        """Whether anything was found: the verdict."""
        return bool(self.defects)


class Bundle:
    """A bundle in memory, ready to scan; to be used from several threads at once."""

    def __init__(self, package: Package, threads: int, device: Device) -> None:
        self.package = package
        self.threads = threads
        self._voters: Mapping[str, Sequence[OnnxModel]] = {
            step.name: open_models(package, step, threads, device)
            for step in package.manifest.steps
        }

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.package.manifest

    @property
    def classes(self) -> Classes:
        """The classes that it finds."""
        return self.package.manifest.classes

    def scan(self, picture: Picture, *, probabilities: bool = False, cascade: bool = True) -> Scan:
        """Find the defects of a strip, uint8 ``(height, width)``.

        Networks that cannot change the masks are not asked; with ``cascade`` off, or where
        ``probabilities`` are wanted, all are. Raises InputError for what is no such picture.
        """
        if picture.dtype != np.uint8 or picture.ndim != 2 or not picture.size:
            found = f"is {picture.dtype} {picture.shape}"
            raise InputError("picture", found, "Give uint8 (height, width), as read_picture does")
        start = time.perf_counter()
        opened, asked = self.look(picture, cascade=cascade and not probabilities)
        middle = time.perf_counter()
        masks = decide(opened, self.manifest.rules)
        defects = defects_of(masks, opened.levels)
        seconds = {"network": middle - start, "cleaning": time.perf_counter() - middle}
        shown = _shown(opened) if probabilities else (None, None)
        return Scan(masks, defects, asked, seconds, *shown)

    def look(self, picture: Picture, *, cascade: bool) -> tuple[RuleInput, tuple[str, ...]]:
        """What the last rules get to see of a strip, and the networks that were asked for it."""
        asking = Consultation(self.manifest, self._voters, picture, cascade=cascade)
        opened = consult(self.manifest, asking, len(self.classes), Frame(*picture.shape))
        return opened, tuple(asking.asked)

    def say(self, picture: Picture) -> dict[str, StepOutput]:
        """What the networks of each step say of a strip, all of them, whatever the gates."""
        asking = Consultation(self.manifest, self._voters, picture, cascade=False)
        every = np.ones(len(self.classes), np.bool_)
        return {step.name: asking(step.name, every) for step in self.manifest.steps}

    def opened(self, said: Mapping[str, StepOutput], picture: Picture) -> RuleInput:
        """What the last rules get to see of a strip, given the outputs of all steps."""
        frame, classes = Frame(*picture.shape), len(self.classes)
        return consult(self.manifest, lambda name, _: said[name], classes, frame)

    @property
    def networks(self) -> int:
        """How many networks it has."""
        return sum(map(len, self._voters.values()))

    def scan_file(self, source: Source | str, name: object = None, *, cascade: bool = True) -> Scan:
        """Read a picture and scan it. Raises PictureError."""
        start = time.perf_counter()
        picture = _read(source, name)
        decoding = time.perf_counter() - start
        scan = self.scan(picture, cascade=cascade)
        return replace(scan, seconds={"decoding": decoding, **scan.seconds})

    def scan_all(
        self, sources: Iterable[Source | str], *, workers: int | None = None, cascade: bool = True
    ) -> Iterator[Scan]:
        """Scan many pictures, in their order, several at a time: so decoding waits for nobody.

        No more than twice as many as there are ``workers`` (None: as many as cores that this
        process may use) are held. Raises PictureError at the first that cannot be read.
        """
        count = workers or usable_cores()
        waiting: deque[Future[Scan]] = deque()

        def one(source: Source | str) -> Scan:
            return self.scan_file(source, cascade=cascade)

        with ThreadPoolExecutor(count) as pool:
            try:
                for source in sources:
                    waiting.append(pool.submit(one, source))
                    if len(waiting) >= 2 * count:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def _read(source: Source | str, name: object = None) -> Picture:
    return read_picture(Path(source) if isinstance(source, str) else source, name)


def usable_cores() -> int:
    """Cores that this process may use."""
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
    ``signed_by`` is a file with the public key that must have signed it; None: nobody must, save
    whom the environment variable STEELSCAN_REQUIRE_SIGNATURE names. Raises BundleError for a file
    that is no bundle, is broken or is not to be trusted, InputError for a number of threads out of
    reason, MissingPartError where its runtime is not installed.
    """
    if not 1 <= threads <= MOST_THREADS:
        found = f"is {threads}"
        raise InputError("threads", found, f"Give a number from 1 to {MOST_THREADS}")
    cv2.setNumThreads(threads)
    return Bundle(read_package(Path(path), signed_by), threads, device)


def _shown(opened: RuleInput) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    return opened.levels.astype(np.float32) / np.float32(255), opened.word


def scan_pictures(
    bundle: Path,
    pictures: str,
    out: Path,
    *,
    device: Device = "cpu",
    on_error: Literal["stop", "skip"] = "stop",
    overlays: bool = True,
    cascade: bool = True,
    cores: int | None = None,
    signed_by: Path | None = None,
) -> Prediction:
    """Outline the defects of pictures: a folder, a file, a glob pattern or a zip.

    Writes what `steelscan.pipeline.open_run` writes, and goes on after an interruption. So many
    pictures are worked on at once as ``cores`` says; None: as this process may use.
    ``signed_by`` is a file with the public key that must have signed the bundle. Raises
    BundleError, DatasetError, PictureError, and RunError where another process works in ``out``.
    """
    sources = find_distinct(pictures, out)
    count = cores or usable_cores()
    opened = load(bundle, device=device, signed_by=signed_by)

    def masks_of(picture: Picture) -> Masks:
        return opened.scan(picture, cascade=cascade).masks

    with claimed(out, opened.package.sha256.encode()):
        done = answer_pictures(
            sources,
            masks_of,
            out,
            opened.classes,
            opened.manifest.layout,
            on_error=on_error,
            overlays=overlays,
            workers=count,
            frames=[opened.manifest.strip],
        )
    return replace(done, notes=(*opened.manifest.notes, *done.notes))
