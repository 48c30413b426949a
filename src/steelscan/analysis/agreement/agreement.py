"""Submissions laid beside each other, and the one that most of them make. No torch here."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from steelscan.analysis.score import NO_FRAME
from steelscan.data.files import called_otherwise
from steelscan.evaluation.metrics import Agreement, Pairs, majority, pixel_counts
from steelscan.evaluation.metrics.agreement import agreement
from steelscan.strip import (
    TABLE_KIND,
    Frame,
    InputError,
    Layout,
    MaskTable,
    TableError,
    check_output,
    output_folder,
    parse,
    read_mask_table,
    track,
    write_mask_table,
)


@dataclass(frozen=True)
class Band:
    """On how many of so many ``strips`` a sane answer finds each class, and maybe their sum."""

    ranges: tuple[tuple[int, int], ...]
    strips: int


@dataclass(frozen=True)
class Agreed:
    """How far submissions agree, and the majority of them."""

    names: tuple[str, ...]
    """The submissions, by their files' names, and last the majority."""
    found: Agreement
    band: Band | None
    outside: tuple[str, ...]
    """A sentence on each answer with counts outside the band."""
    notes: tuple[str, ...]


def agree(
    files: Sequence[Path],
    out: Path,
    *,
    layout: Layout | None = None,
    ties: bool = False,
    band: Band | None = None,
    frame: Frame | None = None,
) -> Agreed:
    """Compare submissions, and write what most of them say to a CSV file.

    A pixel is held by the majority where more than half of the submissions hold it; ``ties``
    says whether exactly half is enough. The layout is that of the first file if not given. Images
    are those that any file lists. Raises TableError where files do not answer the same images,
    MaskError for wrong run lengths, InputError for fewer than two files, OutputError.
    """
    if len(files) < 2 or len(set(files)) != len(files):
        few = f"are {len(files)} files" if len(files) < 2 else "name a file twice"
        raise InputError("submissions", few, "Name two or more that differ")
    check_output(out, TABLE_KIND, files)
    output_folder(out.parent)
    tables = [read_mask_table(file) for file in files]
    images = _images(files, tables)
    classes = max(1, *(table.classes for table in tables))
    if band is not None and len(band.ranges) not in (classes, classes + 1):
        told = f"has {len(band.ranges)} ranges, there are {classes} classes"
        raise InputError("band", told, "Give a range a class, and maybe one for their sum")
    voted = list(_voted(files, tables, images, classes, ties, frame or NO_FRAME))
    layout = layout or tables[0].layout
    write_mask_table(out, voted, layout)
    texts: list[list[Sequence[str]]] = [
        [table.texts(image, classes) for image in images] for table in tables
    ]
    texts.append([of_image for _, of_image in voted])
    found = _agreement(texts, images, frame or NO_FRAME)
    names = (*_names(files), "majority")
    notes = [_tie(len(files), ties)]
    if all(table.layout == "columns" for table in tables):
        notes.append("No file lists clean strips: those that all leave out do not count.")
    if frame is None:
        notes.append("Picture sizes are unknown: run lengths were not checked against them.")
    outside = () if band is None else tuple(_outside(names, found, band))
    return Agreed(names, found, band, outside, tuple(notes))


def read_band(text: str) -> Band:
    """Read a range a class, maybe one for their sum, and of how many strips. Raises InputError.

    As "82-97,0-9,586-611,110-113,786-820/1801".
    """
    found = re.fullmatch(r"(\d{1,9}-\d{1,9}(?:,\d{1,9}-\d{1,9})*)/(\d{1,9})", text)
    ranges = [tuple(map(int, each.split("-"))) for each in found[1].split(",")] if found else []
    if not found or not int(found[2]) or any(low > high for low, high in ranges):
        remedy = "Give a range a class of so many strips, as 82-97,0-9,586-611,110-113/1801"
        raise InputError("band", f"is {text!r}", remedy)
    return Band(tuple((low, high) for low, high in ranges), int(found[2]))


def _images(files: Sequence[Path], tables: Sequence[MaskTable]) -> list[str]:
    images = sorted(set().union(*(table.rows for table in tables)))
    if not images:
        raise TableError(files[0], "lists no image", "Give files with rows")
    for file, table in zip(files, tables, strict=True):
        absent = [image for image in images if image not in table.rows]
        if table.layout == "joined" and absent:
            found = f"says nothing about {len(absent)} of {len(images)} images, as {absent[0]}"
            raise TableError(file, found, "Give submissions for the same images")
    for (one, first), (other, second) in combinations(zip(files, tables, strict=True), 2):
        rows, others = first.rows.keys(), second.rows.keys()
        names = called_otherwise(sorted(rows - others), sorted(others - rows))
        if names is not None:
            found = f"lists {names[1]!r}, which {one} calls {names[0]!r}"
            raise TableError(other, found, "Give images the same names in all")
    return images


def _voted(
    files: Sequence[Path],
    tables: Sequence[MaskTable],
    images: Sequence[str],
    classes: int,
    ties: bool,
    frame: Frame,
) -> Iterator[tuple[str, list[str]]]:
    """Each image with the run lengths that most submissions hold, one text a class."""
    for image in track(images, "Taking votes", len(images)):
        texts = [table.texts(image, classes) for table in tables]
        voted = []
        for at in range(classes):
            runs = [
                parse(of_class[at], frame, f"{file}, image {image}, class {at + 1}")
                for file, of_class in zip(files, texts, strict=True)
            ]
            held = majority(runs, ties=ties)
            held[:, 0] += 1  # run lengths count from 1
            voted.append(" ".join(map(str, held.ravel().tolist())))
        yield image, voted


def _agreement(
    texts: Sequence[Sequence[Sequence[str]]], images: Sequence[str], frame: Frame
) -> Agreement:
    pairs = {}
    couples = list(combinations(range(len(texts)), 2))
    for one, other in track(couples, "Comparing submissions", len(couples)):
        rows = zip(texts[one], texts[other], images, strict=True)
        counts = [pixel_counts(guess, true, frame, image) for guess, true, image in rows]
        pairs[one, other] = Pairs.of(counts)
    return agreement(len(texts), pairs)


def _names(files: Sequence[Path]) -> list[str]:
    """The files' names without their endings, or as they were given where two are alike."""
    names = [file.name.removesuffix(".gz").removesuffix(".csv") for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def _tie(files: int, ties: bool) -> str:
    if files % 2:
        return f"A pixel is in the majority where {files // 2 + 1} of {files} submissions hold it."
    kept = "kept" if ties else "left out"
    return (
        f"A pixel is in the majority where {files // 2 + 1} of {files} submissions hold it; where "
        f"exactly {files // 2} do, it is {kept}."
    )


def _outside(names: Sequence[str], found: Agreement, band: Band) -> Iterator[str]:
    """A sentence on each answer outside the band, which is scaled to the strips that there are."""
    classes = found.found.shape[1] - 1
    scale = found.strips / band.strips
    for name, of_classes in zip(names, found.found[:, :-1].tolist(), strict=True):
        counts = [*of_classes, sum(of_classes)]
        strange = [
            f"{'all classes together' if at == classes else f'class {at + 1}'} {counts[at]} times, "
            f"not {math.floor(low * scale)}-{math.ceil(high * scale)}"
            for at, (low, high) in enumerate(band.ranges)
            if not math.floor(low * scale) <= counts[at] <= math.ceil(high * scale)
        ]
        if strange:
            yield f"{name} finds {'; '.join(strange)}."
