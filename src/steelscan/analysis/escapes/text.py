"""Escapes and overkill as text, as JSON, as a page and as a table of scores."""

from math import nan
from pathlib import Path

from steelscan.analysis.escapes.escapes import Escapes
from steelscan.analysis.escapes.figures import OPERATING_KEY, draw_operating
from steelscan.analysis.escapes.operating import OperatingCurve
from steelscan.analysis.escapes.review import Sorted
from steelscan.analysis.score import SIZE_NOTE, percent_text, size_rows
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import (
    Page,
    Section,
    Table,
    css_color,
    plain_page,
    plural,
    unwrapped_tables,
    write_page,
)
from steelscan.strip.files import output_folder, write_text
from steelscan.strip.tables import write_rows

Rows = list[tuple[str, ...]]

_RATES = (0.0, 0.01, 0.02, 0.05, 0.1)
_HELD_OUT = "Held-out strips, on which nothing was chosen"


def write_escapes(escapes: Escapes, out: Path) -> str:
    """Write text, JSON, page and table of scores into a folder; return the text for a terminal.

    Raises OutputError.
    """
    with unwrapped_tables():
        text = escapes_text(escapes)
    output_folder(out)
    write_text(out / "escapes.txt", text + "\n")
    write_text(out / "escapes.json", escapes.model_dump_json(indent=2) + "\n")
    _write_scores(escapes, out / "scores.csv")
    write_page(out / "escapes.html", escapes_page(escapes))
    return escapes_text(escapes)


def escapes_text(escapes: Escapes) -> str:
    """Return all results as plain text."""
    return plain_page(escapes_page(escapes))


def _write_scores(escapes: Escapes, path: Path) -> None:
    """Write the scores of each strip and what happens to it as CSV. Raises OutputError."""
    columns = ("image", "defective", "score", *escapes.classes.names, "goes")
    rows = (
        (
            image,
            int(escapes.strips.defective[row]),
            f"{escapes.strips.scores[row]:.6f}",
            *(f"{value:.6f}" for value in escapes.class_scores[row]),
            _goes(escapes, row),
        )
        for row, image in enumerate(escapes.images)
    )
    write_rows(path, columns, rows)


def _goes(escapes: Escapes, row: int) -> str:
    if escapes.review is None:
        return ""
    value = escapes.strips.scores[row]
    if value < escapes.review.low:
        return "pass"
    return "stop" if value >= escapes.review.high else "review"


def _curves(escapes: Escapes) -> dict[str, OperatingCurve]:
    """Return the curves of strips and of each class, by the titles of their panels."""
    per_class = {f"class {name}": curve for name, curve in escapes.class_curves.items()}
    return {"strips": escapes.curve, **per_class}


def escapes_page(escapes: Escapes) -> Page:
    """Return all results as a page."""
    sections = [
        Section(
            "Escapes and overkill by threshold",
            (_strips(escapes), *_now(escapes)),
            draw_operating(_curves(escapes), escapes.review),
            OPERATING_KEY,
            (
                _table(_rates(escapes.curve), "Strips: overkill at a limit on escapes"),
                _class_table(escapes),
            ),
            _CURVE,
        )
    ]
    if escapes.review and escapes.sorted:
        tables = [_table(_sorted_rows(escapes.sorted), "Out-of-fold strips")]
        if escapes.sorted_held_out:
            tables.append(_table(_sorted_rows(escapes.sorted_held_out), _HELD_OUT))
        sentences = escapes.review.sentences()
        sections.append(Section("Pass, review, stop", sentences, tables=tables))
    if escapes.sizes:
        table = _table(size_rows(escapes.sizes, escapes.size_unit))
        sections.append(Section("Escapes per defect size", (SIZE_NOTE,), tables=(table,)))
    return Page("steelscan escapes", escapes.title, tuple(sections), escapes.notes)


_CURVE = (
    "The score of a class is the lowest of all probabilities that decide about it: of classifiers, "
    "of aux heads, and of its highest pixel. The score of a strip is that of its worst class. A "
    "strip passes below the threshold and is stopped from there on. Shaded areas are 95 % "
    "intervals by group, for one threshold at a time; strips in the yellow band are reviewed by a "
    "person."
)


def _strips(escapes: Escapes) -> str:
    curve = escapes.curve
    return (
        f"{curve.strips} out-of-fold {plural(curve.strips, 'strip')} in {curve.pieces} "
        f"{plural(curve.pieces, 'group')}: {curve.defective} defective, "
        f"{curve.clean} clean."
    )


def _now(escapes: Escapes) -> list[str]:
    now = escapes.now
    return [
        f"With the run's own thresholds {now.escaped} of {now.defective} defective strips escape "
        f"({now.escapes.text(percent=True)}) and {now.stopped} of {now.clean} clean ones are "
        f"stopped ({now.overkill.text(percent=True)}).",
        *escapes.promised_now,
    ]


def _rates(curve: OperatingCurve) -> Rows:
    """Return the overkill at thresholds that let at most some share of defective strips pass."""
    rows: Rows = [("escapes at most", "threshold", "escapes", "overkill")]
    for rate in _RATES:
        point = curve.where_escapes_are_at_most(rate)
        if point is not None:
            cells = (percent_text(point.escapes), percent_text(point.overkill))
            rows.append((f"{100 * rate:g} %", f"{point.threshold:.4f}", *cells))
    return rows


def _class_rates(escapes: Escapes) -> Rows:
    head = tuple(f"false alarms at {100 * rate:g} %" for rate in _RATES)
    rows: Rows = [("class", "strips with it", *head)]
    for name, curve in escapes.class_curves.items():
        points = [curve.where_escapes_are_at_most(rate) for rate in _RATES]
        cells = [percent_text(Estimate(point.overkill.value if point else nan)) for point in points]
        rows.append((name, str(curve.defective), *cells))
    return rows


def _class_table(escapes: Escapes) -> Table:
    head, *rows = _class_rates(escapes)
    colors = [css_color(index) for index in range(len(rows))]
    title = "Each class by itself: false alarms at a limit on the share of its strips missed"
    return Table(head, rows, title, colors)


def _sorted_rows(counts: Sorted) -> Rows:
    defective = (counts.passed_defective, counts.reviewed_defective, counts.stopped_defective)
    clean = (counts.passed_clean, counts.reviewed_clean, counts.stopped_clean)
    both = [one + other for one, other in zip(defective, clean, strict=True)]
    shares = [f"{100 * count / counts.strips:.1f} %" for count in both]
    return [
        ("strips", "pass", "review", "stop"),
        ("defective", *map(str, defective)),
        ("clean", *map(str, clean)),
        ("share of all", *shares),
    ]


def _table(rows: Rows, title: str = "") -> Table:
    return Table(rows[0], rows[1:], title)
