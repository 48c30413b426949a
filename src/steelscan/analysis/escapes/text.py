"""What a plant counts, written out for people: as text, as JSON, as a page."""

from collections.abc import Sequence
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any

from steelscan.analysis.escapes.escapes import Plant
from steelscan.analysis.score import SIZE_NOTE, percent_text, size_rows
from steelscan.evaluation.metrics import OperatingCurve, Sorted
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import Page, Section, Table, css_color, plain_table, plain_value, write_page
from steelscan.pipeline import OPERATING_KEY, draw_operating
from steelscan.strip import output_folder, write_json, write_text

_RATES = (0.0, 0.01, 0.02, 0.05, 0.1)


def write_plant(found: Plant, out: Path) -> str:
    """Write it as text, JSON, page and table of scores into a folder; returns the text.

    Raises OutputError.
    """
    text = plant_text(found)
    output_folder(out)
    write_text(out / "plant.txt", text + "\n")
    write_json(out / "plant.json", plant_json(found))
    found.write_scores(out / "scores.csv")
    write_page(out / "plant.html", plant_page(found))
    return text


def plant_text(found: Plant) -> str:
    """All of it as plain text."""
    blocks = [
        _counted(found),
        "\n".join(_now(found)),
        f"What a threshold on the strip's score costs:\n{plain_table(_rates(found.curve))}",
        f"The same for each class by itself:\n{plain_table(_class_rates(found))}",
        *_review_blocks(found),
    ]
    if found.sizes:
        table = plain_table(size_rows(found.sizes, found.unit))
        blocks.append(f"Escapes per defect size. {SIZE_NOTE}\n{table}")
    return "\n\n".join([*blocks, *(f"Note: {note}" for note in found.notes)])


def plant_json(found: Plant) -> dict[str, Any]:
    """All of it as plain values; None where undefined."""
    return {
        "title": found.title,
        "strips": len(found.strips),
        "pieces": found.curve.pieces,
        "now": found.now.to_dict(),
        "promised_now": list(found.promised_now),
        "curve": plain_value(asdict(found.curve)),
        "classes": {name: plain_value(asdict(curve)) for name, curve in found.class_curves.items()},
        "review": plain_value(asdict(found.review)) if found.review else None,
        "sorted": asdict(found.sorted) if found.sorted else None,
        "sorted_held_out": asdict(found.sorted_held_out) if found.sorted_held_out else None,
        "size_unit": found.unit,
        "sizes": [plain_value(asdict(row)) for row in found.sizes],
        "notes": list(found.notes),
    }


def plant_page(found: Plant) -> Page:
    """All of it as a page."""
    lead = [_counted(found), *_now(found)]
    first = Section(
        "Escapes and overkill by threshold",
        (*lead, *_WHAT_A_CURVE_IS),
        draw_operating({"strip": found.curve, **found.class_curves}, found.review),
        OPERATING_KEY,
        (
            Table(*_split(_rates(found.curve)), "Strip: what keeping escapes down costs"),
            _colored(found, "Each class by itself"),
        ),
    )
    sections = [first]
    if found.review and found.sorted:
        tables = [Table(*_split(_sorted_rows(found.sorted)), "Strips out of fold")]
        if found.sorted_held_out:
            title = "Strips held out, which nothing was chosen on"
            tables.append(Table(*_split(_sorted_rows(found.sorted_held_out)), title))
        sections.append(
            Section("Pass, review, stop", found.review.sentences(), "", {}, tuple(tables))
        )
    if found.sizes:
        table = Table(*_split(size_rows(found.sizes, found.unit)))
        sections.append(Section("Escapes per defect size", (SIZE_NOTE,), "", {}, (table,)))
    return Page("steelscan plant", found.title, tuple(sections), found.notes)


_WHAT_A_CURVE_IS = (
    "A strip scores what the weakest of all that decide says of its worst class: classifiers, "
    "second heads, the highest pixel. It passes below the threshold and is stopped from there on. "
    "Shades are 95 % intervals by group, for one threshold at a time; the yellow band is what "
    "somebody looks at with two thresholds.",
)


def _counted(found: Plant) -> str:
    curve = found.curve
    return (
        f"{curve.strips} strips out of fold in {curve.pieces} groups: {curve.defective} defective, "
        f"{curve.clean} clean."
    )


def _now(found: Plant) -> list[str]:
    now = found.now
    return [
        f"With the run's own thresholds {now.escaped} of {now.defective} defective strips escape "
        f"({now.escapes.text(percent=True)}) and {now.stopped} of {now.clean} clean ones are "
        f"stopped ({now.overkill.text(percent=True)}).",
        *found.promised_now,
    ]


def _rates(curve: OperatingCurve) -> list[tuple[str, ...]]:
    """What the threshold costs at which no more than some share of defective strips pass."""
    rows: list[tuple[str, ...]] = [("escapes at most", "threshold", "escapes", "overkill")]
    for rate in _RATES:
        point = curve.where_escapes_are_at_most(rate)
        if point is not None:
            cells = (percent_text(point.escapes), percent_text(point.overkill))
            rows.append((f"{100 * rate:g} %", f"{point.threshold:.4f}", *cells))
    return rows


def _class_rates(found: Plant) -> list[tuple[str, ...]]:
    head = tuple(f"false alarms at {100 * rate:g} %" for rate in _RATES)
    rows: list[tuple[str, ...]] = [("class", "strips with it", *head)]
    for name, curve in found.class_curves.items():
        points = [curve.where_escapes_are_at_most(rate) for rate in _RATES]
        cells = [percent_text(Estimate(point.overkill.value if point else nan)) for point in points]
        rows.append((name, str(curve.defective), *cells))
    return rows


def _colored(found: Plant, title: str) -> Table:
    head, rows = _split(_class_rates(found))
    colors = [css_color(index) for index in range(len(rows))]
    title += ": false alarms where at most so many of its strips are missed"
    return Table(head, rows, title, colors)


def _review_blocks(found: Plant) -> list[str]:
    if not found.review or not found.sorted:
        return []
    told = ["Two thresholds:", *found.review.sentences(), plain_table(_sorted_rows(found.sorted))]
    if found.sorted_held_out:
        told.append("Strips held out, which nothing was chosen on:")
        told.append(plain_table(_sorted_rows(found.sorted_held_out)))
    return ["\n".join(told)]


def _sorted_rows(found: Sorted) -> list[tuple[str, ...]]:
    defective = (found.passed_defective, found.reviewed_defective, found.stopped_defective)
    clean = (found.passed_clean, found.reviewed_clean, found.stopped_clean)
    both = [one + other for one, other in zip(defective, clean, strict=True)]
    shares = [f"{100 * count / found.strips:.1f} %" for count in both]
    return [
        ("strips", "pass", "review", "stop"),
        ("defective", *map(str, defective)),
        ("clean", *map(str, clean)),
        ("share of all", *shares),
    ]


def _split(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    return rows[0], list(rows[1:])
