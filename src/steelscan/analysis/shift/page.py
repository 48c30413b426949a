"""The page that shows whether test strips differ from training strips."""

from pathlib import Path
from typing import Any

import numpy as np

from steelscan.analysis.shift.shift import Shift
from steelscan.evaluation.adversarial import AppearanceDifference
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import LONG, jpeg_link, render_page, shown_width
from steelscan.pages.outline import outline
from steelscan.strip import Masks
from steelscan.strip.files import write_text

_PICTURES = 4
"""Strips shown at each end of the ranking."""


def write_page(path: Path, shift: Shift) -> None:
    """Write the page, whole or not at all. Raises OutputError, PictureError."""
    content = {
        "title": "Training strips and test strips",
        "sentence": shift.sentence,
        "train": shift.train,
        "test": shift.test,
        "groups": shift.groups,
        "level": f"{100 * shift.level:g}",
        "all": _bar(shift.auc),
        "differ": shift.differ,
        "differences": [_row(each) for each in shift.differences if each.certain],
        "strips": _strips(shift) if shift.differ else [],
        "notes": shift.notes,
    }
    write_text(path, render_page("steelscan.analysis.shift", "shift.html.jinja", content))


def _row(each: AppearanceDifference) -> dict[str, Any]:
    return {
        "title": f"Test strips {each.phrase}",
        "train": f"{each.train:.3g}",
        "test": f"{each.test:.3g}",
        **_bar(each.auc),
    }


def _bar(auc: Estimate) -> dict[str, Any]:
    return {
        "auc": auc.value,
        "low": auc.low,
        "high": auc.high,
        "left": f"{100 * auc.low:.1f}",
        "width": f"{100 * (auc.high - auc.low):.1f}",
        "center": f"{100 * auc.value:.1f}",
    }


def _strips(shift: Shift) -> list[dict[str, Any]]:
    """Return training strips that are most and least like test strips, one per group."""
    best: dict[int, tuple[str, float]] = {}
    for name, group, likeness, _ in shift.likeness_rows():
        best.setdefault(group, (name, likeness))
    ranked = list(best.values())
    row_of = {
        shift.strips.names[row]: row for row in np.flatnonzero(~shift.strips.is_test).tolist()
    }
    half = len(ranked) // 2
    ends = (
        ("Training strips most like test strips", ranked[:half][:_PICTURES]),
        ("Training strips least like test strips", ranked[half:][::-1][:_PICTURES]),
    )
    return [
        {
            "title": title,
            "pictures": [_picture(shift, row_of[name], likeness) for name, likeness in some],
        }
        for title, some in ends
        if some
    ]


def _picture(shift: Shift, row: int, likeness: float) -> dict[str, Any]:
    picture = shift.strips.picture(row)
    frame = shift.strips.frames[row]
    no_masks: Masks = np.zeros((0, *picture.shape), np.bool_)
    width = min(shown_width(*frame), 480)
    return {
        "name": shift.strips.names[row],
        "likeness": likeness,
        "long": frame.width >= LONG * frame.height,
        "source": jpeg_link(outline(picture, no_masks, width=width)),
    }
