"""Conversion of a data set from one annotation format to another, with its pictures."""

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from steelscan.data import check_apart, picture_frame
from steelscan.data.files import Files, is_picture, open_files
from steelscan.formats.annotated_picture import AnnotatedPicture, Loss, Pictures
from steelscan.formats.class_names import similar_names
from steelscan.formats.conversion_folders import new_folder, opened_source
from steelscan.formats.dataset_location import DatasetLocation, locate
from steelscan.formats.picture_index import check_claim
from steelscan.formats.picture_names import check_name
from steelscan.formats.registry import format_named
from steelscan.formats.target_names import TargetNames
from steelscan.pages import plural
from steelscan.strip import Progress, show_progress
from steelscan.strip.errors import DatasetError, Fault, FaultLog, OnError, PictureError
from steelscan.strip.files import write_bytes, writing

_GROUPS = "groups.csv"
_REPORTED = (
    Fault.FOREIGN,
    Fault.BY_COLOUR,
    Fault.CLASS_NAME,
    Fault.NO_ANNOTATION,
    Fault.PASSED_OVER,
)
"""Faults that are reported as such; the others are counted by their effect on masks."""


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote, and what it could not keep."""

    pictures: int
    masks: dict[str, int]
    """Number of pictures that have a mask of each class."""

    losses: tuple[Loss, ...]
    """What the new format could not store, one entry per mask."""

    notes: tuple[str, ...]
    """Sentences on what was cut, read as defect-free, or left out."""

    def text(self) -> str:
        """Return what was converted, then one line per kind of loss and per note."""
        masks = ", ".join(f"{name}: {count}" for name, count in self.masks.items())
        lines = [f"{self.pictures} {plural(self.pictures, 'picture')}; masks per class: {masks}"]
        counts, pixels = Counter[str](), Counter[str]()
        for loss in self.losses:
            counts[loss.why] += 1
            pixels[loss.why] += loss.pixels
        lines += [
            f"Lost: {pixels[why]} {plural(pixels[why], 'pixel')} of {counts[why]} "
            f"{plural(counts[why], 'mask')} {why}"
            for why in counts
        ]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def convert(
    source: Path,
    target: Path,
    to: str,
    from_: str | None = None,
    copy_pictures: bool = True,
    on_error: OnError = "stop",
    only: Collection[str] | None = None,
    images: Path | None = None,
) -> Converted:
    """Write a data set in the format ``to``; pictures are copied byte for byte.

    ``source`` is a folder, a zip (unpacked next to ``target`` meanwhile), or the annotation file of
    a format that has one. Without ``from_`` its format is detected. ``target``, a new or empty
    folder, appears when all is written. A ``groups.csv`` is copied. ``only`` names the pictures to
    write, by default all. ``images`` is a folder or zip of the pictures, if they are elsewhere.
    Names are flattened for a format without folders.

    A picture that is missing, or not of the size that its annotations give, stops the conversion
    with PictureError; with ``on_error="skip"`` it is left out and noted. So is a shape that cannot
    be read, and its picture if no other shape of it is left, so that it does not count as clean.
    Without ``copy_pictures`` no picture is written or needed.

    Raises InputError for an unknown format, DatasetError if the source's format cannot be
    detected, OutputError if ``target`` is not empty or cannot be written, and all errors of the
    format's reader and writer.
    """
    new_format = format_named("--to", to)
    given = format_named("--from", from_) if from_ is not None else None
    check_apart(target, source, images)
    with new_folder(target) as folder, opened_source(source, target) as root:
        location = locate(root, given, source, images)
        pictures = folder / new_format.pictures if copy_pictures else None
        names = TargetNames(flat=not new_format.folders)
        copying = _Copying(location, names, pictures, on_error == "skip", only)
        with show_progress("Converting", len(copying.index)) as shown:
            losses = new_format.write(folder / new_format.file, copying.pictures(shown))
        copying.notes += _copy_groups(location, names, folder)
    return Converted(copying.count, copying.masks, losses, copying.summary())


@dataclass
class _Copying:
    """Copies pictures one by one while their masks are read and written, and counts both."""

    location: DatasetLocation
    names: TargetNames
    folder: Path | None
    """Where the pictures are copied to, if they are."""

    skip: bool
    only: Collection[str] | None = None
    count: int = 0
    masks: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[PictureError] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.index = self.location.picture_index()
        self.policy = FaultLog(skips=self.skip)

    def pictures(self, shown: Progress) -> Pictures:
        """Read and copy each picture, and yield its masks.

        Raises PictureError, at the end, for pictures that cannot be used.
        """
        used: dict[str, str] = {}
        number = 0
        for read in self.location.read(self.policy, self.index):
            if self.only is not None and read.image not in self.only:
                continue
            number += 1
            try:
                file = self.index.find(read.image)
                if file is not None:
                    check_claim(used, file, read.image, self.index)
            except DatasetError as error:
                self.policy.skip(error)
                continue
            if file is not None:
                shown.advance()
            if read.incomplete:
                self.incomplete.append(read.image)
                continue
            picture = replace(read, image=self.names.of(read.image, file))
            if self._copied(picture, file, read.image):
                self._count(picture)
                yield picture
        if self.problems and (not self.skip or not self.count):
            raise _unusable(self.problems, number, self.location.annotations)
        if self.policy.errors and not self.count:
            raise self.policy.errors[0]
        unused = len(set(self.index.own).difference(used))
        if unused and self.only is None:
            self.notes.append(
                f"left out: {unused} {plural(unused, 'picture')} that no annotation names"
            )

    def summary(self) -> tuple[str, ...]:
        """Return all notes."""
        effects = [f"{count} {effect}" for effect, count in self.effects.items() if count]
        faults = [
            f"{fault} ({self.policy.counts[fault]}), for example {self._relative(first)}"
            for fault, first in self.policy.firsts.items()
            if fault in _REPORTED
        ]
        left = [f"left out: {self._relative(each.where)} {each.problem}" for each in self.problems]
        left += [f"left out: {self._relative(str(each))}" for each in self.policy.errors]
        left += [
            f"left out: {image}, because none of its masks could be read completely"
            for image in self.incomplete
        ]
        return (*effects, *faults, *self.names.notes(), *self.notes, *left)

    def _relative(self, text: str) -> str:
        """Return a message with paths relative to the data set's folder."""
        annotations = self.location.annotations
        folder = annotations if annotations.is_dir() else annotations.parent
        for each in (self.location.top, folder):
            text = text.replace(f"{each}{os.sep}", "")
        return text

    def _copied(self, picture: AnnotatedPicture, file: str | None, written: str) -> bool:
        """Check and copy a picture; return whether its masks are to be written.

        ``written`` is its name in the annotations. After a problem that will stop the conversion,
        pictures are only checked.
        """
        stopping = bool(self.problems) and not self.skip
        try:
            if file is not None:
                folder = None if stopping else self.folder
                _copy(picture, self.index.files, file, folder)
            elif self.folder is not None:
                raise self.index.missing(written)
        except PictureError as error:
            self.problems.append(error)
            return False
        return not stopping

    def _count(self, picture: AnnotatedPicture) -> None:
        if not self.count and (problem := similar_names(picture.classes)):
            self.policy.note(Fault.CLASS_NAME, self.location.annotations, problem)
        self.count += 1
        for name, mask in picture.by_class().items():
            self.masks[name] = self.masks.get(name, 0) + int(mask.any())
        effects = self.effects
        effects["polygons reached outside their pictures and were cut"] += picture.clipped
        effects["boxes and ellipses were filled completely"] += picture.boxes
        effects["polygons were too small to cover a pixel and were dropped"] += picture.dropped
        neither = "pixels marked as neither defect-free nor defective were read as defect-free"
        effects[neither] += picture.ignored


