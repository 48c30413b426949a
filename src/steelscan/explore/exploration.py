"""What an exploration found, as values: the page, the tables and the JSON are made of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelscan.explore.counts import Counts, count_pictures
from steelscan.explore.gather import Gathered, StripFacts, gather
from steelscan.explore.light import Light
from steelscan.explore.masks import (
    LEVELS,
    AreaFacts,
    PieceFacts,
    area_facts,
    piece_facts,
    share_below,
)
from steelscan.explore.material import Material, OnError
from steelscan.explore.shape import MaskShape
from steelscan.explore.suspects import KINDS, Suspect, find_suspects, members_of, speck_limit
from steelscan.strip import PerClass, per_class

END = 0.01
"""An end of a strip counts as black from this share of its width on."""


@dataclass(frozen=True)
class Areas:
    """The areas of one source, a class each."""

    source: str
    classes: tuple[AreaFacts, ...]


@dataclass(frozen=True)
class LightFacts:
    """The light of all pictures; quantiles are at `masks.LEVELS`."""

    brightness: tuple[float, ...]
    clean_brightness: float | None
    """Median of the clean strips; None where there is none."""

    class_brightness: tuple[float | None, ...]
    """Median of the strips with each class."""

    black_share: tuple[float, ...]
    no_black_end: int
    left: int
    """Strips whose left end alone is black."""

    right: int
    both: int
    all_black: int


@dataclass(frozen=True)
class TwinFacts:
    """Groups of near-duplicates, by what their pictures show."""

    groups: int
    strips: int
    differing: int
    """Groups whose members are labelled differently."""

    parted: int | None
    """Groups that ``groups.csv`` tears apart; None where there is no such file."""


@dataclass(frozen=True, eq=False)
class Exploration:
    """All that was found. Where something cannot be known, it is None."""

    material: Material
    gathered: Gathered

    counts: tuple[Counts, ...]
    """By source; the first is the one that counts."""

    areas: tuple[Areas, ...]
    pieces: tuple[PieceFacts, ...] | None
    specks_below: tuple[int, int] | None
    """The smallest and the largest limit below which pieces are specks."""

    shared_pixels: int | None
    """Pixels with two classes, over all strips; None where no mask was read."""

    dropped: tuple[float, ...] | None
    """Share of each class's masks under its minimum area; None where none was named."""

    min_area: tuple[int, ...] | None
    light: LightFacts | None
    twins: TwinFacts | None
    suspects: tuple[Suspect, ...]

    @property
    def called(self) -> tuple[str, ...]:
        """The classes as a sentence calls them: a bare number is no name."""
        names = self.material.classes.names
        return tuple(f"class {name}" if name.isdecimal() else name for name in names)

    @property
    def told_pieces(self) -> tuple[int, ...] | None:
        """Pieces of each class by the table of labels; None where it tells none."""
        labels = self.material.labels
        if labels is None or labels.pieces is None:
            return None
        return tuple(labels.pieces.sum(axis=0).tolist())

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON takes them."""
        return {
            "source": self.material.title,
            "classes": list(self.material.classes.names),
            "counts": [{**asdict(each), "clean": each.clean} for each in self.counts],
            "area_levels": list(LEVELS),
            "areas": [asdict(each) for each in self.areas],
            "min_area": self.min_area,
            "share_below_min_area": self.dropped,
            "pieces": None if self.pieces is None else [asdict(each) for each in self.pieces],
            "pieces_by_labels": self.told_pieces,
            "specks_below": self.specks_below,
            "pixels_with_two_classes": self.shared_pixels,
            "heat": np.round(self.gathered.heat, 4).tolist() if self.gathered.strips else None,
            "light": None if self.light is None else asdict(self.light),
            "near_duplicates": None if self.twins is None else asdict(self.twins),
            "sizes": [[*frame, count] for frame, count in self.sizes()],
            "suspects": [
                {
                    "kind": each.kind,
                    "image": self.gathered.strips[each.strip].name,
                    "class": None if each.class_index is None else each.class_index + 1,
                    "why": each.why,
                }
                for each in self.suspects
            ],
            "skipped": [list(each) for each in self.gathered.skipped],
            "notes": list(self.material.notes),
        }

    def sizes(self) -> list[tuple[tuple[int, int], int]]:
        """Height and width of the pictures, and how many have them; the most frequent first."""
        frames = np.array([each.frame for each in self.gathered.strips], np.int64).reshape(-1, 2)
        found, counts = np.unique(frames, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable").tolist()
        return [((int(found[at, 0]), int(found[at, 1])), int(counts[at])) for at in order]

    def text(self) -> str:
        """What was found, in a few lines."""
        first = self.counts[0]
        clean = f"{first.clean} clean" if first.lists_clean else "clean ones not listed"
        held = zip(self.material.classes.names, first.per_class, strict=True)
        lines = [
            f"{first.pictures} pictures, {clean}; with class "
            + ", ".join(f"{name}: {count}" for name, count in held)
        ]
        if self.shared_pixels is not None:
            lines.append(f"Pixels with two classes: {self.shared_pixels}")
        if self.twins is not None:
            told = f"{self.twins.groups} groups, {self.twins.differing} labelled differently"
            lines.append(f"Near-duplicates: {told}")
        kinds = [each.kind for each in self.suspects]
        counted = [f"{KINDS[kind].lower()}: {kinds.count(kind)}" for kind in KINDS if kind in kinds]
        lines.append(f"Labels to look at: {'; '.join(counted) or 'none'}")
        lines += [f"Could not be read: {reason}" for _, reason in self.gathered.skipped[:5]]
        return "\n".join(lines)


def explore_material(
    material: Material,
    on_error: OnError = "stop",
    speck: int | None = None,
    min_area: PerClass[int] | None = None,
) -> Exploration:
    """Read all of the material once, and sum up.

    ``speck``: pieces of fewer pixels are specks; by the size of the picture if not given.
    ``min_area``: pixels, for all classes or one a class, of which it is told how many masks are
    smaller. Raises what `gather` does, and RecipeError for areas of another number of classes.
    """
    classes = len(material.classes)
    least = None if min_area is None else per_class(min_area, classes, "--min-area")
    gathered = gather(material, on_error)
    strips = gathered.strips
    held = _by_class(strips, classes)
    limits = [speck_limit(each.frame.pixels, speck) for each in strips]
    suspects = find_suspects(
        strips, material.classes.names, gathered.groups, material.labels, speck
    )
    return Exploration(
        material=material,
        gathered=gathered,
        counts=_counts(material, strips),
        areas=_areas(material, held),
        pieces=tuple(_pieces(strips, limits, index) for index in range(classes))
        if strips
        else None,
        specks_below=(min(limits), max(limits)) if limits else None,
        shared_pixels=sum(sum(each.shared.values()) for each in strips) if strips else None,
        dropped=None
        if least is None or not strips
        else tuple(
            share_below(_pixels(each), area) for each, area in zip(held, least, strict=True)
        ),
        min_area=least,
        light=_light(strips, classes),
        twins=_twins(material, gathered, suspects),
        suspects=suspects,
    )


def _by_class(strips: Sequence[StripFacts], classes: int) -> list[list[MaskShape]]:
    shapes = [[each.shapes[index] for each in strips] for index in range(classes)]
    return [[shape for shape in column if shape is not None] for column in shapes]


def _pixels(shapes: Sequence[MaskShape]) -> NDArray[np.int64]:
    return np.array([shape.pixels for shape in shapes], np.int64)


def _present(strips: Sequence[StripFacts], classes: int) -> NDArray[np.bool_]:
    rows = [[shape is not None for shape in each.shapes] for each in strips]
    return np.array(rows, np.bool_).reshape(-1, classes)


def _counts(material: Material, strips: Sequence[StripFacts]) -> tuple[Counts, ...]:
    found = []
    if material.labels is not None:
        found.append(count_pictures(material.labels.present, "table of labels"))
    if strips:
        present = _present(strips, len(material.classes))
        found.append(count_pictures(present, "masks", material.lists_clean))
    return tuple(found)


def _areas(material: Material, held: list[list[MaskShape]]) -> tuple[Areas, ...]:
    found = []
    if any(held):
        facts = (
            area_facts(_pixels(each), np.array([shape.share for shape in each])) for each in held
        )
        found.append(Areas("masks", tuple(facts)))
    labels = material.labels
    if labels is not None and labels.shares is not None:
        columns = zip(labels.shares.T, labels.present.T, strict=True)
        told = tuple(area_facts(None, shares[present]) for shares, present in columns)
        found.append(Areas("table of labels", told))
    return tuple(found)


def _pieces(strips: Sequence[StripFacts], limits: Sequence[int], index: int) -> PieceFacts:
    held = [
        (shape, limit)
        for each, limit in zip(strips, limits, strict=True)
        for shape in [each.shapes[index]]
        if shape is not None
    ]
    return piece_facts([shape for shape, _ in held], [limit for _, limit in held])


def _light(strips: Sequence[StripFacts], classes: int) -> LightFacts | None:
    seen = [(each.light, each) for each in strips if each.light is not None]
    if not seen:
        return None
    lights = [light for light, _ in seen]
    brightness = np.array([light.brightness for light in lights])
    present = _present([each for _, each in seen], classes)
    ends = np.array([_black_ends(light) for light in lights], np.int64)
    return LightFacts(
        brightness=tuple(np.percentile(brightness, LEVELS).tolist()),
        clean_brightness=_median(brightness[~present.any(axis=1)]),
        class_brightness=tuple(_median(brightness[column]) for column in present.T),
        black_share=tuple(
            np.percentile([light.left + light.right for light in lights], LEVELS).tolist()
        ),
        no_black_end=int((ends == 0).sum()),
        left=int((ends == 1).sum()),
        right=int((ends == 2).sum()),
        both=int((ends == 3).sum()),
        all_black=int((ends == 4).sum()),
    )


def _black_ends(light: Light) -> int:
    """0 none, 1 left, 2 right, 3 both, 4 the whole picture."""
    if light.left == 1:
        return 4
    return int(light.left >= END) + 2 * int(light.right >= END)


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if values.size else None


def _twins(material: Material, gathered: Gathered, suspects: Sequence[Suspect]) -> TwinFacts | None:
    if gathered.groups is None:
        return None
    members = members_of(gathered.groups)
    differing = {gathered.groups[each.strip] for each in suspects if each.kind == "twin"}
    parted = None
    if material.groups is not None:
        named = material.groups
        places = [gathered.strips[at].place for at in range(len(gathered.strips))]
        parted = sum(len({named[places[at]] for at in each}) > 1 for each in members)
    return TwinFacts(len(members), sum(map(len, members)), len(differing), parted)
