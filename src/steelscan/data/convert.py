"""A data set carried from one format of annotations to another, pictures and all."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from steelscan.data.files import Files, is_picture, open_files
from steelscan.data.formats import Labelled, Loss
from steelscan.data.formats.labelled import check_name
from steelscan.data.locate import Place, format_named, locate
from steelscan.data.picture import picture_frame
from steelscan.data.shelf import Shelf
from steelscan.strip import (
    DatasetError,
    Fault,
    OutputError,
    PictureError,
    Progress,
    SteelscanError,
    cannot_write,
    progress,
    temporary_folder,
)

_GROUPS = "groups.csv"


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
) -> Converted:
    """Write a data set anew in the format ``to``, pictures byte for byte.

    ``source`` is a folder, a zip (unpacked for a while beside ``target``), or the annotations' file
    of a format that has one. Without ``from_`` its format is found by what lies there. ``target``,
    a new or empty folder, appears when all is written. A ``groups.csv`` is taken along. With
    ``only`` the pictures of these names are written, and no others.

    Pictures must have the size that the annotations give. One that is missing or of another size
    stops with PictureError, with ``on_error="skip"`` it is left out and noted. Without
    ``copy_pictures`` none is written, and none is missed.

    Raises InputError for an unknown format, DatasetError where the source's format cannot be
    told, OutputError when ``target`` holds something or cannot be written, and all that the
    format's reader and writer raise.
    """
    wanted = format_named("--to", to)
    given = format_named("--from", from_) if from_ is not None else None
    with _new_folder(target) as folder, opened_source(source, folder) as root:
        place = locate(root, given, source)
        pictures = folder / wanted.pictures if copy_pictures else None
        passage = _Passage(place, pictures, on_error == "skip", only)
        with progress("Converting", len(passage.shelf)) as shown:
            losses = wanted.write(folder / wanted.file, passage.labelled(shown))
        passage.notes += _copy_beside(place, folder)
    return Converted(passage.count, passage.masks, losses, passage.summary())


@dataclass
class _Passage:
    """The pictures on their way, and what is learnt of them."""

    place: Place
    pictures: Path | None
    skip: bool
    only: Collection[str] | None = None
    count: int = 0
    masks: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[PictureError] = field(default_factory=list)
    learnt: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.place)

    def labelled(self, shown: Progress) -> Iterator[Labelled]:
        """Read, copy each picture, and hand its masks on.

        Raises PictureError, at the end, for pictures that cannot be used.
        """
        used: set[str] = set()
        seen = 0
        for each in self.place.format.read(self.place.annotations):
            if self.only is not None and each.image not in self.only:
                continue
            seen += 1
            name = self.shelf.find(each.image)
            usable = self._carry(each, name)
            if name is not None:
                used.add(name)
                shown.advance()
            if usable:
                self._learn(each)
                yield each
        if self.problems and (not self.skip or not self.count):
            raise _unusable(self.problems, seen, self.place.annotations)
        self._note_unused(used)

    def summary(self) -> tuple[str, ...]:
        """All notes."""
        counted = [f"{count} {what}" for what, count in self.learnt.items() if count]
        left = [
            f"left out: {Path(each.where).relative_to(self.place.top)} {each.found}"
            for each in self.problems
        ]
        return (*counted, *self.notes, *left)

    def _carry(self, each: Labelled, name: str | None) -> bool:
        """Check and copy a picture; False where it cannot be used, or is not copied any more."""
        try:
            if name is not None:
                _copy(each, self.shelf.files, name, None if self._stopping() else self.pictures)
            elif self.pictures is not None:
                where, found = self.shelf.where(each.image), self.shelf.missing(each.image)
                remedy = "Put it there, or name it correctly"
                raise PictureError(where, found, remedy, Fault.NO_PICTURE)
        except PictureError as error:
            self.problems.append(error)
            return False
        return not self._stopping()

    def _stopping(self) -> bool:
        return bool(self.problems) and not self.skip

    def _note_unused(self, used: set[str]) -> None:
        """Count forgotten pictures."""
        unused = len(set(self.shelf.own) - used)
        if unused and self.only is None:
            self.notes.append(f"{unused} pictures that no annotation names were left out")

    def _learn(self, each: Labelled) -> None:
        self.count += 1
        for name, mask in each.by_class().items():
            self.masks[name] = self.masks.get(name, 0) + int(mask.any())
        self.learnt["polygons reached outside their pictures, and were cut"] += each.clipped
        self.learnt["polygons cover no pixel's centre, and left nothing"] += each.vanished
        self.learnt["pixels called neither sound nor defective were read as sound"] += each.ignored


def _copy(each: Labelled, files: Files, name: str, folder: Path | None) -> None:
    try:
        content = files.read(name)
    except DatasetError as error:
        raise PictureError(error.where, error.found, error.remedy, Fault.UNREADABLE) from error
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
    shown = ", ".join(f"{Path(each.where).name} {each.found}" for each in problems[:5])
    more = ", ..." if len(problems) > 5 else ""
    found = f"{len(problems)} of {seen} pictures cannot be used: {shown}{more}"
    return PictureError(where, found, "Mend them, or leave some out with --on-error skip")


def _copy_beside(place: Place, folder: Path) -> list[str]:
    """Take the near-duplicates' table along, without which folds would leak; what to note."""
    root = place.annotations if place.annotations.is_dir() else place.top
    tests = sum(map(is_picture, open_files(root).names("test_images")))
    notes = [f"{tests} pictures of test_images/ have no masks, and were left out"] if tests else []
    if not (root / _GROUPS).is_file():
        return notes
    try:
        shutil.copyfile(root / _GROUPS, folder / _GROUPS)
    except OSError as error:
        raise cannot_write(folder / _GROUPS, error) from error
    return [*notes, f"{_GROUPS} was taken along"]


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Lend a folder beside ``target``, which takes its place when the block ends without error."""
    target = target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        found = "is not empty" if target.is_dir() else "is a file"
        raise OutputError(target, found, "Name a new or an empty folder")
    with _temporary(target, target, "part") as folder:
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

    It is unpacked beside a path, or into the system's folder for temporary files.
    """
    if source.is_dir():
        yield source
        return
    if source.is_file() and source.suffix.lower() in (".json", ".xml"):
        yield source
        return
    files = open_files(source)
    names = [check_name(name, source) for name in files.walk()]
    with _temporary(
        beside or Path(tempfile.gettempdir(), source.stem), source, "unpacked"
    ) as folder:
        for name in names:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with files.open(name) as packed, place.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        yield folder


@contextmanager
def _temporary(beside: Path, real: Path, ending: str) -> Iterator[Path]:
    """A folder that is gone in the end; errors call it by the name of what it stands for."""
    with temporary_folder(beside, ending) as folder:
        try:
            yield folder
        except SteelscanError as error:
            parts = (error.where, error.found, error.remedy)
            where, found, remedy = (part.replace(str(folder), str(real)) for part in parts)
            raise type(error)(where, found, remedy, error.fault) from error
