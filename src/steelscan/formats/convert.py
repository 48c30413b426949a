"""A data set carried from one format of annotations to another, pictures and all."""

import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from steelscan.data import (
    Files,
    check_apart,
    folders_read,
    is_picture,
    open_files,
    picture_frame,
)
from steelscan.formats.labelled import Labelled, Loss, check_name, confusable
from steelscan.formats.locate import Place, format_named, locate
from steelscan.formats.shelf import check_claim
from steelscan.formats.target_names import TargetNames
from steelscan.strip import (
    DatasetError,
    Fault,
    Noting,
    OutputError,
    PictureError,
    Progress,
    Skipping,
    SteelscanError,
    cannot_write,
    temporary_folder,
    write_bytes,
)
from steelscan.strip.progress import progress

_GROUPS = "groups.csv"
_CHUNK = 1 << 20
_TOLD = (
    Fault.FOREIGN,
    Fault.BY_COLOUR,
    Fault.CLASS_NAME,
    Fault.NO_ANNOTATION,
    Fault.PASSED_OVER,
)
"""Oddities that are told; the others are counted by what they do to masks."""


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote, and what it could not keep."""

    pictures: int
    masks: dict[str, int]
    """How many pictures have a mask of each class."""

    losses: tuple[Loss, ...]
    """What the new format could not say, a mask each."""

    notes: tuple[str, ...]
    """Sentences on what was cut, read as sound, or left out."""

    def text(self) -> str:
        """What was converted, then a line for each kind of loss and for each note."""
        masks = ", ".join(f"{name}: {count}" for name, count in self.masks.items())
        lines = [f"{self.pictures} pictures; masks of class {masks}"]
        counts, pixels = Counter[str](), Counter[str]()
        for loss in self.losses:
            counts[loss.why] += 1
            pixels[loss.why] += loss.pixels
        lines += [f"Lost: {pixels[why]} pixels of {counts[why]} masks {why}" for why in counts]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def convert(
    source: Path,
    target: Path,
    to: str,
    from_: str | None = None,
    copy_pictures: bool = True,
    on_error: Literal["stop", "skip"] = "stop",
    only: Collection[str] | None = None,
    images: Path | None = None,
) -> Converted:
    """Write a data set anew in the format ``to``, pictures byte for byte.

    ``source`` is a folder, a zip (unpacked for a while beside ``target``), or the annotations' file
    of a format that has one. Without ``from_`` its format is found by what lies there. ``target``,
    a new or empty folder, appears when all is written. A ``groups.csv`` is taken along. With
    ``only`` the pictures of these names are written, and no others. Pictures are looked for in
    ``images``, a folder or zip, if given. Their names are flattened for a format without folders.

    Pictures must have the size that the annotations give. One that is missing or of another size
    stops with PictureError, with ``on_error="skip"`` it is left out and noted. So is a shape that
    cannot be read; and its picture, if no shape of it is left, so that it does not pass for clean
    steel. Without ``copy_pictures`` none is written, and none is missed.

    Raises InputError for an unknown format, DatasetError where the source's format cannot be
    told, OutputError when ``target`` holds something or cannot be written, and all that the
    format's reader and writer raise.
    """
    wanted = format_named("--to", to)
    given = format_named("--from", from_) if from_ is not None else None
    check_apart(target, folders_read(source, images))
    with _new_folder(target) as folder, opened_source(source, target) as root:
        place = locate(root, given, source, images)
        pictures = folder / wanted.pictures if copy_pictures else None
        names = TargetNames(flat=not wanted.folders)
        passage = _Passage(place, names, pictures, on_error == "skip", only)
        with progress("Converting", len(passage.shelf)) as shown:
            losses = wanted.write(folder / wanted.file, passage.labelled(shown))
        passage.notes += _copy_beside(place, names, folder)
    return Converted(passage.count, passage.masks, losses, passage.summary())


@dataclass
class _Passage:
    """The pictures on their way, and what is learnt of them."""

    place: Place
    names: TargetNames
    pictures: Path | None
    skip: bool
    only: Collection[str] | None = None
    count: int = 0
    masks: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[PictureError] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    learnt: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.shelf = self.place.shelf()
        self.watch = Skipping() if self.skip else Noting()

    def labelled(self, shown: Progress) -> Iterator[Labelled]:
        """Read, copy each picture, and hand its masks on.

        Raises PictureError, at the end, for pictures that cannot be used.
        """
        used: dict[str, str] = {}
        seen = 0
        for read in self.place.read(self.watch, self.shelf):
            if self.only is not None and read.image not in self.only:
                continue
            seen += 1
            try:
                name = self._found(read.image, used)
            except DatasetError as error:
                self.watch.left_out(error)
                continue
            if name is not None:
                shown.advance()
            if read.incomplete:
                self.incomplete.append(read.image)
                continue
            each = replace(read, image=self.names.of(read.image, name))
            if self._carry(each, name, read.image):
                self._learn(each)
                yield each
        if self.problems and (not self.skip or not self.count):
            raise _unusable(self.problems, seen, self.place.annotations)
        if isinstance(self.watch, Skipping) and self.watch.errors and not self.count:
            raise self.watch.errors[0]
        self._note_unused(used)

    def summary(self) -> tuple[str, ...]:
        """All notes."""
        counted = [f"{count} {what}" for what, count in self.learnt.items() if count]
        told = [
            f"{self.watch.counts[fault]} times: {fault}, as {self._below(first)}"
            for fault, first in self.watch.firsts.items()
            if fault in _TOLD
        ]
        left = [f"left out: {self._below(each.where)} {each.problem}" for each in self.problems]
        if isinstance(self.watch, Skipping):
            left += [f"left out: {self._below(str(each))}" for each in self.watch.errors]
        left += [
            f"left out: {image}, because none of its masks could be read whole"
            for image in self.incomplete
        ]
        return (*counted, *told, *self.names.notes(), *self.notes, *left)

    def _below(self, text: str) -> str:
        """A message with paths below the data set's folder."""
        place = self.place.annotations
        for folder in (self.place.top, place if place.is_dir() else place.parent):
            text = text.replace(f"{folder}{os.sep}", "")
        return text

    def _found(self, image: str, used: dict[str, str]) -> str | None:
        """The file of a picture; see `Shelf.find`. Raises DatasetError where it has two names."""
        name = self.shelf.find(image)
        if name is not None:
            check_claim(used, name, image, self.shelf)
        return name

    def _carry(self, each: Labelled, name: str | None, called: str) -> bool:
        """Check and copy a picture; False where it cannot be used, or is not copied any more.

        ``name`` is its file, ``called`` its name in the source.
        """
        try:
            if name is not None:
                _copy(each, self.shelf.files, name, None if self._stopping() else self.pictures)
            elif self.pictures is not None:
                raise self.shelf.missing(called)
        except PictureError as error:
            self.problems.append(error)
            return False
        return not self._stopping()

    def _stopping(self) -> bool:
        return bool(self.problems) and not self.skip

    def _note_unused(self, used: Collection[str]) -> None:
        """Count forgotten pictures."""
        unused = len(set(self.shelf.own).difference(used))
        if unused and self.only is None:
            self.notes.append(f"{unused} pictures that no annotation names were left out")

    def _learn(self, each: Labelled) -> None:
        if not self.count and (alike := confusable(each.classes)):
            self.watch.note(Fault.CLASS_NAME, self.place.annotations, alike)
        self.count += 1
        for name, mask in each.by_class().items():
            self.masks[name] = self.masks.get(name, 0) + int(mask.any())
        self.learnt["polygons reached outside their pictures, and were cut"] += each.clipped
        self.learnt["boxes and ellipses, which say where, were filled whole"] += each.boxes
        self.learnt["polygons cover no pixel's centre, and left nothing"] += each.vanished
        self.learnt["pixels called neither sound nor defective were read as sound"] += each.ignored


