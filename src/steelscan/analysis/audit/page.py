"""The page to look suspicious labels through: each strip with its label, and what was found."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from steelscan.analysis.audit.audit import Audit, AuditedStrip
from steelscan.pages import LONG, css_color, jpeg_link, render_page, shown_width
from steelscan.pages.outline import outline
from steelscan.strip import Masks, Picture, track, write_text

if TYPE_CHECKING:
    from steelscan.pipeline import StoredOutputs

_MARGIN = 6
"""Pixels between a suspicious place and the frame around it."""


def write_page(path: Path, found: Audit, answers: "StoredOutputs | None", most: int) -> None:
    """Write the page of the first ``most`` strips, whole or not at all.

    Raises OutputError, and PictureError.
    """
    judged = set() if answers is None else set(answers.rows.tolist())
    chosen = found.strips[:most]
    shown = [
        _shown(found, strip, answers if strip.row in judged else None)
        for strip in track(chosen, "Drawing", len(chosen))
    ]
    names = found.dataset.classes.names
    content = {
        "title": f"Labels of {found.dataset.root.name}",
        "strips": shown,
        "suspected": len(found.strips),
        "total": len(found.dataset),
        "with_run": found.judged is not None,
        "counts": sorted(found.counts.items()),
        "legend": [{"name": name, "color": css_color(at)} for at, name in enumerate(names)],
        "notes": found.notes,
    }
    write_text(path, render_page("steelscan.analysis.audit", "audit.html.jinja", content))


def _shown(found: Audit, strip: AuditedStrip, answers: "StoredOutputs | None") -> dict[str, Any]:
    dataset, row, worst = found.dataset, strip.row, strip.reasons[0]
    picture, label = dataset.picture(row), dataset.masks(row)
    frame = dataset.frames[row]
    width = shown_width(*frame)
    views = [("label", _drawn(picture, label, width, worst.box))]
    if answers is not None:
        views.append(("found", _drawn(picture, answers.masks(row), width, worst.box)))
    if worst.twin is not None:
        twin = worst.twin
        drawn = _drawn(dataset.picture(twin), dataset.masks(twin), width, None)
        views.append((f"copy {dataset.names[twin]}", drawn))
    if len(views) == 1:
        views.append(("bare", _drawn(picture, np.zeros_like(label), width, None)))
    return {
        "name": strip.name,
        "score": strip.score,
        "reasons": [each._asdict() for each in strip.reasons],
        "long": frame.width >= LONG * frame.height,
        "views": [{"title": title, "source": source} for title, source in views],
    }


def _drawn(
    picture: Picture, masks: Masks, width: int, box: tuple[int, int, int, int] | None
) -> str:
    """A strip with its outlines, and a white frame around the place in question."""
    canvas = outline(picture, masks, width=width)
    if box is not None:
        scale = width / picture.shape[1]
        top, left, height, across = (round(side * scale) for side in box)
        corners = (
            (left - _MARGIN, top - _MARGIN),
            (left + across + _MARGIN, top + height + _MARGIN),
        )
        for color, thickness in (((20, 20, 20), 3), ((255, 255, 255), 1)):
            cv2.rectangle(canvas, *corners, color, thickness)
    return jpeg_link(canvas)
