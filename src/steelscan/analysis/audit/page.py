"""The page of an audit: each suspicious strip with its label, the prediction and the reasons."""

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from steelscan.analysis.audit.audit import Audit, AuditedStrip
from steelscan.pages import LONG, css_color, jpeg_link, render_page, shown_width
from steelscan.pages.outline import outline
from steelscan.strip import Masks, Picture, track

if TYPE_CHECKING:
    from steelscan.pipeline import StoredOutputs

_MARGIN = 6
"""Pixels between a suspicious place and the frame around it."""


def page_text(audit: Audit, outputs: "StoredOutputs | None", most: int) -> str:
    """Return the page of the first ``most`` strips. Raises PictureError."""
    evaluated = set() if outputs is None else set(outputs.rows.tolist())
    chosen = audit.suspects[:most]
    strips = [
        _strip(audit, strip, outputs if strip.row in evaluated else None)
        for strip in track(chosen, "Drawing", len(chosen))
    ]
    names = audit.dataset.classes.names
    content = {
        "title": f"Labels of {audit.dataset.root.name}",
        "strips": strips,
        "suspected": audit.suspected,
        "total": audit.strips,
        "counts": list(audit.counts.items()),
        "legend": [{"name": name, "color": css_color(at)} for at, name in enumerate(names)],
        "notes": audit.notes,
    }
    return render_page("steelscan.analysis.audit", "audit.html.jinja", content)


def _strip(audit: Audit, strip: AuditedStrip, outputs: "StoredOutputs | None") -> dict[str, Any]:
    dataset, row, first = audit.dataset, strip.row, strip.reasons[0]
    picture, label = dataset.picture(row), dataset.masks(row)
    frame = dataset.frames[row]
    width = shown_width(*frame)
    views = [("label", _drawn(picture, label, width, first.box))]
    if outputs is not None:
        views.append(("prediction", _drawn(picture, outputs.masks(row), width, first.box)))
    other = first.near_duplicate
    if other is not None:
        drawn = _drawn(dataset.picture(other), dataset.masks(other), width, None)
        views.append((f"near-duplicate {dataset.names[other]}", drawn))
    if len(views) == 1:
        views.append(("picture", _drawn(picture, np.zeros_like(label), width, None)))
    return {
        "name": strip.name,
        "score": strip.score,
        "reasons": strip.reasons,
        "long": frame.width >= LONG * frame.height,
        "views": [{"title": title, "source": source} for title, source in views],
    }


def _drawn(
    picture: Picture, masks: Masks, width: int, box: tuple[int, int, int, int] | None
) -> str:
    """Draw a strip with its outlines, and a white frame around the box."""
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