def _copy(each: Labelled, files: Files, name: str, folder: Path | None) -> None:
    try:
        content = files.read(name)
    except DatasetError as error:
        raise error.as_(PictureError, Fault.UNREADABLE) from error
    frame = picture_frame(content, files.where(name))
    if frame != each.frame:
        found = f"is {frame}, its annotations are for {each.frame}"
        remedy = "Put the picture there that was annotated, or export the annotations again"
        raise PictureError(files.where(name), found, remedy, Fault.SIZE)
    if folder is None:
        return
    place = folder / check_name(each.image, files.where(name))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    except OSError as error:
        raise cannot_write(place, error) from error


def _unusable(problems: list[PictureError], seen: int, where: Path) -> PictureError:
    if len(problems) == 1:
        return problems[0]
    shown = ", ".join(f"{Path(each.where).name} {each.problem}" for each in problems[:5])
    more = ", ..." if len(problems) > 5 else ""
    found = f"{len(problems)} of {seen} pictures cannot be used: {shown}{more}"
    remedy = "Mend them, or leave some out with --on-error skip"
    if all(each.fault is Fault.NO_PICTURE for each in problems):
        remedy = problems[0].remedy
    return PictureError(where, found, remedy)


def _copy_beside(place: Place, names: TargetNames, folder: Path) -> list[str]:
    """Take the near-duplicates' table along, without which folds would leak; what to note."""
    root = place.annotations if place.annotations.is_dir() else place.top
    tests = sum(map(is_picture, open_files(root).names("test_images")))
    notes = [f"{tests} pictures of test_images/ have no masks, and were left out"] if tests else []
    if not (root / _GROUPS).is_file():
        return notes
    write_bytes(folder / _GROUPS, names.in_groups((root / _GROUPS).read_bytes(), root / _GROUPS))
    return [*notes, f"{_GROUPS} was taken along"]


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Lend a folder beside ``target``, which takes its place when the block ends without error."""
    target = target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        found = "is not empty" if target.is_dir() else "is a file"
        raise OutputError(target, found, "Name a new or an empty folder")
    with temporary_folder(target) as folder, _called(folder, target):
        yield folder
        try:
            if target.is_dir():
                target.rmdir()
            folder.rename(target)
        except OSError as error:
            raise cannot_write(target, error) from error


@contextmanager
def opened_source(source: Path, beside: Path | None = None) -> Iterator[Path]:
    """Lend the source: a folder or a file as it is, a zip unpacked for a while.

    It is unpacked beside a path, or into the system's folder for temporary files. Raises
    DatasetError for what cannot be read.
    """
    try:
        packed = not source.is_dir() and source.suffix.lower() not in (".json", ".xml")
        packed = packed or not source.exists()
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
        raise DatasetError(source, found, "Check the rights") from error
    if not packed:
        yield source
        return
    files = open_files(source)
    names = [check_name(name, source) for name in files.walk()]
    place = (beside or Path(tempfile.gettempdir(), source.stem)).resolve()
    with temporary_folder(place, "unpacked") as folder, _called(folder, source):
        for name in names:
            _unpack(files, name, folder / name)
        yield folder


def _unpack(files: Files, name: str, place: Path) -> None:
    """Write a file of a zip; faults of reading are told apart from those of writing."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as unpacked:
        for content in _pieces(files, name):
            unpacked.write(content)


def _pieces(files: Files, name: str) -> Iterator[bytes]:
    with files.open(name) as packed:
        while content := packed.read(_CHUNK):
            yield content


@contextmanager
def _called(folder: Path, real: Path) -> Iterator[None]:
    """Have errors call a temporary folder by the name of what it stands for."""
    try:
        yield
    except SteelscanError as error:
        parts = (error.where, error.problem, error.remedy)
        where, found, remedy = (part.replace(str(folder), str(real)) for part in parts)
        raise type(error)(where, found, remedy, error.fault) from error
