"""The page that says whether test strips differ from training strips."""

from pathlib import Path
from typing import Any

import numpy as np

from steelscan.analysis.shift.shift import Shift, likeness_rows
from steelscan.evaluation.adversarial import AppearanceDifference
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import LONG, jpeg_link, render_page, shown_width
from steelscan.pages.outline import outline
from steelscan.strip import Masks, write_text

_SHOWN = 4
_NAMES = {"looks": "Fifteen numbers a strip", "network": "A network on shrunk strips"}


def write_page(path: Path, found: Shift) -> None:
    """Write the page, whole or not at all. Raises OutputError, and PictureError."""
    write_text(path, render_page("steelscan.analysis.shift", "shift.html.jinja", _content(found)))


def _content(found: Shift) -> dict[str, Any]:
    trains = int(np.count_nonzero(~found.sides.is_test))
    return {
        "title": "Training strips and test strips",
        "sentence": found.sentence,
        "train": trains,
        "test": len(found.sides) - trains,
        "groups": len(set(found.sides.groups.tolist())),
        "level": f"{100 * found.level:g}",
        "judges": [
            {"name": _NAMES[judge], **_bar(scores.estimate), "told": scores.separable}
            for judge, scores in found.judges.items()
        ],
        "differences": [_row(each) for each in found.differences if each.certain],
        "told": found.ranking is not None,
        "strips": _strips(found),
        "notes": found.notes,
    }


def _row(each: AppearanceDifference) -> dict[str, Any]:
    return {
        "words": f"Test strips {each.phrase}",
        "train": f"{each.train:.3g}",
        "test": f"{each.test:.3g}",
        **_bar(each.auc),
    }


def _bar(auc: Estimate) -> dict[str, Any]:
    return {
        "auc": auc.value,
        "low": auc.low,
        "high": auc.high,
        "from_": f"{100 * auc.low:.1f}",
        "wide": f"{100 * (auc.high - auc.low):.1f}",
        "at": f"{100 * auc.value:.1f}",
    }


def _strips(found: Shift) -> list[dict[str, Any]]:
    """Training strips that look most and least like test strips, one of a group."""
    first: dict[int, tuple[str, float]] = {}
    for name, group, likeness, _ in likeness_rows(found):
        first.setdefault(group, (name, likeness))
    ranked = list(first.values())
    row_of = {found.sides.names[row]: row for row in np.flatnonzero(~found.sides.is_test).tolist()}
    half = len(ranked) // 2
    ends = (
        ("Training strips most like test strips", ranked[:half][:_SHOWN]),
        ("Training strips least like test strips", ranked[half:][::-1][:_SHOWN]),
    )
    return [
        {"title": title, "pictures": [_picture(found, row_of[name], each) for name, each in some]}
        for title, some in ends
        if some
    ]


def _picture(found: Shift, row: int, likeness: float) -> dict[str, Any]:
    picture = found.sides.picture(row)
    frame = found.sides.frames[row]
    width = shown_width(*frame)
    nothing: Masks = np.zeros((0, *picture.shape), np.bool_)
    return {
        "name": found.sides.names[row],
        "likeness": likeness,
        "long": frame.width >= LONG * frame.height,
        "source": jpeg_link(outline(picture, nothing, width=min(width, 480))),
    }
