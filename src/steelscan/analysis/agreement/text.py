"""How far submissions agree, written out for people: as text, as JSON, as a page."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

from steelscan.analysis.agreement.agreement import Agreed
from steelscan.pages import Page, Section, Table, plain_table, plain_value, write_page
from steelscan.strip import write_json, write_text

Rows = list[tuple[str, ...]]

_WORDS = {
    "decisions": "Share of strips on which two agree that there is a defect, or that there is none",
    "kappa": "The same beyond chance (Cohen's kappa)",
    "dice": "Mean Dice of the masks, over pairs of strip and class where either finds something",
}


def write_agreement(found: Agreed, out: Path) -> str:
    """Write it as text, JSON and page into a folder; returns the text. Raises OutputError."""
    text = agreement_text(found)
    write_text(out / "agreement.txt", text + "\n")
    write_json(out / "agreement.json", agreement_json(found))
    write_page(out / "agreement.html", _page(found))
    return text


def agreement_text(found: Agreed) -> str:
    """All of it as plain text."""
    blocks = [f"{title}:\n{plain_table(rows)}" for title, rows in _tables(found).items()]
    told = [f"Note: {note}" for note in (*found.outside, *found.notes)]
    return "\n\n".join([*blocks, "\n".join(told)])


def agreement_json(found: Agreed) -> dict[str, Any]:
    """All of it as plain values: matrices in the order of the names, classes last."""
    return {
        "names": list(found.names),
        "strips": found.found.strips,
        "found": found.found.predicted.tolist(),
        **{name: plain_value(getattr(found.found, name).tolist()) for name in _WORDS},
        "outside": list(found.outside),
        "notes": list(found.notes),
    }


def _page(found: Agreed) -> Page:
    tables = tuple(Table(rows[0], rows[1:], title) for title, rows in _tables(found).items())
    section = Section(f"{found.found.strips} strips", tables=tables)
    notes = (*found.outside, *found.notes)
    return Page("steelscan agree", " and ".join(found.names[:-1]), (section,), notes)


def _tables(found: Agreed) -> dict[str, Rows]:
    tables = {"Strips on which each finds each class": _counts(found)}
    for name, words in _WORDS.items():
        tables[words] = _matrix(found.names, getattr(found.found, name)[:, :, -1])
    for name, words in (("decisions", "agreement on it"), ("dice", "mean Dice of its masks")):
        values = getattr(found.found, name)
        tables[f"Each class: {words}"] = _per_class(found, values[:, :, :-1])
    return tables


def _counts(found: Agreed) -> Rows:
    counts = found.found.predicted
    classes = counts.shape[1] - 1
    head = (*(f"class {at + 1}" for at in range(classes)), "classes together", "any class")
    rows: Rows = [("", *head)]
    for name, row in zip(found.names, counts.tolist(), strict=True):
        rows.append((name, *map(str, (*row[:-1], sum(row[:-1]), row[-1]))))
    if found.band:
        ranges = [f"{low}-{high}" for low, high in found.band.ranges]
        ranges += [""] * (classes + 2 - len(ranges))
        rows.append((f"sane, of {found.band.strips}", *ranges))
    return rows


def _matrix(names: Sequence[str], values: Any) -> Rows:
    head: Rows = [("", *names)]
    return head + [
        (name, *map(_number, row)) for name, row in zip(names, values.tolist(), strict=True)
    ]


def _per_class(found: Agreed, values: Any) -> Rows:
    classes = values.shape[2]
    rows: Rows = [("", *(f"class {at + 1}" for at in range(classes)))]
    for one, name in enumerate(found.names):
        for other in range(one + 1, len(found.names)):
            title = f"{name} and {found.names[other]}"
            rows.append((title, *map(_number, values[one, other].tolist())))
    return rows


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"
