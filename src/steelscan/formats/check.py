"""What is wrong with a data set of any format: one listing, however much it is."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from steelscan.data import has_colour, read_picture
from steelscan.formats.convert import opened_source
from steelscan.formats.labelled import Labelled, confusable
from steelscan.formats.locate import Place, format_named, locate
from steelscan.formats.shelf import Shelf, check_claim, differ_in_case
from steelscan.strip import (
    DatasetError,
    Fault,
    Frame,
    InputError,
    PictureError,
    Severity,
    Watch,
    check_output,
    replacing,
    table_kind,
)
from steelscan.strip.progress import progress

_EXAMPLES = 5
_COLUMNS = ("severity", "fault", "where", "found")


class Finding(NamedTuple):
    """One thing that is wrong, and where."""

    fault: Fault
    where: str
    found: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}"


@dataclass
class CheckReport:
    """All that was found: each kind counted, with its first examples."""

    format: str
    pictures: int = 0
    counts: Counter[Fault] = field(default_factory=Counter)
    examples: dict[Fault, list[Finding]] = field(default_factory=dict)

    def count(self, severity: Severity) -> int:
        """How many findings have a severity."""
        return sum(count for fault, count in self.counts.items() if fault.severity == severity)

    def ordered(self) -> list[Fault]:
        """The kinds that were found: errors first, then those found most often."""
        return sorted(self.counts, key=lambda fault: (fault.severity, -self.counts[fault], fault))

    def text(self) -> str:
        """A line for each kind with its examples below, and the sums."""
        lines: list[str] = []
        for fault in self.ordered():
            lines.append(f"{fault.severity:<7}  {self.counts[fault]:>6}  {fault}")
            lines += [f"    {each}" for each in self.examples[fault]]
            more = self.counts[fault] - len(self.examples[fault])
            lines += [f"    ... and {more} more"] if more else []
        errors, warnings = self.count("error"), self.count("warning")
        sums = f"{errors} errors, {warnings} warnings" if self.counts else "nothing wrong was found"
        return "\n".join([*lines, f"{self.pictures} pictures, {self.format}: {sums}"])

    def json(self) -> str:
        """The same as JSON."""
        faults = [
            {
                "fault": str(fault),
                "severity": fault.severity,
                "count": self.counts[fault],
                "examples": [
                    {"where": each.where, "found": each.found} for each in self.examples[fault]
                ],
            }
            for fault in self.ordered()
        ]
        sums = {"errors": self.count("error"), "warnings": self.count("warning")}
        content = {"format": self.format, "pictures": self.pictures, **sums, "faults": faults}
        return json.dumps(content, indent=2, ensure_ascii=False)


def check(
    source: Path,
    from_: str | None = None,
    list_: Path | None = None,
    images: Path | None = None,
) -> CheckReport:
    """Look at every picture and every annotation of a data set, and list what is wrong.

    ``source``, ``from_`` and ``images`` are as those of `convert`; a zip is unpacked for a while
    into the system's folder for temporary files. With ``list_`` all findings go to that CSV file
    (severity, fault, where, found). Of each picture its name and two hashes are kept, of all else
    one picture at a time.

    Raises InputError for an unknown format, DatasetError where the format cannot be told or a zip
    is not to be trusted, and OutputError.
    """
    given = format_named("--from", from_) if from_ is not None else None
    if list_ is not None:
        check_output(list_, table_kind("list of findings", _COLUMNS), [source])
    with opened_source(source) as root, _writer(list_) as write:
        place = locate(root, given, source, images)
        report = CheckReport(place.format.name)
        listing = _Listing(report, write, (str(root), str(source)))
        _look(place, listing)
    return report


class _Listing(Watch):
    """Takes all faults, and goes on."""

    closely = True

    def __init__(
        self, report: CheckReport, write: Callable[[Finding], None], names: tuple[str, str]
    ) -> None:
        self.report, self._write, self._names = report, write, names

    def error(self, error: InputError) -> None:
        """List an error, unless it is about a picture: pictures are all looked at by themselves."""
        fault = error.fault or Fault.UNREADABLE_FILE
        if isinstance(error, PictureError) and fault is not Fault.SAME_NAME:
            return
        self.note(fault, error.where, error.problem)

    def note(self, fault: Fault, where: object, found: str, count: int = 1) -> None:
        """List a fault that was found ``count`` times."""
        texts = (str(text).replace(*self._names) for text in (where, found))
        finding = Finding(fault, *texts)
        self._write(finding)
        self.report.counts[fault] += count
        examples = self.report.examples.setdefault(fault, [])
        if len(examples) < _EXAMPLES:
            examples.append(finding)


def _look(place: Place, listing: _Listing) -> None:
    shelf = place.shelf()
    seen = _Pictures(shelf, listing)
    claimed: dict[str, str] = {}
    with progress("Checking pictures", len(shelf.own)) as shown, listing.over():
        for number, each in enumerate(_read(place, shelf, listing)):
            if not number and (alike := confusable(each.classes)):
                listing.note(Fault.CLASS_NAME, place.annotations, alike)
            _look_at_masks(each, listing)
            name = _picture_of(each, shelf, claimed, listing)
            if name is not None and name not in seen.names:
                seen.look(name, each)
                shown.advance()
        for name in shelf.own:
            if name not in seen.names:
                seen.look(name, None)
                shown.advance()
        seen.finish()


def _read(place: Place, shelf: Shelf, listing: _Listing) -> Iterator[Labelled]:
    """All that can be read; what breaks the reading off is listed like all else."""
    with listing.over():
        yield from place.read(listing, shelf)


def _picture_of(
    each: Labelled, shelf: Shelf, claimed: dict[str, str], listing: _Listing
) -> str | None:
    try:
        name = shelf.find(each.image)
        if name is not None:
            check_claim(claimed, name, each.image, shelf)
    except DatasetError as error:
        listing.error(error)
        return None
    if name is None:
        listing.note(Fault.NO_PICTURE, each.image, shelf.missing(each.image).problem)
    elif differ_in_case(name, each.image):
        found = f"is named {each.image} by its annotations"
        listing.note(Fault.SAME_BUT_CASE, shelf.files.where(name), found)
    return name


def _look_at_masks(each: Labelled, listing: _Listing) -> None:
    overlap = int((each.masks.sum(axis=0) > 1).sum())
    if overlap:
        listing.note(Fault.OVERLAP, each.image, f"{overlap} pixels have two classes or more")
    if each.ignored:
        found = f"{each.ignored} pixels are called neither, and read as sound"
        listing.note(Fault.IGNORED, each.image, found)


class _Pictures:
    """The pictures looked at so far."""

    def __init__(self, shelf: Shelf, listing: _Listing) -> None:
        self.names: set[str] = set()
        self._shelf, self._listing = shelf, listing
        self._first: dict[bytes, str] = {}
        self._lower: dict[str, str] = {}
        self._sizes: Counter[Frame] = Counter()
        self._of_size: dict[Frame, list[str]] = {}

    def look(self, name: str, each: Labelled | None) -> None:
        """Read a picture; ``each`` are its masks, None where no annotation names it."""
        where = self._shelf.files.where(name)
        self.names.add(name)
        self._listing.report.pictures += 1
        other = self._lower.setdefault(name.casefold(), name)
        if other != name:
            self._listing.note(Fault.SAME_BUT_CASE, where, f"is called as {other} but for its case")
        if each is None and self._shelf.lists_pictures:
            self._listing.note(Fault.NO_ANNOTATION, where, "is named by no annotation")
        try:
            content = self._shelf.files.read(name)
            picture = read_picture(content, where)
            coloured = has_colour(content)
        except InputError as error:
            fault = (error.fault or Fault.UNREADABLE) if isinstance(error, PictureError) else None
            self._listing.note(fault or Fault.UNREADABLE, where, error.problem)
            return
        if coloured:
            self._listing.note(Fault.COLOURED, where, "is no grey picture; its luma is read")
        frame = Frame(*picture.shape)
        if each is not None and each.frame != frame:
            found = f"is {frame}, its annotations are for {each.frame}"
            self._listing.note(Fault.SIZE, where, found)
        self._compare(name, content, repr(frame).encode() + picture.tobytes())
        self._sizes[frame] += 1
        if len(self._of_size.setdefault(frame, [])) < _EXAMPLES:
            self._of_size[frame].append(name)

    def finish(self) -> None:
        """List the sizes that few pictures have, where more than half of all have another."""
        if not self._sizes:
            return
        usual, count = self._sizes.most_common(1)[0]
        if 2 * count <= self._sizes.total():
            return
        for frame, pictures in self._sizes.items():
            if frame != usual:
                where = ", ".join(self._of_size[frame]) + (", ..." if pictures > _EXAMPLES else "")
                found = f"{pictures} pictures of {frame}, {count} are {usual}"
                self._listing.note(Fault.ODD_SIZE, where, found, pictures)

    def _compare(self, name: str, content: bytes, pixels: bytes) -> None:
        for what, held in (("file", content), ("pixels", pixels)):
            key = hashlib.blake2b(held, digest_size=16, person=what.encode()).digest()
            other = self._first.setdefault(key, name)
            if other != name:
                where = self._shelf.files.where(name)
                found = f"is the same {what} as {other}"
                self._listing.note(Fault.IDENTICAL, where, found)
                return


@contextmanager
def _writer(path: Path | None) -> Iterator[Callable[[Finding], None]]:
    """Lend what writes findings to a CSV file, which appears whole; or does nothing."""
    if path is None:
        yield lambda _: None
        return
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        yield lambda each: rows.writerow(
            (each.fault.severity, each.fault.value, each.where, each.found)
        )
