"""The mill's settings: how many strips, how large, and how often and how large their defects.

Every number with a source is a statistic of the annotations of the competition's
12,568 training images; areas and lengths are pixels of a strip of 256x1600.
"""

from math import sqrt

from pydantic import Field, field_validator

from steelscan.strip import Frame, Spec

REFERENCE = Frame(256, 1600)
"""The frame in which areas and lengths are given; other frames scale them with their area."""

Combination = tuple[tuple[int, ...], float]
"""Class ids that stand on one strip together, and how often (any positive weight)."""

COMBINATIONS: tuple[Combination, ...] = (
    ((3,), 4759),
    ((1,), 769),
    ((4,), 516),
    ((3, 4), 284),
    ((2,), 195),
    ((1, 3), 91),
    ((1, 2), 35),
    ((2, 3), 14),
    ((1, 2, 3), 2),
    ((2, 4), 1),
)
"""Defective strips of the competition by the classes on them; 1 never meets 4."""


class Habit(Spec):
    """How the defects of one class use to look, as statistics of its masks."""

    area: float = Field(gt=0)
    """Median area of a mask, pixels of the reference frame."""
    area_spread: float = Field(ge=0)
    """Standard deviation of the logarithm of the area: ln(95 % / 5 % quantile) / 3.29."""
    area_limits: tuple[float, float]
    """Smallest mask seen, and the 99 % quantile."""
    components: float = Field(ge=1)
    """Mean number of connected components of a mask; their number is geometric."""
    border: float = Field(ge=0, le=1)
    """Share of masks that touch the edge of the picture."""
    elongation: float = Field(gt=0)
    """Median height over width of a component's box."""
    elongation_spread: float = Field(ge=0)
    """Standard deviation of the logarithm of the elongation."""
    reach: float = Field(gt=0)
    """How far the components of a mask lie apart along the width (standard deviation)."""


# The elongations follow the 3,180 masks at hand (class 3 is drawn longer, for the picture's height
# then cuts it); the reach is ours.
HABITS: tuple[Habit, Habit, Habit, Habit] = (
    Habit(  # 1: pits
        area=3242,
        area_spread=0.81,
        area_limits=(241, 14463),
        components=3.4,
        border=0.45,
        elongation=1.7,
        elongation_spread=0.5,
        reach=250,
    ),
    Habit(  # 2: faint scratches near an end of the strip
        area=2570,
        area_spread=0.73,
        area_limits=(316, 10294),
        components=1.3,
        border=0.77,
        elongation=7.9,
        elongation_spread=0.4,
        reach=50,
    ),
    Habit(  # 3: scratches, streaks and scratched bands
        area=11433,
        area_spread=1.21,
        area_limits=(115, 180026),
        components=2.8,
        border=0.76,
        elongation=4.5,
        elongation_spread=0.9,
        reach=350,
    ),
    Habit(  # 4: rough patches, rolled-in scale
        area=26045,
        area_spread=0.9,
        area_limits=(1579, 133789),
        components=2.4,
        border=0.57,
        elongation=0.8,
        elongation_spread=0.5,
        reach=200,
    ),
)
"""The four classes of the competition, in order."""


class Mill(Spec):
    """A mill that rolls ``strips`` synthetic strips; the same settings give the same strips."""

    strips: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    height: int = Field(default=REFERENCE.height, ge=64)
    width: int = Field(default=REFERENCE.width, ge=64)
    clean_share: float = Field(default=5902 / 12568, ge=0, le=1)
    """Share of strips without any defect."""
    combinations: tuple[Combination, ...] = COMBINATIONS
    """Classes of the defective strips; only the ratios of the weights count."""
    habits: tuple[Habit, Habit, Habit, Habit] = HABITS
    roll: tuple[int, int] = (4, 12)
    """Fewest and most strips of a roll: neighbours that share steel, light and camera."""
    duplicate_share: float = Field(default=0.1, ge=0, le=1)
    """Share of strips, but the first of a roll, that nearly repeat the strip before them."""
    black_share: float = Field(default=0.3, ge=0, le=1)
    """Share of rolls seen by the camera at the edge: black beyond the end of the steel."""
    faint_share: float = Field(default=0.1, ge=0, le=1)
    """Share of defects that can hardly be seen."""

    @field_validator("combinations")
    @classmethod
    def _known_classes(cls, combinations: tuple[Combination, ...]) -> tuple[Combination, ...]:
        for class_ids, weight in combinations:
            if not class_ids or list(class_ids) != sorted(set(class_ids) & {1, 2, 3, 4}):
                raise ValueError(f"classes {class_ids} are not some of 1, 2, 3, 4 in order")
            if weight <= 0:
                raise ValueError(f"the weight {weight} of classes {class_ids} is not positive")
        if not combinations:
            raise ValueError("at least one combination of classes is needed")
        return combinations

    @field_validator("roll")
    @classmethod
    def _some_strips(cls, roll: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= roll[0] <= roll[1]:
            raise ValueError("a roll has at least one strip, and its most is not below its fewest")
        return roll

    @property
    def frame(self) -> Frame:
        """Height and width of every strip."""
        return Frame(self.height, self.width)

    @property
    def unit(self) -> float:
        """Pixels of this frame per pixel of the reference frame, along one axis."""
        return sqrt(self.frame.pixels / REFERENCE.pixels)
