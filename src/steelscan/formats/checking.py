"""Everything that is wrong with a data set of any format, in one report."""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from steelscan.data import has_colour, read_picture
from steelscan.formats.annotated_picture import AnnotatedPicture, Pictures
from steelscan.formats.class_names import similar_names
from steelscan.formats.conversion_folders import opened_source
from steelscan.formats.dataset_location import DatasetLocation, locate
from steelscan.formats.picture_index import PictureIndex, check_claim
from steelscan.formats.picture_names import differ_in_case
from steelscan.formats.registry import format_named
from steelscan.pages import plural
from steelscan.strip import Frame, show_progress
from steelscan.strip.errors import (
    DatasetError,
    Fault,
    FaultPolicy,
    InputError,
    PictureError,
    Severity,
)
from steelscan.strip.files import FileKind, check_output, replacing

_EXAMPLES = 5
_COLUMNS = ("severity", "fault", "where", "message")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and where."""

    where: str
    message: str


@dataclass(frozen=True)
class FaultCount:
    """How often a kind of fault was found, with its first examples."""

    fault: Fault
    severity: Severity
    count: int
    examples: tuple[Finding, ...]


class CheckReport(BaseModel, frozen=True):
    """All faults of a data set: errors first, then by their counts."""

    format: str
    pictures: int
    errors: int
    warnings: int
    faults: tuple[FaultCount, ...]

    @property
    def counts(self) -> dict[Fault, int]:
        """How often each kind of fault was found."""
        return {each.fault: each.count for each in self.faults}

    def text(self) -> str:
        """Return one line per kind of fault, with its examples below, and the sums."""
        lines: list[str] = []
        for each in self.faults:
            lines.append(f"{each.severity:<7}  {each.count:>6}  {each.fault}")
            lines += [f"    {example.where}: {example.message}" for example in each.examples]
            more = each.count - len(each.examples)
            lines += [f"    ... and {more} more"] if more else []
        sums = "nothing wrong"
        if self.faults:
            warnings = f"{self.warnings} {plural(self.warnings, 'warning')}"
            sums = f"{self.errors} {plural(self.errors, 'error')}, {warnings}"
        pictures = f"{self.pictures} {plural(self.pictures, 'picture')}"
        return "\n".join([*lines, f"{pictures}, {self.format}: {sums}"])


def check(
    source: Path, from_: str | None = None, list_: Path | None = None, images: Path | None = None
) -> CheckReport:
    """Read every picture and every annotation of a data set, and report what is wrong.

    ``source``, ``from_`` and ``images`` are those of `convert`; a zip is unpacked into the system's
    folder for temporary files meanwhile. All findings are written to the CSV file ``list_``
    (severity, fault, where, message). One picture is held in memory; of the others their names and
    two hashes.

    Raises InputError for an unknown format, DatasetError if the format cannot be detected or a zip
    is unsafe, and OutputError.
    """
    given = format_named("--from", from_) if from_ is not None else None
    if list_ is not None:
        check_output(list_, FileKind.table("list of findings", _COLUMNS), [source])
    with opened_source(source) as root, _writer(list_) as write:
        location = locate(root, given, source, images)
        findings = _Findings(write, (str(root), str(source)))
        pictures = _check(location, findings)
        return findings.report(location.format.name, pictures)


class _Findings(FaultPolicy):
    """Counts all faults instead of raising them."""

    thorough = True

    def __init__(self, write: Callable[[Fault, Finding], None], names: tuple[str, str]) -> None:
        self._write, self._names = write, names
        self._counts: Counter[Fault] = Counter()
        self._examples: dict[Fault, list[Finding]] = {}

    def error(self, error: InputError) -> None:
        """Count an error, except one about a picture: all pictures are checked on their own."""
        fault = error.fault or Fault.UNREADABLE_FILE
        if isinstance(error, PictureError) and fault is not Fault.SAME_NAME:
            return
        self.note(fault, error.where, error.problem)

    def note(self, fault: Fault, where: object, problem: str, count: int = 1) -> None:
        """Count a fault that was found ``count`` times."""
        place, message = (str(text).replace(*self._names) for text in (where, problem))
        finding = Finding(place, message)
        self._write(fault, finding)
        self._counts[fault] += count
        examples = self._examples.setdefault(fault, [])
        if len(examples) < _EXAMPLES:
            examples.append(finding)

    def report(self, format_: str, pictures: int) -> CheckReport:
        """Return the report of all that was counted."""
        order = sorted(self._counts, key=lambda each: (each.severity, -self._counts[each], each))
        faults = tuple(
            FaultCount(fault, fault.severity, self._counts[fault], tuple(self._examples[fault]))
            for fault in order
        )
        errors = sum(each.count for each in faults if each.severity == "error")
        warnings = self._counts.total() - errors
        return CheckReport(
            format=format_, pictures=pictures, errors=errors, warnings=warnings, faults=faults
        )


def _check(location: DatasetLocation, findings: _Findings) -> int:
    """Check all pictures and annotations; return the number of pictures."""
    index = location.picture_index()
    pictures = _Pictures(index, findings)
    claimed: dict[str, str] = {}
    with show_progress("Checking pictures", len(index.own)) as shown, findings.collecting():
        for number, picture in enumerate(_read(location, index, findings)):
            if not number and (problem := similar_names(picture.classes)):
                findings.note(Fault.CLASS_NAME, location.annotations, problem)
            _check_masks(picture, findings)
            name = _file_of(picture, index, claimed, findings)
            if name is not None and name not in pictures.names:
                pictures.check(name, picture)
                shown.advance()
        for name in index.own:
            if name not in pictures.names:
                pictures.check(name, None)
                shown.advance()
        pictures.check_sizes()
    return len(pictures.names)


def _read(location: DatasetLocation, index: PictureIndex, findings: _Findings) -> Pictures:
    """Yield all that can be read; an error that ends the reading is counted like the others."""
    with findings.collecting():
        yield from location.read(findings, index)


def _file_of(
    picture: AnnotatedPicture, index: PictureIndex, claimed: dict[str, str], findings: _Findings
) -> str | None:
    """Return the file of an annotated picture; None, with a finding, if there is none."""
    try:
        name = index.find(picture.image)
        if name is not None:
            check_claim(claimed, name, picture.image, index)
    except DatasetError as error:
        findings.error(error)
        return None
    if name is None:
        findings.note(Fault.NO_PICTURE, picture.image, index.missing(picture.image).problem)
    elif differ_in_case(name, picture.image):
        problem = f"its annotations name it {picture.image}"
        findings.note(Fault.SAME_BUT_CASE, index.files.where(name), problem)
    return name


def _check_masks(picture: AnnotatedPicture, findings: _Findings) -> None:
    overlap = int((picture.masks.sum(axis=0) > 1).sum())
    if overlap:
        findings.note(
            Fault.OVERLAP,
            picture.image,
            f"{overlap} {plural(overlap, 'pixel', 'has')} two classes or more",
        )
    if picture.ignored:
        marked = f"{picture.ignored} {plural(picture.ignored, 'pixel', 'is')} marked as neither"
        problem = f"{marked}, and read as defect-free"
        findings.note(Fault.IGNORED, picture.image, problem)


class _Pictures:
    """Checks pictures one by one, and compares each with those before it."""

    def __init__(self, index: PictureIndex, findings: _Findings) -> None:
        self.names: set[str] = set()
        self._index, self._findings = index, findings
        self._first: dict[bytes, str] = {}
        self._lower: dict[str, str] = {}
        self._sizes: Counter[Frame] = Counter()
        self._of_size: dict[Frame, list[str]] = {}

    def check(self, name: str, annotated: AnnotatedPicture | None) -> None:
        """Check a picture and its masks; ``annotated`` is None if no annotation names it."""
        where = self._index.files.where(name)
        self.names.add(name)
        other = self._lower.setdefault(name.casefold(), name)
        if other != name:
            problem = f"differs from {other} only in upper and lower case"
            self._findings.note(Fault.SAME_BUT_CASE, where, problem)
        if annotated is None and self._index.complete:
            self._findings.note(Fault.NO_ANNOTATION, where, "is not named by any annotation")
        try:
            content = self._index.files.read(name)
            picture = read_picture(content, where)
            coloured = has_colour(content)
        except InputError as error:
            fault = (error.fault or Fault.UNREADABLE) if isinstance(error, PictureError) else None
            self._findings.note(fault or Fault.UNREADABLE, where, error.problem)
            return
        if coloured:
            problem = "is not grey; its luma is read"
            self._findings.note(Fault.COLOURED, where, problem)
        frame = Frame(*picture.shape)
        if annotated is not None and annotated.frame != frame:
            problem = f"is {frame}, its annotations are for {annotated.frame}"
            self._findings.note(Fault.SIZE, where, problem)
        self._compare(name, content, repr(frame).encode() + picture.tobytes())
        self._sizes[frame] += 1
        if len(self._of_size.setdefault(frame, [])) < _EXAMPLES:
            self._of_size[frame].append(name)

    def check_sizes(self) -> None:
        """Report unusual sizes, if more than half of all pictures have the same size."""
        if not self._sizes:
            return
        usual, count = self._sizes.most_common(1)[0]
        if 2 * count <= self._sizes.total():
            return
        for frame, pictures in self._sizes.items():
            if frame != usual:
                where = ", ".join(self._of_size[frame]) + (", ..." if pictures > _EXAMPLES else "")
                problem = f"{pictures} pictures of {frame}, {count} are {usual}"
                self._findings.note(Fault.ODD_SIZE, where, problem, pictures)

    def _compare(self, name: str, content: bytes, pixels: bytes) -> None:
        for what, held in (("file", content), ("pixels", pixels)):
            digest = hashlib.blake2b(held, digest_size=16, person=what.encode()).digest()
            other = self._first.setdefault(digest, name)
            if other != name:
                where, problem = self._index.files.where(name), f"is the same {what} as {other}"
                self._findings.note(Fault.IDENTICAL, where, problem)
                return


@contextmanager
def _writer(path: Path | None) -> Iterator[Callable[[Fault, Finding], None]]:
    """Yield a function that writes a finding to a CSV file; it does nothing without a path."""
    if path is None:
        yield lambda _fault, _finding: None
        return
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        yield lambda fault, each: rows.writerow(
            (fault.severity, fault.value, each.where, each.message)
        )
