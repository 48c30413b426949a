"""The result of an exploration; page, tables and JSON are made from it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, InstanceOf

from steelscan.explore.counts import Counts, count_pictures
from steelscan.explore.explored_data import ExploredData
from steelscan.explore.labels import LabelTable
from steelscan.explore.masks import (
    PERCENTILES,
    AreaFacts,
    PieceFacts,
    area_facts,
    piece_facts,
    share_below,
)
from steelscan.explore.measurements import (
    Measurements,
    StripFacts,
    classes_present,
    masks_of_class,
    measure,
)
from steelscan.explore.suspects import Suspect, find_suspects, speck_limit
from steelscan.strip import PerClass, per_class
from steelscan.strip.errors import OnError

END = 0.01
"""An end of a strip counts as black from this share of its width on."""


@dataclass(frozen=True)
class Areas:
    """The areas of one source, one entry per class."""

    source: str
    classes: tuple[AreaFacts, ...]


@dataclass(frozen=True)
class ExposureFacts:
    """Brightness and black ends of all pictures, at `PERCENTILES`."""

    brightness: tuple[float, ...]
    clean_brightness: float | None
    """Median of the clean strips; None if there is none."""

    class_brightness: tuple[float | None, ...]
    """Median of the strips with each class."""

    black_share: tuple[float, ...]
    no_black_end: int
    left: int
    """Strips with a black left end only."""

    right: int
    both: int
    all_black: int


@dataclass(frozen=True)
class NearDuplicateFacts:
    """Groups of near-duplicates, found by what their pictures show."""

    groups: int
    strips: int
    differing: int
    """Groups with pictures that are labelled differently."""

    split_by_file: int | None
    """Groups whose pictures are in different groups of ``groups.csv``; None without that file."""


@dataclass(frozen=True)
class SizeCount:
    """How many pictures have one size."""

    height: int
    width: int
    pictures: int


class Exploration(BaseModel):
    """The numbers of an exploration; a number is None if it cannot be known."""

    model_config = ConfigDict(frozen=True)

    data: InstanceOf[ExploredData] = Field(exclude=True, repr=False)
    measured: InstanceOf[Measurements] = Field(exclude=True, repr=False)

    source: str
    classes: tuple[str, ...]
    counts: tuple[Counts, ...]
    """By source; the first is the authoritative one."""

    percentiles: tuple[int, ...] = PERCENTILES
    areas: tuple[Areas, ...]
    min_area: tuple[int, ...] | None
    share_below_min_area: tuple[float | None, ...] | None
    """Share of each class's masks below its minimum area; None if no area was given."""

    pieces: tuple[PieceFacts, ...] | None
    pieces_in_table: tuple[int, ...] | None
    """Pieces of each class in the table of labels; None if it does not list them."""

    specks_below: tuple[int, int] | None
    """The smallest and the largest speck limit in pixels."""

    pixels_with_two_classes: int | None
    """Over all strips; None if no mask was read."""

    heat: list[list[list[float]]] | None
    """`Measurements.heat`, rounded."""

    exposure: ExposureFacts | None
    near_duplicates: NearDuplicateFacts | None
    sizes: tuple[SizeCount, ...]
    """The sizes of the pictures, the most frequent first."""

    suspects: tuple[Suspect, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    figures: tuple[str, ...] = ()
    """File names of the figures."""

    @property
    def class_titles(self) -> tuple[str, ...]:
        """Names of the classes within a sentence; a bare number becomes "class 1"."""
        return tuple(f"class {name}" if name.isdecimal() else name for name in self.classes)


def explore_data(
    data: ExploredData,
    on_error: OnError = "stop",
    speck: int | None = None,
    min_area: PerClass[int] | None = None,
) -> Exploration:
    """Measure all strips once and summarise the measurements.

    Pieces of fewer than ``speck`` pixels are specks; without it, by the size of the picture.
    ``min_area`` is in pixels, for all classes or per class. Raises what `measure` raises, and
    RecipeError if there are not as many areas as classes.
    """
    classes = len(data.classes)
    least = None if min_area is None else per_class(min_area, classes, "--min-area")
    measured = measure(data, on_error)
    strips = measured.strips
    masks = [masks_of_class(strips, index) for index in range(classes)]
    pixels = [np.array([shape.pixels for _, shape in each], np.int64) for each in masks]
    shares = [np.array([shape.share for _, shape in each]) for each in masks]
    limits = [speck_limit(each.frame.pixels, speck) for each in strips]
    suspects = find_suspects(data, measured, speck)
    labels = data.labels
    return Exploration(
        data=data,
        measured=measured,
        source=data.title,
        classes=data.classes.names,
        counts=_counts(data, strips),
        areas=_areas(data.labels, pixels, shares),
        min_area=least,
        share_below_min_area=None
        if least is None or not strips
        else tuple(map(share_below, pixels, least)),
        pieces=tuple(
            piece_facts([shape for _, shape in each], [limits[at] for at, _ in each])
            for each in masks
        )
        if strips
        else None,
        pieces_in_table=None
        if labels is None or labels.pieces is None
        else tuple(labels.pieces.sum(axis=0).tolist()),
        specks_below=(min(limits), max(limits)) if limits else None,
        pixels_with_two_classes=sum(sum(each.shared.values()) for each in strips)
        if strips
        else None,
        heat=np.round(measured.heat, 4).tolist() if strips else None,
        exposure=_exposure(strips, classes),
        near_duplicates=_near_duplicates(data, measured, suspects),
        sizes=_sizes(strips),
        suspects=suspects,
        skipped=measured.skipped,
        notes=data.notes,
    )


def in_one_group(suspect: Suspect, measured: Measurements) -> bool:
    """Return whether a suspect differs from a near-duplicate of its own group.

    The pictures of a pair may be in different groups if a chain was split, or if only
    ``groups.csv`` joins them.
    """
    groups, other = measured.groups, suspect.near_duplicate
    return groups is not None and other is not None and groups[suspect.strip] == groups[other]


def members_of(groups: NDArray[np.int64]) -> list[list[int]]:
    """Return the members of each group of two or more, in their order."""
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    return [part.tolist() for part in np.split(order, starts[1:]) if len(part) > 1]


def _counts(data: ExploredData, strips: Sequence[StripFacts]) -> tuple[Counts, ...]:
    counts = []
    if data.labels is not None:
        counts.append(count_pictures(data.labels.present, "table of labels"))
    if strips:
        present = classes_present(strips, len(data.classes))
        counts.append(count_pictures(present, "masks", data.lists_clean))
    return tuple(counts)


def _areas(
    labels: LabelTable | None,
    pixels: Sequence[NDArray[np.int64]],
    shares: Sequence[NDArray[np.float64]],
) -> tuple[Areas, ...]:
    areas = []
    if any(map(len, pixels)):
        areas.append(Areas("masks", tuple(map(area_facts, pixels, shares))))
    if labels is not None and labels.shares is not None:
        columns = zip(labels.shares.T, labels.present.T, strict=True)
        listed = tuple(area_facts(None, column[present]) for column, present in columns)
        areas.append(Areas("table of labels", listed))
    return tuple(areas)


def _exposure(strips: Sequence[StripFacts], classes: int) -> ExposureFacts | None:
    exposures = [each.exposure for each in strips if each.exposure is not None]
    if not exposures:
        return None
    brightness, _, lefts, rights = np.array(exposures).T
    present = classes_present([each for each in strips if each.exposure is not None], classes)
    # 0 for no black end, 1 left, 2 right, 3 both, 4 for a picture that is black as a whole
    kinds = np.where(lefts == 1, 4, (lefts >= END) + 2 * (rights >= END))
    none, left, right, both, all_black = np.bincount(kinds, minlength=5).tolist()
    return ExposureFacts(
        brightness=tuple(np.percentile(brightness, PERCENTILES).tolist()),
        clean_brightness=_median(brightness[~present.any(axis=1)]),
        class_brightness=tuple(_median(brightness[column]) for column in present.T),
        black_share=tuple(np.percentile(lefts + rights, PERCENTILES).tolist()),
        no_black_end=none,
        left=left,
        right=right,
        both=both,
        all_black=all_black,
    )


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if values.size else None


def _near_duplicates(
    data: ExploredData, measured: Measurements, suspects: Sequence[Suspect]
) -> NearDuplicateFacts | None:
    if measured.groups is None:
        return None
    members = members_of(measured.groups)
    differing = {
        int(measured.groups[each.strip]) for each in suspects if in_one_group(each, measured)
    }
    split = None
    if data.groups is not None:
        named = [data.groups[each.row] for each in measured.strips]
        split = sum(len({named[at] for at in group}) > 1 for group in members)
    return NearDuplicateFacts(len(members), sum(map(len, members)), len(differing), split)


def _sizes(strips: Sequence[StripFacts]) -> tuple[SizeCount, ...]:
    counts = Counter(sorted(each.frame for each in strips))
    return tuple(SizeCount(*frame, pictures) for frame, pictures in counts.most_common())
