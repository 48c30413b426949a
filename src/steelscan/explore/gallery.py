"""Strips drawn for the page: with outlines and captions, at the width on the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.explore.examples import class_examples, clean_examples, mixed_examples
from steelscan.explore.exploration import Exploration, in_one_group, members_of
from steelscan.explore.suspects import KINDS
from steelscan.pages import LONG, jpeg_link, shown_width
from steelscan.pages.outline import outline
from steelscan.strip import Frame

_LONG_EXAMPLES, _EXAMPLES = 3, 4
"""Strips under each heading: long ones, below each other, and others in a row."""

_MOST = 48
"""Most examples of single classes on a page; with many classes, there are fewer of each."""

_GROUPS, _MEMBERS = 5, 3
_SUSPECTS = 4
_GREY = 96
"""Grey level that outlines are drawn on if there is no picture."""

_GAP = 8
_PAGE, _HIGHEST = 1000, 260
"""Largest width and height of a long strip, in pixels."""


@dataclass(frozen=True, eq=False)
class DrawnStrip:
    """A strip on the page."""

    name: str
    caption: str
    classes: tuple[tuple[int, str], ...]
    """Index of each class on it, and the size of its mask as text."""

    drawing: NDArray[np.uint8]
    """uint8 RGB."""

    long: bool

    @property
    def width(self) -> int:
        """Pixels of width."""
        return int(self.drawing.shape[1])

    @property
    def link(self) -> str:
        """The drawing as a ``data:`` link."""
        return jpeg_link(self.drawing)


Gallery = tuple[str, list[DrawnStrip]]
"""A heading and the strips under it."""


def draw_examples(exploration: Exploration) -> list[Gallery]:
    """Draw strips without defect, with each class, and with several classes."""
    strips, names = exploration.measured.strips, exploration.class_titles
    long = sum(_is_long(strip.frame) for strip in strips) > len(strips) / 2
    most = _LONG_EXAMPLES if long else _EXAMPLES
    each = max(1, min(most, _MOST // len(names)))
    frequent = sorted(range(len(names)), key=lambda at: -exploration.counts[-1].per_class[at])
    chosen = [("No defect", clean_examples(strips, each))]
    for index in sorted(frequent[:_MOST]):
        title = names[index][0].upper() + names[index][1:]
        chosen.append((title, class_examples(strips, index, each)))
    chosen.append(("Several classes", mixed_examples(strips, most)))
    return [
        (title, [_draw(exploration, at) for at in places]) for title, places in chosen if places
    ]


def draw_near_duplicates(exploration: Exploration) -> list[list[DrawnStrip]]:
    """Draw groups of near-duplicates, those that are labelled differently first."""
    groups = exploration.measured.groups
    if groups is None:
        return []
    reasons: dict[int, str] = {}
    for each in exploration.suspects:
        if in_one_group(each, exploration.measured):
            reasons.setdefault(each.strip, each.reason)
    ranked = sorted(members_of(groups), key=lambda group: -len(reasons.keys() & set(group)))
    return [
        [_draw(exploration, at, reasons.get(at, "")) for at in _members(group, reasons)]
        for group in ranked[:_GROUPS]
    ]


def _members(group: list[int], reasons: Mapping[int, str]) -> list[int]:
    """Choose the members to draw: first those that are labelled differently."""
    return sorted(group, key=lambda at: at not in reasons)[:_MEMBERS]


def draw_suspects(exploration: Exploration) -> list[Gallery]:
    """Draw the first suspects of each kind, without those in the section of near-duplicates."""
    galleries = []
    for kind, title in KINDS.items():
        suspects = [
            each
            for each in exploration.suspects
            if each.kind == kind and not in_one_group(each, exploration.measured)
        ]
        if suspects:
            drawn = [_draw(exploration, each.strip, each.reason) for each in suspects[:_SUSPECTS]]
            galleries.append((f"{title}: {len(suspects)}", drawn))
    return galleries


def sheet(drawn: Sequence[DrawnStrip]) -> NDArray[np.uint8]:
    """Put strips below each other on white, uint8 RGB, for a file."""
    width = max(each.width for each in drawn)
    height = sum(len(each.drawing) + _GAP for each in drawn) - _GAP
    page = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for each in drawn:
        page[top : top + len(each.drawing), : each.width] = each.drawing
        top += len(each.drawing) + _GAP
    return page


def png(drawing: NDArray[np.uint8]) -> bytes:
    """Encode a drawing, uint8 RGB, as PNG."""
    _, code = cv2.imencode(".png", drawing[..., ::-1])
    return code.tobytes()


def _draw(exploration: Exploration, at: int, caption: str = "") -> DrawnStrip:
    facts, data = exploration.measured.strips[at], exploration.data
    picture = (
        np.full(facts.frame, _GREY, np.uint8) if data.picture is None else data.picture(facts.row)
    )
    titles = exploration.class_titles
    classes = tuple(
        (index, f"{titles[index]}: {shape.pixels} pixels, {100 * shape.share:.2f} %")
        for index, shape in enumerate(facts.shapes)
        if shape is not None
    )
    height, long = facts.frame.height, _is_long(facts.frame)
    width = shown_width(*facts.frame, alone=_PAGE)
    width = min(width, round(_HIGHEST * facts.frame.width / height)) if long else width
    drawing = outline(picture, data.masks(facts.row), width=width)
    return DrawnStrip(facts.name, caption, classes, drawing, long)


def _is_long(frame: Frame) -> bool:
    return frame.width >= LONG * frame.height
