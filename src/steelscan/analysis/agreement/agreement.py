"""How far submissions agree, and their majority vote."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, InstanceOf, field_serializer

from steelscan.analysis.score import NO_FRAME
from steelscan.data.files import called_otherwise
from steelscan.evaluation.metrics import Agreement, Pairs, majority, pixel_counts
from steelscan.evaluation.metrics.agreement import agreement
from steelscan.pages import plain_value
from steelscan.strip import Frame, parse_runs, track
from steelscan.strip.errors import InputError, TableError
from steelscan.strip.files import check_output, output_folder
from steelscan.strip.tables import Layout, MaskTable, read_mask_table, write_mask_table


@dataclass(frozen=True)
class Band:
    """Plausible counts: on how many of ``strips`` strips each class is predicted.

    ``ranges`` has the lowest and the highest count per class, and may end with that of their sum.
    """

    ranges: tuple[tuple[int, int], ...]
    strips: int


class SubmissionAgreement(BaseModel):
    """How far submissions and their majority agree.

    Attributes:
        names: the submissions, by their files' names, and last the majority.
        agreement: counts and matrices, all in the order of ``names``.
        band: plausible counts, if given.
        deviations: a sentence on each submission with counts outside the band.
        notes: what a reader of the numbers should be aware of.
    """

    model_config = ConfigDict(frozen=True)

    names: tuple[str, ...]
    agreement: InstanceOf[Agreement]
    band: Band | None
    deviations: tuple[str, ...]
    notes: tuple[str, ...]

    @field_serializer("agreement")
    def _plain(self, agreement: Agreement) -> dict[str, Any]:
        """Arrays as lists, with null if undefined."""
        return {
            name: plain_value(np.asarray(each).tolist()) for name, each in vars(agreement).items()
        }


def compare_submissions(
    files: Sequence[Path],
    majority_file: Path,
    *,
    layout: Layout | None = None,
    ties: bool = False,
    band: Band | None = None,
    frame: Frame | None = None,
) -> SubmissionAgreement:
    """Compare submissions, and write their majority vote to a CSV file.

    A pixel is in the majority if more than half of the submissions contain it; with ``ties``, half
    is enough. The layout defaults to that of the first file. Images are those that any file lists.
    Raises TableError if the files have different images, MaskError for wrong run lengths,
    InputError for fewer than two files, OutputError.
    """
    if len(files) < 2 or len(set(files)) != len(files):
        problem = f"are {len(files)} files" if len(files) < 2 else "name a file twice"
        raise InputError("submissions", problem, "Name two or more different files")
    check_output(majority_file, MaskTable.FILE_KIND, files)
    output_folder(majority_file.parent)
    tables = [read_mask_table(file) for file in files]
    images = _images(files, tables)
    classes = max(1, *(table.classes for table in tables))
    if band is not None and len(band.ranges) not in (classes, classes + 1):
        problem = f"has {len(band.ranges)} ranges for {classes} classes"
        raise InputError("band", problem, "Give one range per class, and optionally their sum's")
    votes = list(_majority(files, tables, images, ties, frame or NO_FRAME))
    layout = layout or tables[0].layout
    write_mask_table(majority_file, votes, layout)
    texts: list[list[Sequence[str]]] = [
        [table.texts(image, classes) for image in images] for table in tables
    ]
    texts.append([of_image for _, of_image in votes])
    measured = _agreement(texts, images, frame or NO_FRAME)
    names = (*_names(files), "majority")
    notes = [_tie(len(files), ties)]
    if all(table.layout == "columns" for table in tables):
        notes.append("No file lists clean strips: strips that all files omit are not counted.")
    if frame is None:
        notes.append("Run lengths were not checked against the size of the pictures: no --frame.")
    deviations = () if band is None else tuple(_deviations(names, measured, band))
    return SubmissionAgreement(
        names=names, agreement=measured, band=band, deviations=deviations, notes=tuple(notes)
    )


def read_band(text: str) -> Band:
    """Read plausible counts, such as "82-97,0-9,586-611,110-113,786-820/1801".

    One range per class, optionally one for their sum, and after the slash the number of strips.
    Raises InputError.
    """
    match = re.fullmatch(r"(\d{1,9}-\d{1,9}(?:,\d{1,9}-\d{1,9})*)/(\d{1,9})", text)
    ranges = [tuple(map(int, each.split("-"))) for each in match[1].split(",")] if match else []
    if not match or not int(match[2]) or any(low > high for low, high in ranges):
        remedy = "Give one range per class and the number of strips: 82-97,0-9,586-611,110-113/1801"
        raise InputError("band", f"is {text!r}", remedy)
    return Band(tuple((low, high) for low, high in ranges), int(match[2]))


def _images(files: Sequence[Path], tables: Sequence[MaskTable]) -> list[str]:
    images = sorted(set().union(*(table.rows for table in tables)))
    if not images:
        raise TableError(files[0], "lists no image", "Give files with rows")
    for file, table in zip(files, tables, strict=True):
        absent = [image for image in images if image not in table.rows]
        if table.layout == "joined" and absent:
            problem = f"has no rows for {len(absent)} of {len(images)} images, such as {absent[0]}"
            raise TableError(file, problem, "Give submissions for the same images")
    for (one, first), (other, second) in combinations(zip(files, tables, strict=True), 2):
        rows, others = first.rows.keys(), second.rows.keys()
        names = called_otherwise(sorted(rows - others), sorted(others - rows))
        if names is not None:
            problem = f"lists {names[1]!r}, which {one} calls {names[0]!r}"
            raise TableError(other, problem, "Use the same names of images in all files")
    return images


def _majority(
    files: Sequence[Path],
    tables: Sequence[MaskTable],
    images: Sequence[str],
    ties: bool,
    frame: Frame,
) -> Iterator[tuple[str, list[str]]]:
    """Yield each image with the run lengths of the majority, one text per class."""
    classes = max(1, *(table.classes for table in tables))
    for image in track(images, "Counting votes", len(images)):
        texts = [table.texts(image, classes) for table in tables]
        voted = []
        for at in range(classes):
            runs = [
                parse_runs(of_class[at], frame, f"{file}, image {image}, class {at + 1}")
                for file, of_class in zip(files, texts, strict=True)
            ]
            kept = majority(runs, ties=ties)
            kept[:, 0] += 1  # run lengths count from 1
            voted.append(" ".join(map(str, kept.ravel().tolist())))
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
    """Return the files' names without their endings; the whole paths if two are equal."""
    names = [file.name.removesuffix(".gz").removesuffix(".csv") for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def _tie(files: int, ties: bool) -> str:
    half = files // 2
    rule = f"A pixel is in the majority if {half + 1} of {files} submissions contain it"
    if files % 2:
        return f"{rule}."
    return f"{rule}; if exactly {half} do, it is {'kept' if ties else 'left out'}."


def _deviations(names: Sequence[str], agreement: Agreement, band: Band) -> Iterator[str]:
    """Yield a sentence on each submission outside the band, which is scaled to these strips."""
    classes = agreement.predicted.shape[1] - 1
    scale = agreement.strips / band.strips
    for name, of_classes in zip(names, agreement.predicted[:, :-1].tolist(), strict=True):
        counts = [*of_classes, sum(of_classes)]
        differences = [
            f"{'all classes together' if at == classes else f'class {at + 1}'} {counts[at]} times, "
            f"not {math.floor(low * scale)}-{math.ceil(high * scale)}"
            for at, (low, high) in enumerate(band.ranges)
            if not math.floor(low * scale) <= counts[at] <= math.ceil(high * scale)
        ]
        if differences:
            yield f"{name} predicts {'; '.join(differences)}."
