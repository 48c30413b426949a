"""The agreement of submissions as text, as JSON and as a page."""

from collections.abc import Sequence
from itertools import combinations
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelscan.analysis.agreement.agreement import SubmissionAgreement
from steelscan.pages import Page, Section, Table, plain_page, unwrapped_tables, write_page
from steelscan.strip.files import write_text

Rows = list[tuple[str, ...]]


def write_agreement(agreement: SubmissionAgreement, out: Path) -> str:
    """Write text, JSON and page into a folder; return the text for a terminal.

    Raises OutputError.
    """
    page = _page(agreement)
    with unwrapped_tables():
        write_text(out / "agreement.txt", plain_page(page) + "\n")
    write_text(out / "agreement.json", agreement.model_dump_json(indent=2) + "\n")
    write_page(out / "agreement.html", page)
    return plain_page(page)


def _page(agreement: SubmissionAgreement) -> Page:
    tables = tuple(Table(rows[0], rows[1:], title) for title, rows in _tables(agreement).items())
    section = Section(f"{agreement.agreement.strips} strips", tables=tables)
    notes = (*agreement.deviations, *agreement.notes)
    return Page("steelscan agreement", " and ".join(agreement.names[:-1]), (section,), notes)


def _tables(result: SubmissionAgreement) -> dict[str, Rows]:
    """Return all tables by their titles; the first row of each is its head."""
    names, values = result.names, result.agreement
    defects = "over pairs of strip and class where either predicts something"
    return {
        "Strips with each class": _counts(result),
        "Share of strips on which two agree whether there is a defect": _matrix(
            names, values.decisions
        ),
        "The same, corrected for chance (Cohen's kappa)": _matrix(names, values.kappa),
        f"Mean Dice of the masks, {defects}": _matrix(names, values.dice),
        "Per class: share of strips on which two agree": _per_class(names, values.decisions),
        "Per class: mean Dice of the masks": _per_class(names, values.dice),
    }


def _counts(result: SubmissionAgreement) -> Rows:
    counts = result.agreement.predicted
    classes = _classes(counts)
    rows: Rows = [("", *classes, "sum of classes", "any class")]
    for name, row in zip(result.names, counts.tolist(), strict=True):
        rows.append((name, *map(str, (*row[:-1], sum(row[:-1]), row[-1]))))
    if result.band:
        ranges = [f"{low}-{high}" for low, high in result.band.ranges]
        ranges += [""] * (len(classes) + 2 - len(ranges))
        rows.append((f"plausible, of {result.band.strips}", *ranges))
    return rows


def _matrix(names: Sequence[str], values: NDArray[np.float64]) -> Rows:
    rows = zip(names, values[:, :, -1].tolist(), strict=True)
    return [("", *names), *((name, *map(_number, row)) for name, row in rows)]


def _per_class(names: Sequence[str], values: NDArray[np.float64]) -> Rows:
    rows: Rows = [("", *_classes(values))]
    for (one, name), (other, second) in combinations(enumerate(names), 2):
        cells = map(_number, values[one, other, :-1].tolist())
        rows.append((f"{name} and {second}", *cells))
    return rows


def _classes(values: NDArray[Any]) -> list[str]:
    return [f"class {at}" for at in range(1, values.shape[-1])]


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"
