"""Strips made ready for a page: outlined, named, at the width at which they are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.explore.choose import class_examples, clean_examples, mixed_examples
from steelscan.explore.exploration import Exploration
from steelscan.explore.suspects import KINDS, members_of
from steelscan.pages import LONG, jpeg_link, shown_width
from steelscan.pages.outline import outline
from steelscan.strip import Frame

_EXAMPLES, _EXAMPLES_BESIDE = 3, 4
"""Strips under each heading: long ones, below each other, and others in a row."""

_MOST = 48
"""So many examples of single classes a page shows at most; with many classes, fewer of each."""

_GROUPS, _MEMBERS = 5, 3
_SUSPECTS = 4
_GREY = 96
"""Of the plane that outlines are drawn on where the picture is missing."""

_GAP = 8
_PAGE, _HIGHEST = 1000, 260
"""Pixels of a long strip at most: the page's width, and a height that leaves others in view."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A strip on the page."""

    name: str
    caption: str
    classes: tuple[tuple[int, str], ...]
    """Index of each class on it, and what is said of its mask."""

    drawing: NDArray[np.uint8]
    """uint8 RGB."""

    long: bool

    @property
    def width(self) -> int:
        """Pixels of width."""
        return int(self.drawing.shape[1])

    @property
    def link(self) -> str:
        """The drawing as the text of a link to itself."""
        return jpeg_link(self.drawing)


Gallery = tuple[str, list[Shown]]
"""Strips under one heading."""


def show_examples(found: Exploration) -> list[Gallery]:
    """Strips without defect, with each class, and with several together."""
    strips, names = found.gathered.strips, found.called
    long = sum(_is_long(strip.frame) for strip in strips) > len(strips) / 2
    most = _EXAMPLES if long else _EXAMPLES_BESIDE
    each = max(1, min(most, _MOST // len(names)))
    frequent = sorted(range(len(names)), key=lambda at: -found.counts[-1].per_class[at])
    chosen = [("No defect", clean_examples(strips, each))]
    for index in sorted(frequent[:_MOST]):
        title = names[index][0].upper() + names[index][1:]
        chosen.append((title, class_examples(strips, index, each)))
    chosen.append(("Several classes", mixed_examples(strips, most)))
    return [(title, [_show(found, at) for at in places]) for title, places in chosen if places]


def show_twins(found: Exploration) -> list[list[Shown]]:
    """Groups of near-duplicates side by side, those that are labelled differently first."""
    groups = found.gathered.groups
    if groups is None:
        return []
    differing = {each.strip: each.why for each in found.suspects if each.kind == "twin"}
    ranked = sorted(members_of(groups), key=lambda group: -len(differing.keys() & set(group)))
    return [
        [_show(found, at, differing.get(at, "")) for at in _members(group, differing)]
        for group in ranked[:_GROUPS]
    ]


def _members(group: list[int], differing: Mapping[int, str]) -> list[int]:
    """The first of a group, which others are told beside, then those that differ from it."""
    return [group[0], *sorted(group[1:], key=lambda at: at not in differing)][:_MEMBERS]


def show_suspects(found: Exploration) -> list[Gallery]:
    """The gravest suspects of each kind, under how many there are; twins are shown elsewhere."""
    galleries = []
    for kind, title in KINDS.items():
        suspects = [each for each in found.suspects if each.kind == kind]
        if suspects and kind != "twin":
            shown = [_show(found, each.strip, each.why) for each in suspects[:_SUSPECTS]]
            galleries.append((f"{title}: {len(suspects)}", shown))
    return galleries


def sheet(shown: Sequence[Shown]) -> NDArray[np.uint8]:
    """Strips below each other on white, uint8 RGB: for a file of its own."""
    width = max(each.width for each in shown)
    height = sum(len(each.drawing) + _GAP for each in shown) - _GAP
    page = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for each in shown:
        page[top : top + len(each.drawing), : each.width] = each.drawing
        top += len(each.drawing) + _GAP
    return page


def png(drawing: NDArray[np.uint8]) -> bytes:
    """A drawing, uint8 RGB, as a PNG file."""
    _, code = cv2.imencode(".png", drawing[..., ::-1])
    return code.tobytes()


def _show(found: Exploration, at: int, caption: str = "") -> Shown:
    facts, material = found.gathered.strips[at], found.material
    picture = (
        np.full(facts.frame, _GREY, np.uint8)
        if material.picture is None
        else material.picture(facts.place)
    )
    classes = tuple(
        (index, f"{found.called[index]}: {shape.pixels} pixels, {100 * shape.share:.2f} %")
        for index, shape in enumerate(facts.shapes)
        if shape is not None
    )
    height, long = facts.frame.height, _is_long(facts.frame)
    width = shown_width(*facts.frame, alone=_PAGE)
    width = min(width, round(_HIGHEST * facts.frame.width / height)) if long else width
    drawing = outline(picture, material.masks(facts.place), width=width)
    return Shown(facts.name, caption, classes, drawing, long)


def _is_long(frame: Frame) -> bool:
    return frame.width >= LONG * frame.height
