"""A data set on disk: strips and their masks, checked when it is opened."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelscan.data.annotations import Annotations, Checked, detect, read_groups
from steelscan.data.content import content_hashes, track_many
from steelscan.data.files import Files, is_picture, open_files, stem
from steelscan.data.picture import picture_frame, read_picture
from steelscan.strip import (
    Classes,
    DatasetError,
    Fault,
    Frame,
    Layout,
    MaskError,
    Masks,
    Picture,
    PictureError,
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Strips with masks, in a folder or a zip; pictures and masks are read on demand.

    Picklable; may be shared by threads and forked processes.
    """

    root: Path
    classes: Classes
    names: tuple[str, ...]
    """File names of the strips' pictures, sorted; all other fields are in this order."""

    frames: tuple[Frame, ...]

    present: NDArray[np.bool_]
    """bool ``(strips, classes)``: which classes each strip has."""

    group_labels: tuple[str, ...] | None
    """Near-duplicate group of each strip from ``groups.csv``; None without that file."""

    test_names: tuple[str, ...]
    """Pictures in ``test_images/``; they have no masks."""

    skipped: tuple[tuple[str, str], ...]
    """Name and reason of each strip left out with ``on_error="skip"``."""

    layout: Layout
    """Layout of a submission: that of ``train.csv``, otherwise joined."""

    fingerprint: str
    """SHA-256 over names, contents of pictures, classes and masks; independent of the path."""

    test_fingerprint: str
    """SHA-256 over names and contents of the test pictures."""

    ignored: int
    """Strips with pixels to be ignored; they are read as defect-free."""

    _files: Files = field(repr=False)
    _annotations: Annotations = field(repr=False)

    odd_palettes: int = 0
    """Masks that were read by their colours, or whose background is not black."""

    @property
    def group_fingerprint(self) -> str | None:
        """SHA-256 over the strips' groups in ``groups.csv``; None without that file."""
        labels = self.group_labels
        return None if labels is None else hashlib.sha256(repr(labels).encode()).hexdigest()

    @property
    def picture_hashes(self) -> list[str]:
        """The hash of each strip's picture file; "" for one that cannot be read."""
        files = self._files.under(self._annotations.folder)
        return list(content_hashes(files, self.names).values())

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, index: int) -> Picture:
        """Read the picture of a strip, uint8 ``(height, width)``. Raises PictureError."""
        return self._read(f"{self._annotations.folder}/{self.names[index]}")

    def masks(self, index: int) -> Masks:
        """Read the masks of a strip, bool ``(classes, height, width)``. Raises MaskError."""
        return self._annotations.find(self.names[index], self.frames[index]).masks

    def test_picture(self, index: int) -> Picture:
        """Read the picture of a test strip, uint8 ``(height, width)``. Raises PictureError."""
        return self._read(f"test_images/{self.test_names[index]}")

    def test_frame(self, index: int) -> Frame:
        """Read the size of a test strip from its header. Raises PictureError or DatasetError."""
        path = f"test_images/{self.test_names[index]}"
        with self._files.open(path) as file:
            return picture_frame(file, self._files.where(path))

    def _read(self, path: str) -> Picture:
        return read_picture(self._files.picture_bytes(path), self._files.where(path))


