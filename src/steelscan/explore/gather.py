"""The one pass over all masks and pictures: each is read once, and only numbers are kept."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from steelscan.data.duplicates import group_pictures
from steelscan.explore.light import Light, light_of
from steelscan.explore.material import Material, OnError
from steelscan.explore.shape import MaskShape, heat_frame, shape_of, shared_by, spread
from steelscan.strip import Frame, MaskError, Picture, PictureError
from steelscan.strip.progress import progress

Item = TypeVar("Item")
Result = TypeVar("Result")

_READERS = 2
_AHEAD = 4
"""So many strips a reader are read before they are asked for."""


class StripFacts(NamedTuple):
    """What is kept of one strip."""

    place: int
    """Its place in the material."""

    name: str
    frame: Frame
    shapes: tuple[MaskShape | None, ...]
    """One a class; None where it is absent."""

    shared: dict[tuple[int, int], int]
    light: Light | None
    """None where there is no picture."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """What one pass learnt."""

    strips: tuple[StripFacts, ...]

    heat: NDArray[np.float64]
    """float64 ``(classes, rows, columns)``: share of the strips with the class on which it covers
    the cell."""

    groups: NDArray[np.int64] | None
    """The group of near-duplicates of each strip; None where there are no pictures."""

    skipped: tuple[tuple[str, str], ...]
    """Name and reason of what could not be read."""


def gather(material: Material, on_error: OnError = "stop") -> Gathered:
    """Read all masks and pictures once, some strips ahead.

    With ``on_error="skip"`` strips that cannot be read are listed, and raise otherwise:
    PictureError, MaskError.
    """
    cells = heat_frame(material.frames) if material.frames else Frame(1, 1)
    heat = np.zeros((len(material.classes), *cells))
    strips: list[StripFacts] = []
    skipped: list[tuple[str, str]] = []

    def passed() -> Iterator[Picture]:
        with progress("Looking at strips", len(material.names)) as shown:
            work = ahead(lambda at: _measure(material, at, cells), range(len(material.names)))
            for index, future in enumerate(work):
                shown.advance()
                try:
                    facts, warm, picture = future.result()
                except (PictureError, MaskError) as error:
                    if on_error == "stop":
                        raise
                    skipped.append((material.names[index], str(error)))
                    continue
                strips.append(facts)
                for at, covered in warm.items():
                    heat[at] += covered
                if picture is not None:
                    yield picture

    if material.picture is None:
        deque(passed(), maxlen=0)
        groups = None
    else:
        groups = group_pictures(passed())
    counts = np.array([[shape is not None for shape in each.shapes] for each in strips], np.bool_)
    holders = counts.reshape(-1, len(material.classes)).sum(axis=0)
    heat /= np.maximum(holders, 1)[:, None, None]
    return Gathered(tuple(strips), heat, groups, (*material.skipped, *skipped))


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Future[Result]]:
    """Do the work of some items before they are asked for; their futures come in order."""
    readers = min(_READERS, os.cpu_count() or 1)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(readers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > readers * _AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()


def _measure(
    material: Material, index: int, cells: Frame
) -> tuple[StripFacts, dict[int, NDArray[np.float32]], Picture | None]:
    masks = material.masks(index)
    picture = None if material.picture is None else material.picture(index)
    shapes = tuple(shape_of(mask) for mask in masks)
    several = sum(shape is not None for shape in shapes) > 1
    facts = StripFacts(
        index,
        material.names[index],
        material.frames[index],
        shapes,
        shared_by(masks) if several else {},
        None if picture is None else light_of(picture),
    )
    there = (at for at, shape in enumerate(shapes) if shape is not None)
    return facts, {at: spread(masks[at], cells) for at in there}, picture