def _copy(picture: AnnotatedPicture, files: Files, name: str, folder: Path | None) -> None:
    where = files.where(name)
    content = files.picture_bytes(name)
    frame = picture_frame(content, where)
    if frame != picture.frame:
        problem = f"is {frame}, its annotations are for {picture.frame}"
        remedy = "Put the picture there that was annotated, or export the annotations again"
        raise PictureError(where, problem, remedy, Fault.SIZE)
    if folder is None:
        return
    path = folder / check_name(picture.image, where)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _unusable(problems: list[PictureError], number: int, where: Path) -> PictureError:
    if len(problems) == 1:
        return problems[0]
    shown = ", ".join(f"{Path(each.where).name} {each.problem}" for each in problems[:5])
    more = ", ..." if len(problems) > 5 else ""
    problem = f"{len(problems)} of {number} pictures cannot be used: {shown}{more}"
    remedy = "Repair them, or leave some out with --on-error skip"
    if all(each.fault is Fault.NO_PICTURE for each in problems):
        remedy = problems[0].remedy
    return PictureError(where, problem, remedy)


def _copy_groups(location: DatasetLocation, names: TargetNames, folder: Path) -> list[str]:
    """Copy the table of near-duplicates, without which folds would leak; return notes."""
    root = location.annotations if location.annotations.is_dir() else location.top
    tests = sum(map(is_picture, open_files(root).names("test_images")))
    pictures = f"{tests} {plural(tests, 'picture')} of test_images/"
    notes = [f"left out: {pictures}, which have no masks"] if tests else []
    if not (root / _GROUPS).is_file():
        return notes
    write_bytes(folder / _GROUPS, names.in_groups((root / _GROUPS).read_bytes(), root / _GROUPS))
    return [*notes, f"{_GROUPS} was copied"]
