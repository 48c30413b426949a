"""A data set on disk: strips, their masks, and what must be known of them before training."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelscan.data.annotations import Annotations, Checked, IndexPictures, RunLengths
from steelscan.data.content import content_hashes
from steelscan.data.files import Files, PictureFile, is_picture, open_files
from steelscan.data.listing import read_groups
from steelscan.data.names import stem
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
    track,
)

_LOOKED_FOR = (
    "Looked for train_images/ with train.csv (ImageId,ClassId,EncodedPixels or "
    "ImageId_ClassId,EncodedPixels), and for images/ with masks/ and classes.csv (value,name)"
)
_MANY = 1000
"""From so many strips on, opening shows its progress."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Strips with masks, in a folder or a zip; pictures and masks are read when asked for.

    Picklable; may be shared by threads and forked processes.
    """

    root: Path
    classes: Classes
    names: tuple[str, ...]
    """File names of the strips' pictures, sorted; all else is in this order."""

    frames: tuple[Frame, ...]

    present: NDArray[np.bool_]
    """bool ``(strips, classes)``: which classes the masks of each strip hold."""

    group_labels: tuple[str, ...] | None
    """Near-duplicate group of each strip from ``groups.csv``; None when there is none."""

    test_names: tuple[str, ...]
    """Pictures of the competition's ``test_images/``; they have no masks."""

    skipped: tuple[tuple[str, str], ...]
    """Name and reason of what was left out with ``on_error="skip"``."""

    layout: Layout
    """How a submission is laid out: as ``train.csv``, else joined."""

    fingerprint: str
    """SHA-256 over names, contents of pictures, classes and masks; the same wherever it lies."""

    test_fingerprint: str
    """SHA-256 over names and contents of the test pictures."""

    ignored: int
    """How many strips hold pixels called neither sound nor defective, which are read as sound."""

    _files: Files = field(repr=False)
    _annotations: Annotations = field(repr=False)

    odd_palettes: int = 0
    """How many masks were read by their colours, or have sound steel in another one than black."""

    @property
    def group_fingerprint(self) -> str | None:
        """SHA-256 over the strips' groups of ``groups.csv``; None when there is none."""
        labels = self.group_labels
        return None if labels is None else hashlib.sha256(repr(labels).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, index: int) -> Picture:
        """Picture of a strip, uint8 ``(height, width)``. Raises PictureError."""
        return self._read(f"{self._annotations.folder}/{self.names[index]}")

    def masks(self, index: int) -> Masks:
        """Masks of a strip, bool ``(classes, height, width)``. Raises MaskError."""
        return self._annotations.find(self.names[index], self.frames[index]).masks

    def test_picture(self, index: int) -> Picture:
        """Picture of a test strip, uint8 ``(height, width)``. Raises PictureError."""
        return self._read(f"test_images/{self.test_names[index]}")

    def test_frame(self, index: int) -> Frame:
        """Size of a test strip, from its header. Raises PictureError or DatasetError."""
        place = f"test_images/{self.test_names[index]}"
        with self._files.open(place) as file:
            return picture_frame(file, self._files.where(place))

    def _read(self, place: str) -> Picture:
        content = PictureFile(place, self._files, place).read()
        return read_picture(content, self._files.where(place))


def open_dataset(path: Path, on_error: Literal["stop", "skip"] = "stop") -> Dataset:
    """Open a data set: a folder or a zip, all of it at the top or in one folder.

    Two forms are known: that of the competition (``train_images/``, ``train.csv`` in either
    layout, maybe ``test_images/`` and ``classes.csv``; strips without a row are clean), and
    ``images/`` with ``masks/`` and ``classes.csv``. Either may hold ``groups.csv``. Headers of
    all pictures and all masks are checked here; damage further down a picture is met on reading.

    A strip that is wrong stops with PictureError or MaskError. With ``on_error="skip"`` it is
    listed in ``skipped``; pictures are then read whole, so that damage further down is listed too.
    What is wrong with the whole raises DatasetError or TableError either way.
    """
    files, annotations = detect(open_files(path))
    pictures = files.under(annotations.folder)
    names = [name for name in pictures.names() if is_picture(name)]
    if not names:
        raise DatasetError(
            files.where(annotations.folder),
            "holds no pictures",
            "Add pictures; steelscan convert brings those below folders into one",
            Fault.NO_PICTURE,
        )
    skipped: list[tuple[str, str]] = []
    kept: list[tuple[str, Frame, Checked]] = []
    stems = Counter(map(stem, names))
    for name in _shown(names):
        try:
            _check_alone(name, stems, pictures)
            kept.append((name, *_check(name, pictures, annotations, on_error == "skip")))
        except (PictureError, MaskError) as error:
            _leave_out(name, error, on_error, skipped)
    for stray in annotations.strays(names):
        _leave_out(Path(stray.where).name, stray, on_error, skipped)
    if not kept:
        found = f"holds no usable strip ({skipped[0][1]})"
        raise DatasetError(path, found, "Mend the files, or name another data set")
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
    """Say in sentences what will make training on this data set hard; [] when nothing does.

    Raises DatasetError when it has fewer than two strips, or no defect at all.
    """
    if len(dataset) < 2:
        raise DatasetError(dataset.root, "holds a single strip", "Training needs two or more")
    if not dataset.present.any():
        found = f"none of its {len(dataset)} strips has a defect"
        raise DatasetError(dataset.root, found, "Training needs strips with masks")
    counts = dataset.present.sum(axis=0).tolist()
    warnings = [
        f"Class {name} stands on {count} of {len(dataset)} strips: expect little of it."
        for name, count in zip(dataset.classes.names, counts, strict=True)
        if count < 3
    ]
    if dataset.ignored:
        warnings.append(
            f"{dataset.ignored} strips hold pixels to be ignored: they are learnt as sound steel."
        )
    if dataset.odd_palettes:
        warnings.append(
            f"{dataset.odd_palettes} masks have colours in another order than most, or no black "
            "for sound steel: steelscan check names them."
        )
    if dataset.present.any(axis=1).all():
        warnings.append("No strip is clean: false alarms on sound steel cannot be judged.")
    return warnings


def detect(files: Files) -> tuple[Files, Annotations]:
    """The files of the data set, maybe below one folder, and its masks. Raises DatasetError."""
    inner = files.folders()
    if not {"train_images", "images"} & set(inner) and len(inner) == 1:
        files = files.under(inner[0])
        inner = files.folders()
    if "train_images" in inner and files.exists("train.csv"):
        return files, RunLengths(files)
    if "images" in inner and "masks" in inner:
        return files, IndexPictures(files)
    half = [name for name in ("train_images", "images") if name in inner]
    found = f"is no data set: it has {half[0]}/ and nothing to go with it" if half else ""
    raise DatasetError(files.root, found or "is no data set", _LOOKED_FOR)


def _check_alone(name: str, stems: Counter[str], pictures: Files) -> None:
    if stems[stem(name)] > 1:
        remedy = "Keep one of them: masks and groups may be named by the stem alone"
        found = "shares its stem with another picture"
        raise PictureError(pictures.where(name), found, remedy, Fault.SAME_NAME)


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


def _shown(names: Sequence[str]) -> Iterator[str]:
    return track(names, "Checking strips", len(names)) if len(names) >= _MANY else iter(names)


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
