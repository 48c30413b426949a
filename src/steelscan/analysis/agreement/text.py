"""The agreement of submissions as text, as JSON and as a page."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path

from steelscan.analysis.agreement.agreement import Matrix, SubmissionAgreement
from steelscan.pages import Page, Section, Table, plain_table, write_page
from steelscan.strip import write_text

Rows = list[tuple[str, ...]]


def write_agreement(agreement: SubmissionAgreement, out: Path) -> str:
    """Write text, JSON and page into a folder and return the text. Raises OutputError."""
    text = _text(agreement)
    write_text(out / "agreement.txt", text + "\n")
    write_text(out / "agreement.json", agreement.model_dump_json(indent=2) + "\n")
    write_page(out / "agreement.html", _page(agreement))
    return text


def _text(agreement: SubmissionAgreement) -> str:
    blocks = [f"{title}:\n{plain_table(rows)}" for title, rows in _tables(agreement).items()]
    notes = [f"Note: {note}" for note in (*agreement.deviations, *agreement.notes)]
    return "\n\n".join([*blocks, "\n".join(notes)])


def _page(agreement: SubmissionAgreement) -> Page:
    tables = tuple(Table(rows[0], rows[1:], title) for title, rows in _tables(agreement).items())
    section = Section(f"{agreement.strips} strips", tables=tables)
    notes = (*agreement.deviations, *agreement.notes)
    return Page("steelscan agreement", " and ".join(agreement.names[:-1]), (section,), notes)


def _tables(agreement: SubmissionAgreement) -> dict[str, Rows]:
    """Return all tables by their titles; the first row of each is its head."""
    return {
        "Strips with each class": _counts(agreement),
        "Share of strips on which two agree whether there is a defect": _matrix(
            agreement, agreement.decisions
        ),
        "The same, corrected for chance (Cohen's kappa)": _matrix(agreement, agreement.kappa),
        "Mean Dice of the masks, over pairs of strip and class where either predicts something": (
            _matrix(agreement, agreement.dice)
        ),
        "Per class: share of strips on which two agree": _per_class(agreement, agreement.decisions),
        "Per class: mean Dice of the masks": _per_class(agreement, agreement.dice),
    }


def _counts(agreement: SubmissionAgreement) -> Rows:
    classes = _classes(agreement)
    rows: Rows = [("", *classes, "sum of classes", "any class")]
    for name, row in zip(agreement.names, agreement.predicted, strict=True):
        rows.append((name, *map(str, (*row[:-1], sum(row[:-1]), row[-1]))))
    if agreement.band:
        ranges = [f"{low}-{high}" for low, high in agreement.band.ranges]
        ranges += [""] * (len(classes) + 2 - len(ranges))
        rows.append((f"plausible, of {agreement.band.strips}", *ranges))
    return rows


def _matrix(agreement: SubmissionAgreement, values: Matrix) -> Rows:
    rows: Rows = [("", *agreement.names)]
    for name, row in zip(agreement.names, values, strict=True):
        rows.append((name, *(_number(cell[-1]) for cell in row)))
    return rows


def _per_class(agreement: SubmissionAgreement, values: Matrix) -> Rows:
    names = agreement.names
    rows: Rows = [("", *_classes(agreement))]
    for one, name in enumerate(names):
        for other in range(one + 1, len(names)):
            cells = map(_number, values[one][other][:-1])
            rows.append((f"{name} and {names[other]}", *cells))
    return rows


def _classes(agreement: SubmissionAgreement) -> Sequence[str]:
    return [f"class {at}" for at in range(1, len(agreement.predicted[0]))]


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"