def open_dataset(path: Path, on_error: Literal["stop", "skip"] = "stop") -> Dataset:
    """Open a data set: a folder or a zip, with the files at the top or in its only folder.

    There are two layouts: that of the competition (``train_images/``, ``train.csv`` in either form,
    maybe ``test_images/`` and ``classes.csv``; strips without a row are clean), and ``images/``
    with ``masks/`` and ``classes.csv``. Both may have ``groups.csv``. All masks and the headers of
    all pictures are checked; other damage of a picture is found when it is read.

    A faulty strip raises PictureError or MaskError. With ``on_error="skip"`` it is listed in
    ``skipped``; pictures are then read whole, so that all damage is found. A fault of the whole
    data set raises DatasetError or TableError in both cases.
    """
    files, annotations = detect(open_files(path))
    pictures = files.under(annotations.folder)
    names = [name for name in pictures.names() if is_picture(name)]
    if not names:
        raise DatasetError(
            files.where(annotations.folder),
            "has no pictures",
            "Add pictures; steelscan convert collects those in subfolders",
            Fault.NO_PICTURE,
        )
    skipped: list[tuple[str, str]] = []
    kept: list[tuple[str, Frame, Checked]] = []
    stems = Counter(map(stem, names))
    for name in track_many(names, "Checking strips"):
        try:
            _check_stem(name, stems, pictures)
            kept.append((name, *_check(name, pictures, annotations, on_error == "skip")))
        except (PictureError, MaskError) as error:
            _leave_out(name, error, on_error, skipped)
    for stray in annotations.strays(names):
        _leave_out(Path(stray.where).name, stray, on_error, skipped)
    if not kept:
        problem = f"has no usable strip ({skipped[0][1]})"
        raise DatasetError(path, problem, "Repair the files, or choose another data set")
    used = tuple(name for name, _, _ in kept)
    tests = annotations.folder == "train_images" and files.names("test_images")
    test_names = tuple(filter(is_picture, tests or ()))
    return Dataset(
        root=path,
        classes=annotations.classes,
        names=used,
        frames=tuple(frame for _, frame, _ in kept),
        present=np.stack([checked.present for _, _, checked in kept]),
        group_labels=read_groups(files, used),
        test_names=test_names,
        skipped=tuple(skipped),
        layout=annotations.layout,
        fingerprint=_fingerprint(kept, pictures, annotations.classes),
        test_fingerprint=_test_fingerprint(test_names, files.under("test_images")),
        ignored=sum(checked.ignored > 0 for _, _, checked in kept),
        _files=files,
        _annotations=annotations,
        odd_palettes=sum(checked.odd_palette for _, _, checked in kept),
    )


def check_trainable(dataset: Dataset) -> list[str]:
    """Return warnings as sentences if training on this data set will be difficult.

    Raises DatasetError if it has fewer than two strips, or no defect at all.
    """
    if len(dataset) < 2:
        raise DatasetError(dataset.root, "has a single strip", "Training needs two or more")
    if not dataset.present.any():
        problem = f"has no defect on any of its {len(dataset)} strips"
        raise DatasetError(dataset.root, problem, "Training needs strips with masks")
    counts = dataset.present.sum(axis=0).tolist()
    warnings = [
        f"Class {name} is on {count} of {len(dataset)} strips: too few to learn it well."
        for name, count in zip(dataset.classes.names, counts, strict=True)
        if count < 3
    ]
    if dataset.ignored:
        warnings.append(
            f"{dataset.ignored} strips have pixels to be ignored: they are trained as defect-free."
        )
    if dataset.odd_palettes:
        warnings.append(
            f"{dataset.odd_palettes} masks have a reordered palette, or a background that is not "
            "black: steelscan check lists them."
        )
    if dataset.present.any(axis=1).all():
        warnings.append("No strip is clean: false alarms cannot be measured.")
    return warnings


def _check_stem(name: str, stems: Counter[str], pictures: Files) -> None:
    if stems[stem(name)] > 1:
        remedy = "Keep one of them: masks and groups may be named by the stem alone"
        problem = "has the same stem as another picture"
        raise PictureError(pictures.where(name), problem, remedy, Fault.SAME_NAME)


def _check(
    name: str, pictures: Files, annotations: Annotations, whole: bool
) -> tuple[Frame, Checked]:
    where = pictures.where(name)
    try:
        if whole:
            frame = Frame(*read_picture(pictures.read(name), where).shape)
        else:
            with pictures.open(name) as file:
                frame = picture_frame(file, where)
    except DatasetError as error:
        raise error.as_(PictureError, Fault.UNREADABLE) from error
    return frame, annotations.check(name, frame)


def _leave_out(
    name: str, error: PictureError | MaskError, on_error: str, skipped: list[tuple[str, str]]
) -> None:
    if on_error == "stop":
        raise error
    skipped.append((name, str(error)))


def _fingerprint(
    kept: Sequence[tuple[str, Frame, Checked]], pictures: Files, classes: Classes
) -> str:
    whole = hashlib.sha256(repr(classes.names).encode())
    hashes = content_hashes(pictures, [name for name, _, _ in kept])
    for name, _, checked in kept:
        whole.update(f"\n{name} {hashes[name]} ".encode(errors="surrogateescape") + checked.digest)
    return whole.hexdigest()


def _test_fingerprint(names: Sequence[str], pictures: Files) -> str:
    hashes = content_hashes(pictures, names)
    lines = (f"{digest} {name}\n" for name, digest in hashes.items())
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
